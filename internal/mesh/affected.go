package mesh

import (
	"iter"
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
func (m *Mesh) Affected(o Object) []Point { return m.AffectedUpTo(o, MaxAffected) }

// AffectedUpTo is [Mesh.Affected] with another bound.
func (m *Mesh) AffectedUpTo(o Object, limit int) []Point {
	points := m.affected(o, limit)
	if m.rest != nil && len(points) < limit {
		points = uniquePoints(append(points, m.Survivors().affected(o, limit)...))
	}
	return points[:min(len(points), limit)]
}

// affected is what a write of the object can change in one state of the mesh.
func (m *Mesh) affected(o Object, limit int) []Point {
	a := &affected{m: m, limit: limit}
	switch o := o.(type) {
	case *ServiceEntry:
		a.entry(o)
		for _, h := range o.Hosts {
			if a.full() {
				break
			}
			h = m.canonical(h)
			a.host(h)
			a.routedTo(h, "", false)
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
					if a.full() {
						break
					}
					a.routedTo(g, o.Subsets[j].Name, true)
				}
			}
		}
	case *BackendTLSPolicy:
		for _, dr := range m.Rules(o) {
			if a.full() {
				break
			}
			a.host(dr.Host)
			a.routedTo(dr.Host, "", false)
		}
	case *XBackend:
		for r := range m.RoutesTo(o) {
			a.route(r)
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
		m.Spend(labelSteps * (len(o.Meta.Labels) + len(o.Endpoint.Labels)))
		labels := o.SelectorLabels()
		for e := range m.In("ServiceEntry", o.Namespace) {
			if se := e.(*ServiceEntry); se.WorkloadLabels != nil && m.selects(se.WorkloadLabels.Labels, labels) {
				for _, h := range se.Hosts {
					if a.full() {
						break
					}
					h = m.canonical(h)
					a.host(h)
					a.routedTo(h, "", false)
				}
			}
		}
		for e := range m.In("Service", o.Namespace) {
			if svc := e.(*Service); len(svc.Selector) > 0 && m.selects(svc.Selector, labels) {
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
		// Its labels may decide whether Istio reads what is in it, and shows it.
		if chosen := len(m.settings.Discovery) > 0 || m.settings.Visibility != nil; chosen || o.Deleting {
			a.contents(o.Name, chosen)
		}
	case *IstioConfig:
		a.everywhere(nil)
	case *K8sGateway:
		a.namespace(o.Namespace)
		a.bound(o)
	case *Route:
		a.route(o)
	}
	points := uniquePoints(a.points)
	return points[:min(len(points), limit)]
}

// ServiceHost is the canonical name of a Kubernetes Service.
func (m *Mesh) ServiceHost(namespace, name string) string {
	return name + "." + namespace + m.names.suffix
}

// selects is HasLabels for selectors of any length.
func (m *Mesh) selects(selector, labels map[string]string) bool {
	m.Spend(labelSteps * (1 + len(selector)))
	return HasLabels(selector, labels)
}

// affected collects egress points, in the order in which they are found.
type affected struct {
	m      *Mesh
	limit  int
	points []Point
	// seen are those that were found, once there are more than a few: before
	// that a point may stand there twice.
	seen map[hostPort]bool
}

type hostPort struct {
	host string
	port int
}

// fewPoints are so few that it is not worth while to tell which were found twice
// before the end.
const fewPoints = 64

// add adds a point, and reports whether there is room for another one.
func (a *affected) add(p Point) bool {
	if a.seen == nil && len(a.points) >= fewPoints {
		a.seen = make(map[hostPort]bool, 4*fewPoints)
		a.points = slices.DeleteFunc(a.points, func(p Point) bool { return a.twice(p) })
	}
	if a.seen == nil || !a.twice(p) {
		a.points = append(a.points, p)
	}
	return !a.full()
}

func (a *affected) twice(p Point) bool {
	a.m.Spend(pointSteps)
	key := hostPort{p.Host, p.Port}
	found := a.seen[key]
	a.seen[key] = true
	return found
}

// full reports whether there is no room for another point.
func (a *affected) full() bool { return len(a.points) >= a.limit }

// entry adds the egress points of an entry.
func (a *affected) entry(se *ServiceEntry) bool { return a.all(a.m.points(se, "")) }

// all adds points as long as there is room, and reports whether there still is.
func (a *affected) all(points iter.Seq[Point]) bool {
	for p := range points {
		if !a.add(p) {
			return false
		}
	}
	return !a.full()
}

// host adds the registered egress points that share a name with the host.
func (a *affected) host(host string) {
	a.m.Spend(lookupSteps)
	add := func(se *ServiceEntry) bool {
		a.m.Spend(1)
		return a.all(a.m.points(se, host))
	}
	for se := range a.m.entries.exactly(host) {
		if a.m.Spend(1); !a.all(a.m.pointsOf(se, host)) {
			return
		}
	}
	for se := range a.m.entries.covering(host) {
		if !add(se) {
			return
		}
	}
	if !IsWildcard(host) {
		return
	}
	seen := map[*ServiceEntry]bool{} // an entry is there once for each of its hosts
	for se := range a.m.entries.below(host) {
		a.m.Spend(pointSteps)
		if seen[se] {
			continue
		}
		if seen[se] = true; !add(se) {
			return
		}
	}
}

// route adds the egress points of the entries that a route of the Gateway API is
// attached to.
func (a *affected) route(r *Route) {
	for _, p := range r.ParentRefs {
		if a.m.Spend(lookupSteps); a.full() {
			return
		}
		ref := Ref{Kind: "ServiceEntry", Namespace: orDefault(p.Namespace, r.Namespace), Name: p.Name}
		if se, ok := a.m.Get(ref).(*ServiceEntry); ok && p.IsEntry() {
			a.entry(se)
			for _, h := range se.Hosts {
				if a.full() {
					return
				}
				a.host(a.m.canonical(h))
			}
		}
	}
}

// virtual adds the egress points that a VirtualService routes, or that are
// routed by those that delegate to it.
func (a *affected) virtual(vs *VirtualService) {
	for h := range a.m.hosts(vs) {
		if a.full() {
			return
		}
		a.host(h)
	}
	for match := range vs.tlsMatches() {
		a.m.Spend(1)
		for _, h := range match.SNIHosts {
			if a.full() {
				return
			}
			a.host(a.m.canonical(h))
		}
	}
	if len(vs.Hosts) > 0 {
		return
	}
	for root := range a.m.Roots(vs) {
		for h := range a.m.hosts(root) {
			if a.full() {
				return
			}
			a.host(h)
		}
	}
}

// bearsOnEgress reports whether sidecars or an egress gateway may follow the
// VirtualService: one for an ingress gateway alone, often for every host, bears
// on no egress point; nor does one whose Gateway is not there yet.
func (m *Mesh) bearsOnEgress(vs *VirtualService) bool {
	m.Spend(len(vs.Gateways))
	return vs.inMesh() || slices.ContainsFunc(vs.Gateways, func(name string) bool {
		m.Spend(lookupSteps)
		gw, ok := m.Get(BoundGateway(name, vs.Namespace)).(*Gateway)
		return ok && slices.ContainsFunc(m.settings.Gateways, func(g EgressGateway) bool { return g.SelectedBy(gw.Selector) })
	})
}

// destinations adds the egress points to which a VirtualService leads: they are
// reached by whatever it routes there.
func (a *affected) destinations(vs *VirtualService) {
	last := ""
	for d := range vs.destinations() {
		a.m.Spend(1)
		if d.Host == last {
			continue
		}
		last = d.Host
		if h := a.m.host(vs, d.Host); a.m.outsideName(h) {
			a.host(h)
		}
		if a.full() {
			return
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
	a.m.Spend(lookupSteps)
	for vs := range a.m.targets.under(prefix) {
		if a.m.Spend(1); a.full() {
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
			a.m.Spend(hostSteps)
			if _, h := serverHost(entry, gw.Namespace); h == "*" {
				wide = true
			} else if !a.full() {
				a.host(h)
			}
		}
	}
	if !wide {
		return
	}
	for vs := range a.m.bound.under(gw.Namespace + "/" + gw.Name + sep) {
		if a.m.Spend(1); a.full() {
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
			a.m.Spend(lookupSteps)
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
					if vs := o.(*VirtualService); a.m.hasHost(vs, func(h string) bool { return HostCovers(host, h) }) {
						a.virtual(vs)
					}
				}
			default:
				for o := range a.m.In("ServiceEntry", ns) {
					if se := o.(*ServiceEntry); sees(a.m.ExportTo(se), ns) {
						for p := range a.m.points(se, "") {
							if HostCovers(host, p.Host) && !a.add(p) {
								return
							}
						}
					}
				}
				// A route comes with what it leads to, and without those that
				// go before it.
				for o := range a.m.In("VirtualService", ns) {
					vs := o.(*VirtualService)
					if vs.inMesh() && sees(a.m.routeExport(vs), ns) && a.m.hasHost(vs, func(h string) bool { return HostsOverlap(host, h) }) {
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

// hasHost reports whether one of the VirtualService's hosts is such.
func (m *Mesh) hasHost(vs *VirtualService, such func(host string) bool) bool {
	for h := range m.hosts(vs) {
		if such(h) {
			return true
		}
	}
	return false
}

// everywhere adds the egress points on a port, on any port where it is nil.
func (a *affected) everywhere(port *ServerPort) {
	for o := range a.m.All("ServiceEntry") {
		for p := range a.m.points(o.(*ServiceEntry), "") {
			if (port == nil || port.Number == p.Port) && !a.add(p) {
				return
			}
		}
	}
}

// dataplane adds the egress points to which it matters whether a namespace
// has sidecars or is in ambient mode: in ambient mode all, as exportTo does
// not count there, and with sidecars those of ambient namespaces.
func (a *affected) dataplane(n *Namespace) {
	if n.Ambient() {
		for o := range a.m.All("ServiceEntry") {
			if !a.entry(o.(*ServiceEntry)) {
				return
			}
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
// rest of it. With its pods staying, what is kept private matters too.
func (a *affected) contents(namespace string, private bool) {
	for o := range a.m.Within(namespace) {
		a.m.Spend(1)
		if a.full() {
			return
		}
		if Missed(o) && (private || !a.m.keptPrivate(o)) {
			for _, p := range a.m.affected(o, a.limit) {
				if !a.add(p) {
					return
				}
			}
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
		if a.m.Spend(1); a.full() {
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
		if !a.entry(o.(*ServiceEntry)) {
			return
		}
	}
}
