package companion

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/sallyport-io/sallyport/internal/mesh"
	"github.com/sallyport-io/sallyport/internal/told"
)

// plan collects a host's companions.
type plan struct {
	mesh *mesh.Mesh // without companions of the host
	was  *mesh.Mesh // with them
	builder
	by    wayOut
	set   Set
	hops  []mesh.Object   // mesh hops, which are written last
	doors map[string]door // by the gateway's name
	laid  laid            // the last lanes

	claimed map[mesh.Ref]string // the entries that rest on companions, and their gateways

	displaced []*mesh.ServiceEntry // whose claims contradict others that go before them

	with struct { // see built
		mesh          *mesh.Mesh
		objects, hops int
	}
}

// What a plan costs beside the loops that count each turn as a step.
const (
	planSteps = 100 // to begin with a host, and to make its objects
	portSteps = 10  // to give a port its place in them
	hostSteps = 3   // to read a host or an address
)

// planFor plans the companions of a host.
func planFor(m *mesh.Mesh, host string) *plan {
	m.Spend(planSteps)
	b := newBuilder(host)
	was, before := m, served(m, host, b.key)
	m = without(m.Draft(), existing(m, host, b.key)).Open()
	claims, refused := claims(m, host, before)
	p := &plan{mesh: m, was: was, builder: b, by: throughGateway, set: Set{Host: host, Refused: refused}}
	p.with.mesh = m
	p.claimed = make(map[mesh.Ref]string, len(claims))
	for _, c := range claims {
		if !c.covered {
			p.claimed[c.entry.Ref] = c.gateway.Name
		}
	}
	for _, side := range sides(claims) {
		p.side(side)
	}
	return p
}

// result is the set that was planned.
func (p *plan) result() Set {
	set := p.set
	set.Objects = slices.Concat(p.set.Objects, p.hops)
	slices.SortStableFunc(set.Refused, byEntry)
	for i, r := range set.Refused {
		set.Refused[i] = r.said()
	}
	return set
}

func byEntry(a, b Refusal) int {
	return cmp.Or(cmp.Compare(a.Entry.String(), b.Entry.String()), cmp.Compare(a.Path, b.Path))
}

// built is the mesh with the companions planned so far.
func (p *plan) built() *mesh.Mesh {
	w := &p.with
	if more := slices.Concat(p.set.Objects[w.objects:], p.hops[w.hops:]); len(more) > 0 {
		w.mesh = w.mesh.With(more...)
		w.objects, w.hops = len(p.set.Objects), len(p.hops)
	}
	return w.mesh
}

// sides groups the claims by the namespace of their gateway, in the order of
// the namespaces' names. The gateways of one namespace share a registration.
func sides(claims []*claim) [][]*claim {
	byNamespace := make(map[string][]*claim)
	var namespaces []string
	for _, c := range claims {
		ns := c.gateway.Namespace
		if byNamespace[ns] == nil {
			namespaces = append(namespaces, ns)
		}
		byNamespace[ns] = append(byNamespace[ns], c)
	}
	slices.Sort(namespaces)
	out := make([][]*claim, len(namespaces))
	for i, ns := range namespaces {
		out[i] = byNamespace[ns]
	}
	return out
}

// side makes the companions for the claims on the gateways of one namespace.
func (p *plan) side(claims []*claim) {
	namespace := claims[0].gateway.Namespace
	own := p.registered(namespace)
	if p.server, _ = serverOf(claims[0].gateway, p.host); p.server != "" {
		own = nil // a wildcard is no name to dial, whoever has registered it
	}
	claims, upstreams := p.agree(own, claims)
	if len(claims) == 0 {
		return
	}
	settings := p.mesh.Settings()
	type hop struct {
		gateway mesh.EgressGateway
		claims  []*claim
		lanes   []lane
	}
	var hops []hop
	for _, gateway := range settings.Gateways {
		mine := slices.DeleteFunc(slices.Clone(claims), func(c *claim) bool { return c.gateway.Name != gateway.Name })
		if len(mine) == 0 {
			continue
		}
		prefix := p.groupPrefix(settings, gateway)
		service := gateway.Host(settings.ClusterDomain)
		lanes, _ := p.lanes(gateway, prefix, mine)
		// Of every lane each object has its part, and looks for its group.
		p.mesh.Spend(len(lanes) * (4*portSteps + len(lanes)>>1))
		if policy := p.authorization(gateway, prefix, lanes); policy != nil {
			p.set.Objects = append(p.set.Objects, policy)
		}
		for _, g := range p.gateways(gateway, lanes) {
			p.set.Objects = append(p.set.Objects, g)
		}
		clientHop := p.clientHop(gateway, namespace, prefix, service, lanes)
		if slices.Contains(settings.DefaultExports.DestinationRules, ".") {
			clientHop.ExportTo = []string{"*"}
		}
		p.set.Objects = append(p.set.Objects, clientHop, p.gatewayHop(gateway, prefix, service, lanes))
		hops = append(hops, hop{gateway, mine, lanes})
	}
	if dr := p.origination(namespace, upstreams); dr != nil {
		p.set.Objects = append(p.set.Objects, dr)
	}
	if own == nil {
		// Last, for it lets the sidecars of the gateway's own namespace see
		// the host: by then the route to the gateway must be there.
		p.set.Objects = append(p.set.Objects, p.registration(namespace, upstreams))
	}
	for _, h := range hops {
		p.meshHops(h.gateway, h.claims, h.gateway.Host(settings.ClusterDomain), h.lanes)
	}
}

