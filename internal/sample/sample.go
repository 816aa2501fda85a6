// Package sample runs the samples of policies: whole objects, judged as
// admission would judge them, with the findings that are to come of it.
//
// A sample is a txtar archive beside its policy, with the same name
// (allowed_hosts.txtar beside allowed_hosts.rego):
//
//	-- config.yaml --          configuration with the policy's parameters; defaults without it
//	-- request.yaml --         user, groups and time of the writes; optional
//	-- world.yaml --           objects that are there already; optional
//	-- bad-something.yaml --   in each of its objects the policy must find something
//	-- good-something.yaml --  in none of its objects may it
//	-- want --                 the findings
//
// Folders called testdata hold no samples.
//
// Each object of a bad or good file is judged by itself, as a write into the
// world: as an UPDATE where the world has it already, as a CREATE otherwise.
// Each is judged a second time without OPA's rule indexing and early exit, and
// the findings must be the same.
package sample

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	"github.com/rogpeppe/go-internal/txtar"
	"sigs.k8s.io/yaml"

	"github.com/sallyport-io/sallyport/internal/config"
	"github.com/sallyport-io/sallyport/internal/mesh"
	"github.com/sallyport-io/sallyport/internal/review"
	"github.com/sallyport-io/sallyport/policies"
	"github.com/sallyport-io/sallyport/rules"
)

// defaultTime is the time of writes in samples without request.yaml.
const defaultTime = "2026-07-01T12:00:00Z"

// Result is the outcome of one sample.
type Result struct {
	// File is the archive, with the name of its source in front.
	File string
	// Archive is the archive with its want section as it turned out.
	Archive *txtar.Archive
	// Failures say what is not as it should be; none for a sample that passed.
	Failures []string
}

// Run runs every sample of the source. The source is loaded for each sample
// anew, with the parameters of the sample's configuration and no policy in
// force but the sample's own.
func Run(ctx context.Context, src policies.Source) ([]Result, error) {
	var results []Result
	err := fs.WalkDir(src.FS, ".", func(file string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && d.Name() == "testdata":
			return fs.SkipDir // whoever else tests there has archives of another form
		case d.IsDir() || path.Ext(file) != ".txtar":
			return nil
		}
		content, err := fs.ReadFile(src.FS, file)
		if err != nil {
			return err
		}
		r := Result{File: path.Join(src.Name, file), Archive: txtar.Parse(content)}
		got, err := r.run(ctx, src, policies.RuleName(strings.TrimSuffix(path.Base(file), ".txtar")))
		if err != nil {
			r.Failures = append(r.Failures, err.Error())
		} else if want := section(r.Archive, "want"); string(want.Data) != got {
			r.Failures = append(r.Failures, fmt.Sprintf("want:\n%s\ngot:\n%s", want.Data, got))
			want.Data = []byte(got)
		}
		results = append(results, r)
		return nil
	})
	return results, err
}

// section returns the archive's file of that name, appending it where it is
// missing.
func section(a *txtar.Archive, name string) *txtar.File {
	i := slices.IndexFunc(a.Files, func(f txtar.File) bool { return f.Name == name })
	if i < 0 {
		i = len(a.Files)
		a.Files = append(a.Files, txtar.File{Name: name})
	}
	return &a.Files[i]
}

// request is the file request.yaml.
type request struct {
	User   string   `json:"user"`
	Groups []string `json:"groups"`
	Time   string   `json:"time"`
}

