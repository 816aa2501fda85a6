package rules

import (
	"cmp"
	"slices"
	"strconv"
	"strings"

	"github.com/sallyport-io/sallyport/internal/mesh"
)

// lane is one port of a host on its way through an egress gateway.
type lane struct {
	port     int
	target   int // port of the endpoints, where that is another one
	class    mesh.Class
	protocol string // as registered
	door     door
}

// door is how a lane gets through an egress gateway: the Gateway whose server
// lets it in, and the subset by which sidecars get there.
type door struct {
	gateway string // namespace/name of the Gateway object
	subset  string
	name    string // of the server, by which sidecars ask for it
	// shared is set where requests for another port come in here as well: those for
	// this one say so in a header.
	shared bool
	// rule is the DestinationRule or VirtualService that has the subset, where one
	// exists.
	rule   mesh.Ref
	port   int
	mutual bool // sidecars speak ISTIO_MUTUAL to the server
	exists bool // Gateway and subset are there already
}

// hops writes the objects that take a host through the egress gateway.
type hops struct {
	p         *Pass
	m         *mesh.Mesh
	gateway   mesh.EgressGateway
	service   string // of the gateway
	host      string
	namespace string               // of the routes that are written
	entries   []*mesh.ServiceEntry // that users have for the host
	// registered are those that are for the gateway alone: it goes by these.
	registered []*mesh.ServiceEntry
	lanes      []lane
	rule       string // name of the DestinationRule with the subsets that are made
}

// newHops begins with a host. Each port of it needs a server of its own at the
// gateway; where nobody registers the host, the given port is all there is.
func newHops(p *Pass, host string, port int, protocol string) *hops {
	s := p.After.Settings()
	h := &hops{p: p, m: p.After, gateway: s.Gateways[0], host: host, namespace: p.Subject.Metadata().Namespace}
	h.service = h.gateway.Host(s.ClusterDomain)
	for _, se := range p.After.EntriesFor(host) {
		if companionEntry(p.After, se.Ref) {
			continue
		}
		if se.Namespace == h.gateway.Namespace && slices.Contains(se.ExportTo, ".") {
			h.registered = append(h.registered, se)
			continue
		}
		h.entries = append(h.entries, se)
		guessed := p.Written != nil && p.Written(se.Ref) != nil
		for _, sp := range se.Ports {
			class, protocol := mesh.ClassOf(sp.Protocol), strings.ToUpper(sp.Protocol)
			if class == mesh.Sniffed && guessed {
				class, protocol = mesh.TCPLike, "TCP" // as the entry is to say: it carries whatever comes
			}
			h.addLane(lane{port: sp.Number, target: sp.TargetPort, class: class, protocol: protocol})
		}
	}
	if len(h.entries) == 0 {
		h.addLane(lane{port: port, class: mesh.ClassOf(protocol), protocol: protocol})
	} else {
		h.namespace = h.entries[0].Namespace
	}
	slices.SortStableFunc(h.lanes, func(a, b lane) int { return cmp.Compare(a.port, b.port) })
	return h
}

func (h *hops) addLane(l lane) {
	h.m.Spend(1 + len(h.lanes)>>5)
	if l.class == mesh.Sniffed || l.class == mesh.UDPLike ||
		slices.ContainsFunc(h.lanes, func(other lane) bool { return l.port == other.port && l.class == other.class }) {
		return
	}
	h.lanes = append(h.lanes, l)
}

