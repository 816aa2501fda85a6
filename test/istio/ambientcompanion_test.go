package istio_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"istio.io/istio/pilot/pkg/features"
	istiotest "istio.io/istio/pkg/test"

	"github.com/sallyport-io/sallyport/internal/companion"
	"github.com/sallyport-io/sallyport/internal/mesh"
	"github.com/sallyport-io/sallyport/test/istio/oracle"
)

// centralWaypoint is a mesh whose tenants are in ambient mode, with the platform's
// waypoint for what leaves it: it takes what is beside it, and the mesh
// configuration shows ztunnel nothing else.
const centralWaypoint = `apiVersion: v1
kind: ConfigMap
metadata: {name: istio, namespace: istio-system}
data:
  mesh: |
    outboundTrafficPolicy: {mode: REGISTRY_ONLY}
    serviceEntryVisibility:
      defaultVisibility: NONE
      policies:
      - {visibility: PUBLIC, matchingRules: [{namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: istio-egress}}}]}
---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: waypoint, namespace: istio-egress, labels: {istio.io/waypoint-for: service}}
spec:
  gatewayClassName: istio-waypoint
  listeners: [{name: mesh, port: 15008, protocol: HBONE, allowedRoutes: {namespaces: {from: Same}}}]
---
` + ambientNamespace + "istio-egress" + ambientLabels + "istio-egress}}\n---\n" +
	ambientNamespace + "shop" + ambientLabels + "shop}}\n---\n" +
	ambientNamespace + "billing" + ambientLabels + "billing}}\n---\n" +
	ambientNamespace + "blog" + ambientLabels + "blog}}\n---\n"

const (
	ambientNamespace = "apiVersion: v1\nkind: Namespace\nmetadata: {name: "
	ambientLabels    = ", labels: {istio.io/dataplane-mode: ambient, kubernetes.io/metadata.name: "
)

func ambientSettings() mesh.Settings {
	s := mesh.DefaultSettings()
	s.PlatformNamespaces = append(s.PlatformNamespaces, waypointNamespaces...)
	s.Ambient.Waypoints = []mesh.WaypointName{{Namespace: "istio-egress", Name: "waypoint"}}
	return s
}

// askCentral adds to the tenants' entries what leads their hosts out, and asks
// Istio what it makes of all.
func askCentral(t *testing.T, settings mesh.Settings, entries string) (*mesh.Mesh, *oracle.Ambient) {
	t.Helper()
	given := centralWaypoint + entries
	m, err := load(settings, given)
	if err != nil {
		t.Fatal(err)
	}
	docs := append([]string{given}, planned(t, m, companion.ForAmbient)...)
	world, err := oracle.AskAmbient(strings.Join(docs, "\n---\n"), waypointNamespaces)
	if err != nil {
		t.Fatal(err)
	}
	return m, world
}

// ambientClass is a protocol class of one ServiceEntry, and how Istio's waypoint
// leaves the mesh for it.
type ambientClass struct {
	name  string
	entry string // of namespace shop; HOST stands for the name of its host
	ports map[uint32]string
}

