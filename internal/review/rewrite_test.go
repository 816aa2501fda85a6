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
		ops, err := review.Default(m, w)
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
		if again, err := review.Default(m, w); err != nil || len(again) > 0 {
			t.Errorf("asks %t: a second time %v, error %v", asks, again, err)
		}
	}
}
