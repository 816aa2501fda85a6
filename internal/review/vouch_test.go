package review_test

import (
	"context"
	"testing"

	"github.com/sallyport-io/sallyport/internal/mesh"
	"github.com/sallyport-io/sallyport/internal/review"
	"github.com/sallyport-io/sallyport/rules"
)

// TestFixesAreVouchedFor: of a rule's YAML that is printed which ends its finding and
// brings no other; in the place of all else stand the words.
func TestFixesAreVouchedFor(t *testing.T) {
	const words = "Do something about it.\n"
	entry := document(t, `
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: pay, namespace: shop}
spec: {hosts: [pay.example.com], resolution: DNS, exportTo: ["*"], ports: [{number: 443, name: tls, protocol: TLS}]}
`)
	for fix, want := range map[string]string{
		"spec:\n  exportTo: [\"~\"]\n":                       "spec:\n  exportTo: [\"~\"]\n",
		"spec:\n  location: MESH_EXTERNAL\n":                 words, // does not end it
		"spec:\n  exportTo: [\"~\"]\n  resolution: NONE\n":   words, // brings another
		"spec:\n  exportTo: [\"~\"]\n  hosts: \"no list\"\n": words, // is no object
		"spec:\n  exportTo: [~":                              words, // is no YAML
	} {
		rule := &rules.Rule{Name: "seen", Severity: rules.Deny, Kinds: []string{"ServiceEntry"}, Check: func(_ context.Context, p *rules.Pass) error {
			se := p.Subject.(*mesh.ServiceEntry)
			if se.ExportTo[0] == "*" {
				p.Report(rules.Finding{Path: "spec.exportTo", Message: "is seen", Fix: fix, Words: words})
			}
			if se.Resolution == "NONE" {
				p.Report(rules.Finding{Rule: "looked-up", Path: "spec.resolution", Message: "is not looked up", Severity: rules.Warn})
			}
			return nil
		}}
		judge := &review.Judge{Rules: []*rules.Rule{rule}}
		m := mesh.New(withoutInjection())
		out, err := judge.Review(t.Context(), m, review.Write{Request: rules.Request{Operation: "CREATE"}, Object: entry})
		if err != nil {
			t.Fatal(err)
		}
		batch, err := judge.ReviewAll(t.Context(), m, [][]byte{entry})
		if err != nil {
			t.Fatal(err)
		}
		if one, all := out.Findings[0].Fix, batch.Outcomes[0].Findings[0].Fix; one != want || all != want {
			t.Errorf("%q: the fix is %q, in a batch %q; want %q", fix, one, all, want)
		}
	}
}
