package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/sallyport-io/sallyport/internal/config"
	"github.com/sallyport-io/sallyport/internal/manifest"
	"github.com/sallyport-io/sallyport/internal/mesh"
	"github.com/sallyport-io/sallyport/internal/printable"
	"github.com/sallyport-io/sallyport/internal/readfile"
	"github.com/sallyport-io/sallyport/internal/report"
	"github.com/sallyport-io/sallyport/internal/review"
	"github.com/sallyport-io/sallyport/policies"
	"github.com/sallyport-io/sallyport/rules"
)

// input is what every command that judges takes from its flags.
type input struct {
	state     []string
	config    string
	policies  []string
	injection enum[config.Injection]
	// istio is the version of the control plane; empty for the configuration's.
	istio  string
	unwrap bool
	// stored is whether what the names name is in a cluster, as --state is.
	stored bool
	// exclude are the globs of what is left out of directories.
	exclude []string
	// blocked is whether paths that are blocked are listed.
	blocked bool
	// asStored is whether objects that all come out of a cluster are judged as they
	// stand there.
	asStored bool
	// live is whether the cluster of the connection is part of the state, or all that
	// there is where no file is named.
	live bool
	connection
	// settle, where not nil, changes the settings of the configuration.
	settle func(*mesh.Settings)
}

func (in *input) addFlags(cmd *cobra.Command) {
	in.addClusterFlags(cmd)
	in.injection = enum[config.Injection]{
		allowed: []config.Injection{config.InjectAll, config.InjectNew, config.InjectNone}, name: "enabled|new|disabled",
	}
	f := cmd.Flags()
	f.StringArrayVar(&in.state, "state", nil, "`FILE|DIR` of objects that are in the cluster already: part of the mesh, not judged (repeatable)")
	f.StringArrayVar(&in.exclude, "exclude", nil, "`GLOB` of files and directories to leave out of a directory: of a path beneath it, or without a slash of any name in one (repeatable)")
	f.StringVar(&in.config, "config", "", "the server's configuration `FILE` (default: Istio's own default installation)")
	f.StringArrayVar(&in.policies, "policies", nil, "`DIR` of Rego policies to judge by, beside the rules (repeatable)")
	f.Var(&in.injection, "injection", "for which entries Sallyport keeps companions: all or none whatever configuration and namespace labels say, except in platform namespaces; or new ones, where no label says otherwise")
	f.StringVar(&in.istio, "istio-version", "", "`VERSION` of Istio's control plane, such as 1.31.2: overrides the configuration")
	f.BoolVar(&in.unwrap, "unwrap", false, "judge the objects inside others (OpenShift Template, ManifestWork ...) too, as if they were given by themselves")
	_ = cmd.RegisterFlagCompletionFunc("injection", in.injection.complete) // fails for unknown flags only
	_ = cmd.MarkFlagDirname("policies")
	_ = cmd.MarkFlagFilename("config", "yaml", "yml", "json")
}

// addClusterFlags adds the flags that have a live cluster read.
func (in *input) addClusterFlags(cmd *cobra.Command) {
	cmd.Flags().BoolVar(&in.live, "cluster", false, "read the cluster: part of the mesh, not judged; or what there is to judge, where no file is given. Without --config its server's configuration counts")
	in.connection.addFlags(cmd)
}

// files checks that there are arguments, and a file among them unless the cluster
// is read.
func (in *input) files(before int) cobra.PositionalArgs {
	return args(func(cmd *cobra.Command, names []string) error {
		if in.live {
			return cobra.MinimumNArgs(before)(cmd, names)
		}
		return cobra.MinimumNArgs(before+1)(cmd, names)
	})
}

// configured is the configuration and, where it is read, what the cluster holds.
func (in *input) configured(cmd *cobra.Command) (*config.Config, []*manifest.Object, error) {
	if !in.live {
		if in.connection != (connection{}) {
			return nil, nil, errors.New("--kubeconfig, --context and --as say which cluster to read: give --cluster too")
		}
		cfg, err := config.Load(in.config)
		return cfg, nil, err
	}
	data, cfg, err := in.dumped(cmd, in.config)
	if err != nil {
		return nil, nil, err
	}
	objects, err := manifest.Reader{Stored: true}.Parse(cmd.Context(), "cluster", data)
	return cfg, objects, err
}