// ambientClasses are all that [companion.ForAmbient] serves.
func ambientClasses() []ambientClass {
	shop := func(ports ...string) string { return entry("shop", "HOST", ports...) }
	annotated := func(annotation string, ports ...string) string {
		return strings.Replace(shop(ports...), "namespace: shop}", "namespace: shop, annotations: {"+annotation+"}}", 1)
	}
	return []ambientClass{
		{"HTTP", shop("{number: 80, name: http, protocol: HTTP}"), map[uint32]string{80: plaintext + " to :80"}},
		{"HTTP, TLS originated", shop("{number: 80, name: http, protocol: HTTP, targetPort: 443}"), map[uint32]string{80: originated + " to :443"}},
		{"HTTP on 80 and 443, TLS originated", shop("{number: 80, name: http, protocol: HTTP}", "{number: 443, name: https, protocol: HTTP}"),
			map[uint32]string{80: originated + " to :443", 443: originated + " to :443"}},
		{"HTTP, by annotation", annotated(`sallyport.io/originate-tls: "true"`, "{number: 80, name: http, protocol: HTTP}"), map[uint32]string{80: originated + " to :443"}},
		{"HTTP, client certificate", annotated("sallyport.io/client-certificate: partner", "{number: 80, name: http, protocol: HTTP, targetPort: 443}"),
			map[uint32]string{80: "tls sni= certs=[kubernetes://partner-client] ca=kubernetes://partner-client-cacert to :443"}},
		{"HTTP2", shop("{number: 8080, name: h2, protocol: HTTP2}"), map[uint32]string{8080: plaintext + " to :8080"}},
		{"HTTP2, TLS originated", shop("{number: 8080, name: h2, protocol: HTTP2, targetPort: 443}"), map[uint32]string{8080: originated + " to :443"}},
		{"GRPC", shop("{number: 50051, name: grpc, protocol: GRPC}"), map[uint32]string{50051: plaintext + " to :50051"}},
		{"GRPC, TLS originated", shop("{number: 50051, name: grpc, protocol: GRPC, targetPort: 443}"), map[uint32]string{50051: originated + " to :443"}},
		{"TLS", shop("{number: 443, name: tls, protocol: TLS}", "{number: 8443, name: https, protocol: HTTPS}"),
			map[uint32]string{443: plaintext + " to :443", 8443: plaintext + " to :8443"}},
		{"TCP", shop("{number: 5432, name: tcp, protocol: TCP}"), map[uint32]string{5432: plaintext + " to :5432"}},
		{"wildcard, HTTP", shop("{number: 80, name: http, protocol: HTTP}"), map[uint32]string{80: plaintext}},
		{"wildcard, HTTP, TLS originated", shop("{number: 80, name: http, protocol: HTTP, targetPort: 443}"), map[uint32]string{80: originated}},
		{"wildcard, TLS", shop("{number: 443, name: tls, protocol: TLS}"), map[uint32]string{443: plaintext}},
	}
}

// ambientCase is a mesh with so many hosts of each of the classes.
type ambientCase struct {
	name    string
	hosts   int
	classes []ambientClass
}

// TestAmbientCompanions proves by Istio what leads ambient clients out: one
// ServiceEntry of every protocol class, with what Sallyport computes for it, has
// one way from any namespace, by the waypoint, with the right TLS, past the policy
// of the host, which lets in the namespace of the entry and nobody else.
func TestAmbientCompanions(t *testing.T) {
	istiotest.SetForTest(t, &features.EnableWildcardHostServiceEntriesForTLS, true)
	together := []ambientCase{{"every class, 1 host each", 1, ambientClasses()}, {"every class, 2 hosts each", 2, ambientClasses()}}
	for _, class := range ambientClasses() {
		together = append(together, ambientCase{class.name + ", 50 hosts", 50, []ambientClass{class}})
	}
	for _, tc := range together {
		t.Run(tc.name, func(t *testing.T) {
			settings := ambientSettings()
			settings.Ambient.WildcardTLS = true
			var entries []string
			want, got := map[string]string{}, map[string]string{}
			credential := mesh.Credential{Name: "partner", Namespaces: []string{"shop"}, Secret: "partner-client"}
			for i, class := range tc.classes {
				for j := range tc.hosts {
					host := fmt.Sprintf("c%d.h%d.example.com", i, j)
					doc := strings.Replace(class.entry, "hosts: [HOST]", "hosts: [HOST"+host+"]", 1)
					doc = strings.Replace(doc, "name: HOST", fmt.Sprintf("name: c%d-h%d", i, j), 1)
					wildcard := strings.HasPrefix(class.name, "wildcard")
					if wildcard {
						doc = strings.Replace(strings.Replace(doc, "resolution: DNS", "resolution: DYNAMIC_DNS\n  location: MESH_EXTERNAL", 1), "[HOST"+host+"]", `["*.`+host+`"]`, 1)
						host = "*." + host
					}
					entries = append(entries, strings.Replace(doc, "HOST", "", 1))
					credential.Hosts = append(credential.Hosts, host)
					for port, way := range class.ports {
						if !wildcard {
							way = strings.Replace(way, " to :", " to "+host+":", 1)
						}
						for _, client := range []string{"shop", "billing"} {
							want[fmt.Sprintf("%s %s:%d", client, host, port)] = class.name + ": " + way
						}
					}
				}
			}
			settings.Credentials = []mesh.Credential{credential}
			m, world := askCentral(t, settings, strings.Join(entries, "---\n"))
			for _, p := range world.Points() {
				i := 0
				if _, err := fmt.Sscanf(strings.TrimPrefix(p.Host, "*."), "c%d.", &i); err != nil {
					t.Fatal(err)
				}
				for _, client := range []string{"shop", "billing"} {
					ways, name := world.Ways(client, p), fmt.Sprintf("%s %s:%d", client, p.Host, p.Port)
					got[name] = tc.classes[i].name + ": " + byWaypoint(ways, p)
					if entry := m.EntriesFor(p.Host); len(entry) != 1 {
						t.Fatalf("%d entries of tenants for %s", len(entry), p.Host)
					}
					admits(t, ways, p, client, "any", client == "shop")
					admits(t, ways, p, "shop2", "any", false)
					admits(t, ways, p, "", "", false)
				}
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("ways (-want +got):\n%.4000s", diff)
			}
		})
	}
}

