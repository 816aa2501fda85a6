package policysource

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/sallyport-io/sallyport/internal/mesh"
	"github.com/sallyport-io/sallyport/policies"
)

func entry(namespace, name, host string) string {
	return fmt.Sprintf(`{"apiVersion":"networking.istio.io/v1","kind":"ServiceEntry","metadata":{"namespace":%q,"name":%q},
"spec":{"hosts":[%q],"ports":[{"number":443,"name":"tls","protocol":"TLS"}],"resolution":"DNS"}}`, namespace, name, host)
}

// cluster is one with some ServiceEntries.
func cluster(t *testing.T, entries ...string) Live {
	t.Helper()
	m := mesh.New(mesh.DefaultSettings())
	for _, raw := range entries {
		o, err := mesh.Decode([]byte(raw))
		if err != nil {
			t.Fatal(err)
		}
		m = m.With(o)
	}
	return clusterOf(m, map[string][]string{"ServiceEntry": entries})
}

// TestEvaluation has a new policy judge what is in the cluster before it is
// put in force.
func TestEvaluation(t *testing.T) {
	live := cluster(t,
		entry("shop", "api", "api.example.com"),
		entry("shop", "cdn", "cdn.example.com"),
		entry("bank", "swift", "swift.example.org"),
		entry("istio-system", "sallyport-0123456789abcdef0123", "swift.example.org"), // a companion
	)
	none, all := 0, 3
	tests := []struct {
		name    string
		files   map[string]string
		limit   *int
		refused []string // words of the refusal; none where the policy comes into force
		want    Evaluation
	}{
		{
			"two newly denied, one newly allowed",
			rego("one", `endswith(input.object.spec.hosts[_], ".com")`), nil, nil,
			Evaluation{Objects: 3, NewlyDenied: 2, NewlyAllowed: 1},
		},
		{
			"as many as the limit lets pass",
			rego("one", "true"), &all, nil,
			Evaluation{Objects: 3, NewlyDenied: 2},
		},
		{
			"another policy in its place",
			rego("two", "false"), nil, nil,
			Evaluation{Objects: 3, NewlyAllowed: 1, Removed: []string{"one"}},
		},
		{
			"more than the limit lets pass",
			rego("one", "true"), &none,
			[]string{"2 of 3 objects in the cluster would newly be denied", "policies.maxNewDenials (0)"},
			Evaluation{Objects: 3, NewlyDenied: 2},
		},
		{
			"a builtin that fails on one object",
			rego("one", `net.cidr_contains("10.0.0.0/8", trim_suffix(input.object.spec.hosts[_], ".example.org"))`), nil,
			[]string{"could not be judged, by one (source/one.rego:7: eval_builtin_error)"},
			Evaluation{Objects: 3, NewlyAllowed: 0, Failed: 3},
		},
		{
			"two values for one name, on one object",
			map[string]string{"one.rego": `# METADATA
# title: a policy of a test
# description: It denies what the test wants.
package sallyport.policies.one

place := "world" if input.object.metadata.namespace != ""

place := "bank" if input.object.metadata.namespace == "bank"

deny contains {"msg": place} if place == "moon"
`},
			nil,
			[]string{"1 of 3 objects in the cluster could not be judged, by one (source/one.rego:8: eval_conflict_error)"},
			Evaluation{Objects: 3, NewlyAllowed: 0, Failed: 1},
		},
		{
			"too slow on one object",
			rego("one", `input.object.metadata.namespace == "bank"; count([1 | some i in numbers.range(1, 30000); some j in numbers.range(1, 30000); i == j]) == 0`), nil,
			[]string{"1 of 3 objects in the cluster could not be judged, by one"},
			Evaluation{Objects: 3, Failed: 1},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			source := newFake("source", rego("one", `input.object.metadata.namespace == "bank"`))
			o := options(t, source)
			o.Rules, o.Live, o.MaxNewDenials = nil, live, tt.limit
			l := start(t, o)
			first := l.Judge()
			source.hold("new", tt.files, nil)
			if tt.refused == nil {
				eventually(t, func() error {
					if s := l.Status(); s.Sources[0].Revision != "new" {
						return fmt.Errorf("not in force: %+v", s)
					}
					return nil
				})
			} else {
				eventually(t, func() error { return refusedFor(l, tt.refused...) })
				if l.Judge() != first {
					t.Error("a refused policy is in force")
				}
				for _, secret := range []string{"swift", "api", "shop", "example"} {
					if s := l.Status().Refused; strings.Contains(s, secret) {
						t.Errorf("the status holds what is in the cluster: %s", s)
					}
				}
			}
			got := l.Status().Evaluation
			if d := cmp.Diff(&tt.want, got, cmpopts.IgnoreFields(Evaluation{}, "Seconds")); d != "" {
				t.Errorf("evaluation (-want +got):\n%s", d)
			}
		})
	}
}

