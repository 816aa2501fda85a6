package netpol

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/netip"
	"slices"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/sallyport-io/sallyport/internal/mesh"
	"github.com/sallyport-io/sallyport/internal/told"
)

// Opening is a place at which a policy lets pods go further than the wall.
type Opening struct {
	mesh.Reason
	// CIDR is the range of addresses that is opened, where it is one.
	CIDR string
	// About is what was found, of a policy of a network plugin: two that say the
	// same of something else are two openings.
	About string
}

// Wider returns where a NetworkPolicy lets pods of a walled namespace go
// further than the wall does. Policies add up: one of them that allows is
// enough. Nothing is returned for a policy that only narrows, of a namespace
// that is not walled, or of Sallyport itself. Of very many openings the first
// are returned, and the last of these says how many more there are.
//
// Namespaces are taken as they are in the mesh. A selector that matches no
// namespace outside today may match one tomorrow; only the administrator, who
// labels namespaces, can bring that about.
func Wider(m *mesh.Mesh, np *mesh.NetworkPolicy) ([]Opening, error) {
	var openings []Opening
	more := 0
	err := EachOpening(m, np, func(o Opening) {
		if len(openings) < maxOpenings {
			openings = append(openings, o)
		} else {
			more++
		}
	})
	if more > 0 {
		text := told.F("allows %d more destinations that the wall closes", more)
		openings = append(openings, Opening{Reason: mesh.Reason{
			Ref: np.Ref, Path: "spec.egress", Message: text.String(), Told: text,
		}})
	}
	return openings, err
}

// maxOpenings is how many openings of one policy are worth listing.
const maxOpenings = 50

// EachOpening calls yield for each opening that [Wider] is about. What it costs
// is linear in the peers of the policy and in the namespaces that have different
// labels, and is taken from the mesh's budget.
func EachOpening(m *mesh.Mesh, np *mesh.NetworkPolicy, yield func(Opening)) error {
	if Is(np.Ref) || !Walled(m, np.Namespace) {
		return nil
	}
	policy, err := readPolicy(m, np)
	if err != nil {
		return err
	}
	if !affectsEgress(policy.Spec) {
		return nil
	}
	w := widener{m: m, ref: np.Ref, yield: yield, answers: map[string]outside{}}
	for i, rule := range policy.Spec.Egress {
		at := fmt.Sprintf("spec.egress[%d]", i)
		if err := w.rule(at, rule, func(j int) string { return fmt.Sprintf("%s.to[%d]", at, j) }); err != nil {
			return fmt.Errorf("the wall of namespace %s: %w", np.Namespace, err)
		}
	}
	return nil
}

// EachHole calls yield for each opening of the policies that stand in the
// namespace, as if it had its wall already.
func EachHole(m *mesh.Mesh, namespace string, yield func(Opening)) error {
	m = walledMesh(m, namespace)
	for o := range m.In("NetworkPolicy", namespace) {
		m.Spend(1)
		if err := EachOpening(m, o.(*mesh.NetworkPolicy), yield); err != nil {
			return err
		}
	}
	return nil
}

// walledMesh is the mesh in which the namespace asks for its wall.
func walledMesh(m *mesh.Mesh, namespace string) *mesh.Mesh {
	ns := &mesh.Namespace{Meta: mesh.Meta{Ref: mesh.Ref{Kind: "Namespace", Name: namespace}}}
	if have := m.Namespace(namespace); have != nil {
		*ns = *have
	}
	ns.Labels = maps.Clone(ns.Labels)
	if ns.Labels == nil {
		ns.Labels = map[string]string{}
	}
	ns.Labels[mesh.NetworkPolicyLabel] = "enabled"
	return m.With(ns)
}

// readPolicy decodes a NetworkPolicy as the API has it.
func readPolicy(m *mesh.Mesh, np *mesh.NetworkPolicy) (policy networkingv1.NetworkPolicy, err error) {
	m.Spend(len(np.Raw) / bytesPerStep)
	if err := json.Unmarshal(np.Raw, &policy); err != nil {
		return policy, fmt.Errorf("%s: %w", np.Ref, err)
	}
	return policy, nil
}

