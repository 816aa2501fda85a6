package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/spf13/cobra"
	admissionv1 "k8s.io/api/admission/v1"

	"github.com/sallyport-io/sallyport/internal/config"
	"github.com/sallyport-io/sallyport/internal/manifest"
	"github.com/sallyport-io/sallyport/internal/mesh"
	"github.com/sallyport-io/sallyport/internal/printable"
	"github.com/sallyport-io/sallyport/internal/readfile"
	"github.com/sallyport-io/sallyport/internal/review"
	"github.com/sallyport-io/sallyport/policies"
	"github.com/sallyport-io/sallyport/rules"
)

func newPolicyReplayCommand() *cobra.Command {
	var candidate, base ruleset
	var state, recorded []string
	var at string
	cmd := &cobra.Command{
		Use:   "replay [flags] [FILE|DIR|- ...]",
		Short: "Say what candidate policies would newly deny and newly allow",
		Long: `Replay judges writes twice, by the policies in force and by candidates, and
prints where the two differ. A write is an object as it stands in the cluster,
which is judged as if it were created there, or a recorded request (--reviews):
an AdmissionReview of admission.k8s.io/v1, or a line of the server's decision
log with objects (--decision-log-objects); one JSON object after the other.

Only policies judge here, not Sallyport's own rules. Without --base-config and
--base-policies no policy is in force.

Exit status: 0 nothing is newly denied; 1 something is; 2 the input could not
be read or judged (file, line and reason on standard error).`,
		Example: `  # What would the new configuration deny of what is there?
  sallyport dump --file cluster.yaml
  sallyport policy replay --config new.yaml --base-config sallyport.yaml cluster.yaml

  # And of last week's requests?
  sallyport policy replay --config new.yaml --policies org-policies --state cluster.yaml --reviews reviews.json`,
		Args: args(cobra.ArbitraryArgs),
		RunE: func(cmd *cobra.Command, names []string) error {
			if len(names)+len(recorded) == 0 {
				return usageError(cmd, errors.New("nothing to judge: name files of objects, or recorded requests with --reviews"))
			}
			now := time.Now()
			if at != "" {
				var err error
				if now, err = time.Parse(time.RFC3339, at); err != nil {
					return usageError(cmd, fmt.Errorf("--time: %w", err))
				}
			}
			before, _, err := base.load(cmd.Context())
			if err != nil {
				return err
			}
			after, cfg, err := candidate.load(cmd.Context())
			if err != nil {
				return err
			}
			r := replay{before: before, after: after, time: now.UTC().Format(time.RFC3339), recordedTime: at == ""}
			// What stands in a cluster has passed its API server: it is read as it is.
			reader := manifest.Reader{Stdin: cmd.InOrStdin(), Stored: true}
			stored, err := reader.Read(cmd.Context(), state...)
			if err != nil {
				return err
			}
			objects, err := reader.Read(cmd.Context(), names...)
			if err != nil {
				return err
			}
			if r.mesh, err = meshOf(cfg.Settings(), slices.Concat(stored, objects)); err != nil {
				return err
			}
			for _, o := range objects {
				if err := r.object(cmd.Context(), o); err != nil {
					return fmt.Errorf("%s:%d: %w", o.File, o.Line, err)
				}
			}
			for _, name := range recorded {
				if err := r.reviews(cmd.Context(), name); err != nil {
					return err
				}
			}
			if err := r.print(cmd.OutOrStdout()); err != nil {
				return err
			}
			if r.denied > 0 {
				return errDenied
			}
			return nil
		},
	}
	candidate.addFlags(cmd, "", "the candidates")
	base.addFlags(cmd, "base-", "what is in force")
	cmd.Flags().StringArrayVar(&state, "state", nil, "`FILE|DIR` of objects that are in the cluster: part of the mesh, not judged (repeatable)")
	cmd.Flags().StringArrayVar(&recorded, "reviews", nil, "`FILE` of recorded requests (repeatable)")
	cmd.Flags().StringVar(&at, "time", "", "`TIME` of the writes, RFC 3339 (default: that of the decision log, otherwise now)")
	return cmd
}

// ruleset is where a set of policies comes from.
type ruleset struct {
	config string
	dirs   []string
}

func (r *ruleset) addFlags(cmd *cobra.Command, prefix, what string) {
	cmd.Flags().StringVar(&r.config, prefix+"config", "", "configuration `FILE` with the parameters of "+what)
	cmd.Flags().StringArrayVar(&r.dirs, prefix+"policies", nil, "`DIR` of Rego policies of "+what+" (repeatable)")
	_ = cmd.MarkFlagFilename(prefix+"config", "yaml", "yml", "json")
	_ = cmd.MarkFlagDirname(prefix + "policies")
}

