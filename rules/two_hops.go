package rules

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/sallyport-io/sallyport/internal/mesh"
)

// door is how a host gets through an egress gateway: the gateway, the server
// that lets it in, and the subset by which sidecars get there.
type door struct {
	service string // the gateway's Service
	gateway string // namespace/name of the Gateway object
	subset  string
	port    int
	mutual  bool // sidecars speak ISTIO_MUTUAL to the server
	exists  bool // the Gateway object is there already
}

// twoHops returns the YAML of a VirtualService that takes one egress point
// through the egress gateway, and of what it needs that is not there yet.
func twoHops(p *Pass, host string, port int, protocol, namespace string) string {
	s := p.After.Settings()
	if len(s.Gateways) == 0 {
		return ""
	}
	g := s.Gateways[0]
	class := mesh.ClassOf(protocol)
	d := findDoor(p.After, g, host, class, namespace)

	var b strings.Builder
	if !d.exists {
		writeGateway(&b, g, d, host, class, namespace)
		writeSubset(&b, g, d, host)
	}
	fmt.Fprintf(&b, "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata:\n  name: %s\n  namespace: %s\nspec:\n", slug(host), namespace)
	fmt.Fprintf(&b, "  hosts: [%q]\n  gateways: [mesh, %s]\n  exportTo: [\".\"%s]\n", host, d.gateway, alsoGateway(g, namespace))
	switch {
	case class == mesh.HTTPLike:
		b.WriteString("  http:\n")
		writeRule(&b, "mesh", port, "", d.service, d.subset, d.port)
		writeRule(&b, d.gateway, d.port, "", host, "", port)
	case class == mesh.TLSLike:
		b.WriteString("  tls:\n")
		writeRule(&b, "mesh", port, host, d.service, d.subset, d.port)
		if d.mutual { // behind ISTIO_MUTUAL a tls rule yields no filter chain
			b.WriteString("  tcp:\n")
			writeRule(&b, d.gateway, d.port, "", host, "", port)
		} else {
			writeRule(&b, d.gateway, d.port, host, host, "", port)
		}
	default:
		b.WriteString("  tcp:\n")
		writeRule(&b, "mesh", port, "", d.service, d.subset, d.port)
		writeRule(&b, d.gateway, d.port, "", host, "", port)
	}
	return b.String()
}

// alsoGateway is the rest of an exportTo that the gateway's namespace sees too.
func alsoGateway(g mesh.EgressGateway, namespace string) string {
	if g.Namespace == namespace {
		return ""
	}
	return ", " + g.Namespace
}

func writeRule(b *strings.Builder, gateway string, port int, sni, host, subset string, to int) {
	fmt.Fprintf(b, "  - match:\n    - gateways: [%s]\n      port: %d\n", gateway, port)
	if sni != "" {
		fmt.Fprintf(b, "      sniHosts: [%q]\n", sni)
	}
	fmt.Fprintf(b, "    route:\n    - destination:\n        host: %q\n", host)
	if subset != "" {
		fmt.Fprintf(b, "        subset: %s\n", subset)
	}
	fmt.Fprintf(b, "        port: {number: %d}\n", to)
}

func writeGateway(b *strings.Builder, g mesh.EgressGateway, d door, host string, class mesh.Class, namespace string) {
	protocol, tls := "HTTP", ""
	switch {
	case d.mutual && class == mesh.HTTPLike:
		protocol, tls = "HTTPS", "ISTIO_MUTUAL"
	case d.mutual:
		protocol, tls = "TLS", "ISTIO_MUTUAL"
	case class != mesh.HTTPLike:
		protocol, tls = "TLS", "PASSTHROUGH"
	}
	_, name, _ := strings.Cut(d.gateway, "/")
	fmt.Fprintf(b, "apiVersion: networking.istio.io/v1\nkind: Gateway\nmetadata:\n  name: %s\n  namespace: %s\nspec:\n  selector:\n", name, g.Namespace)
	for _, k := range slices.Sorted(maps.Keys(g.Selector)) {
		fmt.Fprintf(b, "    %s: %q\n", k, g.Selector[k])
	}
	fmt.Fprintf(b, "  servers:\n  - port: {number: %d, name: %s, protocol: %s}\n    hosts: [%q]\n", d.port, name, protocol, namespace+"/"+host)
	if tls != "" {
		fmt.Fprintf(b, "    tls: {mode: %s}\n", tls)
	}
	b.WriteString("---\n")
}

