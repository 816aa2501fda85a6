package e2e

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sallyport-io/sallyport/internal/mesh"
)

// testScenarios applies one ServiceEntry for each of the seed page's three
// scenarios, with and without mutual TLS to the gateway; then deletes them.
func testScenarios(t *testing.T, c *cluster, settings mesh.Settings) {
	scenarios := []struct {
		name, ports string
		numbers     []int
	}{
		{"http", "{number: 80, name: http-port, protocol: HTTP}, {number: 443, name: https, protocol: HTTPS}", []int{80, 443}},
		{"origination", "{number: 80, name: http-port, protocol: HTTP, targetPort: 443}", []int{80}},
		{"https", tls443, []int{443}},
	}
	namespaces := []string{"mutual", "plain"}
	host := func(scenario, namespace string) string { return scenario + "." + namespace + ".example.com" }
	for _, s := range scenarios {
		for _, ns := range namespaces {
			c.kubectl(t, entry(ns, s.name, host(s.name, ns), s.ports), "apply", "-f", "-")
		}
	}
	for _, s := range scenarios {
		for _, ns := range namespaces {
			t.Run(s.name+" in "+ns, func(t *testing.T) {
				// Every port leaves through the gateway that the namespace
				// has, in the cluster as it is.
				eventually(t, "the paths are via", func() error {
					m := c.mesh(t, settings)
					for _, port := range s.numbers {
						if p := m.Paths(ns, host(s.name, ns), port); p.Verdict != mesh.Via || p.Gateway != ns {
							return fmt.Errorf("%s:%d is %s by gateway %q: %+v", p.Host, port, p.Verdict, p.Gateway, p.Because)
						}
						if p := m.Paths("shop", host(s.name, ns), port); p.Verdict == mesh.Direct {
							return fmt.Errorf("another namespace reaches %s:%d directly", p.Host, port)
						}
					}
					return nil
				})
				if got := c.kubectl(t, "", "get", "serviceentries", s.name, "-n", ns, "-o", "jsonpath={.spec.exportTo}"); got != `["."]` {
					t.Errorf("exportTo = %s, want the entry to be open to its own namespace", got)
				}
				out := strings.Join(c.companions(t, host(s.name, ns)), "\n")
				for _, want := range []string{"ServiceEntry istio-system/", "Gateway istio-system/", "VirtualService istio-system/", "VirtualService " + ns + "/"} {
					if !strings.Contains(out, want) {
						t.Errorf("no companion %s...:\n%s", want, out)
					}
				}
			})
		}
	}
	t.Run("a write that changes nothing changes nothing", func(t *testing.T) {
		before := c.versions(t, istioKinds)
		c.kubectl(t, entry("mutual", "https", host("https", "mutual"), tls443), "apply", "-f", "-")
		if d := cmp.Diff(before, c.versions(t, istioKinds)); d != "" {
			t.Errorf("resource versions (-before +after):\n%s", d)
		}
	})
	t.Run("deletion cleans up", func(t *testing.T) {
		for _, ns := range namespaces {
			c.kubectl(t, "", "delete", "serviceentries", "-n", ns, "--all")
		}
		for _, s := range scenarios {
			for _, ns := range namespaces {
				eventually(t, "the companions are gone", func() error {
					if left := c.companions(t, host(s.name, ns)); len(left) > 0 {
						return fmt.Errorf("left: %q", left)
					}
					return nil
				})
			}
		}
	})
}

// testDryRun checks that a dry run says what a real write would do, and does
// nothing.
func testDryRun(t *testing.T, c *cluster) {
	// Let what came before come to rest.
	settled := c.versions(t, istioKinds)
	eventually(t, "the cluster comes to rest", func() error {
		now := c.versions(t, istioKinds)
		if !maps.Equal(settled, now) {
			settled = now
			return fmt.Errorf("still changing")
		}
		return nil
	})

	good := entry("shop", "weather", "weather.example.com", tls443)
	out := c.kubectl(t, good, "apply", "--dry-run=server", "-f", "-")
	for _, want := range []string{
		"Warning: would create ServiceEntry istio-system/sallyport-", "Warning: would create Gateway istio-system/sallyport-",
		"Warning: would create VirtualService istio-system/sallyport-", "Warning: would create VirtualService shop/sallyport-",
		"serviceentry.networking.istio.io/weather created (server dry run)",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("the dry run lacks %q:\n%s", want, out)
		}
	}
	bad := entry("shop", "paste", "paste.example.org", tls443)
	dry := c.denied(t, bad, "apply", "--dry-run=server", "-f", "-")
	if d := cmp.Diff(settled, c.versions(t, istioKinds)); d != "" {
		t.Errorf("the dry runs wrote (-before +after):\n%s", d)
	}
	wet := c.denied(t, bad, "apply", "-f", "-")
	decision := regexp.MustCompile(`decision [0-9a-f-]+`)
	if d := cmp.Diff(decision.ReplaceAllString(wet, ""), decision.ReplaceAllString(dry, "")); d != "" {
		t.Errorf("a dry run is denied in other words (-real +dry):\n%s", d)
	}

	// What was announced is what a real write brings.
	c.kubectl(t, good, "apply", "-f", "-")
	var announced []string
	for _, m := range regexp.MustCompile(`would create (.+)`).FindAllStringSubmatch(out, -1) {
		announced = append(announced, m[1])
	}
	slices.Sort(announced)
	eventually(t, "what was announced is created, and nothing else", func() error {
		got := c.companions(t, "weather.example.com")
		slices.Sort(got)
		if d := cmp.Diff(announced, got); d != "" {
			return fmt.Errorf("(-announced +created):\n%s", d)
		}
		return nil
	})
}

