package netpol

import (
	"encoding/json"

	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/sallyport-io/sallyport/internal/mesh"
)

// Reaches reports whether the NetworkPolicies of a namespace let a pod of it,
// one without labels, go to the pods of an egress gateway by some port of its
// Service. A policy that cannot be read counts for nothing.
func Reaches(m *mesh.Mesh, namespace string, gateway mesh.EgressGateway) bool {
	var policies []*networkingv1.NetworkPolicy
	for o := range m.In("NetworkPolicy", namespace) {
		p := new(networkingv1.NetworkPolicy)
		if json.Unmarshal(o.(*mesh.NetworkPolicy).Raw, p) == nil {
			policies = append(policies, p)
		}
	}
	if len(policies) == 0 {
		return true
	}
	for _, port := range gatewayPorts(m, gateway, false) {
		to := Destination{Namespace: gateway.Namespace, Labels: gateway.Selector, Protocol: "TCP"}
		switch {
		case port.Port == nil:
		case port.Port.Type == intstr.String:
			to.PortName = port.Port.StrVal
		default:
			to.Port = port.Port.IntValue()
		}
		if Permits(m, policies, nil, to) {
			return true
		}
	}
	return false
}
