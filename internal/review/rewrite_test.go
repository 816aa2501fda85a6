package review_test

import (
	"strings"
	"testing"

	"github.com/sallyport-io/sallyport/internal/mesh"
	"github.com/sallyport-io/sallyport/internal/review"
	"github.com/sallyport-io/sallyport/rules"
)

const straight = `
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: pay, namespace: shop, annotations: {sallyport.io/rewrite: "true"}}
spec:
  hosts: [pay.example.com]
  tls:
  - match: [{port: 443, sniHosts: [pay.example.com]}]
    route: [{destination: {host: pay.example.com, port: {number: 443}}}]
`

// TestRewriteOnRequest: a VirtualService that is denied as it is written is
// admitted where it asks to be rewritten, after one patch and no second one.
func TestRewriteOnRequest(t *testing.T) {
	m := mesh.New(mesh.DefaultSettings(), decode(t, entryOf("pay.example.com"))...)
	judge := &review.Judge{Rules: rules.All}
	for _, asks := range []bool{false, true} {
		manifest := straight
		if !asks {
			manifest = strings.Replace(straight, `"true"`, `"false"`, 1)
		}
		w := review.Write{Request: rules.Request{Operation: "CREATE"}, Object: document(t, manifest)}
		ops, _, err := review.Default(t.Context(), m, w)
		if err != nil {
			t.Fatal(err)
		}
		if (len(ops) > 0) != asks {
			t.Errorf("asks %t, and the patch is %v", asks, ops)
		}
		if w.Object, err = review.Patched(w.Object, ops); err != nil {
			t.Fatal(err)
		}
		outcome, err := judge.Review(t.Context(), m, w)
		if err != nil {
			t.Fatal(err)
		}
		if outcome.Denied() == asks {
			t.Errorf("asks %t, and denied is %t: %+v", asks, outcome.Denied(), outcome.Findings)
		}
		if again, _, err := review.Default(t.Context(), m, w); err != nil || len(again) > 0 {
			t.Errorf("asks %t: a second time %v, error %v", asks, again, err)
		}
	}
}

// TestRewriteInBatch: objects that are judged together are admitted as they
// would be one after the other, in whatever order they are given: what asks to
// be rewritten is, with the entries of the whole batch in sight.
func TestRewriteInBatch(t *testing.T) {
	private := strings.Replace(straight, "  hosts:", "  exportTo: [\".\"]\n  hosts:", 1)
	other := strings.NewReplacer("name: pay", "name: pay-too").Replace(private)
	judge := &review.Judge{Rules: rules.All}
	for name, objects := range map[string][]string{
		"entry first": {entryOf("pay.example.com"), private},
		"entry last":  {private, entryOf("pay.example.com")},
		"two routes":  {private, entryOf("pay.example.com"), other},
	} {
		var raw [][]byte
		for _, o := range objects {
			raw = append(raw, document(t, o))
		}
		b, err := judge.ReviewAll(t.Context(), mesh.New(mesh.DefaultSettings()), raw)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		for i, o := range b.Outcomes {
			if o.Denied() {
				t.Errorf("%s: %s is denied: %+v", name, o.Ref, o.Findings)
			}
			if o.Ref.Kind == "VirtualService" && !strings.Contains(string(b.Objects[i]), `"host":"istio-egressgateway.istio-system.svc.cluster.local"`) {
				t.Errorf("%s: %s does not lead to the gateway: %s", name, o.Ref, b.Objects[i])
			}
			if strings.Contains(string(raw[i]), "istio-egressgateway") {
				t.Errorf("%s: the object that was given was changed: %s", name, raw[i])
			}
		}
		for _, p := range b.Paths {
			if p.Client == "shop" && p.Verdict != mesh.Via {
				t.Errorf("%s: %s from %s: %s, want via: %+v", name, p.Host, p.Client, p.Verdict, p.Because)
			}
		}
	}
}
