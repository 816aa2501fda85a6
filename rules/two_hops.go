package rules

import (
	"cmp"
	"iter"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/sallyport-io/sallyport/internal/mesh"
	"github.com/sallyport-io/sallyport/internal/told"
)

// lane is one port of a host on its way through an egress gateway.
type lane struct {
	port  int
	class mesh.Class
	door  door
}

// door is how a lane gets through an egress gateway: the Gateway whose server
// lets it in, and the subset by which sidecars get there.
type door struct {
	gateway string // namespace/name of the Gateway object
	subset  string
	// rule is the DestinationRule or VirtualService that has the subset, where one
	// exists.
	rule   mesh.Ref
	port   int
	mutual bool // sidecars speak ISTIO_MUTUAL to the server
	exists bool // Gateway and subset are there already
}

// hops writes the objects that take a host through the egress gateway.
type hops struct {
	m         *mesh.Mesh
	gateway   mesh.EgressGateway
	service   string // of the gateway
	host      string
	namespace string // of the client
	entry     *mesh.ServiceEntry
	lanes     []lane
}

// twoHops returns the YAML of a VirtualService that takes every port of a host
// through the egress gateway, and of what it needs that is not there yet: the
// same for whichever port it is asked, as long as the gateway has ports enough.
// Each port of the host needs a server of its own there; beyond those the given
// port comes first.
func twoHops(p *Pass, name told.Arg, host string, port int, protocol, namespace string) told.Text {
	s := p.After.Settings()
	if len(s.Gateways) == 0 || mesh.IsWildcard(host) {
		return ""
	}
	p.Spend(fixSteps)
	h := &hops{m: p.After, gateway: s.Gateways[0], host: host, namespace: namespace}
	h.service = h.gateway.Host(s.ClusterDomain)
	h.addLane(port, mesh.ClassOf(protocol))
	for _, se := range p.After.EntriesFor(host) {
		if companionEntry(p.After, se.Ref) {
			continue
		}
		if h.entry == nil || h.entry.Namespace != namespace && se.Namespace == namespace {
			h.entry = se
		}
		for _, sp := range se.Ports {
			h.addLane(sp.Number, mesh.ClassOf(sp.Protocol))
		}
	}
	if len(h.lanes) <= len(h.ports(mesh.TLSLike, true)) {
		slices.SortFunc(h.lanes, func(a, b lane) int { return cmp.Compare(a.port, b.port) })
	}
	h.findDoors()
	var b told.Builder
	if e := h.entry; e != nil && len(h.exportTo()) > 0 && !slices.Contains(e.ExportTo, h.gateway.Namespace) && e.Namespace != h.gateway.Namespace {
		b.Printf("# The gateway has to see %s as well:\n#   exportTo: [%s]\n", e.Ref, exportList(h.exportTo()))
	}
	h.writeGateway(&b)
	h.writeSubset(&b)
	h.writeVirtualService(&b, name)
	return b.Text()
}

func (h *hops) addLane(port int, class mesh.Class) {
	h.m.Spend(1 + len(h.lanes)>>5)
	if class == mesh.Sniffed || class == mesh.UDPLike ||
		slices.ContainsFunc(h.lanes, func(l lane) bool { return l.port == port }) {
		return
	}
	h.lanes = append(h.lanes, lane{port: port, class: class})
}

// findDoors gives every lane a door: one that is there already, or else one
// on a port of the gateway that no other lane of the host takes.
func (h *hops) findDoors() {
	name := "egress-" + slug(h.host)
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
		if !asked {
			d.door, d.ok = h.existing(l.class)
			existing[l.class] = d
		}
		if d.ok && !taken[d.port] {
			l.door = d.door
			taken[d.port] = true
		}
	}
	suit := map[mesh.Class][]int{}
	for i := range h.lanes {
		l := &h.lanes[i]
		if l.door.exists {
			continue
		}
		// Raw TCP has no name to be told apart by but that of mutual TLS.
		h.m.Spend(1)
		mutual := h.gateway.MutualTLS || l.class == mesh.TCPLike
		l.door = door{gateway: h.gateway.Namespace + "/" + name, subset: name, mutual: mutual}
		if suit[l.class] == nil {
			suit[l.class] = h.ports(l.class, mutual)
		}
		for _, port := range suit[l.class] {
			if !taken[port] {
				l.door.port = port
				taken[port] = true
				break
			}
		}
	}
	h.lanes = slices.DeleteFunc(h.lanes, func(l lane) bool { return l.door.port == 0 }) // the Service has no port left
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
			d := door{gateway: gw.Namespace + "/" + gw.Name, port: server.Port.Number, mutual: mutual, exists: true}
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