// judged is a set of manifests and what the judge makes of it.
type judged struct {
	objects []*manifest.Object
	rules   []*rules.Rule
	batch   review.Batch
	stored  bool // the objects were judged as they stand in a cluster
}

// judge reads everything that the flags and names name, and judges it.
func (in *input) judge(cmd *cobra.Command, names []string) (*judged, error) {
	if n := len(slices.DeleteFunc(slices.Concat(names, in.state), func(s string) bool { return s != "-" })); n > 1 {
		return nil, errors.New("standard input (-) can be given once only")
	}
	cfg, live, err := in.configured(cmd)
	if err != nil {
		return nil, err
	}
	all, err := in.rules(cmd, cfg)
	if err != nil {
		return nil, err
	}
	reader := in.reader(cmd)
	stored := reader
	stored.Stored = true
	state, stateErr := stored.Read(cmd.Context(), in.state...)
	if in.stored {
		reader = stored
	}
	objects, err := reader.Read(cmd.Context(), names...)
	if err := errors.Join(stateErr, err); err != nil {
		return nil, err
	}
	if len(names) == 0 {
		objects = live
	} else {
		state = append(state, live...)
	}
	if len(objects) == 0 {
		return nil, fmt.Errorf("nothing to judge: no object in %q", names)
	}

	settings := cfg.Settings()
	switch in.injection.value {
	case "":
	case config.InjectNew:
		settings.Injection = mesh.InjectNew
	default:
		settings.InjectionOverride = new(in.injection.value == config.InjectAll)
	}
	if in.istio != "" {
		if settings.Istio, err = mesh.ParseIstioVersion(in.istio); err != nil {
			return nil, fmt.Errorf("--istio-version: %w", err)
		}
	}
	if in.settle != nil {
		in.settle(&settings)
	}
	before, raws, err := standing(settings, state)
	if err != nil {
		return nil, err
	}
	raw := make([][]byte, len(objects))
	for i, o := range objects {
		raw[i] = o.Raw
	}
	judge := review.Judge{Rules: all, Time: time.Now().UTC().Format(time.RFC3339), Stored: in.asStored && inCluster(objects), Blocked: in.blocked, Standing: func(ref mesh.Ref) []byte { return raws[ref] }}
	batch, err := judge.ReviewAll(cmd.Context(), before, raw)
	if err != nil {
		return nil, locate(err, objects)
	}
	return &judged{objects, all, batch, judge.Stored}, nil
}

// inCluster reports whether an API server has stored every object: it gives each a
// uid, which nobody writes into a file.
func inCluster(objects []*manifest.Object) bool {
	return !slices.ContainsFunc(objects, func(o *manifest.Object) bool {
		m, err := mesh.Decode(o.Raw)
		return err == nil && m.Metadata().UID == ""
	})
}

// reader reads manifests, and says what it leaves out.
func (in *input) reader(cmd *cobra.Command) manifest.Reader {
	return manifest.Reader{
		Stdin:   cmd.InOrStdin(),
		Unwrap:  in.unwrap,
		Exclude: in.exclude,
		Twice: func(o, first *manifest.Object) {
			printable.Fprintf(cmd.ErrOrStderr(), "note: %s:%d: %s %s is in %s:%d as well, of another base: skipped; judge what kustomize builds of each\n",
				o.File, o.Line, o.Kind, path.Join(o.Namespace, o.Name), first.File, first.Line)
		},
		Skipped: func(file string, why manifest.Skip) {
			switch {
			case why == manifest.Patch:
				printable.Fprintf(cmd.ErrOrStderr(), "note: %s is no manifest of its own (a kustomization applies it to others): skipped; judge what kustomize builds\n", file)
			case why == manifest.Chart:
				printable.Fprintf(cmd.ErrOrStderr(), "note: %s describes a chart and is no manifest: skipped\n", file)
			case why == manifest.Template:
				printable.Fprintf(cmd.ErrOrStderr(), "note: %s is to be rendered first (helm template CHART | sallyport review -): skipped\n", file)
			case why == manifest.NoManifest:
				printable.Fprintf(cmd.ErrOrStderr(), "note: %s is no manifest (it has neither apiVersion nor kind): skipped\n", file)
			case in.config == "" || filepath.Clean(file) != filepath.Clean(in.config):
				printable.Fprintf(cmd.ErrOrStderr(), "note: %s is a configuration (give it with --config) and no manifest: skipped\n", file)
			}
		},
	}
}

