package rulestest

import (
	"slices"
	"strings"
	"testing"

	"github.com/sallyport-io/sallyport/internal/mesh"
	"github.com/sallyport-io/sallyport/internal/review"
	"github.com/sallyport-io/sallyport/rules"
)

// checkFixes applies each fix of the rule's findings that is YAML: then the finding is
// gone, whatever else the fix makes is admitted, and nothing is found that was not
// found before. A fix of several lines is such YAML; words are one line, and so is
// each comment.
func checkFixes(t *testing.T, rule *rules.Rule, every *review.Judge, world *mesh.Mesh, w review.Write) {
	t.Helper()
	before, err := every.Review(t.Context(), world, w)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range before.Findings {
		if f.Rule != rule.Name {
			continue
		}
		fixed := rules.Fixed(f.Fix, w.Object)
		if len(fixed) == 0 {
			for line := range strings.Lines(strings.TrimRight(f.Fix, "\n")) {
				if strings.HasSuffix(line, "\n") && !strings.HasPrefix(line, "#") {
					t.Errorf("%s %s: a fix of several lines that cannot be applied:\n%s", before.Ref, f.Path, f.Fix)
				}
			}
			continue
		}
		again, m := w, world
		for _, o := range fixed {
			if o.Object.Metadata().Ref == before.Ref {
				again.Object = o.Raw
				continue
			}
			m = m.With(o.Object)
		}
		for _, o := range fixed {
			ref := o.Object.Metadata().Ref
			if ref == before.Ref || world.Get(ref) != nil {
				continue
			}
			made := review.Write{Request: rules.Request{Operation: "CREATE", User: w.Request.User, Groups: w.Request.Groups, Time: w.Request.Time}, Object: o.Raw}
			if out, err := every.Review(t.Context(), m.Without(ref), made); err != nil || out.Denied() {
				t.Errorf("%s %s: of its fix %s is denied (error %v): %+v", before.Ref, f.Path, ref, err, out.Findings)
			}
		}
		ops, _, err := review.Default(t.Context(), m, again) // as admission leaves it
		if err == nil {
			again.Object, err = review.Patched(again.Object, ops)
		}
		if err != nil {
			t.Fatal(err)
		}
		after, err := every.Review(t.Context(), m, again)
		if err != nil {
			t.Errorf("%s %s: with its fix: %v", before.Ref, f.Path, err)
			continue
		}
		for _, left := range after.Findings {
			known := slices.ContainsFunc(before.Findings, func(was rules.Finding) bool { return same(was, left) })
			switch grave := left.Severity == rules.Deny || left.Severity == rules.Warn; {
			case f.Host != "" && left.Host == f.Host && left.Severity == rules.Deny, f.Host == "" && same(f, left):
				t.Errorf("%s %s: with its fix there is still: %s", before.Ref, f.Path, left.Message)
			case left.Rule == f.Rule && f.Severity == rules.Deny && left.Severity != rules.Deny: // no denial any more
			case grave && !known && (f.Host == "" || left.Severity == rules.Deny):
				t.Errorf("%s %s: with its fix there is, at %s: %s\n%s", before.Ref, f.Path, left.Path, left.Message, f.Fix)
			}
		}
	}
}

func same(a, b rules.Finding) bool {
	return a.Rule == b.Rule && a.Severity == b.Severity && a.Message == b.Message
}