// findDoors gives every lane a door: one that is there already, unless all are to
// be made, or else one on a port of the gateway that no other lane of the host
// takes. It reports whether the gateway has enough of them.
func (h *hops) findDoors(made bool) bool {
	name := "egress-" + slug(h.host)
	gateway := h.free("Gateway", h.gateway.Namespace, name)
	taken := map[int]bool{}
	type known struct {
		door
		ok bool
	}
	existing := map[mesh.Class]known{}
	for i := range h.lanes {
		l := &h.lanes[i]
		h.m.Spend(1)
		d, asked := existing[l.class]
		if !asked && !made {
			d.door, d.ok = h.existing(l.class)
			existing[l.class] = d
		}
		if d.ok && !taken[d.port] {
			l.door = d.door
			taken[d.port] = true
		}
	}
	for i := range h.lanes {
		if l := &h.lanes[i]; !l.door.exists && !h.make(l, gateway, taken) && !h.share(l) {
			return false
		}
	}
	h.rule = name
	return len(h.lanes) > 0
}

// make gives a lane a door of its own, and reports whether there is room for it. What
// is opaque behind mutual TLS may go by a name that nobody else has: then it has a
// Gateway to itself, for the gateway's rules see a port and a Gateway, and no name.
func (h *hops) make(l *lane, gateway string, taken map[int]bool) bool {
	h.m.Spend(1)
	// Raw TCP has no name to be told apart by but that of mutual TLS.
	mutual := h.gateway.MutualTLS || l.class == mesh.TCPLike
	l.door = door{gateway: h.gateway.Namespace + "/" + gateway, subset: gateway, name: h.host, mutual: mutual}
	ports := h.ports(l.class, mutual)
	for _, port := range ports {
		if !taken[port] && h.unclaimed(port, mutual || l.class != mesh.HTTPLike, h.host) {
			l.door.port = port
			taken[port] = true
			return true
		}
	}
	if l.class == mesh.HTTPLike || !mutual {
		return false
	}
	suffix := "p" + strconv.Itoa(l.port)
	l.door.name = suffix + "." + h.host
	l.door.gateway += "-" + suffix
	l.door.subset += "-" + suffix
	for _, port := range ports {
		if h.unclaimed(port, true, l.door.name) {
			l.door.port = port
			return true
		}
	}
	return false
}

// share lets requests for a port in by the door of those for another one.
func (h *hops) share(l *lane) bool {
	i := slices.IndexFunc(h.lanes, func(other lane) bool {
		return l.class == mesh.HTTPLike && other.class == mesh.HTTPLike && other.port != l.port && other.door.port != 0
	})
	if i < 0 {
		return false
	}
	l.door = h.lanes[i].door
	l.door.shared = true
	return true
}

// portHeader says which port a request is for, on the way from the sidecar to the
// gateway.
const portHeader = "x-egress-port"

// free is a name that no object of the kind has, made of the given one.
func (h *hops) free(kind, namespace, name string) string {
	for i := 2; i < 10; i++ {
		h.m.Spend(lookupSteps)
		if h.m.Get(mesh.Ref{Kind: kind, Namespace: namespace, Name: name}) == nil {
			return name
		}
		name = strings.TrimSuffix(name, "-"+strconv.Itoa(i-1)) + "-" + strconv.Itoa(i)
	}
	return name
}

// unclaimed reports whether a server of that name on a port of the gateway would
// be kept: Istio drops one whose host another one has, and one that is plain where
// others speak TLS or the other way round (mergeGateways in Istio's
// pilot/pkg/model).
func (h *hops) unclaimed(port int, tls bool, host string) bool {
	for g := range h.m.Binders() {
		h.m.Spend(1)
		if !h.gateway.SelectedBy(g.Selector) {
			continue
		}
		for _, s := range g.Servers {
			h.m.Spend(1 + len(s.Hosts))
			if s.Port.Number != port {
				continue
			}
			if (s.TLS != nil) != tls || slices.ContainsFunc(s.Hosts, func(name string) bool { return serverNames(name, host) }) {
				return false
			}
		}
	}
	return true
}

// serverNames reports whether a server's host, whoever may route it, is this one.
func serverNames(pattern, host string) bool {
	if _, name, ok := strings.Cut(pattern, "/"); ok {
		pattern = name
	}
	return mesh.CanonicalHost(pattern) == host
}

