package review_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/sallyport-io/sallyport/internal/review"
	"github.com/sallyport-io/sallyport/rules"
)

// numbered is n texts, with commas between them, in which "%[1]d" is the number.
func numbered(n int, pattern string) string {
	all := make([]string, n)
	for i := range all {
		all[i] = fmt.Sprintf(pattern, i)
	}
	return strings.Join(all, ", ")
}

// legitimateWrites are large, and what a team may well write.
func legitimateWrites(t *testing.T) map[string][]byte {
	t.Helper()
	entry := func(name, rest string) []byte {
		return document(t, fmt.Sprintf(`
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: large, namespace: %s}
spec: {resolution: DNS, %s}
`, name, rest))
	}
	route := func(namespace, spec string) []byte {
		return document(t, fmt.Sprintf(`
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: large, namespace: %s}
spec: {%s}
`, namespace, spec))
	}
	sidecar := func(spec string) []byte {
		return document(t, fmt.Sprintf(`
apiVersion: networking.istio.io/v1
kind: Sidecar
metadata: {name: default, namespace: team-3}
spec: {%s}
`, spec))
	}
	gateway := `route: [{destination: {host: istio-egressgateway.istio-system.svc.cluster.local, port: {number: 443}}}]`
	hosts := "hosts: [" + numbered(100, "h%[1]d.example.com") + "]"
	known := func(n int) string {
		all := make([]string, n)
		for i := range all {
			all[i] = fmt.Sprintf("api%d.partner%d.example", i, i%977)
		}
		return strings.Join(all, ", ")
	}
	return map[string][]byte{
		"entry of 100 hosts and 10 HTTP ports": entry("team-3", hosts+`, exportTo: ["."], ports: [`+numbered(10, "{number: 80%[1]d, name: http-%[1]d, protocol: HTTP}")+"]"),
		"entry of 100 hosts and 10 TLS ports":  entry("team-3", hosts+`, exportTo: ["."], ports: [`+numbered(10, "{number: 44%[1]d, name: tls-%[1]d, protocol: TLS}")+"]"),
		"public entry of 100 hosts, 10 ports":  entry("team-3", hosts+", ports: ["+numbered(10, "{number: 44%[1]d, name: tls-%[1]d, protocol: TLS}")+"]"),
		"entry of 255 hosts":                   entry("team-3", "hosts: ["+numbered(255, "h%[1]d.example.com")+`], exportTo: ["."], ports: [{number: 80, name: http, protocol: HTTP}, {number: 443, name: tls, protocol: TLS}]`),
		"platform's entry of 100 hosts":        entry("istio-system", hosts+", ports: ["+numbered(10, "{number: 44%[1]d, name: tls-%[1]d, protocol: TLS}")+"]"),
		"route of 120 TLS hosts":               route("team-3", "hosts: ["+known(120)+`], exportTo: ["."], tls: [`+numbered(120, "{match: [{port: 443, sniHosts: [api%[1]d.partner%[1]d.example]}], "+gateway+"}")+"]"),
		"public route of 120 TLS hosts":        route("team-3", "hosts: ["+known(120)+`], tls: [`+numbered(120, "{match: [{port: 443, sniHosts: [api%[1]d.partner%[1]d.example]}], "+gateway+"}")+"]"),
		"route of 500 rules":                   route("team-3", `hosts: [api3.partner3.example], exportTo: ["."], http: [`+numbered(500, "{match: [{uri: {prefix: /%[1]d}}], "+gateway+"}")+"]"),
		"platform's route for everything":      route("istio-system", `hosts: ["*.example"], http: [{`+gateway+"}]"),
		"platform's route for all names":       route("istio-system", `hosts: ["*"], http: [{`+gateway+"}]"),
		"sidecar of 300 imports":               sidecar("egress: [{hosts: [./*, istio-system/*, " + numbered(300, "team-%[1]d/api%[1]d.partner%[1]d.example") + "]}]"),
		"sidecar of 300 hosts":                 sidecar("egress: [{hosts: [./*, istio-system/*, " + numbered(300, "'*/api%[1]d.partner%[1]d.example'") + "]}]"),
	}
}

// TestLegitimate judges large things that a team may well write, in a large
// cluster: they are within the budget, created, changed and deleted.
func TestLegitimate(t *testing.T) {
	judge := &review.Judge{Rules: rules.All}
	for name, raw := range legitimateWrites(t) {
		for op, w := range hostileWrites(raw) {
			out, err := judge.Review(t.Context(), hostileMesh(), w)
			if err != nil {
				t.Errorf("%s, %s: %v", name, op, err)
			}
			t.Logf("%-40s %s %9d steps", name, op, out.Steps)
		}
	}
}
