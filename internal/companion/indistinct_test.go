package companion

import (
	"testing"
	"time"

	"github.com/sallyport-io/sallyport/internal/mesh"
)

// TestBeforeIsTheOlder: of two TCP hosts that a sidecar cannot tell apart the older entry
// takes the traffic, and one without an age is the younger, whichever is asked about.
func TestBeforeIsTheOlder(t *testing.T) {
	entry := func(name string, created time.Time) *mesh.ServiceEntry {
		return &mesh.ServiceEntry{
			Meta:  mesh.Meta{Ref: mesh.Ref{Kind: "ServiceEntry", Namespace: "shop", Name: name}, Created: created},
			Hosts: []string{name + ".example.com"}, Location: "MESH_EXTERNAL", Resolution: "DNS",
			Ports: []mesh.ServicePort{{Number: 5432, Name: "tcp", Protocol: "TCP"}},
		}
	}
	day := time.Unix(1_000_000, 0)
	for name, tt := range map[string]struct{ old, young *mesh.ServiceEntry }{
		"by age":          {entry("z", day), entry("a", day.Add(time.Hour))},
		"without an age":  {entry("z", day), entry("a", time.Time{})},
		"of the same age": {entry("a", day), entry("z", day)},
	} {
		t.Run(name, func(t *testing.T) {
			m := mesh.New(mesh.DefaultSettings(), tt.old, tt.young)
			if host, ref := before(m, tt.young, tt.young.Hosts[0], 5432); host != tt.old.Hosts[0] || ref != tt.old.Ref {
				t.Errorf("%s of %s takes the traffic of the younger", host, ref)
			}
			if host, ref := before(m, tt.old, tt.old.Hosts[0], 5432); host != "" {
				t.Errorf("%s of %s takes the traffic of the older", host, ref)
			}
		})
	}
}