// run judges the sample's objects by the policy with that name, and returns
// the findings.
func (r *Result) run(ctx context.Context, src policies.Source, name string) (string, error) {
	cfg := config.Default()
	req := request{Time: defaultTime}
	var world []mesh.Object
	old := map[mesh.Ref][]byte{}
	for _, f := range r.Archive.Files {
		var err error
		switch f.Name {
		case "config.yaml":
			cfg, err = config.Parse(f.Name, f.Data)
		case "request.yaml":
			err = yaml.UnmarshalStrict(f.Data, &req)
		case "world.yaml":
			err = each(f.Data, func(raw []byte) error {
				o, err := mesh.Decode(raw)
				if err == nil {
					world = append(world, o)
					old[o.Metadata().Ref] = raw
				}
				return err
			})
		}
		if err != nil {
			return "", fmt.Errorf("%s: %w", f.Name, err)
		}
	}
	src.OptIn = true
	set, err := policies.Load(ctx, map[string]any{name: cfg.Policies.Parameters[name]}, src)
	if err != nil {
		return "", err
	}
	judges := pair{fast: &review.Judge{Rules: set.Rules}, reference: &review.Judge{Rules: set.Reference()}}
	m := mesh.New(cfg.Settings(), world...)

	var got bytes.Buffer
	seen := map[string]bool{}
	for _, f := range r.Archive.Files {
		kind, _, _ := strings.Cut(strings.TrimSuffix(f.Name, ".yaml"), "-")
		if kind != "bad" && kind != "good" {
			if !slices.Contains([]string{"config", "request", "world", "want"}, kind) {
				return "", fmt.Errorf("%s: a sample has config.yaml, request.yaml, world.yaml, bad-*.yaml, good-*.yaml and want", f.Name)
			}
			continue
		}
		seen[kind] = true
		err := each(f.Data, func(raw []byte) error {
			outcome, err := judges.review(ctx, m, write(req, raw, old))
			if err != nil {
				return err
			}
			if found := len(outcome.Findings) > 0; found != (kind == "bad") {
				r.Failures = append(r.Failures, fmt.Sprintf("%s: %s: %d findings", f.Name, outcome.Ref, len(outcome.Findings)))
			}
			for _, finding := range outcome.Findings {
				fmt.Fprintf(&got, "%s: %s: %s: %s\n", outcome.Ref, finding.Path, finding.Severity, finding.Message)
			}
			return nil
		})
		if err != nil {
			return "", fmt.Errorf("%s: %w", f.Name, err)
		}
	}
	if !seen["bad"] || !seen["good"] {
		return "", errors.New("a sample needs at least one bad-*.yaml and one good-*.yaml")
	}
	return got.String(), nil
}

// pair judges everything twice: as the server does, and without OPA's
// optimisations, which must not make a difference.
type pair struct{ fast, reference *review.Judge }

func (p pair) review(ctx context.Context, m *mesh.Mesh, w review.Write) (review.Outcome, error) {
	outcome, err := p.fast.Review(ctx, m, w)
	if err != nil {
		return outcome, err
	}
	slow, err := p.reference.Review(ctx, m, w)
	if err != nil {
		return outcome, err
	}
	if !slices.Equal(outcome.Findings, slow.Findings) {
		return outcome, fmt.Errorf("%s: without rule indexing and early exit OPA finds %v, with them %v: write the rule in another way, and report it to the makers of OPA",
			outcome.Ref, slow.Findings, outcome.Findings)
	}
	return outcome, nil
}

func write(req request, raw []byte, old map[mesh.Ref][]byte) review.Write {
	w := review.Write{
		Request: rules.Request{Operation: "CREATE", User: req.User, Groups: req.Groups, Time: req.Time},
		Object:  raw,
	}
	if o, err := mesh.Decode(raw); err == nil && old[o.Metadata().Ref] != nil {
		w.Request.Operation, w.OldObject = "UPDATE", old[o.Metadata().Ref]
	}
	return w
}

// each calls f with the JSON of every document of a YAML file.
func each(data []byte, f func(raw []byte) error) error {
	for doc := range bytes.SplitSeq(data, []byte("\n---\n")) {
		raw, err := yaml.YAMLToJSONStrict(doc)
		if err != nil {
			return err
		}
		if json.Valid(raw) && string(raw) == "null" {
			continue
		}
		if err := f(raw); err != nil {
			return err
		}
	}
	return nil
}