// subsetNamespace is where sidecars of the client's namespace look for the
// gateway's DestinationRule: their own, where there is one, which then hides
// those of the gateway's namespace.
func (h *hops) subsetNamespace() string {
	for dr := range h.doorRules(h.namespace) {
		return dr.Namespace
	}
	return h.gateway.Namespace
}

// maxRules bounds how many DestinationRules a fix is looked for in: a fix is
// not worth reading all of a large mesh. One that is overlooked is written
// once more, under another name.
const maxRules = 256

// doorRules yields the namespace's DestinationRules for the gateway's Service.
func (h *hops) doorRules(namespace string) iter.Seq[*mesh.DestinationRule] {
	return func(yield func(*mesh.DestinationRule) bool) {
		n := 0
		for o := range h.m.In("DestinationRule", namespace) {
			dr := o.(*mesh.DestinationRule)
			h.m.Spend(hostSteps)
			if n++; n > maxRules {
				return
			}
			if mesh.ResolveHost(dr.Host, namespace, h.m.Settings().ClusterDomain) == h.service && !yield(dr) {
				return
			}
		}
	}
}

// findSubset returns the subset by which sidecars reach the door: one that a
// route of the host uses, or else one that says the right name. Without mutual
// TLS none is needed.
func (h *hops) findSubset(d door) (string, mesh.Ref, bool) {
	for _, vs := range h.m.RoutesFor(h.host) {
		for _, to := range destinationsOf(h.m, vs) {
			if to.mesh && to.Subset != "" && to.Port != nil && to.Port.Number == d.port &&
				mesh.ResolveHost(to.Host, vs.Namespace, h.m.Settings().ClusterDomain) == h.service {
				return to.Subset, vs.Ref, true
			}
		}
	}
	sni := ""
	if d.mutual {
		sni = h.host
	}
	for dr := range h.doorRules(h.subsetNamespace()) {
		for _, s := range dr.Subsets {
			h.m.Spend(hostSteps)
			if subsetSNI(s, d.port) == sni {
				return s.Name, dr.Ref, true
			}
		}
	}
	return "", mesh.Ref{}, !d.mutual
}

// subsetSNI is the server name that a subset sends to the port under
// ISTIO_MUTUAL, and "" where it sends none.
func subsetSNI(s mesh.Subset, port int) string {
	if s.TrafficPolicy == nil {
		return ""
	}
	tls := s.TrafficPolicy.TLS
	for _, pp := range s.TrafficPolicy.PortLevelSettings {
		if pp.Port.Number == port {
			tls = pp.TLS
		}
	}
	if tls == nil || tls.Mode != "ISTIO_MUTUAL" {
		return ""
	}
	return mesh.CanonicalHost(tls.SNI)
}

// missing are the lanes whose door has to be made.
func (h *hops) missing() []lane {
	return slices.DeleteFunc(slices.Clone(h.lanes), func(l lane) bool { return l.door.exists })
}

func (h *hops) writeGateway(b *told.Builder) {
	lanes := h.missing()
	if len(lanes) == 0 {
		return
	}
	gw := mesh.BoundGateway(lanes[0].door.gateway, "")
	b.Printf("apiVersion: networking.istio.io/v1\nkind: Gateway\nmetadata:\n  name: %s\n  namespace: %s\nspec:\n  selector:\n", h.named(gw.Name), told.Namespace(gw.Namespace))
	for _, k := range slices.Sorted(maps.Keys(h.gateway.Selector)) {
		b.Printf("    %s: %s\n", told.Plain(k), told.Plain(strconv.Quote(h.gateway.Selector[k])))
	}
	b.Write("  servers:\n")
	for _, l := range lanes {
		protocol, tls := "HTTP", ""
		switch {
		case l.door.mutual && l.class == mesh.HTTPLike:
			protocol, tls = "HTTPS", "ISTIO_MUTUAL"
		case l.door.mutual:
			protocol, tls = "TLS", "ISTIO_MUTUAL"
		case l.class != mesh.HTTPLike:
			protocol, tls = "TLS", "PASSTHROUGH"
		}
		b.Printf("  - port: {number: %d, name: %s-%d, protocol: %s}\n    hosts: [%q]\n", l.door.port, told.Plain(strings.ToLower(protocol)), l.door.port, told.Plain(protocol), h.named(h.namespace+"/"+h.host))
		if tls != "" {
			b.Printf("    tls: {mode: %s}\n", told.Plain(tls))
		}
	}
	b.Write("---\n")
}

