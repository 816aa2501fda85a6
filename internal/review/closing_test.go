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

const (
	manyHosts  = 250 // each with 8 ports: 2,000 egress points
	gatewayDot = "istio-egressgateway.istio-system.svc.cluster.local"
)

// hostNames are the hosts of a mesh with many egress points, from one to another.
func hostNames(from, to int) string {
	var names []string
	for i := from; i < to; i++ {
		names = append(names, fmt.Sprintf("h%d.example.com", i))
	}
	return strings.Join(names, ", ")
}

// manyPoints is a mesh with 2,000 egress points of the platform's, and the routes
// of the egress gateway for them, bound to that Gateway, and what else is given.
func manyPoints(t *testing.T, gateway string, more ...string) *mesh.Mesh {
	t.Helper()
	ports := "{number: 80, name: http, protocol: HTTP}"
	for i := 1; i < 8; i++ {
		ports += fmt.Sprintf(", {number: 800%d, name: http-%[1]d, protocol: HTTP}", i)
	}
	docs := append(slices.Clone(more), "apiVersion: v1\nkind: Namespace\nmetadata: {name: shop}\n")
	for i := range 2 {
		docs = append(docs, fmt.Sprintf(`
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: many-%d, namespace: istio-system}
spec: {hosts: [%s], resolution: DNS, ports: [%s]}
`, i, hostNames(i*manyHosts/2, (i+1)*manyHosts/2), ports))
	}
	for i := range manyHosts {
		docs = append(docs, fmt.Sprintf(`
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: hop-%d, namespace: istio-system}
spec: {hosts: [h%[1]d.example.com], gateways: [%s], http: [{route: [{destination: {host: h%[1]d.example.com, port: {number: 80}}}]}]}
`, i, gateway))
	}
	return mesh.New(mesh.DefaultSettings(), decode(t, strings.Join(docs, "---\n"))...)
}

const platformGateway = `
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: egress, namespace: istio-system}
spec: {selector: {istio: egressgateway}, servers: [{port: {number: 80, name: http, protocol: HTTP}, hosts: ["*"]}]}
`

// closingCase is an object that alone keeps 2,000 egress points on their way.
type closingCase struct {
	mesh *mesh.Mesh
	// left is the object when the hosts from that one on are left of it, in a
	// namespace.
	left func(namespace string, from int) []byte
}

func closingCases(t *testing.T) map[string]closingCase {
	t.Helper()
	meshRoute := func(name, hosts, subset string) string {
		return fmt.Sprintf(`
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: %s, namespace: istio-system}
spec: {hosts: [%s], http: [{route: [{destination: {host: %s, port: {number: 80}%s}}]}]}
`, name, hosts, gatewayDot, subset)
	}
	var bySubset []string
	const groups = 5
	for g := range groups {
		bySubset = append(bySubset, meshRoute(fmt.Sprintf("route-%d", g), hostNames(g*manyHosts/groups, (g+1)*manyHosts/groups), fmt.Sprintf(", subset: s%d", g)))
	}
	return map[string]closingCase{
		"VirtualService": {
			mesh: manyPoints(t, "egress", platformGateway, meshRoute("all", `"*.example.com"`, ", subset: missing")),
			left: func(namespace string, from int) []byte {
				return document(t, fmt.Sprintf(`
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: mine, namespace: %s}
spec: {hosts: [%s], exportTo: ["."], http: [{route: [{destination: {host: %s, port: {number: 80}}}]}]}
`, namespace, hostNames(from, manyHosts), gatewayDot))
			},
		},
		"DestinationRule": {
			mesh: manyPoints(t, "egress", append(bySubset, platformGateway)...),
			left: func(namespace string, from int) []byte {
				var subsets []string
				for g := from * groups / manyHosts; g < groups; g++ {
					subsets = append(subsets, fmt.Sprintf("{name: s%d}", g))
				}
				return document(t, fmt.Sprintf(`
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: mine, namespace: %s}
spec: {host: %s, subsets: [%s]}
`, namespace, gatewayDot, strings.Join(subsets, ", ")))
			},
		},
		"Gateway": {
			mesh: manyPoints(t, "istio-system/mine, shop/mine", meshRoute("all", `"*.example.com"`, "")),
			left: func(namespace string, from int) []byte {
				return document(t, fmt.Sprintf(`
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: mine, namespace: %s}
spec: {selector: {istio: egressgateway}, servers: [{port: {number: 80, name: http, protocol: HTTP}, hosts: [%s]}]}
`, namespace, hostNames(from, manyHosts)))
			},
		},
	}
}

func stored(t *testing.T, m *mesh.Mesh, raw []byte) *mesh.Mesh {
	t.Helper()
	o, err := mesh.Decode(raw)
	if err != nil {
		t.Fatal(err)
	}
	return m.With(o)
}

