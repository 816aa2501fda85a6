package companion_test

import (
	"fmt"
	"testing"

	"github.com/sallyport-io/sallyport/internal/companion"
	"github.com/sallyport-io/sallyport/internal/mesh"
)

// BenchmarkFor computes the companions of one host in a mesh that has those of
// many others, which is what every admission request and every event costs.
func BenchmarkFor(b *testing.B) {
	for _, n := range []int{100, 1000, 10000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			m := mesh.New(settings(true))
			for i := range n {
				host := fmt.Sprintf("h%d.partner.com", i)
				m = m.With(&mesh.ServiceEntry{
					Meta:       mesh.Meta{Ref: mesh.Ref{Kind: "ServiceEntry", Namespace: fmt.Sprintf("team-%d", i%50), Name: fmt.Sprintf("h%d", i)}},
					Hosts:      []string{host},
					Ports:      []mesh.ServicePort{{Number: 80, Protocol: "HTTP"}, {Number: 443, Protocol: "TLS"}},
					Location:   "MESH_EXTERNAL",
					Resolution: "DNS",
					ExportTo:   []string{"."},
				})
				m = m.With(companion.For(m, host).Objects...)
			}
			b.ResetTimer()
			for b.Loop() {
				if set := companion.For(m, "h42.partner.com"); len(set.Objects) != 5 {
					b.Fatalf("%d companions", len(set.Objects))
				}
			}
		})
	}
}
