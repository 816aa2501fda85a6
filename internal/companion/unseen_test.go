package companion_test

import (
	"testing"

	"github.com/sallyport-io/sallyport/internal/companion"
	"github.com/sallyport-io/sallyport/internal/mesh"
)

// TestUnseenEntryGetsNothing: an entry that its owner shows to nobody has no
// clients to lead to the gateway. A route for them would have no exportTo,
// which to Istio is a public one.
func TestUnseenEntryGetsNothing(t *testing.T) {
	objects := decode(t, []byte(`
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: api, namespace: shop, uid: "5", annotations: {sallyport.io/spare: "true"}}
spec: {hosts: [api.partner.com], ports: [{number: 443, name: tls, protocol: TLS}], resolution: DNS, exportTo: ["~"]}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: own, namespace: shop}
spec:
  hosts: [api.partner.com]
  exportTo: [.]
  tls: [{match: [{port: 443, sniHosts: [api.partner.com]}], route: [{destination: {host: api.partner.com}}]}]
`))
	set := companion.For(mesh.New(settings(true), objects...), "api.partner.com")
	for _, o := range set.Objects {
		t.Errorf("nobody sees the entry, and %s is wanted", o.Metadata().Ref)
		if vs, ok := o.(*mesh.VirtualService); ok {
			t.Logf("exported to %q", vs.ExportTo)
		}
	}
}
