package mesh

import (
	"slices"
	"strings"
)

// MaxAffected bounds how many egress points one write is judged by. Writes that
// bear on every host reach it (a wildcard over everything, the gateway's own
// Service), and what they do to one they do to all. Whoever judges what says of
// each host something else has to refuse it at this bound.
const MaxAffected = 1024

// Affected returns the egress points whose paths a write of the object can
// change: the hosts it registers, routes, or gives a DestinationRule or a
// gateway server. It looks at both the mesh and the object, which need not be
// in the mesh, and touches only what the indexes name. For an UPDATE, ask for
// the object as it was as well.
func (m *Mesh) Affected(o Object) []Point {
	points := m.affected(o)
	if m.rest != nil && len(points) < MaxAffected {
		points = uniquePoints(append(points, m.Survivors().affected(o)...))
	}
	return points[:min(len(points), MaxAffected)]
}

// affected is what a write of the object can change in one state of the mesh.
func (m *Mesh) affected(o Object) []Point {
	a := &affected{m: m}
	switch o := o.(type) {
	case *ServiceEntry:
		a.entry(o)
		for _, h := range o.Hosts {
			a.host(CanonicalHost(h))
			a.routedTo(CanonicalHost(h), "", false)
		}
	case *VirtualService:
		if !m.bearsOnEgress(o) {
			return nil
		}
		a.virtual(o)
		a.destinations(o)
		for leaf := range m.Leaves(o) {
			a.destinations(leaf)
		}
	case *DestinationRule:
		h := ResolveHost(o.Host, o.Namespace, m.settings.ClusterDomain)
		a.host(h)
		for i := range m.names.gateways {
			if g := m.names.gateways[i]; HostCovers(h, g) {
				for j := range o.Subsets {
					a.routedTo(g, o.Subsets[j].Name, true)
				}
			}
		}
	case *Gateway:
		a.gateway(o)
	case *Sidecar:
		a.sidecar(o)
		// One that goes, or takes other workloads, uncovers the next.
		in := m.sidecarsFor(o.Namespace)
		if o.Namespace == m.settings.RootNamespace {
			in = []*Sidecar{m.rootSidecar()}
		}
		for _, s := range in {
			if s != nil && s.Ref != o.Ref {
				a.sidecar(s)
			}
		}
	case *WorkloadEntry:
		for e := range m.In("ServiceEntry", o.Namespace) {
			if se := e.(*ServiceEntry); se.WorkloadLabels != nil && hasLabels(se.WorkloadLabels.Labels, o.SelectorLabels()) {
				for _, h := range se.Hosts {
					a.host(CanonicalHost(h))
					a.routedTo(CanonicalHost(h), "", false)
				}
			}
		}
		for e := range m.In("Service", o.Namespace) {
			if svc := e.(*Service); len(svc.Selector) > 0 && hasLabels(svc.Selector, o.SelectorLabels()) {
				a.routedTo(m.ServiceHost(svc.Namespace, svc.Name), "", false)
			}
		}
	case *Service:
		h := m.ServiceHost(o.Namespace, o.Name)
		a.host(h)
		a.routedTo(h, "", false)
	case *EndpointSlice:
		a.routedTo(m.ServiceHost(o.Namespace, o.Service), "", false)
	case *Namespace:
		a.namespace(o.Name)
		a.dataplane(o)
		if o.Deleting {
			a.contents(o.Name)
		}
	case *K8sGateway:
		a.namespace(o.Namespace)
		a.bound(o)
	case *Route:
		for _, p := range o.ParentRefs {
			ref := Ref{Kind: "ServiceEntry", Namespace: orDefault(p.Namespace, o.Namespace), Name: p.Name}
			if se, ok := m.Get(ref).(*ServiceEntry); ok && p.IsEntry() {
				a.entry(se)
				for _, h := range se.Hosts {
					a.host(CanonicalHost(h))
				}
			}
		}
	}
	points := uniquePoints(a.points)
	return points[:min(len(points), MaxAffected)]
}

// ServiceHost is the canonical name of a Kubernetes Service.
func (m *Mesh) ServiceHost(namespace, name string) string {
	return name + "." + namespace + m.names.suffix
}

// affected collects egress points.
type affected struct {
	m      *Mesh
	points []Point
}