// bytesPerStep is how much JSON is decoded in the time of a step.
const bytesPerStep = 8

// affectsEgress follows the API's defaulting: without policyTypes, a policy
// with egress rules is one for egress; with them, they decide alone.
func affectsEgress(s networkingv1.NetworkPolicySpec) bool {
	if len(s.PolicyTypes) == 0 {
		return len(s.Egress) > 0
	}
	return slices.Contains(s.PolicyTypes, networkingv1.PolicyTypeEgress)
}

// widener looks for what one policy opens.
type widener struct {
	m          *mesh.Mesh
	ref        mesh.Ref // of the policy
	foreign    bool     // it is a plugin's, whose peers have no fields of the API's
	yield      func(Opening)
	*landscape                    // nil until a peer asks for it
	answers    map[string]outside // of peers, by what they and their ports say

	// Of the rule at hand:
	ports  told.Text // in words
	within []bool    // by rule of the wall: whether it allows them
	key    string    // within, for answers
}

func (w *widener) open(path string, format told.Text, args ...any) {
	text := told.F(format, args...)
	w.yield(Opening{Reason: mesh.Reason{Ref: w.ref, Path: path, Message: text.String(), Told: text}})
}

// field is the path of a field of a peer.
func (w *widener) field(path, name string) string {
	if w.foreign {
		return path
	}
	return path + "." + name
}

// rule looks at one rule, which stands at a path, and its peers at theirs.
func (w *widener) rule(at string, rule networkingv1.NetworkPolicyEgressRule, peerAt func(int) string) (err error) {
	w.m.Spend(1 + len(rule.To))
	w.ports = onPorts(w.ref, rule.Ports)
	if len(rule.To) == 0 {
		w.open(at, "allows every destination%s", w.ports)
		return nil
	}
	if !slices.ContainsFunc(rule.To, leadsOut) {
		return nil
	}
	if w.landscape == nil {
		if w.landscape, err = newLandscape(w.m, resolved(w.m, wall(w.m, w.ref.Namespace))); err != nil {
			return err
		}
	}
	w.within = make([]bool, len(w.rules))
	for j := range w.rules {
		allowed := w.rules[j].Ports
		w.m.Spend(1 + len(rule.Ports)*len(allowed))
		w.within[j] = subset(rule.Ports, allowed)
	}
	w.key = fmt.Sprint(w.within)
	for j, peer := range rule.To {
		if leadsOut(peer) {
			w.peer(peerAt(j), peer)
		}
	}
	return nil
}

// leadsOut reports whether a peer can be anything but pods of its own
// namespace.
func leadsOut(peer networkingv1.NetworkPolicyPeer) bool {
	return peer.IPBlock != nil || peer.NamespaceSelector != nil
}

func (w *widener) peer(path string, peer networkingv1.NetworkPolicyPeer) {
	w.m.Spend(1 + len(w.doors))
	if peer.IPBlock != nil {
		if !w.coversRange(peer.IPBlock.CIDR) {
			cidr := peer.IPBlock.CIDR
			text := told.F("allows the addresses %s%s", w.ref.Tell().Detail(mesh.Short(cidr)), w.ports)
			w.yield(Opening{
				Reason: mesh.Reason{Ref: w.ref, Path: w.field(path, "ipBlock.cidr"), Message: text.String(), Told: text},
				CIDR:   cidr,
			})
		}
		return
	}
	out := w.outside(peer)
	switch {
	case out.err != nil:
		w.open(w.field(path, "namespaceSelector"), "cannot be read: %s", w.ref.Tell().Detail(out.err.Error()))
	case out.all:
		w.open(w.field(path, "namespaceSelector"), "allows every namespace%s", w.ports)
	case out.count > 0:
		w.open(path, "allows %s, which the wall closes", outsideNamespaces(out)+w.ports)
	}
}

// outside is what a peer allows that the wall does not.
type outside struct {
	err   error // the peer's selector cannot be read
	all   bool  // every namespace
	names []string
	count int // of names, and of those left out of them
}

