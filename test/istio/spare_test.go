package istio_test

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/yaml"

	"github.com/sallyport-io/sallyport/internal/companion"
	"github.com/sallyport-io/sallyport/internal/mesh"
	"github.com/sallyport-io/sallyport/test/istio/oracle"
)

// TestSpare proves that Istio does not look at the mesh hop that stands behind
// a user's route, HTTP, TLS and TCP alike, and finds it as soon as the route
// has gone or leaves a port out.
func TestSpare(t *testing.T) {
	const host = "api.partner.com"
	key := companion.Key(host)
	subsets := strings.NewReplacer("HASH", strings.TrimPrefix(key, "sallyport-")).Replace(`apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: by-hand, namespace: istio-system}
spec:
  host: istio-egressgateway.istio-system.svc.cluster.local
  subsets:
  - name: by-hand
    trafficPolicy:
      portLevelSettings:
      - {port: {number: 80}, tls: {mode: ISTIO_MUTUAL, sni: api.partner.com}}
      - {port: {number: 443}, tls: {mode: ISTIO_MUTUAL, sni: api.partner.com}}
  - name: by-hand-tcp
    trafficPolicy:
      portLevelSettings: [{port: {number: 443}, tls: {mode: ISTIO_MUTUAL, sni: p5432.HASH.sallyport.internal}}]
`)
	const (
		httpRule = `  http:
  - match: [{port: 80}]
    timeout: 60s
    headers: {request: {set: {x-sallyport-port: "80"}}}
    route: [{destination: {host: istio-egressgateway.istio-system.svc.cluster.local, subset: by-hand, port: {number: 80}}}]
`
		tlsRule = `  tls:
  - match: [{port: 443, sniHosts: [api.partner.com]}]
    route: [{destination: {host: istio-egressgateway.istio-system.svc.cluster.local, subset: by-hand, port: {number: 443}}}]
`
		tcpRule = `  tcp:
  - match: [{port: 5432}]
    route: [{destination: {host: istio-egressgateway.istio-system.svc.cluster.local, subset: by-hand-tcp, port: {number: 443}}}]
`
	)
	for _, exportTo := range []string{"*", "."} {
		t.Run(exportTo, func(t *testing.T) {
			route := `apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: zz-own, namespace: shop, creationTimestamp: "2026-02-02T00:00:01Z"}
spec:
  hosts: [api.partner.com]
  exportTo: ["` + exportTo + "\"]\n"
			covered := strings.Join([]string{
				entry("shop", host, "{number: 80, name: http, protocol: HTTP}", "{number: 443, name: tls, protocol: TLS}", "{number: 5432, name: tcp, protocol: TCP}") +
					"  addresses: [198.51.100.7]\n",
				subsets, route + httpRule + tlsRule + tcpRule,
			}, "---\n")
			spares, users := documentsOf(t, aged(t, withCompanions(t, mesh.DefaultSettings(), covered)))
			for name, tc := range map[string]struct {
				route string
				want  []string // the subsets of the gateway that the sidecar's routes name
			}{
				"the user's route is there": {route + httpRule + tlsRule + tcpRule, []string{"by-hand", "by-hand-tcp"}},
				"it has gone":               {"", []string{key, key + "-p5432"}},
				"it leaves out HTTP":        {route + tlsRule + tcpRule, []string{"by-hand", "by-hand-tcp", key}},
				"it leaves out TLS and TCP": {route + httpRule, []string{"by-hand", key, key + "-p5432"}},
			} {
				t.Run(name, func(t *testing.T) {
					docs := slices.DeleteFunc(slices.Clone(users), func(doc string) bool { return strings.Contains(doc, "zz-own") })
					if tc.route != "" {
						docs = append(docs, tc.route)
					}
					manifests := strings.Join(append(docs, spares...), "---\n")
					world, err := oracle.Ask(manifests, oracle.Client{Namespace: "shop"})
					if err != nil {
						t.Fatal(err)
					}
					client := world.Clients[0]
					if leaks := client.Leaks(); len(leaks) > 0 {
						t.Errorf("leaks: %v", leaks)
					}
					got := map[string]bool{}
					for _, l := range client.Leaves {
						if cl := client.Clusters[l.Cluster]; cl != nil && cl.Host == oracle.GatewayHost && cl.Subset != "" {
							got[cl.Subset] = true
						}
					}
					if diff := cmp.Diff(slices.Sorted(slices.Values(tc.want)), slices.Sorted(maps.Keys(got))); diff != "" {
						t.Errorf("subsets in force (-want +got):\n%s", diff)
					}
					for _, p := range world.Points() {
						if verdict, why := world.Verdict(client, p); verdict != oracle.Via {
							t.Errorf("port %d is %s: %s", p.Port, verdict, why)
						}
					}
				})
			}
		})
	}
}

// aged gives the spares the least age that the reconciler waits for: a second
// after the user's route.
func aged(t *testing.T, manifests string) []map[string]any {
	t.Helper()
	raws, err := documents(manifests)
	if err != nil {
		t.Fatal(err)
	}
	var out []map[string]any
	for _, raw := range raws {
		var o map[string]any
		if err := yaml.Unmarshal(raw, &o); err != nil {
			t.Fatal(err)
		}
		if meta := o["metadata"].(map[string]any); strings.Contains(meta["name"].(string), "-spare-") {
			meta["creationTimestamp"] = "2026-02-02T00:00:02Z"
		}
		out = append(out, o)
	}
	return out
}

// documentsOf renders manifests, the spares on their own.
func documentsOf(t *testing.T, objects []map[string]any) (spares, others []string) {
	t.Helper()
	for _, o := range objects {
		doc, err := yaml.Marshal(o)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(doc), "-spare-") {
			spares = append(spares, string(doc))
		} else {
			others = append(others, string(doc))
		}
	}
	if len(spares) != 1 {
		t.Fatalf("there are %d spares, want 1", len(spares))
	}
	return spares, others
}