// full reports whether there is no room for another point. Those that were
// found twice take none.
func (a *affected) full() bool {
	if len(a.points) >= MaxAffected {
		a.points = uniquePoints(a.points)
	}
	return len(a.points) >= MaxAffected
}

// entry adds the egress points of an entry.
func (a *affected) entry(se *ServiceEntry) {
	a.points = slices.AppendSeq(a.points, a.m.points(se, ""))
}

// host adds the registered egress points that share a name with the host.
func (a *affected) host(host string) {
	add := func(se *ServiceEntry) bool {
		a.points = slices.AppendSeq(a.points, a.m.points(se, host))
		return !a.full()
	}
	for se := range a.m.entries.exactly(host) {
		add(se)
	}
	for se := range a.m.entries.covering(host) {
		if !add(se) {
			return
		}
	}
	if !IsWildcard(host) {
		return
	}
	for se := range a.m.entries.below(host) {
		if !add(se) {
			return
		}
	}
}

// virtual adds the egress points that a VirtualService routes, or that are
// routed by those that delegate to it.
func (a *affected) virtual(vs *VirtualService) {
	for h := range a.m.hosts(vs) {
		a.host(h)
	}
	for match := range vs.tlsMatches() {
		for _, h := range match.SNIHosts {
			a.host(CanonicalHost(h))
		}
	}
	if len(vs.Hosts) > 0 {
		return
	}
	for root := range a.m.Roots(vs) {
		for h := range a.m.hosts(root) {
			a.host(h)
		}
	}
}

// bearsOnEgress reports whether sidecars or an egress gateway may follow the
// VirtualService: one for an ingress gateway alone, often for every host, bears
// on no egress point; nor does one whose Gateway is not there yet.
func (m *Mesh) bearsOnEgress(vs *VirtualService) bool {
	return vs.inMesh() || slices.ContainsFunc(vs.Gateways, func(name string) bool {
		gw, ok := m.Get(BoundGateway(name, vs.Namespace)).(*Gateway)
		return ok && slices.ContainsFunc(m.settings.Gateways, func(g EgressGateway) bool { return g.SelectedBy(gw.Selector) })
	})
}

// destinations adds the egress points to which a VirtualService leads: they are
// reached by whatever it routes there.
func (a *affected) destinations(vs *VirtualService) {
	for d := range vs.destinations() {
		if h := a.m.host(vs, d.Host); a.m.outsideName(h) {
			a.host(h)
		}
	}
}

// routedTo adds the egress points of the VirtualServices that lead to a
// destination, or to one subset of it.
func (a *affected) routedTo(host, subset string, oneSubset bool) {
	prefix := hostPrefix(host)
	if oneSubset {
		prefix += subset + sep
	}
	for vs := range a.m.targets.under(prefix) {
		if a.full() {
			return
		}
		a.virtual(vs)
	}
}

// gateway adds the egress points that a Gateway's servers can serve.
func (a *affected) gateway(gw *Gateway) {
	wide := false
	for i := range gw.Servers {
		for _, entry := range gw.Servers[i].Hosts {
			if _, h := serverHost(entry, gw.Namespace); h == "*" {
				wide = true
			} else {
				a.host(h)
			}
		}
	}
	if !wide {
		return
	}
	for vs := range a.m.bound.under(gw.Namespace + "/" + gw.Name + sep) {
		if a.full() {
			return
		}
		a.virtual(vs)
	}
}

