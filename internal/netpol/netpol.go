// Package netpol computes the NetworkPolicies that leave the pods of a mesh
// no way around the egress gateway. Istio alone cannot do that: a pod can
// always go around its sidecar. It is pure; package reconcile writes what it
// computes.
//
// What NetworkPolicy cannot contain either is listed in README.md.
package netpol

import (
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/sallyport-io/sallyport/internal/mesh"
)

// Names of the policies that Sallyport keeps. NetworkPolicies of these names
// are reserved: nobody else may write them.
const (
	// EgressName confines a namespace.
	EgressName = "sallyport-egress"
	// gatewayPrefix with the name of a gateway surrounds that gateway.
	gatewayPrefix = "sallyport-gateway-"
)

// nameLabel is the label that the API server itself keeps on every namespace
// and that nobody can change. Peers are selected by it alone: any other label
// could be copied by a tenant.
const nameLabel = "kubernetes.io/metadata.name"

// Is reports whether the Ref is one that Sallyport uses for its policies.
func Is(ref mesh.Ref) bool {
	return ref.Kind == "NetworkPolicy" && (ref.Name == EgressName ||
		strings.HasPrefix(ref.Name, gatewayPrefix) && ref.Name != gatewayPrefix)
}

// Stage is how far policies are switched on in a namespace.
type Stage string

// The stages.
const (
	Off      Stage = "off"
	Staged   Stage = "staged" // what would be is shown, and nothing written
	Enforced Stage = "enforced"
)

// StageOf returns the stage of a namespace: what its label says, or what the
// configuration does for a namespace of the mesh without label.
//
// In the namespace of a gateway it is about the policies around the gateway.
// The configuration's default does not reach so far, for a mistake there would
// stop the traffic of the whole mesh. What else is the control plane's is
// never confined, whatever its labels: istiod and the DNS servers would no
// longer reach what they serve.
func StageOf(m *mesh.Mesh, namespace string) Stage {
	s := m.Settings()
	ns := m.Namespace(namespace)
	if ns == nil || controlPlane(s, namespace) && !s.GatewayNamespace(namespace) {
		return Off
	}
	switch ns.Labels[mesh.NetworkPolicyLabel] {
	case "enabled":
		return Enforced
	case "staged":
		return Staged
	case "disabled":
		return Off
	}
	switch {
	case s.GatewayNamespace(namespace) || s.Platform(namespace) || !ns.InMesh():
		return Off
	case s.NetworkPolicy:
		return Enforced
	case s.Walls.Staged:
		return Staged
	}
	return Off
}

// Namespaces returns the namespaces at a stage, sorted.
func Namespaces(m *mesh.Mesh, stage Stage) []string {
	var names []string
	for o := range m.All("Namespace") {
		if name := o.Metadata().Name; StageOf(m, name) == stage {
			names = append(names, name)
		}
	}
	return names // the mesh yields them in order
}

// For returns the policies that Sallyport keeps in the namespace, sorted by
// name; none for a namespace that does not ask for any. The policies of one
// mesh are always the same, to the byte.
func For(m *mesh.Mesh, namespace string) []*networkingv1.NetworkPolicy {
	if StageOf(m, namespace) != Enforced {
		return nil
	}
	return Planned(m, namespace)
}

// Planned returns the policies that Sallyport would keep in the namespace if
// it asked for them.
func Planned(m *mesh.Mesh, namespace string) []*networkingv1.NetworkPolicy {
	switch s := m.Settings(); {
	case s.GatewayNamespace(namespace):
		return surroundings(m, namespace)
	case controlPlane(s, namespace):
		return nil
	default:
		return []*networkingv1.NetworkPolicy{wall(m, namespace)}
	}
}

// Count returns how many policies [Planned] returns.
func Count(m *mesh.Mesh, namespace string) int {
	s := m.Settings()
	if !controlPlane(s, namespace) {
		return 1
	}
	count := 0
	for _, g := range s.Gateways {
		if g.Namespace == namespace {
			count++
		}
	}
	return count
}

// Walled reports whether the namespace's pods are confined.
func Walled(m *mesh.Mesh, namespace string) bool {
	return StageOf(m, namespace) == Enforced && !m.Settings().GatewayNamespace(namespace)
}

func controlPlane(s mesh.Settings, namespace string) bool {
	return ServesDNS(s, namespace) || namespace == s.RootNamespace || namespace == s.IstioNamespace || s.GatewayNamespace(namespace)
}

// wall confines the pods of a namespace to DNS, istiod, the egress gateways,
// the pods of its neighbours and what the administrator adds. Whatever they
// send elsewhere is dropped.
func wall(m *mesh.Mesh, namespace string) *networkingv1.NetworkPolicy {
	p := newPolicy(namespace, EgressName)
	p.Spec = networkingv1.NetworkPolicySpec{
		// Explicit, so that an empty list of rules would mean "nothing" and
		// not "everything".
		PolicyTypes: []networkingv1.PolicyType{networkingv1.PolicyTypeEgress},
	}
	s := m.Settings()
	if s.Walls.IstioTask {
		p.Spec.Egress = taskRules()
		return p
	}
	p.Spec.Egress = slices.Concat(dnsRules(m), istiodRules(m))
	for _, g := range s.Gateways {
		p.Spec.Egress = append(p.Spec.Egress, networkingv1.NetworkPolicyEgressRule{
			To:    []networkingv1.NetworkPolicyPeer{pods(g.Selector, g.Namespace)},
			Ports: gatewayPorts(m, g, m.Namespace(namespace).Ambient()),
		})
	}
	p.Spec.Egress = append(p.Spec.Egress, networkingv1.NetworkPolicyEgressRule{
		To: []networkingv1.NetworkPolicyPeer{pods(nil, neighbours(m, namespace)...)},
	})
	p.Spec.Egress = append(p.Spec.Egress, extra(s.Walls.Destinations, namespace)...)
	return p
}

func newPolicy(namespace, name string) *networkingv1.NetworkPolicy {
	return &networkingv1.NetworkPolicy{
		TypeMeta: metav1.TypeMeta{APIVersion: "networking.k8s.io/v1", Kind: "NetworkPolicy"},
		ObjectMeta: metav1.ObjectMeta{
			Namespace: namespace,
			Name:      name,
			Labels:    map[string]string{mesh.ManagedByLabel: mesh.ManagedBy},
		},
	}
}

// pods selects the pods with the labels, or all pods, of the namespaces. Both
// selectors are in one peer, which makes them a conjunction.
func pods(labels map[string]string, namespaces ...string) networkingv1.NetworkPolicyPeer {
	peer := networkingv1.NetworkPolicyPeer{NamespaceSelector: &metav1.LabelSelector{}}
	if len(namespaces) == 1 {
		peer.NamespaceSelector.MatchLabels = map[string]string{nameLabel: namespaces[0]}
	} else {
		peer.NamespaceSelector.MatchExpressions = []metav1.LabelSelectorRequirement{{
			Key: nameLabel, Operator: metav1.LabelSelectorOpIn, Values: namespaces,
		}}
	}
	if labels != nil {
		peer.PodSelector = &metav1.LabelSelector{MatchLabels: labels}
	}
	return peer
}

func block(cidr string, except ...string) networkingv1.NetworkPolicyPeer {
	return networkingv1.NetworkPolicyPeer{IPBlock: &networkingv1.IPBlock{CIDR: cidr, Except: except}}
}

// protocol returns a pointer, as the API has it.
func protocol(name string) *corev1.Protocol {
	p := corev1.Protocol(name)
	return &p
}
