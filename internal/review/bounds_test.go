package review_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/sallyport-io/sallyport/internal/mesh"
	"github.com/sallyport-io/sallyport/internal/review"
	"github.com/sallyport-io/sallyport/rules"
)

// TestLastHostOfMany has an entry with as many ports as the API takes, and a
// host behind many others that a route of the tenant's sends straight out: no
// number of egress points hides it.
func TestLastHostOfMany(t *testing.T) {
	world := `
apiVersion: v1
kind: Namespace
metadata: {name: shop}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: out, namespace: shop}
spec: {hosts: [zz.example.com], exportTo: ["."], http: [{route: [{destination: {host: zz.example.com}}]}]}
`
	m := mesh.New(mesh.DefaultSettings(), decode(t, world)...)
	var ports []string
	for i := range 255 {
		ports = append(ports, fmt.Sprintf("{number: %d, name: http-%d, protocol: HTTP}", 8000+i, i))
	}
	judge := &review.Judge{Rules: rules.All}
	for hosts, want := range map[string]string{
		"zz.example.com": "",
		"a.example.com, b.example.com, c.example.com, d.example.com, zz.example.com":                         "too many for one write",
		strings.Repeat("a.example.com, ", 5) + "zz.example.com":                                              "",
		strings.Repeat("a.example.com, ", 5) + "b.example.com, c.example.com, d.example.com, zz.example.com": "too many for one write",
	} {
		out, err := judge.Review(t.Context(), m, review.Write{
			Request: rules.Request{Operation: "CREATE", User: "alice"},
			Object: document(t, fmt.Sprintf(`
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: many, namespace: shop}
spec: {hosts: [%s], resolution: DNS, exportTo: ["."], ports: [%s]}
`, hosts, strings.Join(ports, ", "))),
		})
		if want != "" && (err == nil || !strings.Contains(err.Error(), want)) || want == "" && !out.Denied() {
			t.Errorf("hosts %s: denied %t, error %v; want a denial or an error with %q", hosts, out.Denied(), err, want)
		}
	}
}
