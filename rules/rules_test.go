package rules_test

import (
	"context"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sallyport-io/sallyport/internal/mesh"
	"github.com/sallyport-io/sallyport/rules"
)

func TestAll(t *testing.T) {
	name := regexp.MustCompile(`^[a-z0-9]+(-[a-z0-9]+)*$`)
	seen := map[string]bool{}
	for _, r := range rules.All {
		if !name.MatchString(r.Name) || seen[r.Name] {
			t.Errorf("rule name %q is not kebab-case or not unique", r.Name)
		}
		seen[r.Name] = true
		title := r.Title()
		if title == "" || len(title) > 60 || strings.HasSuffix(title, ".") || strings.ToLower(title[:1]) != title[:1] {
			t.Errorf("rule %s: title %q: at most 60 letters, no capital at the start, no full stop", r.Name, title)
		}
		if !strings.Contains(r.Doc, "\n\n") {
			t.Errorf("rule %s: the doc has nothing after its title", r.Name)
		}
		if r.Severity != rules.Deny && r.Severity != rules.Warn && r.Severity != rules.Info {
			t.Errorf("rule %s: severity %q", r.Name, r.Severity)
		}
		for _, k := range r.Kinds {
			if !slices.Contains(mesh.Kinds(), k) {
				t.Errorf("rule %s judges %s, which the model does not hold", r.Name, k)
			}
		}
		for _, o := range r.Operations {
			if !slices.Contains([]string{"CREATE", "UPDATE", "DELETE"}, o) {
				t.Errorf("rule %s judges operation %q", r.Name, o)
			}
		}
		if r.Check == nil {
			t.Errorf("rule %s has no check", r.Name)
		}
	}
	names := make([]string, len(rules.All))
	for i, r := range rules.All {
		names[i] = r.Name
	}
	if !slices.IsSorted(names) {
		t.Errorf("All is not sorted: %v", names)
	}
}

func TestRun(t *testing.T) {
	create := rules.Request{Operation: "CREATE"}
	subject := &mesh.ServiceEntry{Meta: mesh.Meta{Ref: mesh.Ref{Kind: "ServiceEntry", Namespace: "shop", Name: "x"}}}
	rule := func(name string, kinds []string, check func(*rules.Pass)) *rules.Rule {
		return &rules.Rule{Name: name, Severity: rules.Warn, Kinds: kinds, Check: func(_ context.Context, p *rules.Pass) error {
			check(p)
			return nil
		}}
	}
	t.Run("sorted by gravity, rule and path, without repetition", func(t *testing.T) {
		got, err := rules.Run(t.Context(), []*rules.Rule{
			rule("b", nil, func(p *rules.Pass) { p.Reportf("spec.b", "second"); p.Reportf("spec.a", "first") }),
			rule("a", []string{"ServiceEntry"}, func(p *rules.Pass) {
				p.Reportf("spec", "warned")
				p.Reportf("spec", "warned")
				p.Report(rules.Finding{Path: "spec", Severity: rules.Deny, Message: "denied"})
			}),
			rule("c", []string{"Gateway"}, func(p *rules.Pass) { p.Reportf("", "not for this kind") }),
		}, rules.Pass{Request: create, Subject: subject})
		if err != nil {
			t.Fatal(err)
		}
		want := []rules.Finding{
			{Rule: "a", Severity: rules.Deny, Path: "spec", Message: "denied"},
			{Rule: "a", Severity: rules.Warn, Path: "spec", Message: "warned", Told: "warned"},
			{Rule: "b", Severity: rules.Warn, Path: "spec.a", Message: "first", Told: "first"},
			{Rule: "b", Severity: rules.Warn, Path: "spec.b", Message: "second", Told: "second"},
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	})
	t.Run("a panic is an error that names rule and object", func(t *testing.T) {
		got, err := rules.Run(t.Context(), []*rules.Rule{
			rule("first", nil, func(p *rules.Pass) { p.Reportf("spec", "found") }),
			rule("boom", nil, func(*rules.Pass) { panic("lost") }),
		}, rules.Pass{Request: create, Subject: subject})
		if err == nil || !strings.Contains(err.Error(), "rule boom on ServiceEntry/shop/x: panic: lost") {
			t.Errorf("error %v", err)
		}
		if got != nil {
			t.Errorf("half a judgement: %v", got)
		}
	})
	t.Run("a context that ended is an error", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := rules.Run(ctx, []*rules.Rule{rule("r", nil, func(*rules.Pass) {})}, rules.Pass{Request: create, Subject: subject}); err == nil {
			t.Error("no error")
		}
	})
}

// TestRunAppliesTo has rules of every declaration judge every operation, on objects
// of a tenant and of the platform.
func TestRunAppliesTo(t *testing.T) {
	operations := []string{"CREATE", "UPDATE", "DELETE"}
	declared := map[string][]string{"": {"CREATE", "UPDATE"}} // by name of the rule
	all := []*rules.Rule{}
	for _, list := range [][]string{nil, {"CREATE"}, {"DELETE"}, {"CREATE", "UPDATE"}, operations} {
		for _, audience := range []rules.Audience{rules.Everybody, rules.Tenants} {
			name := strings.Join(list, "-") + string(audience)
			if declared[name] = list; list == nil {
				declared[name] = operations[:2]
			}
			all = append(all, &rules.Rule{
				Name: name, Severity: rules.Warn, Operations: list, For: audience,
				Check: func(_ context.Context, p *rules.Pass) error { p.Reportf("spec", "found"); return nil },
			})
		}
	}
	m := mesh.New(mesh.DefaultSettings())
	for _, operation := range operations {
		for _, namespace := range []string{"shop", "istio-system"} {
			var want, got []string
			for _, r := range all {
				if slices.Contains(declared[r.Name], operation) && (r.For == rules.Everybody || namespace == "shop") {
					want = append(want, r.Name)
				}
			}
			found, err := rules.Run(t.Context(), all, rules.Pass{
				Request: rules.Request{Operation: operation}, After: m,
				Subject: &mesh.ServiceEntry{Meta: mesh.Meta{Ref: mesh.Ref{Kind: "ServiceEntry", Namespace: namespace, Name: "x"}}},
			})
			if err != nil {
				t.Fatal(err)
			}
			for _, f := range found {
				got = append(got, f.Rule)
			}
			slices.Sort(want)
			slices.Sort(got)
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("%s in %s (-want +got):\n%s", operation, namespace, diff)
			}
		}
	}
	for _, operation := range []string{"", "CONNECT", "delete"} {
		if _, err := rules.Run(t.Context(), all, rules.Pass{Request: rules.Request{Operation: operation}, Subject: someEntry}); err == nil {
			t.Errorf("operation %q counts as judged, and no rule has seen it", operation)
		}
	}
}