func (r *ruleset) load(ctx context.Context) (*review.Judge, *config.Config, error) {
	cfg, err := config.Load(r.config)
	if err != nil {
		return nil, nil, err
	}
	own, err := policySources(r.dirs)
	if err != nil {
		return nil, nil, err
	}
	for i := range own {
		own[i].OptIn = false
	}
	set, err := policies.Load(ctx, cfg.Policies.Parameters, append([]policies.Source{policies.Library()}, own...)...)
	if err != nil {
		return nil, nil, err
	}
	return &review.Judge{Rules: set.Rules}, cfg, nil
}

// replay judges every write twice.
type replay struct {
	before, after *review.Judge
	mesh          *mesh.Mesh
	time          string
	recordedTime  bool // where a record has one, it counts

	writes, denied, allowed int
	lines                   []string
}

// object judges an object as if it were created where it stands.
func (r *replay) object(ctx context.Context, o *manifest.Object) error {
	m := r.mesh
	if decoded, err := mesh.Decode(o.Raw); err == nil {
		m = m.Without(decoded.Metadata().Ref)
	}
	w := review.Write{Request: rules.Request{Operation: "CREATE", Time: r.time}, Object: o.Raw}
	return r.write(ctx, m, fmt.Sprintf("%s:%d", o.File, o.Line), w)
}

// reviews judges the recorded requests of a file.
func (r *replay) reviews(ctx context.Context, name string) error {
	f, err := readfile.Open(name)
	if err != nil {
		return fmt.Errorf("--reviews: %w", err)
	}
	defer f.Close()
	d := json.NewDecoder(f)
	for n := 1; ; n++ {
		var recorded struct {
			admissionv1.AdmissionReview
			Time     string `json:"time"` // of a line of the decision log
			Decision string `json:"decision"`
		}
		switch err := d.Decode(&recorded); {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return fmt.Errorf("%s: review %d: %w", name, n, err)
		}
		q := recorded.Request
		switch {
		case q == nil:
			return fmt.Errorf("%s: review %d has no request: record what the API server sends, not what it is answered", name, n)
		case len(q.Object.Raw) == 0 && len(q.OldObject.Raw) == 0 && recorded.Decision != "":
			return fmt.Errorf("%s: decision %s was recorded without its object: have the server record it with --decision-log-objects", name, recorded.Decision)
		}
		w := review.Write{
			Request: rules.Request{
				Operation: string(q.Operation), User: q.UserInfo.Username, Groups: q.UserInfo.Groups,
				DryRun: q.DryRun != nil && *q.DryRun, Time: r.time,
			},
			Object: q.Object.Raw, OldObject: q.OldObject.Raw,
		}
		if r.recordedTime && recorded.Time != "" {
			w.Request.Time = recorded.Time
		}
		if err := r.write(ctx, r.mesh, fmt.Sprintf("%s: review %d", name, n), w); err != nil {
			return fmt.Errorf("%s: review %d: %w", name, n, err)
		}
	}
}

func (r *replay) write(ctx context.Context, m *mesh.Mesh, where string, w review.Write) error {
	before, err := r.before.Review(ctx, m, w)
	if err != nil {
		return err
	}
	after, err := r.after.Review(ctx, m, w)
	if err != nil {
		return err
	}
	if !after.Known {
		return nil
	}
	r.writes++
	switch {
	case after.Denied() && !before.Denied():
		r.denied++
	case before.Denied() && !after.Denied():
		r.allowed++
	}
	r.compare(fmt.Sprintf("%s: %s", where, after.Ref), before.Findings, after.Findings)
	return nil
}

// compare notes the findings that one side has alone.
func (r *replay) compare(where string, before, after []rules.Finding) {
	note := func(verb string, list, other []rules.Finding) {
		for _, f := range list {
			if !slices.Contains(other, f) {
				r.lines = append(r.lines, fmt.Sprintf("%s: %s %s: %s: %s (%s)", where, verb, f.Severity, f.Path, f.Message, f.Rule))
			}
		}
	}
	note("new", after, before)
	note("gone", before, after)
}

func (r *replay) print(w io.Writer) error {
	b := bufio.NewWriter(w)
	for _, line := range r.lines {
		printable.Fprintf(b, "%s\n", line)
	}
	writes := "writes"
	if r.writes == 1 {
		writes = "write"
	}
	fmt.Fprintf(b, "%d %s: %d newly denied, %d newly allowed\n", r.writes, writes, r.denied, r.allowed)
	return b.Flush()
}
