// Package sample runs the samples of policies: whole objects, judged as
// admission would judge them, with the findings that are to come of it.
//
// A sample is a txtar archive, as package golden reads it, beside its policy and with
// the same name (allowed_hosts.txtar beside allowed_hosts.rego). Folders called
// testdata hold no samples. Each object is judged a second time without OPA's rule
// indexing and early exit, and the findings must be the same.
package sample

import (
	"context"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	"github.com/rogpeppe/go-internal/txtar"

	"github.com/sallyport-io/sallyport/internal/golden"
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
		} else if want := golden.Want(r.Archive); string(want.Data) != got {
			r.Failures = append(r.Failures, fmt.Sprintf("want:\n%s\ngot:\n%s", want.Data, got))
			want.Data = []byte(got)
		}
		results = append(results, r)
		return nil
	})
	return results, err
}

// run judges the sample's objects by the policy with that name, and returns
// the findings.
func (r *Result) run(ctx context.Context, src policies.Source, name string) (string, error) {
	c, err := golden.Parse(r.Archive, rules.Request{Time: defaultTime})
	if err != nil {
		return "", err
	}
	src.OptIn = true
	set, err := policies.Load(ctx, map[string]any{name: c.Config.Policies.Parameters[name]}, src)
	if err != nil {
		return "", err
	}
	judges := pair{fast: &review.Judge{Rules: set.Rules}, reference: &review.Judge{Rules: set.Reference()}}

	var got strings.Builder
	for _, f := range c.Files {
		for _, w := range f.Writes {
			outcome, err := judges.review(ctx, c.World, w)
			if err != nil {
				return "", fmt.Errorf("%s: %w", f.Name, err)
			}
			if found := len(outcome.Findings) > 0; found != f.Bad {
				r.Failures = append(r.Failures, fmt.Sprintf("%s: %s: %d findings", f.Name, outcome.Ref, len(outcome.Findings)))
			}
			for _, finding := range outcome.Findings {
				fmt.Fprintf(&got, "%s: %s: %s: %s\n", outcome.Ref, finding.Path, finding.Severity, finding.Message)
			}
		}
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