// ports are the ports of the gateway's Service that suit the lane, best first.
func (h *hops) ports(class mesh.Class, mutual bool) []int {
	ports := []int{80, 443, 15443}
	if svc := serviceNamed(h.m, h.service); svc != nil && len(svc.Ports) > 0 {
		ports = nil
		for _, p := range svc.Ports {
			ports = append(ports, p.Port)
		}
	}
	if class == mesh.HTTPLike && !mutual {
		return slices.DeleteFunc(ports, func(p int) bool { return p == 443 || p == 15443 })
	}
	// Port 80 is where plain text is expected, and a server in plain text that
	// another Gateway has there would crowd out one with TLS.
	order := map[int]int{443: -1, 80: 1}
	ports = slices.DeleteFunc(ports, func(p int) bool { return p == 15021 }) // the health check's
	slices.SortStableFunc(ports, func(a, b int) int { return cmp.Compare(order[a], order[b]) })
	return ports
}

// existing looks for a Gateway and a subset that let the host in already.
func (h *hops) existing(class mesh.Class) (door, bool) {
	for _, gw := range h.m.GatewaysFor(h.host) {
		if len(gw.Selector) == 0 || !h.gateway.SelectedBy(gw.Selector) {
			continue
		}
		for _, server := range gw.Servers {
			h.m.Spend(hostSteps * (1 + len(server.Hosts)))
			mutual, ok := serves(server, gw.Namespace, h.host, class, h.namespace)
			if !ok {
				continue
			}
			d := door{gateway: gw.Namespace + "/" + gw.Name, name: h.host, port: server.Port.Number, mutual: mutual, exists: true}
			if d.subset, d.rule, ok = h.findSubset(d); ok {
				return d, true
			}
		}
	}
	return door{}, false
}

// serves reports whether the server lets in the host's traffic of that class
// when a VirtualService of the namespace routes it, and whether by mutual TLS.
func serves(server mesh.Server, gatewayNamespace, host string, class mesh.Class, namespace string) (mutual, ok bool) {
	if !slices.ContainsFunc(server.Hosts, func(h string) bool { return serverCovers(h, gatewayNamespace, host, namespace) }) {
		return false, false
	}
	mode := ""
	if server.TLS != nil {
		mode = server.TLS.Mode
	}
	mutual = mode == "ISTIO_MUTUAL"
	protocol := strings.ToUpper(server.Port.Protocol)
	switch class {
	case mesh.HTTPLike:
		return mutual, protocol == "HTTPS" && mutual || mesh.ClassOf(protocol) == mesh.HTTPLike
	case mesh.TLSLike:
		return mutual, mesh.ClassOf(protocol) == mesh.TLSLike && mode == "PASSTHROUGH" || protocol == "TLS" && mutual
	default:
		return mutual, protocol == "TLS" && mutual
	}
}

// serverCovers reports whether a server's host, "host" or "namespace/host",
// lets in a VirtualService of the namespace for the host.
func serverCovers(pattern, gatewayNamespace, host, namespace string) bool {
	ns, name, ok := strings.Cut(pattern, "/")
	if !ok {
		ns, name = "*", pattern
	}
	if ns == "." {
		ns = gatewayNamespace
	}
	return (ns == "*" || ns == namespace) && mesh.HostCovers(mesh.CanonicalHost(name), host)
}

// missing are the lanes whose door has to be made.
func (h *hops) missing() []lane {
	return slices.DeleteFunc(slices.Clone(h.lanes), func(l lane) bool { return l.door.exists || l.door.shared })
}

// slug makes an object name of a host.
func slug(host string) string {
	name := strings.Map(func(r rune) rune {
		switch {
		case 'a' <= r && r <= 'z', '0' <= r && r <= '9', r == '-':
			return r
		default:
			return '-'
		}
	}, mesh.CanonicalHost(host))
	return strings.Trim(name[:min(len(name), 50)], "-")
}