func writeSubset(b *strings.Builder, g mesh.EgressGateway, d door, host string) {
	fmt.Fprintf(b, "apiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata:\n  name: %s\n  namespace: %s\nspec:\n  host: %s\n  subsets:\n  - name: %s\n", d.subset, g.Namespace, d.service, d.subset)
	if d.mutual {
		fmt.Fprintf(b, "    trafficPolicy:\n      portLevelSettings:\n      - port: {number: %d}\n        tls: {mode: ISTIO_MUTUAL, sni: %s}\n", d.port, host)
	}
	b.WriteString("---\n")
}

// findDoor looks for a Gateway that lets the host in already, in the
// gateway's namespace and in the client's; failing that it says what one
// should look like. It reads every Gateway of the two namespaces, which only a
// denial pays for.
func findDoor(m *mesh.Mesh, g mesh.EgressGateway, host string, class mesh.Class, namespace string) door {
	service := g.Host(m.Settings().ClusterDomain)
	for _, ns := range []string{g.Namespace, namespace} {
		for o := range m.In("Gateway", ns) {
			gw := o.(*mesh.Gateway)
			if !selects(gw.Selector, g.Selector) {
				continue
			}
			for _, server := range gw.Servers {
				mutual, ok := serves(server, ns, host, class, namespace)
				if !ok {
					continue
				}
				d := door{service: service, gateway: ns + "/" + gw.Name, port: server.Port.Number, mutual: mutual, exists: true}
				var found bool
				if d.subset, found = findSubset(m, service, host, d, namespace, g.Namespace); found {
					return d
				}
			}
		}
	}
	d := door{service: service, gateway: g.Namespace + "/" + "egress-" + slug(host), subset: "egress-" + slug(host), port: 443, mutual: g.MutualTLS}
	if !d.mutual && class == mesh.HTTPLike {
		d.port = 80
	}
	return d
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
	protocol := strings.ToUpper(server.Port.Protocol)
	switch class {
	case mesh.HTTPLike:
		return mode == "ISTIO_MUTUAL", protocol == "HTTPS" && mode == "ISTIO_MUTUAL" || mesh.ClassOf(protocol) == mesh.HTTPLike
	case mesh.TLSLike:
		return mode == "ISTIO_MUTUAL", mesh.ClassOf(protocol) == mesh.TLSLike && mode == "PASSTHROUGH" || protocol == "TLS" && mode == "ISTIO_MUTUAL"
	default:
		return mode == "ISTIO_MUTUAL", protocol == "TLS" && mode == "ISTIO_MUTUAL"
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

// findSubset returns the subset by which sidecars of the namespace reach the
// door, and whether there is one. The client's namespace comes first: a
// DestinationRule there hides those of the gateway's namespace.
func findSubset(m *mesh.Mesh, service, host string, d door, namespace, gatewayNamespace string) (string, bool) {
	for _, ns := range []string{namespace, gatewayNamespace} {
		seen := false
		for o := range m.In("DestinationRule", ns) {
			dr := o.(*mesh.DestinationRule)
			if mesh.ResolveHost(dr.Host, ns, m.Settings().ClusterDomain) != service {
				continue
			}
			seen = true
			for _, s := range dr.Subsets {
				if subsetSNI(s, d.port) == sniOf(d, host) {
					return s.Name, true
				}
			}
		}
		if seen && !d.mutual {
			return "", true
		}
	}
	return "", !d.mutual
}

func sniOf(d door, host string) string {
	if d.mutual {
		return host
	}
	return ""
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

// selects reports whether a Gateway's selector matches a gateway's pods.
func selects(selector, labels map[string]string) bool {
	for k, v := range selector {
		if labels[k] != v {
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
