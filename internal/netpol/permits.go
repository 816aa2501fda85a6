package netpol

import (
	"net/netip"
	"slices"

	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/sallyport-io/sallyport/internal/mesh"
)

// Destination is where a packet goes.
type Destination struct {
	// Namespace and Labels are those of a pod; Namespace is empty outside the
	// cluster.
	Namespace string            `json:"namespace,omitempty"`
	Labels    map[string]string `json:"labels,omitempty"`
	// Address is needed outside the cluster only.
	Address  netip.Addr `json:"address,omitzero"`
	Protocol string     `json:"protocol"` // TCP, UDP or SCTP
	// Port is the pod's; PortName is its name, where it has one.
	Port     int    `json:"port"`
	PortName string `json:"portName,omitempty"`
}

// Permits reports whether the policies let packets of a pod with these labels
// go to the destination. All policies must be of the pod's namespace. It looks
// at egress only: the other side may refuse still.
func Permits(m *mesh.Mesh, policies []*networkingv1.NetworkPolicy, pod map[string]string, to Destination) bool {
	isolated := false
	for _, p := range policies {
		if !affectsEgress(p.Spec) || !selects(&p.Spec.PodSelector, pod) {
			continue
		}
		isolated = true
		for _, rule := range p.Spec.Egress {
			if !permitsPort(rule.Ports, to) {
				continue
			}
			if len(rule.To) == 0 || slices.ContainsFunc(rule.To, func(peer networkingv1.NetworkPolicyPeer) bool {
				return permitsPeer(m, p.Namespace, peer, to)
			}) {
				return true
			}
		}
	}
	return !isolated
}

func permitsPort(ports []networkingv1.NetworkPolicyPort, to Destination) bool {
	return len(ports) == 0 || slices.ContainsFunc(ports, func(p networkingv1.NetworkPolicyPort) bool {
		switch {
		case string(protocolOf(p)) != to.Protocol:
			return false
		case p.Port == nil:
			return true
		case p.Port.Type == intstr.String:
			return p.Port.StrVal == to.PortName
		case p.EndPort != nil:
			return p.Port.IntValue() <= to.Port && to.Port <= int(*p.EndPort)
		default:
			return p.Port.IntValue() == to.Port
		}
	})
}

func permitsPeer(m *mesh.Mesh, own string, peer networkingv1.NetworkPolicyPeer, to Destination) bool {
	if peer.IPBlock != nil {
		return to.Address.IsValid() && inBlock(peer.IPBlock, to.Address)
	}
	if to.Namespace == "" {
		return false
	}
	if peer.NamespaceSelector == nil {
		if to.Namespace != own {
			return false
		}
	} else {
		set := labels.Set{nameLabel: to.Namespace}
		if ns := m.Namespace(to.Namespace); ns != nil {
			set = labels.Merge(ns.Labels, set)
		}
		if !selects(peer.NamespaceSelector, set) {
			return false
		}
	}
	return peer.PodSelector == nil || selects(peer.PodSelector, to.Labels)
}

func inBlock(b *networkingv1.IPBlock, a netip.Addr) bool {
	contains := func(cidr string) bool {
		p, err := netip.ParsePrefix(cidr)
		return err == nil && p.Contains(a)
	}
	return contains(b.CIDR) && !slices.ContainsFunc(b.Except, contains)
}

func selects(s *metav1.LabelSelector, set map[string]string) bool {
	selector, err := metav1.LabelSelectorAsSelector(s)
	return err == nil && selector.Matches(labels.Set(set))
}