// sidecar adds the egress points for which a Sidecar can import the
// registration without the route: those that it imports by name, those whose
// VirtualServices it excludes, and those on a port that it gives another
// protocol. The hosts of its own namespace come first. A listener for all
// ports that imports everything changes nothing.
func (a *affected) sidecar(s *Sidecar) {
	own := s.Namespace
	if own == a.m.settings.RootNamespace {
		own = "*" // it stands in for every namespace's
	} else {
		a.namespace(own)
	}
	sees := func(exportTo []string, owner string) bool {
		return own == "*" || visibleFrom(exportTo, owner, own) != hidden
	}
	for i := range s.Egress {
		for _, entry := range s.Egress[i].Hosts {
			ns, host, excluded, ok := importHost(entry, own)
			switch dot := strings.HasPrefix(entry, "./"); {
			case !ok:
			case ns == "*" && host == "*" && !excluded:
				if port := s.Egress[i].Port; port != nil || dot {
					a.everywhere(port)
				}
			case ns == "*":
				a.host(host)
			case excluded:
				for o := range a.m.In("VirtualService", ns) {
					if vs := o.(*VirtualService); slices.ContainsFunc(slices.Collect(a.m.hosts(vs)), func(h string) bool { return HostCovers(host, h) }) {
						a.virtual(vs)
					}
				}
			default:
				for o := range a.m.In("ServiceEntry", ns) {
					if se := o.(*ServiceEntry); sees(a.m.ExportTo(se), ns) {
						for p := range a.m.points(se, "") {
							if HostCovers(host, p.Host) {
								a.points = append(a.points, p)
							}
						}
					}
				}
				// A route comes with what it leads to, and without those that
				// go before it.
				for o := range a.m.In("VirtualService", ns) {
					vs := o.(*VirtualService)
					if vs.inMesh() && sees(a.m.routeExport(vs), ns) && slices.ContainsFunc(slices.Collect(a.m.hosts(vs)), func(h string) bool { return HostsOverlap(host, h) }) {
						a.virtual(vs)
						a.destinations(vs)
					}
				}
			}
			if a.full() {
				return
			}
		}
	}
}

// everywhere adds the egress points on a port, on any port where it is nil.
func (a *affected) everywhere(port *ServerPort) {
	for p := range a.m.AllPoints() {
		if port != nil && port.Number != p.Port {
			continue
		}
		a.points = append(a.points, p)
		if a.full() {
			return
		}
	}
}

// dataplane adds the egress points to which it matters whether a namespace
// has sidecars or is in ambient mode: in ambient mode all, as exportTo does
// not count there, and with sidecars those of ambient namespaces.
func (a *affected) dataplane(n *Namespace) {
	if n.Ambient() {
		for o := range a.m.All("ServiceEntry") {
			if a.full() {
				return
			}
			a.points = append(a.points, a.m.Points(o)...)
		}
	}
	if n.Injected() {
		for other := range a.m.ambient.under("") {
			a.namespace(other.Name)
		}
	}
}

// contents adds the egress points to which anything in a namespace matters that
// others can see: it goes with the namespace, and so do those who alone see the
// rest of it.
func (a *affected) contents(namespace string) {
	for o := range a.m.Within(namespace) {
		a.m.Spend(1)
		if a.full() {
			return
		}
		if Missed(o) && !a.m.keptPrivate(o) {
			a.points = append(a.points, a.m.affected(o)...)
		}
	}
}

// keptPrivate reports whether an object bears on nothing outside its namespace.
func (m *Mesh) keptPrivate(o Object) bool {
	ns := o.Metadata().Namespace
	alone := func(exportTo []string) bool {
		v := visibleFrom(exportTo, ns, ns)
		return len(exportTo) > 0 && (v == private || v == hidden) &&
			!slices.ContainsFunc(exportTo, func(to string) bool { return to != "." && to != "~" && to != ns })
	}
	switch o := o.(type) {
	case *ServiceEntry:
		return alone(m.ExportTo(o)) && !m.settings.GatewayNamespace(ns)
	case *VirtualService:
		return len(o.Hosts) > 0 && alone(m.routeExport(o)) && !slices.ContainsFunc(o.Gateways, func(g string) bool { return g != meshGateway })
	case *Sidecar, *EnvoyFilter:
		return ns != m.settings.RootNamespace
	default:
		return false
	}
}

// bound adds the egress points of the entries that choose a waypoint, by
// themselves or by their namespace.
func (a *affected) bound(g *K8sGateway) {
	for o := range a.m.bindings.under(g.Namespace + "/" + g.Name + sep) {
		if a.full() {
			return
		}
		switch o := o.(type) {
		case *ServiceEntry:
			a.entry(o)
		case *Namespace:
			a.namespace(o.Name)
		}
	}
}

// namespace adds the egress points that a namespace registers.
func (a *affected) namespace(name string) {
	for o := range a.m.In("ServiceEntry", name) {
		if a.full() {
			return
		}
		a.points = append(a.points, a.m.Points(o)...)
	}
}