func (o *outside) add(names ...string) {
	o.count += len(names)
	o.names = append(o.names, names[:min(len(names), mesh.MaxFew)]...)
	slices.Sort(o.names)
	o.names = o.names[:min(len(o.names), mesh.MaxFew)]
}

// outside returns the namespaces in which the peer allows what the wall does
// not. Peers that say the same are asked once.
func (w *widener) outside(peer networkingv1.NetworkPolicyPeer) outside {
	said, err := json.Marshal(peer)
	if err != nil {
		return outside{err: err}
	}
	key := w.key + string(said)
	w.m.Spend(len(key) / bytesPerStep)
	out, ok := w.answers[key]
	if !ok {
		out = w.ask(peer)
		w.answers[key] = out
	}
	return out
}

func (w *widener) ask(peer networkingv1.NetworkPolicyPeer) (out outside) {
	s, err := compileNamespaces(peer.NamespaceSelector)
	if err != nil {
		return outside{err: err}
	}
	if s.empty() {
		return outside{all: true}
	}
	w.m.Spend(s.size)
	helps := w.helping(peer.PodSelector)
	covered := func(doors []int) bool {
		return slices.ContainsFunc(doors, func(i int) bool { return helps[i] })
	}
	if list, ok := s.names(w.m); ok {
		for _, ns := range list {
			w.m.Spend(s.requirements())
			if s.selectsNamespace(ns.Labels, ns.Name) && !covered(w.doorsTo(ns)) {
				out.add(ns.Name)
			}
		}
		return out
	}
	for _, g := range w.candidates(s) {
		w.m.Spend(s.requirements())
		switch {
		case !s.selects(g.labels) || covered(g.doors):
		case len(s.named) == 0:
			out.add(g.names...)
		default:
			for _, name := range g.names {
				w.m.Spend(len(s.named))
				if s.selectsName(name) {
					out.add(name)
				}
			}
		}
	}
	return out
}

// helping tells, of each door of the wall, whether it is open to all that the
// pod selector of a peer allows, on the ports of the rule at hand: to the same
// pods or more.
func (w *widener) helping(pods *metav1.LabelSelector) []bool {
	helps := make([]bool, len(w.doors))
	for i := range w.doors {
		d := &w.doors[i]
		helps[i] = w.within[d.rule] && d.namespaces != nil &&
			(d.pods == nil || pods != nil && d.pods.selects(pods.MatchLabels))
	}
	return helps
}

// coversRange reports whether the wall itself allows the range of addresses, on
// the ports of the rule at hand.
func (w *widener) coversRange(cidr string) bool {
	p, err := netip.ParsePrefix(cidr)
	return err == nil && slices.ContainsFunc(w.doors, func(d door) bool {
		return w.within[d.rule] && d.block != nil && holds(d.block.CIDR, p)
	})
}

func holds(cidr string, p netip.Prefix) bool {
	have, err := netip.ParsePrefix(cidr)
	return err == nil && have.Bits() <= p.Bits() && have.Contains(p.Addr())
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

// onPorts says which ports of a policy, the first few of them, to those who may
// know the policy.
func onPorts(of mesh.Ref, ports []networkingv1.NetworkPolicyPort) told.Text {
	if len(ports) == 0 {
		return ""
	}
	var list []string
	for _, p := range ports[:min(len(ports), mesh.MaxFew)] {
		switch {
		case p.Port == nil:
			list = append(list, fmt.Sprintf("every %s port", protocolOf(p)))
		case p.EndPort != nil:
			list = append(list, fmt.Sprintf("%s %s-%d", protocolOf(p), p.Port, *p.EndPort))
		default:
			list = append(list, fmt.Sprintf("%s %s", protocolOf(p), p.Port))
		}
	}
	return told.If(of.Tell(), told.Plain(" on "+mesh.Few(list, len(ports))))
}

// outsideNamespaces is "namespace A, B, C".
func outsideNamespaces(out outside) told.Text {
	return mesh.FewNamespaces("namespace ", out.names, out.count)
}
