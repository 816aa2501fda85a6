package rules

import (
	"cmp"
	"fmt"
	"iter"
	"maps"
	"slices"
	"strings"

	"github.com/sallyport-io/sallyport/internal/mesh"
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
	port    int
	mutual  bool // sidecars speak ISTIO_MUTUAL to the server
	exists  bool // Gateway and subset are there already
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
func twoHops(p *Pass, name, host string, port int, protocol, namespace string) string {
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
	var b strings.Builder
	if e := h.entry; e != nil && len(h.exportTo()) > 0 && !slices.Contains(e.ExportTo, h.gateway.Namespace) && e.Namespace != h.gateway.Namespace {
		fmt.Fprintf(&b, "# The gateway has to see %s as well:\n#   exportTo: [%s]\n", e.Ref, strings.Join(h.exportTo(), ", "))
	}
	h.writeGateway(&b)
	h.writeSubset(&b)
	h.writeVirtualService(&b, name)
	return b.String()
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
			if d.subset, ok = h.findSubset(d); ok {
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
func (h *hops) findSubset(d door) (string, bool) {
	for _, vs := range h.m.RoutesFor(h.host) {
		for _, to := range destinationsOf(h.m, vs) {
			if to.mesh && to.Subset != "" && to.Port != nil && to.Port.Number == d.port &&
				mesh.ResolveHost(to.Host, vs.Namespace, h.m.Settings().ClusterDomain) == h.service {
				return to.Subset, true
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
				return s.Name, true
			}
		}
	}
	return "", !d.mutual
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

func (h *hops) writeGateway(b *strings.Builder) {
	lanes := h.missing()
	if len(lanes) == 0 {
		return
	}
	gw := mesh.BoundGateway(lanes[0].door.gateway, "")
	fmt.Fprintf(b, "apiVersion: networking.istio.io/v1\nkind: Gateway\nmetadata:\n  name: %s\n  namespace: %s\nspec:\n  selector:\n", gw.Name, gw.Namespace)
	for _, k := range slices.Sorted(maps.Keys(h.gateway.Selector)) {
		fmt.Fprintf(b, "    %s: %q\n", k, h.gateway.Selector[k])
	}
	b.WriteString("  servers:\n")
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
		fmt.Fprintf(b, "  - port: {number: %d, name: %s-%d, protocol: %s}\n    hosts: [%q]\n", l.door.port, strings.ToLower(protocol), l.door.port, protocol, h.namespace+"/"+h.host)
		if tls != "" {
			fmt.Fprintf(b, "    tls: {mode: %s}\n", tls)
		}
	}
	b.WriteString("---\n")
}

func (h *hops) writeSubset(b *strings.Builder) {
	lanes := h.missing()
	if len(lanes) == 0 {
		return
	}
	subset := lanes[0].door.subset
	fmt.Fprintf(b, "apiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata:\n  name: %s\n  namespace: %s\nspec:\n  host: %s\n  subsets:\n  - name: %s\n", subset, h.subsetNamespace(), h.service, subset)
	lanes = slices.DeleteFunc(lanes, func(l lane) bool { return !l.door.mutual })
	if len(lanes) > 0 {
		b.WriteString("    trafficPolicy:\n      portLevelSettings:\n")
	}
	for _, l := range lanes {
		fmt.Fprintf(b, "      - port: {number: %d}\n        tls: {mode: ISTIO_MUTUAL, sni: %s}\n", l.door.port, h.host)
	}
	b.WriteString("---\n")
}

func (h *hops) writeVirtualService(b *strings.Builder, name string) {
	gateways := []string{"mesh"}
	for _, l := range h.lanes {
		h.m.Spend(findingSteps + len(gateways))
		if !slices.Contains(gateways, l.door.gateway) {
			gateways = append(gateways, l.door.gateway)
		}
	}
	fmt.Fprintf(b, "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata:\n  name: %s\n  namespace: %s\nspec:\n", name, h.namespace)
	fmt.Fprintf(b, "  hosts: [%q]\n  gateways: [%s]\n", h.host, strings.Join(gateways, ", "))
	if export := h.exportTo(); len(export) > 0 {
		fmt.Fprintf(b, "  exportTo: [%s]\n", strings.Join(export, ", "))
	}
	sections := map[mesh.Class]*strings.Builder{mesh.HTTPLike: {}, mesh.TLSLike: {}, mesh.TCPLike: {}}
	for _, l := range h.lanes {
		sni := ""
		if l.class == mesh.TLSLike {
			sni = h.host
		}
		writeRule(sections[l.class], "mesh", l.port, sni, h.service, l.door.subset, l.door.port)
		out, outSNI := l.class, sni
		if l.door.mutual && l.class == mesh.TLSLike {
			out, outSNI = mesh.TCPLike, "" // behind ISTIO_MUTUAL a tls rule yields no filter chain
		}
		writeRule(sections[out], l.door.gateway, l.door.port, outSNI, h.host, "", l.port)
	}
	for _, s := range []struct {
		name  string
		class mesh.Class
	}{{"http", mesh.HTTPLike}, {"tls", mesh.TLSLike}, {"tcp", mesh.TCPLike}} {
		if rules := sections[s.class].String(); rules != "" {
			fmt.Fprintf(b, "  %s:\n%s", s.name, rules)
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

func writeRule(b *strings.Builder, gateway string, port int, sni, host, subset string, to int) {
	fmt.Fprintf(b, "  - match:\n    - gateways: [%s]\n      port: %d\n", gateway, port)
	if sni != "" {
		fmt.Fprintf(b, "      sniHosts: [%q]\n", sni)
	}
	fmt.Fprintf(b, "    route:\n    - destination:\n        host: %s\n", host)
	if subset != "" {
		fmt.Fprintf(b, "        subset: %s\n", subset)
	}
	fmt.Fprintf(b, "        port: {number: %d}\n", to)
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