// TestEvaluationOfTheLibrary has every policy of the library that needs no
// parameter judge objects that nobody writes at that moment: none may fail for
// want of a user.
func TestEvaluationOfTheLibrary(t *testing.T) {
	library, err := policies.Load(t.Context(), nil, policies.Library())
	if err != nil {
		t.Fatal(err)
	}
	source := newFake("source", rego("one", "false"))
	o := options(t, source)
	o.Live = cluster(t, entry("shop", "api", "api.example.com"), entry("bank", "swift", "swift.example.org"))
	o.Parameters = map[string]any{}
	for _, p := range library.Policies {
		if !slices.ContainsFunc(p.Parameters, func(p policies.Parameter) bool { return p.Required }) {
			o.Parameters[p.Name] = map[string]any{}
		}
	}
	if len(o.Parameters) < 5 {
		t.Fatalf("only %d policies need no parameter", len(o.Parameters))
	}
	l := start(t, o)
	source.hold("new", rego("one", "true"), nil)
	eventually(t, func() error {
		s := l.Status()
		if s.Sources[0].Revision != "new" || s.Evaluation == nil || s.Evaluation.Objects != 2 {
			return fmt.Errorf("not in force: %s, %+v", s.Refused, s.Evaluation)
		}
		return nil
	})
}

// TestEvaluationNeedsTheCluster refuses policies while the cluster cannot be
// read, and tries again though they do not change.
func TestEvaluationNeedsTheCluster(t *testing.T) {
	source := newFake("source", rego("one", "false"))
	o := options(t, source)
	var readable atomic.Bool
	o.Live.List = func(context.Context, string, func([]byte) error) error {
		if readable.Load() {
			return nil
		}
		return errors.New("no right to list entries")
	}
	l, err := New(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	l.retry = 20 * time.Millisecond
	t.Cleanup(run(t, l))
	first := l.Judge()
	source.hold("new", rego("one", "true"), nil)
	eventually(t, func() error { return refusedFor(l, "no right to list entries") })
	if l.Judge() != first {
		t.Error("in force without an evaluation")
	}
	readable.Store(true)
	eventually(t, func() error {
		if s := l.Status(); s.Refused != "" || s.Sources[0].Revision != "new" {
			return fmt.Errorf("not in force though the cluster can be read: %+v", s)
		}
		return nil
	})
}

// BenchmarkEvaluation evaluates a change on 1,000 entries, with the rest that
// it takes for the sake of reviews.
func BenchmarkEvaluation(b *testing.B) {
	m := mesh.New(mesh.DefaultSettings())
	var entries []string
	for i := range 1000 {
		raw := entry(fmt.Sprintf("tenant-%d", i%100), fmt.Sprintf("e%d", i), fmt.Sprintf("h%d.example.com", i))
		o, err := mesh.Decode([]byte(raw))
		if err != nil {
			b.Fatal(err)
		}
		m, entries = m.With(o), append(entries, raw)
	}
	load := func(body string) *policies.Set {
		set, err := policies.Load(b.Context(), map[string]any{"no-wildcard-hosts": map[string]any{}, "host-limit": map[string]any{"limit": 100}},
			policies.Library(), policies.Source{Name: "source", FS: newSnapshot("", contents(rego("one", body))).FS})
		if err != nil {
			b.Fatal(err)
		}
		return set
	}
	before, after := load("false"), load("true")
	l := &Loader{Options: Options{Live: clusterOf(m, map[string][]string{"ServiceEntry": entries}), Log: logr.Discard()}}
	for b.Loop() {
		if e, err := l.evaluate(b.Context(), before, after); err != nil || e.NewlyDenied != 1000 {
			b.Fatalf("%+v, %v", e, err)
		}
	}
}