func removal(raw []byte) review.Write {
	return review.Write{Request: rules.Request{Operation: "DELETE", User: "alice"}, OldObject: raw}
}

func change(before, after []byte) review.Write {
	return review.Write{Request: rules.Request{Operation: "UPDATE", User: "alice"}, OldObject: before, Object: after}
}

// TestClosingTooMuch takes away, at once, what alone keeps more egress points on
// their way than a write is judged by. A tenant's write is refused: whole, or all
// but a part; the platform's is warned about.
func TestClosingTooMuch(t *testing.T) {
	judge := &review.Judge{Rules: rules.All}
	for name, c := range closingCases(t) {
		t.Run(name, func(t *testing.T) {
			for operation, write := range map[string]func(namespace string) review.Write{
				"deleted":  func(namespace string) review.Write { return removal(c.left(namespace, 0)) },
				"narrowed": func(namespace string) review.Write { return change(c.left(namespace, 0), c.left(namespace, 200)) },
			} {
				m := stored(t, c.mesh, c.left("shop", 0))
				if _, err := judge.Review(t.Context(), m, write("shop")); err == nil || !strings.Contains(err.Error(), "too many for one write") || !strings.Contains(err.Error(), "in steps") {
					t.Errorf("%s by a tenant: error %v, want that it is too much, and to take steps", operation, err)
				}
				m = stored(t, c.mesh, c.left("istio-system", 0))
				out, err := judge.Review(t.Context(), m, write("istio-system"))
				if err != nil || !strings.Contains(fmt.Sprint(out.Findings), "was judged by those alone") {
					t.Errorf("%s by the platform: error %v, findings %v; want a warning that not all was judged", operation, err, out.Findings)
				}
			}
		})
	}
}

// TestClosingInSteps takes the same away in steps, of which each is within the
// bound, until nothing is left.
func TestClosingInSteps(t *testing.T) {
	judge := &review.Judge{Rules: rules.All}
	for name, c := range closingCases(t) {
		t.Run(name, func(t *testing.T) {
			m := stored(t, c.mesh, c.left("shop", 0))
			for from := 0; from < 150; from += 50 {
				before, after := c.left("shop", from), c.left("shop", from+50)
				out, err := judge.Review(t.Context(), m, change(before, after))
				if err != nil || out.Denied() {
					t.Fatalf("from host %d on: error %v, findings %v", from+50, err, out.Findings)
				}
				if len(out.Paths) < 400 {
					t.Errorf("from host %d on: judged by %d paths, want those of 400 egress points", from+50, len(out.Paths))
				}
				m = stored(t, m, after)
			}
			out, err := judge.Review(t.Context(), m, removal(c.left("shop", 150)))
			if err != nil || out.Denied() {
				t.Errorf("the rest: error %v, findings %v", err, out.Findings)
			}
		})
	}
}

// TestClosingBeyondTheBound narrows a Sidecar so that it imports 2,000 egress points
// without their routes, and deletes a route that is in force for all of them and
// alone keeps the ports of a single host, far behind the bound.
func TestClosingBeyondTheBound(t *testing.T) {
	judge := &review.Judge{Rules: rules.All}
	led := fmt.Sprintf("http: [{route: [{destination: {host: %s, port: {number: 80}}}]}]", gatewayDot)
	sidecar := func(hosts string) []byte {
		return document(t, fmt.Sprintf(`
apiVersion: networking.istio.io/v1
kind: Sidecar
metadata: {name: default, namespace: shop}
spec: {egress: [{hosts: [%s]}]}
`, hosts))
	}
	before, after := sidecar("./*, istio-system/*, routes/*"), sidecar("./*, istio-system/*")
	m := stored(t, manyPoints(t, "egress", platformGateway, fmt.Sprintf(`
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: all, namespace: routes}
spec: {hosts: ["*.example.com"], %s}
`, led)), before)
	if _, err := judge.Review(t.Context(), m, change(before, after)); err == nil || !strings.Contains(err.Error(), "too many for one write") {
		t.Errorf("a Sidecar: error %v", err)
	}

	route := document(t, fmt.Sprintf(`
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: mine, namespace: shop}
spec: {hosts: ["*.example.com"], exportTo: ["."], %s}
`, led))
	others := []string{platformGateway}
	for i := range manyHosts {
		if i != 242 {
			others = append(others, fmt.Sprintf(`
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: led-%d, namespace: istio-system}
spec: {hosts: [%s], %s}
`, i, hostNames(i, i+1), led))
		}
	}
	m = stored(t, manyPoints(t, "egress", others...), route)
	out, err := judge.Review(t.Context(), m, removal(route))
	if err != nil || !out.Denied() {
		t.Errorf("a route that alone keeps the ports of one host of many: error %v, findings %v; want a denial", err, out.Findings)
	}
}
