package netpol

import (
	"net/netip"
	"slices"

	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/sallyport-io/sallyport/internal/mesh"
)

// extra are the rules for what the administrator lets a namespace, or a
// gateway, reach on top.
func extra(destinations []mesh.WallDestination, from string) []networkingv1.NetworkPolicyEgressRule {
	var rules []networkingv1.NetworkPolicyEgressRule
	for _, d := range destinations {
		if len(d.From) > 0 && !slices.Contains(d.From, from) {
			continue
		}
		var rule networkingv1.NetworkPolicyEgressRule
		for _, cidr := range d.CIDRs {
			rule.To = append(rule.To, block(cidr))
		}
		switch {
		case len(d.Namespaces) > 0:
			rule.To = append(rule.To, pods(d.PodLabels, d.Namespaces...))
		case len(d.NamespaceLabels) > 0:
			peer := networkingv1.NetworkPolicyPeer{NamespaceSelector: &metav1.LabelSelector{MatchLabels: d.NamespaceLabels}}
			if d.PodLabels != nil {
				peer.PodSelector = &metav1.LabelSelector{MatchLabels: d.PodLabels}
			}
			rule.To = append(rule.To, peer)
		}
		if len(rule.To) == 0 {
			continue // without peers, the rule would allow every destination
		}
		for _, p := range d.Ports {
			port := intstr.Parse(p.Port)
			out := networkingv1.NetworkPolicyPort{Protocol: protocol(p.Protocol), Port: &port}
			if p.EndPort != 0 {
				out.EndPort = new(int32(p.EndPort))
			}
			rule.Ports = append(rule.Ports, out)
		}
		rules = append(rules, rule)
	}
	return rules
}

// taskRules are those of the NetworkPolicy in Istio's task "Egress Gateways",
// word for word: DNS by UDP in the namespace labelled kube-system=true, and
// everything in those labelled istio=system.
//
// https://istio.io/latest/docs/tasks/traffic-management/egress/egress-gateway/#apply-kubernetes-network-policies
func taskRules() []networkingv1.NetworkPolicyEgressRule {
	labelled := func(key, value string) []networkingv1.NetworkPolicyPeer {
		return []networkingv1.NetworkPolicyPeer{{
			NamespaceSelector: &metav1.LabelSelector{MatchLabels: map[string]string{key: value}},
		}}
	}
	dns := intstr.FromInt32(dnsPort)
	return []networkingv1.NetworkPolicyEgressRule{
		{To: labelled("kube-system", "true"), Ports: []networkingv1.NetworkPolicyPort{{Protocol: protocol("UDP"), Port: &dns}}},
		{To: labelled("istio", "system")},
	}
}

// single is the range of one address.
func single(address string) (string, bool) {
	a, err := netip.ParseAddr(address)
	if err != nil {
		return "", false
	}
	a = a.Unmap().WithZone("")
	return netip.PrefixFrom(a, a.BitLen()).String(), true
}
