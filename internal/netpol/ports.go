package netpol

import (
	"cmp"
	"maps"
	"slices"
	"strconv"

	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/sallyport-io/sallyport/internal/mesh"
)

const (
	// istiodPort is XDS and CA over TLS. 15010 is plaintext, 15017 is for the
	// API server alone, 15014 is monitoring: workloads need none of them.
	// https://istio.io/latest/docs/ops/deployment/application-requirements/#ports-used-by-istio
	istiodPort = 15012
	// hbonePort is where pods in ambient mode, and waypoints, take traffic.
	// https://istio.io/latest/docs/ambient/usage/networkpolicy/
	hbonePort = 15008
)

var istiodSelector = map[string]string{"app": "istiod"} // every revision's pods have it

// notForClients are ports of a gateway's Service that no sidecar needs:
// readiness and metrics.
var notForClients = []int{15020, 15021, 15090}

// portSet collects ports, each once.
type portSet map[portKey]bool

type portKey struct{ protocol, port string }

// add takes a port's number or name.
func (s portSet) add(protocol, port string) { s[portKey{cmp.Or(protocol, "TCP"), port}] = true }

// list returns the ports, numbers first, each in order.
func (s portSet) list() []networkingv1.NetworkPolicyPort {
	keys := slices.SortedFunc(maps.Keys(s), func(a, b portKey) int {
		x, errX := strconv.Atoi(a.port)
		y, errY := strconv.Atoi(b.port)
		switch {
		case errX == nil && errY != nil:
			return -1
		case errX != nil && errY == nil:
			return 1
		}
		return cmp.Or(cmp.Compare(x, y), cmp.Compare(a.port, b.port), cmp.Compare(a.protocol, b.protocol))
	})
	var ports []networkingv1.NetworkPolicyPort
	for _, k := range keys {
		port := intstr.Parse(k.port)
		ports = append(ports, networkingv1.NetworkPolicyPort{Protocol: protocol(k.protocol), Port: &port})
	}
	return ports
}

// target is the port of the pods behind a port of a Service: NetworkPolicy
// knows no Services. A named port stays a name, which the policy resolves pod
// by pod as the Service does.
func target(p mesh.K8sServicePort) string {
	return cmp.Or(p.TargetPort, strconv.Itoa(p.Port))
}

// resolved is the policy with the numbers of its named ports beside the names:
// those that the EndpointSlices of the Services with the same pods have for them.
// It is for comparisons. A policy that is written keeps the name alone, which goes
// with the pods.
func resolved(m *mesh.Mesh, policy *networkingv1.NetworkPolicy) *networkingv1.NetworkPolicy {
	out := policy.DeepCopy()
	for i := range out.Spec.Egress {
		rule := &out.Spec.Egress[i]
		numbers := portSet{}
		for _, port := range rule.Ports {
			if port.Port == nil || port.Port.Type != intstr.String {
				continue
			}
			for _, peer := range rule.To {
				for _, n := range numbersOf(m, peer, port) {
					numbers.add(string(protocolOf(port)), strconv.Itoa(n))
				}
			}
		}
		rule.Ports = append(rule.Ports, numbers.list()...)
	}
	return out
}

// numbersOf are what a named port is for the pods of a peer that is one
// namespace's.
func numbersOf(m *mesh.Mesh, peer networkingv1.NetworkPolicyPeer, port networkingv1.NetworkPolicyPort) []int {
	if peer.NamespaceSelector == nil || peer.PodSelector == nil {
		return nil
	}
	namespace := peer.NamespaceSelector.MatchLabels[nameLabel]
	if namespace == "" {
		return nil
	}
	names := map[[2]string]bool{} // of Services and their ports
	for o := range m.In("Service", namespace) {
		s := o.(*mesh.Service)
		m.Spend(1 + len(s.Ports))
		if !maps.Equal(s.Selector, peer.PodSelector.MatchLabels) {
			continue
		}
		for _, p := range s.Ports {
			if p.TargetPort == port.Port.StrVal && cmp.Or(p.Protocol, "TCP") == string(protocolOf(port)) {
				names[[2]string{s.Name, p.Name}] = true
			}
		}
	}
	if len(names) == 0 {
		return nil
	}
	var numbers []int
	for o := range m.In("EndpointSlice", namespace) {
		slice := o.(*mesh.EndpointSlice)
		m.Spend(1 + len(slice.Ports))
		for _, p := range slice.Ports {
			if names[[2]string{slice.Service, p.Name}] && cmp.Or(p.Protocol, "TCP") == string(protocolOf(port)) && p.Port > 0 {
				numbers = append(numbers, p.Port)
			}
		}
	}
	return numbers
}

// istiodRules allow proxies to reach their control plane, of every revision.
func istiodRules(m *mesh.Mesh) []networkingv1.NetworkPolicyEgressRule {
	istiod := m.Settings().IstioNamespace
	ports := portSet{}
	ports.add("TCP", strconv.Itoa(istiodPort))
	for o := range m.In("Service", istiod) {
		s := o.(*mesh.Service)
		if s.Selector["app"] != "istiod" {
			continue
		}
		for _, p := range s.Ports {
			if p.Port == istiodPort {
				ports.add(p.Protocol, target(p))
			}
		}
	}
	return []networkingv1.NetworkPolicyEgressRule{{
		To: []networkingv1.NetworkPolicyPeer{pods(istiodSelector, istiod)}, Ports: ports.list(),
	}}
}

// gatewayPorts are the ports on which a gateway's pods serve the mesh: the
// target ports of its Service. Where the mesh does not hold the Service they
// are those of Istio's own chart (manifests/charts/gateways/istio-egress).
// Pods in ambient mode reach it by HBONE where it takes that.
func gatewayPorts(m *mesh.Mesh, g mesh.EgressGateway, hbone bool) []networkingv1.NetworkPolicyPort {
	ports := portSet{}
	if hbone {
		ports.add("TCP", strconv.Itoa(hbonePort))
	}
	s, _ := m.Get(mesh.Ref{Kind: "Service", Namespace: g.Namespace, Name: g.Service}).(*mesh.Service)
	if s == nil {
		ports.add("TCP", "8080")
		ports.add("TCP", "8443")
		return ports.list()
	}
	for _, p := range s.Ports {
		if !slices.Contains(notForClients, p.Port) {
			ports.add(p.Protocol, target(p))
		}
	}
	return ports.list()
}