// registered returns the platform's own private entry for the host in the
// gateway's namespace, nil where there is none. Istio's gateway takes the
// oldest registration that is private to its namespace, so ours, which is
// newer, would not count beside it.
func (p *plan) registered(namespace string) *claim {
	for _, entry := range p.mesh.EntriesFor(p.host) {
		if entry.Namespace != namespace || !slices.Contains(openExport(p.mesh, entry), ".") {
			continue
		}
		c := &claim{entry: entry, rank: platformRank}
		c.ports, _ = upstreams(p.mesh.Settings(), entry, p.host, throughGateway)
		return c
	}
	return nil
}

// agree returns the claims that do not contradict an earlier one and can be
// served by their gateway, with the union of their ports, sorted. Where the
// gateway's namespace has a registration of its own, that comes first and
// there are no ports but its.
func (p *plan) agree(own *claim, claims []*claim) (agreed []*claim, union []upstream) {
	type decided struct {
		upstream
		by *claim
	}
	ports := make(map[int]decided)
	if own != nil {
		for _, u := range own.ports {
			ports[u.port] = decided{u, own}
			union = append(union, u)
		}
	}
	for _, c := range claims {
		refused := p.set.Refused
		p.mesh.Spend(portSteps * len(c.ports))
		more := 0
		for _, u := range c.ports {
			have, ok := ports[u.port]
			if !ok {
				more++
			}
			switch {
			case ok && have.upstream != u:
				p.refuse(p.contradiction(c, u, have.by, have.upstream))
			case !ok && own != nil:
				p.refuse(unregistered(c, u, own))
			}
		}
		if len(p.set.Refused) == len(refused) {
			p.refuseMany(c, agreed, len(union)+more)
		}
		if len(p.set.Refused) == len(refused) && p.by == throughGateway {
			p.refuseUnserved(c, agreed)
		}
		if len(p.set.Refused) > len(refused) {
			if c.covered {
				p.set.Refused = refused // its users have another way
			} else if slices.ContainsFunc(p.set.Refused[len(refused):], func(r Refusal) bool { return r.With != mesh.Ref{} }) {
				p.displaced = append(p.displaced, c.entry)
			}
			continue
		}
		agreed = append(agreed, c)
		for _, u := range c.ports {
			if _, ok := ports[u.port]; !ok {
				ports[u.port] = decided{u, c}
				union = append(union, u)
			}
		}
	}
	slices.SortFunc(union, func(a, b upstream) int { return cmp.Compare(a.port, b.port) })
	return agreed, union
}

// refuseUnserved refuses a claim with which its gateway would be left without
// a lane for some port: one of the claim's own, or one that was agreed before.
func (p *plan) refuseUnserved(c *claim, agreed []*claim) {
	_, unserved := p.lanes(c.gateway, p.key, append(slices.Clone(agreed), c))
	p.mesh.Spend(len(c.entry.Ports) + len(unserved))
	field, number := "spec.ports", 0
	for i, port := range c.entry.Ports {
		if unserved[port.Number] != "" {
			field, number = fmt.Sprintf("spec.ports[%d]", i), port.Number
			break
		}
	}
	for port := range unserved {
		if number == 0 || unserved[number] == "" {
			number = port
		}
	}
	if number == 0 {
		return
	}
	r := Refusal{
		Entry:   c.entry.Ref,
		Path:    field,
		Told:    told.F("port %d cannot go through the gateway %s: %s", number, told.Plain(c.gateway.Name), told.Plain(unserved[number])),
		ToldFix: "Leave the port out, or ask the platform team for a gateway that sidecars reach by mutual TLS.",
	}
	if i := slices.IndexFunc(agreed, func(a *claim) bool { return a.gateway.Name == c.gateway.Name }); i >= 0 {
		if _, alone := p.lanes(c.gateway, p.key, []*claim{c}); len(alone) == 0 {
			r.With, r.Outranked = agreed[i].entry.Ref, agreed[i].rank < c.rank
			r.ToldReverse = told.F("with these ports, port %d of another claim on the host cannot go through the gateway %s: %s", number, told.Plain(c.gateway.Name), told.Plain(unserved[number]))
			r.ReversePath = "spec.ports"
		}
	}
	p.refuse(r)
}

