package netpol

import (
	"cmp"
	"net/netip"
	"slices"
	"strconv"

	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/sallyport-io/sallyport/internal/mesh"
)

// surroundings are the policies around the gateways of a namespace, sorted by
// name: only the mesh comes in, and the gateway goes out into the world but not
// back into the cluster.
func surroundings(m *mesh.Mesh, namespace string) []*networkingv1.NetworkPolicy {
	var policies []*networkingv1.NetworkPolicy
	for _, g := range m.Settings().Gateways {
		if g.Namespace == namespace {
			policies = append(policies, surround(m, g))
		}
	}
	slices.SortFunc(policies, func(a, b *networkingv1.NetworkPolicy) int { return cmp.Compare(a.Name, b.Name) })
	return policies
}

func surround(m *mesh.Mesh, g mesh.EgressGateway) *networkingv1.NetworkPolicy {
	metrics := portSet{}
	for _, port := range notForClients {
		metrics.add("TCP", strconv.Itoa(port))
	}
	tcp := []networkingv1.NetworkPolicyPort{{Protocol: protocol("TCP")}}
	inside := insideOf(m)
	egress := slices.Concat(dnsRules(m), istiodRules(m), []networkingv1.NetworkPolicyEgressRule{{
		To:    inside.world(),
		Ports: tcp,
	}}, needed(m, inside), extra(m.Settings().Walls.GatewayDestinations, g.Name))

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
	var plain, hbone []string
	for _, name := range meshNamespaces(m) {
		if m.Namespace(name).Ambient() {
			hbone = append(hbone, name)
		} else {
			plain = append(plain, name)
		}
	}
	p.Spec.Ingress = slices.Concat(admit(plain, gatewayPorts(m, g, false)), admit(hbone, gatewayPorts(m, g, true)), p.Spec.Ingress)
	return p
}

// admit lets the pods of the namespaces in, on the ports.
func admit(namespaces []string, ports []networkingv1.NetworkPolicyPort) []networkingv1.NetworkPolicyIngressRule {
	if len(namespaces) == 0 {
		return nil
	}
	return []networkingv1.NetworkPolicyIngressRule{{
		From:  []networkingv1.NetworkPolicyPeer{pods(nil, namespaces...)},
		Ports: ports,
	}}
}

// needed allows the gateway the inside addresses that ServiceEntries of the
// platform name as endpoints: a partner behind a private line, say. Tenants
// cannot open the wall this way, and nobody can open it to link-local
// addresses.
func needed(m *mesh.Mesh, inside *inside) []networkingv1.NetworkPolicyEgressRule {
	byAddress := map[netip.Addr]portSet{}
	for _, namespace := range m.Settings().PlatformNamespaces {
		for o := range m.In("ServiceEntry", namespace) {
			entry := o.(*mesh.ServiceEntry)
			// Companions repeat what tenants say.
			if entry.Labels[mesh.ManagedByLabel] == mesh.ManagedBy || !m.HasPoints(entry) {
				continue
			}
			for _, e := range entry.Endpoints {
				address, err := netip.ParseAddr(e.Address)
				address = address.Unmap().WithZone("")
				if err != nil || !inside.contains(address) || forbidden(address) {
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
