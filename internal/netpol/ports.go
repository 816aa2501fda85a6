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