// byWaypoint is the TLS and the address with which all of the ways to a point leave
// the platform's waypoint past the host's policy, or what becomes of one that does not.
func byWaypoint(all []oracle.Way, p oracle.Point) string {
	ways := map[string]bool{}
	for _, w := range all {
		policy := "istio-egress/" + companion.Key(p.Host)
		if w.Waypoint != "istio-egress/waypoint" || w.Weight != 100 || w.Verdict != oracle.Via || w.Detour(p) || w.To != p.Host || !slices.Contains(w.Guards, policy) {
			ways[w.String()+" "+w.Why] = true
			continue
		}
		out := w.TLS.String()
		if !mesh.IsWildcard(p.Host) { // whatever name was asked for
			out += " to " + w.Dials
		}
		ways[out] = true
	}
	return strings.Join(slices.Sorted(maps.Keys(ways)), "; ")
}

// admits checks whether the waypoint lets an account in to the point, by each of
// the ways there.
func admits(t *testing.T, ways []oracle.Way, p oracle.Point, namespace, account string, want bool) {
	t.Helper()
	who := ""
	if namespace != "" {
		who = "spiffe://cluster.local/ns/" + namespace + "/sa/" + account
	}
	for _, w := range ways {
		got, err := w.Door.Admits(oracle.Caller{Principal: who, Authority: p.Host, Port: p.Port})
		if err != nil {
			t.Fatalf("%s:%d: %v", p.Host, p.Port, err)
		}
		if got != want {
			t.Errorf("%q at %s:%d: admitted %t", who, p.Host, p.Port, got)
		}
	}
}

// TestAmbientTenants proves that of two tenants of one host each is let in on the
// ports that it has registered, by the accounts that it names, and nobody else on
// any: whatever the protocol, and however many hosts there are.
func TestAmbientTenants(t *testing.T) {
	for _, n := range []int{1, 2, 50} {
		t.Run(fmt.Sprintf("%d hosts", n), func(t *testing.T) {
			var entries []string
			for i := range n {
				host := fmt.Sprintf("h%d.partner.com", i)
				entries = append(entries,
					strings.Replace(entry("shop", host, "{number: 80, name: http, protocol: HTTP}", "{number: 443, name: tls, protocol: TLS}", "{number: 5432, name: tcp, protocol: TCP}"),
						"namespace: shop}", `namespace: shop, annotations: {sallyport.io/service-accounts: "web, worker"}}`, 1),
					entry("billing", host, "{number: 443, name: tls, protocol: TLS}", "{number: 9000, name: grpc, protocol: GRPC}"))
			}
			_, world := askCentral(t, ambientSettings(), strings.Join(entries, "---\n"))
			points := world.Points()
			if len(points) != 4*n {
				t.Fatalf("%d points", len(points))
			}
			for _, p := range points {
				for _, client := range []string{"shop", "billing", "blog"} {
					if way := byWaypoint(world.Ways(client, p), p); !strings.HasPrefix(way, plaintext+" to "+p.Host) {
						t.Errorf("%s:%d from %s: %s", p.Host, p.Port, client, way)
					}
				}
				ways := world.Ways("shop", p)
				shop, billing := p.Port != 9000, p.Port == 443 || p.Port == 9000
				admits(t, ways, p, "shop", "web", shop)
				admits(t, ways, p, "shop", "worker", shop)
				admits(t, ways, p, "shop", "my-web", false)
				admits(t, ways, p, "billing", "any", billing)
				admits(t, ways, p, "billing", "web", billing)
				admits(t, ways, p, "billing2", "web", false)
				admits(t, ways, p, "blog", "web", false)
				admits(t, ways, p, "", "", false)
			}
		})
	}
}

