package companion_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/sallyport-io/sallyport/internal/companion"
	"github.com/sallyport-io/sallyport/internal/mesh"
)

// TestPortsHaveRoom: tenants of one host who register more ports together than one
// entry has room for do not keep each other from being served. The first ones are,
// and those for whom there is no room are refused, by sidecars and in ambient mode.
func TestPortsHaveRoom(t *testing.T) {
	for _, mode := range []string{"sidecar", "ambient"} {
		t.Run(mode, func(t *testing.T) {
			_, m := ambientMesh(t, "testdata/ambient/tenants.txtar")
			for o := range m.All("ServiceEntry") {
				m = m.Without(o.Metadata().Ref)
			}
			labels := map[string]string{"istio-injection": "enabled"}
			if mode == "ambient" {
				labels = map[string]string{"istio.io/dataplane-mode": "ambient"}
			}
			start := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
			for i, ports := range [][2]int{{1000, 200}, {2000, 56}, {3000, 1}, {1000, 100}} {
				namespace := fmt.Sprintf("team-%d", i)
				entry := &mesh.ServiceEntry{
					Meta:       mesh.Meta{Ref: mesh.Ref{Kind: "ServiceEntry", Namespace: namespace, Name: "api"}, Created: start.Add(time.Duration(i) * time.Hour)},
					Hosts:      []string{"api.partner.com"},
					Resolution: "DNS", Location: "MESH_EXTERNAL", ExportTo: []string{"."},
				}
				for j := range ports[1] {
					entry.Ports = append(entry.Ports, mesh.ServicePort{Number: ports[0] + j, Name: fmt.Sprintf("p%d", j), Protocol: "HTTP"})
				}
				m = m.With(entry, &mesh.Namespace{Meta: mesh.Meta{Ref: mesh.Ref{Kind: "Namespace", Name: namespace}, Labels: labels}})
			}
			set := companion.For(m, "api.partner.com")
			if len(set.Refused) != 1 || set.Refused[0].Entry.Namespace != "team-2" || set.Refused[0].With.Namespace != "team-1" {
				t.Errorf("refused: %+v", set.Refused)
			}
			registered := 0
			for _, o := range set.Objects {
				if se, ok := o.(*mesh.ServiceEntry); ok {
					registered = len(se.Ports)
				}
			}
			if registered != 256 {
				t.Errorf("%d ports are registered", registered)
			}
		})
	}
}
