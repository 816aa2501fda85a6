package netpol

import (
	"net/netip"
	"slices"
	"strconv"

	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/sallyport-io/sallyport/internal/mesh"
)

// inside are the ranges into which a gateway has no business to connect:
// private, shared, link-local (and with it the metadata services of clouds),
// loopback, multicast and the like, and the forms in which IPv6 dresses IPv4
// addresses. Pods, Services and nodes lie in them on nearly every cluster.
// https://www.iana.org/assignments/iana-ipv4-special-registry
var (
	insideV4 = []string{
		"0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12",
		"192.0.0.0/24", "192.168.0.0/16", "198.18.0.0/15", "224.0.0.0/4", "240.0.0.0/4",
	}
	insideV6 = []string{
		// ::/64 holds ::1 and the IPv4-mapped addresses, which the API server
		// does not take as a range of their own.
		"::/64", "64:ff9b::/96", "64:ff9b:1::/48", "2002::/16", "fc00::/7", "fe80::/10", "ff00::/8",
	}
)

// never are the ranges of inside that no host can need: link-local addresses,
// with the credentials that metadata services hand out, and loopback.
var never = []netip.Prefix{
	netip.MustParsePrefix("169.254.0.0/16"), netip.MustParsePrefix("127.0.0.0/8"),
	netip.MustParsePrefix("fe80::/10"), netip.MustParsePrefix("::1/128"), netip.MustParsePrefix("fd00:ec2::/32"),
}

// surrounded reports whether the gateways of the namespace get policies: its
// label says so. The configuration's default does not reach so far, for a
// mistake here would stop the traffic of the whole mesh.
func surrounded(m *mesh.Mesh, namespace string) bool {
	ns := m.Namespace(namespace)
	return ns != nil && gatewayNamespace(m.Settings(), namespace) && ns.Labels[mesh.NetworkPolicyLabel] == "enabled"
}

// Gateways returns the policies around the gateways of namespaces that ask for
// them, sorted by namespace and name: only the mesh comes in, and the gateway
// goes out into the world but not back into the cluster.
func Gateways(m *mesh.Mesh) []*networkingv1.NetworkPolicy {
	var policies []*networkingv1.NetworkPolicy
	for _, g := range m.Settings().Gateways {
		if surrounded(m, g.Namespace) {
			policies = append(policies, surround(m, g))
		}
	}
	slices.SortFunc(policies, func(a, b *networkingv1.NetworkPolicy) int {
		return slices.Compare([]string{a.Namespace, a.Name}, []string{b.Namespace, b.Name})
	})
	return policies
}

func surround(m *mesh.Mesh, g mesh.EgressGateway) *networkingv1.NetworkPolicy {
	metrics := portSet{}
	for _, port := range notForClients {
		metrics.add("TCP", strconv.Itoa(port))
	}
	tcp := []networkingv1.NetworkPolicyPort{{Protocol: protocol("TCP")}}
	egress := slices.Concat(dnsRules(m), istiodRules(m), []networkingv1.NetworkPolicyEgressRule{{
		To:    []networkingv1.NetworkPolicyPeer{block("0.0.0.0/0", insideV4...), block("::/0", insideV6...)},
		Ports: tcp,
	}})
	egress = append(egress, needed(m)...)

	p := newPolicy(g.Namespace, gatewayPrefix+g.Name)
	p.Spec = networkingv1.NetworkPolicySpec{
		PodSelector: metav1.LabelSelector{MatchLabels: g.Selector},
		PolicyTypes: []networkingv1.PolicyType{networkingv1.PolicyTypeIngress, networkingv1.PolicyTypeEgress},
		Ingress: []networkingv1.NetworkPolicyIngressRule{
			// Whoever may read metrics and readiness learns nothing that
			// would let traffic out.
			{From: []networkingv1.NetworkPolicyPeer{{NamespaceSelector: &metav1.LabelSelector{}}}, Ports: metrics.list()},
		},
		Egress: egress,
	}
	if clients := neighbours(m, ""); len(clients) > 0 {
		p.Spec.Ingress = append([]networkingv1.NetworkPolicyIngressRule{{
			From:  []networkingv1.NetworkPolicyPeer{pods(nil, clients...)},
			Ports: gatewayPorts(m, g),
		}}, p.Spec.Ingress...)
	}
	return p
}

// needed allows the gateway the inside addresses that ServiceEntries of the
// platform name as endpoints: a partner behind a private line, say. Tenants
// cannot open the wall this way, and nobody can open it to link-local
// addresses.
func needed(m *mesh.Mesh) []networkingv1.NetworkPolicyEgressRule {
	byAddress := map[netip.Addr]portSet{}
	for _, namespace := range m.Settings().PlatformNamespaces {
		for o := range m.In("ServiceEntry", namespace) {
			entry := o.(*mesh.ServiceEntry)
			// Companions repeat what tenants say.
			if entry.Labels[mesh.ManagedByLabel] == mesh.ManagedBy || len(m.Points(entry)) == 0 {
				continue
			}
			for _, e := range entry.Endpoints {
				address, err := netip.ParseAddr(e.Address)
				address = address.Unmap().WithZone("")
				if err != nil || !within(address, insideV4, insideV6) || forbidden(address) {
					continue
				}
				for _, port := range entry.Ports {
					if byAddress[address] == nil {
						byAddress[address] = portSet{}
					}
					byAddress[address].add("TCP", strconv.Itoa(endpointPort(e, port)))
				}
			}
		}
	}
	addresses := make([]netip.Addr, 0, len(byAddress))
	for a := range byAddress {
		addresses = append(addresses, a)
	}
	slices.SortFunc(addresses, netip.Addr.Compare)
	var rules []networkingv1.NetworkPolicyEgressRule
	for _, a := range addresses {
		rules = append(rules, networkingv1.NetworkPolicyEgressRule{
			To:    []networkingv1.NetworkPolicyPeer{block(netip.PrefixFrom(a, a.BitLen()).String())},
			Ports: byAddress[a].list(),
		})
	}
	return rules
}

// endpointPort is the port of an endpoint for a port of its entry: its own of
// that name, else the entry's target port, else the port itself.
func endpointPort(e mesh.Endpoint, p mesh.ServicePort) int {
	if port := e.Ports[p.Name]; port != 0 {
		return port
	}
	if p.TargetPort != 0 {
		return p.TargetPort
	}
	return p.Number
}

func within(address netip.Addr, lists ...[]string) bool {
	return slices.ContainsFunc(slices.Concat(lists...), func(cidr string) bool {
		return netip.MustParsePrefix(cidr).Contains(address)
	})
}

func forbidden(address netip.Addr) bool {
	return slices.ContainsFunc(never, func(p netip.Prefix) bool { return p.Contains(address) })
}
