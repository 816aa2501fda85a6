package review_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/sallyport-io/sallyport/internal/mesh"
	"github.com/sallyport-io/sallyport/internal/review"
	"github.com/sallyport-io/sallyport/rules"
)

// TestSizesAreBounded checks that a tenant's objects cannot fill the judge's memory: neither one of them nor all of a
// namespace, by a single write or in a batch; that what is too large can shrink and go; and that controllers and the
// platform are not stopped.
func TestSizesAreBounded(t *testing.T) {
	judge := &review.Judge{Rules: rules.All}
	policy := func(namespace, name string, size int) []byte {
		return fmt.Appendf(nil, `{"apiVersion":"networking.k8s.io/v1","kind":"NetworkPolicy","metadata":{"namespace":%q,"name":%q,"annotations":{"note":%q}},"spec":{"podSelector":{}}}`,
			namespace, name, strings.Repeat("x", size))
	}
	decoded := func(raw []byte) mesh.Object {
		o, err := mesh.Decode(raw)
		if err != nil {
			t.Fatal(err)
		}
		return o
	}
	const piece = 200 << 10
	full := []mesh.Object{decoded(policy("old", "huge", 1<<20))}
	for i := range mesh.DefaultNamespaceLimit / piece {
		full = append(full, decoded(policy("shop", fmt.Sprint("p", i), piece)))
	}
	full = append(full, decoded(policy("shop", "rest", 80<<10)))
	m := mesh.New(mesh.DefaultSettings(), full...)
	denied := func(out review.Outcome) bool {
		return slices.ContainsFunc(out.Findings, func(f rules.Finding) bool { return f.Rule == "object-size" && f.Severity == rules.Deny })
	}
	for _, test := range []struct {
		name      string
		user      string
		old, new  []byte
		operation string
		denied    bool
	}{
		{"a large object", "jane", nil, policy("blog", "a", mesh.DefaultObjectLimit), "CREATE", true},
		{"the largest object", "jane", nil, policy("blog", "a", mesh.DefaultObjectLimit-100), "CREATE", false},
		{"one more in a full namespace", "jane", nil, policy("shop", "a", piece), "CREATE", true},
		{"a growing one in a full namespace", "jane", policy("shop", "p0", piece), policy("shop", "p0", piece+50<<10), "UPDATE", true},
		{"a shrinking one in a full namespace", "jane", policy("shop", "p0", piece), policy("shop", "p0", piece-1), "UPDATE", false},
		{"a deletion", "jane", policy("shop", "p0", piece), nil, "DELETE", false},
		{"one that was too large shrinks", "jane", policy("old", "huge", 1<<20), policy("old", "huge", 1<<19), "UPDATE", false},
		{"one that was too large stays", "jane", policy("old", "huge", 1<<20), policy("old", "huge", 1<<20), "UPDATE", false},
		{"one that was too large grows", "jane", policy("old", "huge", 1<<20), policy("old", "huge", 1<<20+1), "UPDATE", true},
		{"the platform's", "jane", nil, policy("istio-system", "a", 1<<20), "CREATE", false},
		{"a controller's", "system:serviceaccount:kube-system:endpointslice-controller", nil, policy("shop", "a", piece), "CREATE", false},
	} {
		out, err := judge.Review(t.Context(), m, review.Write{
			Request: rules.Request{Operation: test.operation, User: test.user}, Object: test.new, OldObject: test.old,
		})
		if err != nil || denied(out) != test.denied {
			t.Errorf("%s: error %v, findings %+v; denied is to be %t", test.name, err, out.Findings, test.denied)
		}
	}
	batch, err := judge.ReviewAll(t.Context(), m, [][]byte{
		policy("shop", "p0", piece-1), policy("shop", "new", piece), policy("blog", "a", mesh.DefaultObjectLimit), policy("blog", "b", 10), policy("old", "huge", 1<<20),
	})
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []bool{false, true, true, false, false} {
		if got := denied(batch.Outcomes[i]); got != want {
			t.Errorf("of the batch, %s: denied %t, want %t", batch.Outcomes[i].Ref, got, want)
		}
	}
}