// testDryRunOfSets tries out whole sets before anything of them is written, as Flux
// does, and then writes them.
func testDryRunOfSets(t *testing.T, c *cluster) {
	rewritten := entry("shop", "asked", "asked.example.com", "{number: 80, name: http, protocol: HTTP}") + `---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {namespace: shop, name: asked, annotations: {sallyport.io/rewrite: "true"}}
spec:
  hosts: [asked.example.com]
  exportTo: ["."]
  http:
  - timeout: 5s
    route: [{destination: {host: asked.example.com, port: {number: 80}}}]
`
	// The five objects by which one leads a host by hand, which opens its entry at
	// once: it comes last, for it is refused before its routes are there.
	byHand := `apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {namespace: istio-system, name: by-hand}
spec:
  selector: {istio: egressgateway}
  servers:
  - port: {number: 443, name: tls, protocol: TLS}
    hosts: ["shop/by-hand.example.com"]
    tls: {mode: PASSTHROUGH}
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {namespace: istio-system, name: by-hand}
spec:
  host: istio-egressgateway.istio-system.svc.cluster.local
  subsets: [{name: by-hand}]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {namespace: shop, name: by-hand}
spec:
  hosts: [by-hand.example.com]
  gateways: [mesh]
  exportTo: ["."]
  tls:
  - match: [{gateways: [mesh], port: 443, sniHosts: [by-hand.example.com]}]
    route: [{destination: {host: istio-egressgateway.istio-system.svc.cluster.local, subset: by-hand, port: {number: 443}}}]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {namespace: shop, name: by-hand-gateway}
spec:
  hosts: [by-hand.example.com]
  gateways: [istio-system/by-hand]
  exportTo: [istio-system]
  tls:
  - match: [{gateways: [istio-system/by-hand], port: 443, sniHosts: [by-hand.example.com]}]
    route: [{destination: {host: by-hand.example.com, port: {number: 443}}}]
---
` + entry("shop", "by-hand", "by-hand.example.com", tls443) + `  exportTo: [".", istio-system]
`
	for _, test := range []struct {
		name, set string
		says      string // what the dry run waits for
		stays     string // what is not admitted by itself, and what for
	}{
		{"a route that asks to be rewritten", rewritten, "denied while no ServiceEntry registers asked.", "route-straight-to-host"},
		{"five objects by hand", byHand, "denied while no VirtualService leads by-hand.", "open-gap"},
	} {
		t.Run(test.name, func(t *testing.T) {
			out := c.kubectl(t, test.set, "apply", "--dry-run=server", "-f", "-")
			if !strings.Contains(out, test.says) {
				t.Errorf("the dry run does not say %q:\n%s", test.says, out)
			}
			objects := strings.Split(test.set, "---\n")
			if last := objects[len(objects)-1]; !strings.Contains(c.denied(t, last, "apply", "-f", "-"), test.stays) {
				t.Errorf("by itself the last object is not denied by %s", test.stays)
			}
			c.kubectl(t, test.set, "apply", "-f", "-")
			c.kubectl(t, test.set, "apply", "--dry-run=server", "-f", "-") // as each reconciliation does
		})
	}
}

// testNamespaceDeletion deletes a namespace with an entry and its companions:
// nothing may hold it up.
func testNamespaceDeletion(t *testing.T, c *cluster) {
	c.kubectl(t, entry("doomed", "api", "doomed.example.com", tls443), "apply", "-f", "-")
	eventually(t, "the companions appear", func() error {
		if got := c.companions(t, "doomed.example.com"); len(got) < 4 {
			return fmt.Errorf("only %q", got)
		}
		return nil
	})
	c.kubectl(t, "", "delete", "namespace", "doomed", "--timeout="+patience.String())
	eventually(t, "the gateway's side is gone", func() error {
		if left := c.companions(t, "doomed.example.com"); len(left) > 0 {
			return fmt.Errorf("left: %q", left)
		}
		return nil
	})
}
