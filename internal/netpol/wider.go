package netpol

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/sallyport-io/sallyport/internal/mesh"
)

// Opening is a place at which a policy lets pods go further than the wall.
type Opening struct {
	mesh.Reason
	// CIDR is the range of addresses that is opened, where it is one.
	CIDR string
}

// Wider returns where a NetworkPolicy lets pods of a walled namespace go
// further than the wall does. Policies add up: one of them that allows is
// enough. Nothing is returned for a policy that only narrows, of a namespace
// that is not walled, or of Sallyport itself.
//
// Namespaces are taken as they are in the mesh. A selector that matches no
// namespace outside today may match one tomorrow; only the administrator, who
// labels namespaces, can bring that about.
func Wider(m *mesh.Mesh, np *mesh.NetworkPolicy) ([]Opening, error) {
	if Is(np.Ref) || !Walled(m, np.Namespace) {
		return nil, nil
	}
	var policy networkingv1.NetworkPolicy
	if err := json.Unmarshal(np.Raw, &policy); err != nil {
		return nil, fmt.Errorf("%s: %w", np.Ref, err)
	}
	if !affectsEgress(policy.Spec) {
		return nil, nil
	}
	w := widener{m, np, wall(m, np.Namespace).Spec.Egress}
	var openings []Opening
	for i, rule := range policy.Spec.Egress {
		at := fmt.Sprintf("spec.egress[%d]", i)
		if len(rule.To) == 0 {
			openings = append(openings, w.opening(at, "allows every destination%s", onPorts(rule.Ports)))
			continue
		}
		for j, peer := range rule.To {
			openings = append(openings, w.peer(fmt.Sprintf("%s.to[%d]", at, j), peer, rule.Ports)...)
		}
	}
	return openings, nil
}

// affectsEgress follows the API's defaulting: without policyTypes, a policy
// with egress rules is one for egress; with them, they decide alone.
func affectsEgress(s networkingv1.NetworkPolicySpec) bool {
	if len(s.PolicyTypes) == 0 {
		return len(s.Egress) > 0
	}
	return slices.Contains(s.PolicyTypes, networkingv1.PolicyTypeEgress)
}

type widener struct {
	m    *mesh.Mesh
	np   *mesh.NetworkPolicy
	wall []networkingv1.NetworkPolicyEgressRule
}

func (w widener) opening(path, format string, args ...any) Opening {
	return Opening{Reason: mesh.Reason{Ref: w.np.Ref, Path: path, Message: fmt.Sprintf(format, args...)}}
}

func (w widener) peer(path string, peer networkingv1.NetworkPolicyPeer, ports []networkingv1.NetworkPolicyPort) []Opening {
	if peer.IPBlock != nil {
		if w.coveredRange(peer.IPBlock.CIDR, ports) {
			return nil
		}
		opening := w.opening(path+".ipBlock.cidr", "allows the addresses %s%s", peer.IPBlock.CIDR, onPorts(ports))
		opening.CIDR = peer.IPBlock.CIDR
		return []Opening{opening}
	}
	if peer.NamespaceSelector == nil {
		return nil // pods of its own namespace
	}
	selector, err := metav1.LabelSelectorAsSelector(peer.NamespaceSelector)
	if err != nil {
		return []Opening{w.opening(path+".namespaceSelector", "cannot be read: %v", err)}
	}
	if selector.Empty() {
		return []Opening{w.opening(path+".namespaceSelector", "allows every namespace%s", onPorts(ports))}
	}
	var outside []string
	for o := range w.m.All("Namespace") {
		ns := o.Metadata()
		set := labels.Merge(labels.Set(ns.Labels), labels.Set{nameLabel: ns.Name})
		if selector.Matches(set) && !w.covered(set, peer, ports) {
			outside = append(outside, ns.Name)
		}
	}
	if len(outside) == 0 {
		return nil
	}
	return []Opening{w.opening(path, "allows namespace %s%s, which the wall closes", strings.Join(outside, ", "), onPorts(ports))}
}

// covered reports whether the wall itself allows what the peer allows in the
// namespace with these labels: the same pods or fewer, on the same ports or
// fewer.
func (w widener) covered(namespace labels.Set, peer networkingv1.NetworkPolicyPeer, ports []networkingv1.NetworkPolicyPort) bool {
	return slices.ContainsFunc(w.wall, func(rule networkingv1.NetworkPolicyEgressRule) bool {
		return subset(ports, rule.Ports) && slices.ContainsFunc(rule.To, func(ours networkingv1.NetworkPolicyPeer) bool {
			return ours.NamespaceSelector != nil && selects(ours.NamespaceSelector, namespace) &&
				(ours.PodSelector == nil || peer.PodSelector != nil && selects(ours.PodSelector, peer.PodSelector.MatchLabels))
		})
	})
}

// coveredRange reports whether the wall itself allows the range of addresses,
// on the ports.
func (w widener) coveredRange(cidr string, ports []networkingv1.NetworkPolicyPort) bool {
	p, err := netip.ParsePrefix(cidr)
	return err == nil && slices.ContainsFunc(w.wall, func(rule networkingv1.NetworkPolicyEgressRule) bool {
		return subset(ports, rule.Ports) && slices.ContainsFunc(rule.To, func(ours networkingv1.NetworkPolicyPeer) bool {
			if ours.IPBlock == nil {
				return false
			}
			have, err := netip.ParsePrefix(ours.IPBlock.CIDR)
			return err == nil && have.Bits() <= p.Bits() && have.Contains(p.Addr())
		})
	})
}

// subset reports whether every port is one of those allowed. No ports at all
// stand for every port.
func subset(ports, allowed []networkingv1.NetworkPolicyPort) bool {
	if len(allowed) == 0 {
		return true
	}
	return len(ports) > 0 && !slices.ContainsFunc(ports, func(p networkingv1.NetworkPolicyPort) bool {
		return !slices.ContainsFunc(allowed, func(a networkingv1.NetworkPolicyPort) bool { return within(p, a) })
	})
}

// within reports whether a port, or a range of ports, lies in another one.
func within(p, a networkingv1.NetworkPolicyPort) bool {
	switch {
	case protocolOf(p) != protocolOf(a):
		return false
	case a.Port == nil:
		return true
	case p.Port == nil:
		return false
	case p.Port.Type == intstr.String || a.Port.Type == intstr.String:
		return *p.Port == *a.Port
	}
	return a.Port.IntVal <= p.Port.IntVal && last(p) <= last(a)
}

// last is the last port of a range, or the port itself.
func last(p networkingv1.NetworkPolicyPort) int32 {
	if p.EndPort != nil {
		return *p.EndPort
	}
	return p.Port.IntVal
}

// protocolOf is the port's protocol, TCP where it says none.
func protocolOf(p networkingv1.NetworkPolicyPort) corev1.Protocol {
	if p.Protocol == nil {
		return corev1.ProtocolTCP
	}
	return *p.Protocol
}

func onPorts(ports []networkingv1.NetworkPolicyPort) string {
	if len(ports) == 0 {
		return ""
	}
	var list []string
	for _, p := range ports {
		switch {
		case p.Port == nil:
			list = append(list, fmt.Sprintf("every %s port", protocolOf(p)))
		case p.EndPort != nil:
			list = append(list, fmt.Sprintf("%s %s-%d", protocolOf(p), p.Port, *p.EndPort))
		default:
			list = append(list, fmt.Sprintf("%s %s", protocolOf(p), p.Port))
		}
	}
	return " on " + strings.Join(list, ", ")
}
