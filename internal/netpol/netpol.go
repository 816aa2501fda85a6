// Package netpol computes the NetworkPolicies that leave the pods of a mesh
// no way around the egress gateway. Istio alone cannot do that: a pod can
// always go around its sidecar. It is pure; package reconcile writes what it
// computes.
//
// What NetworkPolicy cannot contain either is listed in README.md.
package netpol

import (
	"maps"
	"slices"

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
		len(ref.Name) > len(gatewayPrefix) && ref.Name[:len(gatewayPrefix)] == gatewayPrefix)
}

// Namespaces returns the namespaces that are to have policies: those that are
// walled and those of gateways that are surrounded, sorted.
func Namespaces(m *mesh.Mesh) []string {
	var names []string
	for o := range m.All("Namespace") {
		if name := o.Metadata().Name; Walled(m, name) || surrounded(m, name) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// For returns the policies that Sallyport keeps in the namespace, sorted by
// name; none for a namespace that does not ask for any. The policies of one
// mesh are always the same, to the byte.
func For(m *mesh.Mesh, namespace string) []*networkingv1.NetworkPolicy {
	var policies []*networkingv1.NetworkPolicy
	if Walled(m, namespace) {
		policies = append(policies, wall(m, namespace))
	}
	for _, p := range Gateways(m) {
		if p.Namespace == namespace {
			policies = append(policies, p)
		}
	}
	return policies
}

// Walled reports whether the namespace's pods are confined: its label says
// so, or the configuration does for a namespace of the mesh without label.
//
// The control plane's namespaces are never walled as a whole, whatever their
// labels: istiod and the DNS servers would no longer reach what they serve. The
// label on a gateway's namespace surrounds the gateway; see [Gateways].
func Walled(m *mesh.Mesh, namespace string) bool {
	s := m.Settings()
	if namespace == dnsNamespace || namespace == s.RootNamespace || gatewayNamespace(s, namespace) {
		return false
	}
	ns := m.Namespace(namespace)
	if ns == nil {
		return false
	}
	switch ns.Labels[mesh.NetworkPolicyLabel] {
	case "enabled":
		return true
	case "disabled":
		return false
	}
	return s.NetworkPolicy && InMesh(ns) && !s.Platform(namespace)
}

func gatewayNamespace(s mesh.Settings, namespace string) bool {
	return slices.ContainsFunc(s.Gateways, func(g mesh.EgressGateway) bool { return g.Namespace == namespace })
}

// InMesh reports whether the namespace's labels put its pods into the mesh:
// by sidecar (istio-injection or a revision) or in ambient mode. A single pod
// may still be in or out by labels of its own.
//
// https://istio.io/latest/docs/setup/additional-setup/sidecar-injection/#controlling-the-injection-policy
func InMesh(ns *mesh.Namespace) bool {
	if ns.Labels["istio.io/dataplane-mode"] == "ambient" {
		return true
	}
	switch ns.Labels["istio-injection"] {
	case "enabled":
		return true
	case "disabled":
		return false
	}
	return ns.Labels["istio.io/rev"] != ""
}

// neighbours are the namespaces to which confined pods may talk: those of the
// mesh that are not the platform's, and their own.
func neighbours(m *mesh.Mesh, own string) []string {
	names := map[string]bool{}
	if own != "" {
		names[own] = true
	}
	for o := range m.All("Namespace") {
		ns := o.(*mesh.Namespace)
		if InMesh(ns) && !m.Settings().Platform(ns.Name) {
			names[ns.Name] = true
		}
	}
	return slices.Sorted(maps.Keys(names))
}

// wall confines the pods of a namespace to DNS, istiod, the egress gateways
// and the pods of the mesh. Whatever they send elsewhere is dropped.
func wall(m *mesh.Mesh, namespace string) *networkingv1.NetworkPolicy {
	rules := slices.Concat(dnsRules(m), istiodRules(m))
	for _, g := range m.Settings().Gateways {
		rules = append(rules, networkingv1.NetworkPolicyEgressRule{
			To:    []networkingv1.NetworkPolicyPeer{pods(g.Selector, g.Namespace)},
			Ports: gatewayPorts(m, g),
		})
	}
	rules = append(rules, networkingv1.NetworkPolicyEgressRule{
		To: []networkingv1.NetworkPolicyPeer{pods(nil, neighbours(m, namespace)...)},
	})
	p := newPolicy(namespace, EgressName)
	p.Spec = networkingv1.NetworkPolicySpec{
		// Explicit, so that an empty list of rules would mean "nothing" and
		// not "everything".
		PolicyTypes: []networkingv1.PolicyType{networkingv1.PolicyTypeEgress},
		Egress:      rules,
	}
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
