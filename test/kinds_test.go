package test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"

	"github.com/sallyport-io/sallyport/internal/mesh"
	"github.com/sallyport-io/sallyport/internal/surface"
	"github.com/sallyport-io/sallyport/rules"
)

// TestKindsPage holds docs/kinds.md to what it is generated from; -update writes
// it.
func TestKindsPage(t *testing.T) {
	checkPage(t, "../docs/kinds.md", kindsPage(t))
}

func kindsPage(t *testing.T) string {
	t.Helper()
	var b strings.Builder
	b.WriteString(`# What is judged

This page is generated from package internal/surface, the rules and
manifests/webhooks.yaml; edit those, not the page. A test asks an API server, with
the kinds of Istio, the Gateway API and cert-manager, for every kind and subresource
that it takes writes of, and fails on one that is missing here.

## Judged

Whoever writes, in whatever version, by the [rules](../rules/README.md) named here
and those for every kind: `)
	_, v := entries(t)
	var every []string
	for _, rule := range rules.All {
		if len(rule.Kinds) == 0 {
			every = append(every, rule.Name)
		}
	}
	b.WriteString(strings.Join(every, ", ") + `. The last column is why an operation
that is not judged opens no way out.

| resource | operations | by | otherwise |
|---|---|---|---|
`)
	for _, r := range surface.Resources {
		if r.Kind != "" {
			fmt.Fprintf(&b, "| %s | %s | %s | %s |\n", r, strings.Join(sentOperations(v, r), ", "), judgedBy(r), r.Harmless)
		}
	}
	b.WriteString(`
The organisation's policies in Rego judge them as well.

## Not judged

| resource | why |
|---|---|
`)
	for _, r := range surface.Resources {
		if r.Kind == "" {
			fmt.Fprintf(&b, "| %s | %s |\n", r, r.Harmless)
		}
	}
	b.WriteString(`
## Whose writes are not judged

Kubernetes' own controllers write by themselves what follows from what was judged
before; what they delete is judged like any other deletion. A status that changes neither labels, annotations, finalizers nor owners is
passed over, except where traffic is led by it; and so is a Binding without labels
and annotations.

| user | writes | from | |
|---|---|---|---|
`)
	for _, c := range surface.Controllers {
		var from []string
		for _, r := range c.From {
			from = append(from, r.String())
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %s |\n", c.User, c.Writes, strings.Join(from, ", "), c.Why)
	}
	return b.String()
}

// judgedBy names the rules for the kind of a resource alone.
func judgedBy(r surface.Resource) string {
	whole, _, sub := strings.Cut(r.Name, "/")
	if parent, ok := surface.Find(r.Group, whole); sub && ok && parent.Kind == r.Kind {
		return "as " + parent.String()
	}
	var by []string
	for _, rule := range rules.All {
		if len(rule.Kinds) > 0 && rule.Judges(r.Kind) {
			by = append(by, rule.Name)
		}
	}
	return strings.Join(by, ", ")
}

// sentOperations are the operations of a resource about which the validating
// entry is asked.
func sentOperations(v *admissionregistrationv1.ValidatingWebhook, r surface.Resource) []string {
	var ops []string
	for _, op := range []admissionregistrationv1.OperationType{admissionregistrationv1.Create, admissionregistrationv1.Update, admissionregistrationv1.Delete} {
		if slices.ContainsFunc(v.Rules, func(rule admissionregistrationv1.RuleWithOperations) bool {
			return slices.Contains(rule.Operations, op) && slices.Contains(rule.APIGroups, r.Group) && slices.Contains(rule.Resources, r.Name)
		}) && takes(r, op) {
			ops = append(ops, string(op))
		}
	}
	return ops
}

// takes reports whether there is such an operation: subresources are updated, but
// for what binds a pod.
func takes(r surface.Resource, op admissionregistrationv1.OperationType) bool {
	switch {
	case r.Kind == "Binding":
		return op == admissionregistrationv1.Create
	case strings.Contains(r.Name, "/"):
		return op == admissionregistrationv1.Update
	default:
		return true
	}
}

// TestSurface checks that the table says one thing of everything, and what the
// manifest says.
func TestSurface(t *testing.T) {
	if !slices.IsSortedFunc(surface.Resources, func(a, b surface.Resource) int {
		return strings.Compare(a.Group+"\x00"+a.Name, b.Group+"\x00"+b.Name)
	}) {
		t.Error("Resources are not sorted: Find does not find them")
	}
	_, v := entries(t)
	for _, r := range surface.Resources {
		if got, ok := surface.Find(r.Group, r.Name); !ok || got != r {
			t.Errorf("Find does not find %s", r)
		}
		sent := sentOperations(v, r)
		switch {
		case r.Kind == "" && r.Harmless == "":
			t.Errorf("%s is neither judged nor harmless", r)
		case r.Kind == "" && len(sent) > 0:
			t.Errorf("the validating entry has %s, which is not judged", r)
		case r.Kind != "" && len(sent) == 0:
			t.Errorf("%s is judged, and the validating entry does not have it", r)
		case r.Kind != "" && !slices.Contains(mesh.Kinds(), r.Kind):
			t.Errorf("%s is judged as a %s, which the model does not hold", r, r.Kind)
		}
		if r.Harmless != "" && (!strings.HasSuffix(r.Harmless, ".") || strings.Contains(r.Harmless, "|")) {
			t.Errorf("%s: the reason is no sentence: %q", r, r.Harmless)
		}
	}
	for _, rule := range v.Rules {
		for _, group := range rule.APIGroups {
			for _, name := range rule.Resources {
				if _, ok := surface.Find(group, name); !ok && !strings.HasPrefix(group, "gateway.networking.") { // of whose two groups each has one
					t.Errorf("the validating entry has %s of group %q, which is nowhere accounted for", name, group)
				}
			}
		}
	}
}

// TestControllersArePassedOverForAReason compares the users that the
// matchConditions name with those that are accounted for.
func TestControllersArePassedOverForAReason(t *testing.T) {
	_, v := entries(t)
	var named []string
	for _, c := range v.MatchConditions {
		if c.Name != "not-kubernetes-controllers" && c.Name != "not-binding-alone" {
			continue
		}
		for i, s := range strings.Split(c.Expression, "'") {
			if i%2 == 1 && strings.HasPrefix(s, "system:") {
				named = append(named, s)
			}
		}
	}
	var accounted []string
	for _, c := range surface.Controllers {
		accounted = append(accounted, c.User)
		if c.Writes == "" || len(c.From) == 0 {
			t.Errorf("%s: what it writes, and from what, is not said", c.User)
		}
		for _, from := range c.From {
			if r, ok := surface.Find(from.Group, from.Name); !ok || r.Kind == "" {
				t.Errorf("%s writes from %s, which is not judged", c.User, from)
			}
		}
	}
	slices.Sort(named)
	slices.Sort(accounted)
	if d := cmp.Diff(named, accounted); d != "" {
		t.Errorf("users in the matchConditions and in package surface (-named +accounted):\n%s", d)
	}
}