func (h *hops) writeSubset(b *told.Builder) {
	lanes := h.missing()
	if len(lanes) == 0 {
		return
	}
	subset := lanes[0].door.subset
	b.Printf("apiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata:\n  name: %s\n  namespace: %s\nspec:\n  host: %s\n  subsets:\n  - name: %s\n", h.named(subset), told.Namespace(h.subsetNamespace()), told.Host(h.service), h.named(subset))
	lanes = slices.DeleteFunc(lanes, func(l lane) bool { return !l.door.mutual })
	if len(lanes) > 0 {
		b.Write("    trafficPolicy:\n      portLevelSettings:\n")
	}
	for _, l := range lanes {
		b.Printf("      - port: {number: %d}\n        tls: {mode: ISTIO_MUTUAL, sni: %s}\n", l.door.port, told.Host(h.host))
	}
	b.Write("---\n")
}

func (h *hops) writeVirtualService(b *told.Builder, name told.Arg) {
	gateways := []told.Text{"mesh"}
	for _, l := range h.lanes {
		h.m.Spend(findingSteps + len(gateways))
		if gateway := h.gatewayOf(l.door).Text(); !slices.Contains(gateways, gateway) {
			gateways = append(gateways, gateway)
		}
	}
	b.Printf("apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata:\n  name: %s\n  namespace: %s\nspec:\n", name, told.Namespace(h.namespace))
	b.Printf("  hosts: [%q]\n  gateways: [%s]\n", told.Host(h.host), told.List(told.Objects, gateways...))
	if export := h.exportTo(); len(export) > 0 {
		b.Printf("  exportTo: [%s]\n", exportList(export))
	}
	sections := map[mesh.Class]*told.Builder{mesh.HTTPLike: {}, mesh.TLSLike: {}, mesh.TCPLike: {}}
	for _, l := range h.lanes {
		sni := ""
		if l.class == mesh.TLSLike {
			sni = h.host
		}
		writeRule(sections[l.class], told.Namespace("").As("mesh"), l.port, sni, h.service, h.subsetOf(l.door), l.door.port)
		out, outSNI := l.class, sni
		if l.door.mutual && l.class == mesh.TLSLike {
			out, outSNI = mesh.TCPLike, "" // behind ISTIO_MUTUAL a tls rule yields no filter chain
		}
		writeRule(sections[out], h.gatewayOf(l.door), l.door.port, outSNI, h.host, told.Arg{}, l.port)
	}
	for _, s := range []struct {
		name  string
		class mesh.Class
	}{{"http", mesh.HTTPLike}, {"tls", mesh.TLSLike}, {"tcp", mesh.TCPLike}} {
		if rules := sections[s.class].Text(); rules != "" {
			b.Printf("  %s:\n%s", told.Plain(s.name), rules)
		}
	}
}

// exportTo is that of the route: whoever sees the entry has to see it, and so
// has the gateway. None stands for everybody.
func (h *hops) exportTo() []string {
	export := []string{`"."`, h.gateway.Namespace}
	if h.entry == nil {
		return export
	}
	if len(h.entry.ExportTo) == 0 || slices.Contains(h.entry.ExportTo, "*") {
		return nil
	}
	for _, e := range h.entry.ExportTo {
		h.m.Spend(1 + len(export)>>2)
		if e != "." && e != "~" && e != h.namespace && !slices.Contains(export, e) {
			export = append(export, e)
		}
	}
	return export
}

func writeRule(b *told.Builder, gateway told.Arg, port int, sni, host string, subset told.Arg, to int) {
	b.Printf("  - match:\n    - gateways: [%s]\n      port: %d\n", gateway, port)
	if sni != "" {
		b.Printf("      sniHosts: [%q]\n", told.Host(sni))
	}
	b.Printf("    route:\n    - destination:\n        host: %s\n", told.Host(host))
	if !subset.None() {
		b.Printf("        subset: %s\n", subset)
	}
	b.Printf("        port: {number: %d}\n", to)
}

// named is a name that is made of the host's.
func (h *hops) named(name string) told.Arg { return told.Host(h.host).As(name) }

// gatewayOf names the Gateway of a door: one that exists, or one that the fix makes.
func (h *hops) gatewayOf(d door) told.Arg {
	if d.exists {
		return told.Object("Gateway/" + d.gateway).As(d.gateway)
	}
	return h.named(d.gateway)
}

// subsetOf names the subset of a door.
func (h *hops) subsetOf(d door) told.Arg {
	if d.exists {
		return d.rule.Tell().As(d.subset)
	}
	return h.named(d.subset)
}

// exportList is the list of an exportTo.
func exportList(export []string) told.Text {
	items := make([]told.Text, len(export))
	for i, e := range export {
		items[i] = `"."`
		if e != `"."` {
			items[i] = told.Namespace(e).Text()
		}
	}
	return told.List(told.Namespaces, items...)
}

// selects reports whether a selector matches labels.
func selects(selector, labels map[string]string) bool {
	for k, v := range selector {
		if got, ok := labels[k]; !ok || got != v {
			return false
		}
	}
	return true
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
