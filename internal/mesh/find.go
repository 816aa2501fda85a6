package mesh

import (
	"iter"
	"slices"
)

// Named yields the objects of one kind in one namespace whose names begin
// with prefix, ordered by name.
func (m *Mesh) Named(kind, namespace, prefix string) iter.Seq[Object] {
	return func(yield func(Object) bool) {
		var buf [keySize]byte
		key := borrowed(joined(buf[:0], kind, sep, namespace, sep, prefix))
		m.Spend(lookupSteps)
		m.objects.scan(key, key, func(e entry[Object]) bool {
			m.Spend(objectSteps)
			return yield(e.val)
		})
	}
}

// RoutesFor returns the VirtualServices that list exactly this canonical
// host, oldest first.
func (m *Mesh) RoutesFor(host string) []*VirtualService {
	routes := slices.Collect(m.routes.exactly(host))
	m.Spend(len(routes))
	return routes
}

// LeadingTo yields the VirtualServices that have this canonical host among their
// destinations, some of them perhaps several times.
func (m *Mesh) LeadingTo(host string) iter.Seq[*VirtualService] {
	return func(yield func(*VirtualService) bool) {
		for vs := range m.targets.under(hostPrefix(host)) {
			if m.Spend(1); !yield(vs) {
				return
			}
		}
	}
}

// BoundTo yields the VirtualServices that are bound to a Gateway of Istio's, the
// oldest first.
func (m *Mesh) BoundTo(gateway Ref) iter.Seq[*VirtualService] {
	return m.bound.under(gateway.Namespace + "/" + gateway.Name + sep)
}

// AliasesOf yields the Services of type ExternalName that stand for a canonical
// name.
func (m *Mesh) AliasesOf(host string) iter.Seq[*Service] {
	return func(yield func(*Service) bool) {
		for svc := range m.aliases.under(hostPrefix(host)) {
			if m.Spend(1); !yield(svc) {
				return
			}
		}
	}
}

// RouteRank says how early Istio looks at a VirtualService for a client of the
// namespace: those of a lower rank come first, and of one rank the oldest. seen
// is false where the client does not see it at all.
func (m *Mesh) RouteRank(vs *VirtualService, namespace string) (rank int, seen bool) {
	v := m.routeVisibility(vs, namespace)
	return int(v), v != hidden && vs.inMesh()
}

// GatewaysFor returns the Gateways that have a server for the canonical host,
// by its own name or a wildcard, and program an approved egress gateway.
func (m *Mesh) GatewaysFor(host string) []*Gateway {
	var found []*Gateway
	add := func(h hostedServer) {
		m.Spend(1 + len(found))
		if !slices.Contains(found, h.gateway) {
			found = append(found, h.gateway)
		}
	}
	for h := range m.servers.exactly(host) {
		add(h)
	}
	for h := range m.servers.covering(host) {
		add(h)
	}
	return found
}
