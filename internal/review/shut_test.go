package review_test

import (
	"slices"
	"testing"

	"github.com/sallyport-io/sallyport/internal/mesh"
	"github.com/sallyport-io/sallyport/internal/review"
	"github.com/sallyport-io/sallyport/rules"
)

// TestShutHidesWhatIsBroken: of names that nobody can dial one client goes past the
// gateway, and for everybody else the way to it is broken. To keep the entry from the
// one alone nobody can write; the YAML that closes the way keeps it from all.
func TestShutHidesWhatIsBroken(t *testing.T) {
	all := [][]byte{document(t, `
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: names, namespace: shop}
spec: {hosts: ["*.example.com"], resolution: NONE, exportTo: ["*"], ports: [{number: 443, name: tls, protocol: TLS}]}
`), document(t, `
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: everybody, namespace: istio-system}
spec:
  hosts: ["*.example.com"]
  tls:
  - match: [{port: 443, sniHosts: ["*.example.com"]}]
    route: [{destination: {host: istio-egressgateway.istio-system.svc.cluster.local, subset: missing, port: {number: 15443}}}]
`), document(t, `
apiVersion: networking.istio.io/v1
kind: Sidecar
metadata: {name: own, namespace: shop}
spec: {egress: [{hosts: [./*]}]}
`)}
	s := withoutInjection()
	s.PlatformNamespaces = append(s.PlatformNamespaces, "shop")
	batch, err := (&review.Judge{Rules: rules.All}).ReviewAll(t.Context(), mesh.New(s), all)
	if err != nil {
		t.Fatal(err)
	}
	verdicts := func(m *mesh.Mesh, shop, others mesh.Verdict) {
		t.Helper()
		for client, want := range map[string]mesh.Verdict{"shop": shop, "bank": others, mesh.AnyClient: others} {
			if v, _ := m.Verdict(client, "*.example.com", 443); v != want {
				t.Errorf("from %s it is %s, want %s", client, v, want)
			}
		}
	}
	verdicts(batch.Mesh, mesh.Direct, mesh.Broken)
	fixed := batch.Mesh
	for i, o := range batch.Outcomes {
		for _, f := range o.Findings {
			if f.Severity != rules.Deny {
				continue
			}
			made := rules.Fixed(f.Fix, all[i])
			if len(made) != 1 {
				t.Fatalf("%s: want the entry alone:\n%s", f.Rule, f.Fix)
			}
			if se, ok := made[0].Object.(*mesh.ServiceEntry); !ok || !slices.Equal(se.ExportTo, []string{"~"}) {
				t.Errorf("%s: want the entry with exportTo ~:\n%s", f.Rule, f.Fix)
			}
			fixed = fixed.With(made[0].Object)
		}
	}
	verdicts(fixed, mesh.Blocked, mesh.Blocked)
}
