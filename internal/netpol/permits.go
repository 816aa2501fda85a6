package netpol

import (
	"net/netip"
	"slices"

	networkingv1 "k8s.io/api/networking/v1"
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
	p := newPermits(m, policies)
	return p.permits(pod, to)
}

// permits are policies that were read once to be asked often.
type permits struct {
	m        *mesh.Mesh
	policies []permitted
}

// permitted is what one policy permits.
type permitted struct {
	namespace string
	pods      *selector
	rules     []permittedRule
}

type permittedRule struct {
	ports []networkingv1.NetworkPolicyPort
	peers []permittedPeer // none: every destination
}

type permittedPeer struct {
	block      *networkingv1.IPBlock
	own        bool      // of the policy's namespace
	namespaces *selector // where it is not
	allPods    bool
	pods       *selector // where it is not
}

// newPermits reads the policies that are about egress. A selector that is none
// selects nothing.
func newPermits(m *mesh.Mesh, policies []*networkingv1.NetworkPolicy) permits {
	out := permits{m: m}
	for _, p := range policies {
		if !affectsEgress(p.Spec) {
			continue
		}
		policy := permitted{namespace: p.Namespace}
		policy.pods, _ = compile(&p.Spec.PodSelector)
		for _, rule := range p.Spec.Egress {
			r := permittedRule{ports: rule.Ports}
			for _, peer := range rule.To {
				have := permittedPeer{block: peer.IPBlock, own: peer.NamespaceSelector == nil, allPods: peer.PodSelector == nil}
				have.namespaces, _ = compileNamespaces(peer.NamespaceSelector)
				have.pods, _ = compile(peer.PodSelector)
				r.peers = append(r.peers, have)
			}
			policy.rules = append(policy.rules, r)
		}
		out.policies = append(out.policies, policy)
	}
	return out
}

func (p *permits) permits(pod map[string]string, to Destination) bool {
	isolated := false
	for i := range p.policies {
		policy := &p.policies[i]
		if !policy.pods.selects(pod) {
			continue
		}
		isolated = true
		for _, rule := range policy.rules {
			if !permitsPort(rule.ports, to) {
				continue
			}
			if len(rule.peers) == 0 || slices.ContainsFunc(rule.peers, func(peer permittedPeer) bool {
				return peer.permits(p.m, policy.namespace, to)
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

func (p *permittedPeer) permits(m *mesh.Mesh, own string, to Destination) bool {
	if p.block != nil {
		return to.Address.IsValid() && inBlock(p.block, to.Address)
	}
	if to.Namespace == "" {
		return false
	}
	if p.own {
		if to.Namespace != own {
			return false
		}
	} else {
		var labels map[string]string
		if ns := m.Namespace(to.Namespace); ns != nil {
			labels = ns.Labels
		}
		if !p.namespaces.selectsNamespace(labels, to.Namespace) {
			return false
		}
	}
	return p.allPods || p.pods.selects(to.Labels)
}

func inBlock(b *networkingv1.IPBlock, a netip.Addr) bool {
	contains := func(cidr string) bool {
		p, err := netip.ParsePrefix(cidr)
		return err == nil && p.Contains(a)
	}
	return contains(b.CIDR) && !slices.ContainsFunc(b.Except, contains)
}
