package review_test

import (
	"testing"

	"sigs.k8s.io/yaml"

	"github.com/sallyport-io/sallyport/internal/companion"
	"github.com/sallyport-io/sallyport/internal/mesh"
	"github.com/sallyport-io/sallyport/internal/review"
	"github.com/sallyport-io/sallyport/rules"
)

// TestSpareIsNoNuisance: the companion behind a user's route earns nobody a
// word, and with it the route may be deleted; without it, it may not.
func TestSpareIsNoNuisance(t *testing.T) {
	const host = "api.partner.com"
	toJSON := func(manifest string) []byte {
		t.Helper()
		raw, err := yaml.YAMLToJSON([]byte(manifest))
		if err != nil {
			t.Fatal(err)
		}
		return raw
	}
	entry := toJSON(`
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: api, namespace: shop, uid: "1", annotations: {sallyport.io/export-to: "."}, creationTimestamp: "2026-01-01T00:00:00Z"}
spec: {hosts: [api.partner.com], ports: [{number: 443, name: tls, protocol: TLS}], resolution: DNS, location: MESH_EXTERNAL, exportTo: [.]}`)
	route := toJSON(`
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: own, namespace: shop, uid: "2", creationTimestamp: "2026-01-02T00:00:00Z"}
spec:
  hosts: [api.partner.com]
  exportTo: [.]
  tls:
  - match: [{port: 443, sniHosts: [api.partner.com]}]
    route: [{destination: {host: istio-egressgateway.istio-system.svc.cluster.local, subset: ` + companion.Key(host) + `, port: {number: 443}}}]`)
	var objects []mesh.Object
	for _, raw := range [][]byte{entry, route} {
		o, err := mesh.Decode(raw)
		if err != nil {
			t.Fatal(err)
		}
		objects = append(objects, o)
	}
	m := mesh.New(mesh.DefaultSettings(), objects...)
	bare := m
	for _, o := range companion.For(m, host).Objects {
		m = m.With(o)
		if !companion.Spare(o.Metadata().Ref) {
			bare = bare.With(o)
		}
	}
	judge := &review.Judge{Rules: rules.All}
	for name, tc := range map[string]struct {
		mesh  *mesh.Mesh
		write review.Write
		gap   bool
	}{
		"the entry is written again": {m, review.Write{Request: rules.Request{Operation: "UPDATE", User: "jane"}, OldObject: entry, Object: entry}, false},
		"the route is written again": {m, review.Write{Request: rules.Request{Operation: "UPDATE", User: "jane"}, OldObject: route, Object: route}, false},
		"the route is deleted":       {m, review.Write{Request: rules.Request{Operation: "DELETE", User: "jane"}, OldObject: route}, false},
		"it is, and nothing behind":  {bare, review.Write{Request: rules.Request{Operation: "DELETE", User: "jane"}, OldObject: route}, true},
	} {
		t.Run(name, func(t *testing.T) {
			out, err := judge.Review(t.Context(), tc.mesh, tc.write)
			if err != nil {
				t.Fatal(err)
			}
			switch {
			case tc.gap && (len(out.Findings) != 1 || out.Findings[0].Rule != "open-gap" || !out.Denied()):
				t.Errorf("findings are %+v, want a denial by open-gap", out.Findings)
			case !tc.gap && len(out.Findings) > 0:
				t.Errorf("findings are %+v, want none", out.Findings)
			}
		})
	}
}