// TestAmbientEntryIsOnlyARequest proves why the entry of a tenant has to be hidden:
// where ztunnel is shown it, its clients leave past the waypoint, and Sallyport
// plans nothing for it.
func TestAmbientEntryIsOnlyARequest(t *testing.T) {
	shown := strings.Replace(centralWaypoint, "defaultVisibility: NONE", "defaultVisibility: NAMESPACE", 1)
	tenant := entry("shop", "api.partner.com", "{number: 443, name: tls, protocol: TLS}")
	hidden, err := load(ambientSettings(), centralWaypoint+tenant)
	if err != nil {
		t.Fatal(err)
	}
	docs := append([]string{shown + tenant}, planned(t, hidden, companion.ForAmbient)...)
	world, err := oracle.AskAmbient(strings.Join(docs, "\n---\n"), waypointNamespaces)
	if err != nil {
		t.Fatal(err)
	}
	p := oracle.Point{Host: "api.partner.com", Port: 443}
	for client, want := range map[string]oracle.Verdict{"shop": oracle.Direct, "billing": oracle.Via} {
		if got, why := world.ThroughZtunnel(client, p); got != want {
			t.Errorf("from %s Istio's answer is %s, not %s: %s", client, got, want, why)
		}
	}
	m, err := load(ambientSettings(), shown+tenant)
	if err != nil {
		t.Fatal(err)
	}
	if set := companion.ForAmbient(m, "api.partner.com"); len(set.Objects) > 0 || len(set.Refused) != 1 {
		t.Errorf("planned: %v", set)
	}
}

// TestAmbientBesideSidecars proves by Istio that a host which namespaces with sidecars
// and namespaces in ambient mode register has both ways out, each for its clients,
// and that a namespace which moves from one mode to the other by way of both labels
// leaves by what its pods have at every step.
func TestAmbientBesideSidecars(t *testing.T) {
	sidecar := "istio-injection: enabled"
	ambient := "istio.io/dataplane-mode: ambient"
	for _, step := range []struct {
		labels            string
		sidecars, ztunnel bool // how pods of the namespace may leave
	}{
		{sidecar, true, false},
		{sidecar + ", " + ambient, true, true},
		{ambient, false, true},
	} {
		t.Run(step.labels, func(t *testing.T) {
			given := centralWaypoint + "apiVersion: v1\nkind: Namespace\nmetadata: {name: istio-system}\n---\n" +
				"apiVersion: v1\nkind: Namespace\nmetadata: {name: web, labels: {" + sidecar + "}}\n---\n" +
				"apiVersion: v1\nkind: Namespace\nmetadata: {name: moving, labels: {" + step.labels + "}}\n---\n"
			ports := []string{"{number: 443, name: tls, protocol: TLS}", "{number: 80, name: http, protocol: HTTP, targetPort: 443}"}
			for _, ns := range []string{"shop", "web", "moving"} {
				given += entry(ns, "api.partner.com", ports...) + "---\n"
			}
			m, err := load(ambientSettings(), given)
			if err != nil {
				t.Fatal(err)
			}
			docs := append([]string{given}, planned(t, m, companion.For)...)
			world, err := oracle.AskAmbient(strings.Join(docs, "\n---\n"), waypointNamespaces, oracle.Client{Namespace: "web"}, oracle.Client{Namespace: "moving"})
			if err != nil {
				t.Fatal(err)
			}
			for _, p := range []oracle.Point{{Host: "api.partner.com", Port: 443}, {Host: "api.partner.com", Port: 80}} {
				for _, c := range world.Clients {
					if c.Namespace == "moving" && !step.sidecars {
						continue
					}
					if got, why := world.Verdict(c, p); got != oracle.Via {
						t.Errorf("by sidecar from %s %s:%d is %s: %s", c, p.Host, p.Port, got, why)
					}
				}
				for _, client := range []string{"shop", "moving"} {
					if client == "moving" && !step.ztunnel {
						continue
					}
					if got, why := world.ThroughZtunnel(client, p); got != oracle.Via {
						t.Errorf("by ztunnel from %s %s:%d is %s: %s", client, p.Host, p.Port, got, why)
					}
					admits(t, world.Ways(client, p), p, client, "any", true)
				}
				admits(t, world.Ways("shop", p), p, "blog", "any", false)
			}
		})
	}
}
