package companion

import (
	"slices"

	"github.com/sallyport-io/sallyport/internal/mesh"
)

// Bridge returns the gateway's VirtualService of a set as it is to be written
// while the gateway's own registration stands with ports of another form: with
// the rules, beside its own, by which the sidecars of the gateway's namespace go
// to the gateway as long as that is there. It is nil where nothing of the kind
// stands, and the VirtualService of the set will do.
func Bridge(m *mesh.Mesh, want *mesh.VirtualService, registration *mesh.ServiceEntry) *mesh.VirtualService {
	have, ok := m.Get(want.Ref).(*mesh.VirtualService)
	stands, registered := m.Get(registration.Ref).(*mesh.ServiceEntry)
	if !ok || !registered || !reformed(stands, registration) {
		return nil
	}
	out := *want
	out.HTTP = withRules(want.HTTP, have.HTTP, func(r mesh.HTTPRoute) bool {
		return forMesh(r.Match, func(m mesh.HTTPMatch) []string { return m.Gateways })
	})
	out.TLS = withRules(want.TLS, have.TLS, func(r mesh.TLSRoute) bool {
		return forMesh(r.Match, func(m mesh.TLSMatch) []string { return m.Gateways })
	})
	out.TCP = withRules(want.TCP, have.TCP, func(r mesh.TCPRoute) bool {
		return forMesh(r.Match, func(m mesh.TCPMatch) []string { return m.Gateways })
	})
	return &out
}

// reformed reports whether a port that both entries have is of another class in
// the second.
func reformed(a, b *mesh.ServiceEntry) bool {
	return slices.ContainsFunc(a.Ports, func(p mesh.ServicePort) bool {
		return slices.ContainsFunc(b.Ports, func(q mesh.ServicePort) bool {
			return p.Number == q.Number && mesh.ClassOf(p.Protocol) != mesh.ClassOf(q.Protocol)
		})
	})
}

func withRules[R any](want, have []R, keep func(R) bool) []R {
	out := slices.Clone(want)
	for _, r := range have {
		if keep(r) {
			out = append(out, r)
		}
	}
	return out
}

func forMesh[M any](matches []M, gateways func(M) []string) bool {
	return len(matches) > 0 && !slices.ContainsFunc(matches, func(m M) bool {
		return !slices.Equal(gateways(m), []string{meshGateway})
	})
}