// rules are the rules in Go and in Rego by which to judge.
func (in *input) rules(cmd *cobra.Command, cfg *config.Config) ([]*rules.Rule, error) {
	if dirs := cfg.Policies.Directories; len(dirs) > 0 && len(in.policies) == 0 {
		printable.Fprintf(cmd.ErrOrStderr(), "note: the policies in %s of %s are the server's; give --policies DIR to judge by them\n", strings.Join(dirs, ", "), cmp.Or(in.config, "the cluster's configuration"))
	}
	if len(in.policies) == 0 && len(cfg.Policies.Parameters) == 0 {
		return rules.All, nil
	}
	sources := []policies.Source{policies.Library()}
	for _, dir := range in.policies {
		if info, err := os.Stat(dir); err != nil {
			return nil, fmt.Errorf("--policies: %w", err)
		} else if !info.IsDir() {
			return nil, fmt.Errorf("--policies: %s is not a directory", dir)
		}
		sources = append(sources, policies.Source{Name: dir, FS: readfile.DirFS(dir)})
	}
	set, err := policies.Load(cmd.Context(), cfg.Policies.Parameters, sources...)
	if err != nil {
		return nil, err
	}
	return slices.Concat(rules.All, set.Rules), nil
}

// meshOf builds the mesh of objects that are there already.
func meshOf(s mesh.Settings, objects []*manifest.Object) (*mesh.Mesh, error) {
	m, _, err := standing(s, objects)
	return m, err
}

// standing is meshOf, and the JSON of each object.
func standing(s mesh.Settings, objects []*manifest.Object) (*mesh.Mesh, map[mesh.Ref][]byte, error) {
	decoded, raws := make([]mesh.Object, 0, len(objects)), make(map[mesh.Ref][]byte, len(objects))
	var errs []error
	for _, o := range objects {
		m, err := mesh.Decode(o.Raw)
		switch {
		case errors.Is(err, mesh.ErrUnknownKind):
		case err != nil:
			errs = append(errs, at(o, err))
		default:
			decoded, raws[m.Metadata().Ref] = append(decoded, m), o.Raw
		}
	}
	return mesh.New(s, decoded...), raws, errors.Join(errs...)
}

// at says which object an error is about.
func at(o *manifest.Object, err error) error {
	return &manifest.Error{File: o.File, Line: o.Line, Message: err.Error()}
}

// locate gives the errors of the judge the files and lines of their objects.
func locate(err error, objects []*manifest.Object) error {
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		var errs []error
		for _, e := range joined.Unwrap() {
			errs = append(errs, locate(e, objects))
		}
		return errors.Join(errs...)
	}
	if oerr, ok := errors.AsType[*review.ObjectError](err); ok {
		return at(objects[oerr.Index], err)
	}
	if errors.Is(err, context.Canceled) {
		return errors.New("interrupted")
	}
	return err
}

// report makes the review document.
func (j *judged) report() (*report.Review, error) {
	objects := make([]report.Object, len(j.objects))
	for i, o := range j.objects {
		objects[i] = report.Object{
			APIVersion: o.APIVersion,
			Kind:       o.Kind,
			Namespace:  o.Namespace,
			Name:       o.Name,
			File:       o.File,
			Line:       o.Line,
			Findings:   j.findings(i),
		}
	}
	companions, err := render(j.batch.Companions)
	if err != nil {
		return nil, err
	}
	return report.New(objects, j.batch.Paths, companions), nil
}

// denied reports whether anything is denied.
func (j *judged) denied() bool {
	return slices.ContainsFunc(j.batch.Outcomes, review.Outcome.Denied)
}
