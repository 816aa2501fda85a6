package review_test

import (
	"strings"
	"testing"

	"github.com/sallyport-io/sallyport/internal/mesh"
	"github.com/sallyport-io/sallyport/internal/review"
	"github.com/sallyport-io/sallyport/rules"
)

// TestFixesLeaveRulesWhole: a rule of a VirtualService from which a fix takes all that it
// does is no rule for Istio, whatever else it says. It goes as a whole, and a fix with no
// rule left is words.
func TestFixesLeaveRulesWhole(t *testing.T) {
	const (
		delegates = "{match: [{port: 80}], name: first, delegate: {name: leaf}}"
		routes    = "{match: [{port: 80}], timeout: 5s, retries: {attempts: 2}, route: [{destination: {host: api.partner.com}}]}"
		stays     = "{directResponse: {status: 404}}"
	)
	for _, tt := range []struct {
		name, http string
		yaml       bool
	}{
		{"a delegate", delegates, false},
		{"a route", routes, false},
		{"a delegate beside a response", delegates + ", " + stays, true},
		{"a route beside a response", routes + ", " + stays, true},
		{"both", delegates + ", " + routes, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var all [][]byte
			for _, text := range []string{`
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: root, namespace: shop}
spec: {hosts: [api.partner.com], exportTo: ["."], gateways: [public], http: [` + tt.http + `]}
`, `
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: leaf, namespace: shop}
spec: {exportTo: ["."], http: [{route: [{destination: {host: api.partner.com}}]}]}
`, `
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: public, namespace: shop}
spec: {selector: {istio: other}, servers: [{hosts: ["*"], port: {number: 80, name: http, protocol: HTTP}}]}
`, `
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: api, namespace: shop}
spec: {hosts: [api.partner.com], exportTo: ["."], resolution: DNS, ports: [{number: 80, name: http, protocol: HTTP}]}
`} {
				all = append(all, document(t, text))
			}
			batch, err := (&review.Judge{Rules: rules.All}).ReviewAll(t.Context(), mesh.New(withoutInjection()), all)
			if err != nil {
				t.Fatal(err)
			}
			found := false
			for i, o := range batch.Outcomes {
				for _, f := range o.Findings {
					if f.Rule != "ingress-relay" || o.Ref.Name != "root" {
						continue
					}
					found = true
					if yaml := strings.Contains(f.Fix, "apiVersion:"); yaml != tt.yaml {
						t.Errorf("YAML: %t, want %t:\n%s", yaml, tt.yaml, f.Fix)
					}
					for _, a := range rules.Fixed(f.Fix, all[i]) {
						if problem := malformed(t, a.Raw); problem != nil {
							t.Errorf("%v:\n%s", problem, f.Fix)
						}
					}
				}
			}
			if !found {
				t.Error("the route at a gateway for others is not denied")
			}
		})
	}
}