// settled is a mesh with the companions, as it comes to be for those whose
// claims others go before: an entry that Sallyport opens is held back before its
// route goes, and one that it does not keeps the route that it has.
func (p *plan) settled(m *mesh.Mesh) *mesh.Mesh {
	for _, entry := range p.displaced {
		if entry.Annotations[mesh.ExportAnnotation] != "" {
			closed := *entry
			closed.ExportTo, closed.Kept = []string{"~"}, true
			m = m.With(&closed)
			continue
		}
		for _, ref := range existing(p.was, p.host, p.key) {
			if ref.Namespace == entry.Namespace && MeshHop(ref) && m.Get(ref) == nil {
				m = m.With(p.was.Get(ref))
			}
		}
	}
	return m
}

func (p *plan) refuse(r Refusal) { p.set.Refused = append(p.set.Refused, r) }

// lanes lays the lanes of the claims on one gateway.
func (p *plan) lanes(gateway mesh.EgressGateway, prefix string, claims []*claim) (lanes []lane, unserved map[int]string) {
	d, ok := p.doors[gateway.Name]
	if !ok {
		if p.doors == nil {
			p.doors = map[string]door{}
		}
		d = openDoor(p.mesh, gateway)
		p.doors[gateway.Name] = d
	}
	// The last claim is agreed upon by the very lanes that are then built,
	// unless it is refused.
	ports := portsOf(gateway, claims)
	p.mesh.Spend(len(claims) + 2*len(ports))
	if l := &p.laid; l.gateway == gateway.Name && l.prefix == prefix && l.ports != nil && slices.Equal(l.ports, ports) {
		return l.lanes, l.unserved
	}
	p.mesh.Spend(portSteps * len(ports) * (1 + len(d.ports)>>1))
	planner := planner{host: p.host, gateway: gateway, prefix: prefix, door: d, taken: map[serverClaim]bool{}}
	lanes, unserved = planner.lay(ports)
	p.laid = laid{gateway.Name, prefix, ports, lanes, unserved}
	return lanes, unserved
}

// laid are lanes, and what they were laid for.
type laid struct {
	gateway, prefix string
	ports           []upstream
	lanes           []lane
	unserved        map[int]string
}

// portsOf is the union of the ports of the claims on one gateway, sorted.
func portsOf(gateway mesh.EgressGateway, claims []*claim) []upstream {
	var out []upstream
	for _, c := range claims {
		if c.gateway.Name == gateway.Name {
			out = append(out, c.ports...)
		}
	}
	slices.SortFunc(out, func(a, b upstream) int { return cmp.Compare(a.port, b.port) })
	return slices.CompactFunc(out, func(a, b upstream) bool { return a.port == b.port })
}

// meshHops makes one VirtualService for each namespace that claims the host,
// for all ports that its entries register.
func (p *plan) meshHops(gateway mesh.EgressGateway, claims []*claim, service string, lanes []lane) {
	slices.SortStableFunc(claims, func(a, b *claim) int { return cmp.Compare(a.entry.Namespace, b.entry.Namespace) })
	for len(claims) > 0 {
		namespace := claims[0].entry.Namespace
		n := slices.IndexFunc(claims, func(c *claim) bool { return c.entry.Namespace != namespace })
		if n < 0 {
			n = len(claims)
		}
		ports := make(map[int]bool)
		var exportTo, owners []string
		for _, c := range claims[:n] {
			p.mesh.Spend(len(c.ports) + hostSteps*len(c.exportTo))
			for _, u := range c.ports {
				ports[u.port] = true
			}
			exportTo = append(exportTo, c.exportTo...)
			if c.entry.UID != "" {
				owners = append(owners, c.entry.UID)
			}
		}
		if slices.Contains(exportTo, "*") {
			exportTo = []string{"*"}
		}
		slices.Sort(exportTo)
		slices.Sort(owners)
		owners = slices.Compact(owners)
		if host, to, ok := shadowed(p.mesh, namespace, service); ok && namespace != gateway.Namespace {
			dr := p.clientHop(gateway, namespace, p.key+hopSuffix, host, lanes)
			dr.ExportTo, dr.Owners = to, owners
			p.hops = append(p.hops, dr)
		}
		hop := p.meshHop(namespace, slices.Compact(exportTo), owners, service, lanes, ports)
		if p.routed(claims[:n]) {
			p.spare(namespace, hop)
		} else {
			p.hops = append(p.hops, hop)
		}
		claims = claims[n:]
	}
}

// routed reports whether users' own VirtualServices lead the clients of one
// namespace's claims to a gateway. Ours in front of them would only hide what
// they say of timeouts, retries and headers.
func (p *plan) routed(claims []*claim) bool {
	if len(p.mesh.RoutesFor(p.host)) == 0 {
		return false
	}
	m := p.built()
	return !slices.ContainsFunc(claims, func(c *claim) bool { return needed(m, c.entry, p.host) })
}
