package mesh

import (
	"iter"
	"math/bits"
	"slices"
)

// routeSemantics is the annotation by which Istio marks VirtualServices that
// it made from Gateway API routes. Whoever sets it by hand gets their rules.
const routeSemantics = "internal.istio.io/route-semantics"

func (vs *VirtualService) gatewaySemantics() bool {
	return vs.isRoute() || vs.Annotations[routeSemantics] == "gateway"
}

func (vs *VirtualService) inMesh() bool { return slices.Contains(vs.Gateways, meshGateway) }

// host resolves a name that the VirtualService uses. Those with gateway
// semantics are taken literally.
func (m *Mesh) host(vs *VirtualService, name string) string {
	if vs.gatewaySemantics() {
		return m.canonical(name)
	}
	return m.resolve(name, vs.Namespace)
}

// spelled is host as the VirtualService writes it.
func (m *Mesh) spelled(vs *VirtualService, name string) string {
	m.Spend(1)
	if vs.gatewaySemantics() {
		return name
	}
	return qualify(name, vs.Namespace, m.settings.ClusterDomain)
}

// hosts are the resolved hosts of the VirtualService.
func (m *Mesh) hosts(vs *VirtualService) iter.Seq[string] {
	return func(yield func(string) bool) {
		for _, h := range vs.Hosts {
			if !yield(m.host(vs, h)) {
				return
			}
		}
	}
}

func (vs *VirtualService) tlsMatches() iter.Seq[*TLSMatch] {
	return func(yield func(*TLSMatch) bool) {
		for i := range vs.TLS {
			for j := range vs.TLS[i].Match {
				if !yield(&vs.TLS[i].Match[j]) {
					return
				}
			}
		}
	}
}

// destinations yields every destination of the VirtualService, mirrors
// included, whatever leads to it.
func (vs *VirtualService) destinations() iter.Seq[*Destination] {
	return func(yield func(*Destination) bool) {
		for i := range vs.HTTP {
			r := &vs.HTTP[i]
			for j := range r.Route {
				if !yield(&r.Route[j].Destination) {
					return
				}
			}
			if r.Mirror != nil && !yield(r.Mirror) {
				return
			}
			for j := range r.Mirrors {
				if d := r.Mirrors[j].Destination; d != nil && !yield(d) {
					return
				}
			}
		}
		for i := range vs.TLS {
			for j := range vs.TLS[i].Route {
				if !yield(&vs.TLS[i].Route[j].Destination) {
					return
				}
			}
		}
		for i := range vs.TCP {
			for j := range vs.TCP[i].Route {
				if !yield(&vs.TCP[i].Route[j].Destination) {
					return
				}
			}
		}
	}
}

// spelledHosts are the hosts of the VirtualService as it writes them.
func (m *Mesh) spelledHosts(vs *VirtualService) iter.Seq[string] {
	return func(yield func(string) bool) {
		for _, h := range vs.Hosts {
			if !yield(m.spelled(vs, h)) {
				return
			}
		}
	}
}

// virtualSteps is what it costs to sort one VirtualService into its place, or to
// pass it over.
const virtualSteps = 6

// inOrder sorts VirtualServices by age. A few are as good as sorted.
func (m *Mesh) inOrder(found []*VirtualService) []*VirtualService {
	m.Spend(len(found) * bits.Len(uint(len(found)>>4)))
	return distinct(found)
}

// virtuals returns the mesh VirtualServices that the client imports on a
// listener and that share a name with the host, however written, in the order in which Istio
// considers them (SelectVirtualServices in its pilot/pkg/model): private ones,
// those exported to the namespace, public ones; within each, the oldest first.
func (c *client) virtuals(l *listener, host string) []*VirtualService {
	host = CanonicalHost(host)
	found := c.m.inOrder(append(c.m.routes.overlapping(host), c.m.attachedTo(host)...))
	c.m.Spend(virtualSteps * len(found))
	out := make([]*VirtualService, 0, len(found))
	for want := private; want <= public; want++ {
		// Of those of one visibility, "consumer overrides" come first: the
		// client's own, made from Gateway API routes.
		for _, override := range []bool{true, false} {
			for _, vs := range found {
				if override == (vs.gatewaySemantics() && vs.Namespace == c.namespace) &&
					vs.inMesh() && c.m.routeVisibility(vs, c.namespace) == want && l.importsVirtual(c, vs) {
					out = append(out, vs)
				}
			}
		}
	}
	return out
}
