package doctor

import (
	"fmt"
	"slices"
	"strings"

	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/api/equality"

	"github.com/sallyport-io/sallyport/internal/mesh"
	"github.com/sallyport-io/sallyport/internal/netpol"
)

func namespaceRef(name string) mesh.Ref { return mesh.Ref{Kind: "Namespace", Name: name} }

var namespaceWalls = &Check{
	Name:  "namespace-walls",
	Group: groupWall,
	Doc: `every namespace of the mesh is walled

Istio cannot make traffic use the gateway: whoever gets around the sidecar reaches
the world. The NetworkPolicy that Sallyport keeps in a namespace leaves its pods
nothing but DNS, istiod, the mesh and the gateway. It must be there, be as
Sallyport writes it, and have none beside it that opens more: policies add up.`,
	Sources: []string{taskPage + "#apply-kubernetes-network-policies", networkPage},
	Check: func(e *Exam) {
		if !e.need(walls...) {
			return
		}
		n, mark, m := 0, e.mark(), e.Mesh()
		for o := range m.All("Namespace") {
			ns := o.(*mesh.Namespace)
			if !ns.InMesh() || e.Settings.Platform(ns.Name) {
				continue
			}
			n++
			if !netpol.Walled(m, ns.Name) {
				if netpol.StageOf(m, ns.Name) == netpol.Staged {
					e.fail(ns.Ref, fmt.Sprintf("metadata.labels[%q]", mesh.NetworkPolicyLabel), kubectl("label --overwrite namespace %s %s=enabled", ns.Name, mesh.NetworkPolicyLabel),
						"the wall is staged: it is shown, and holds nothing back")
					continue
				}
				e.fail(ns.Ref, fmt.Sprintf("metadata.labels[%q]", mesh.NetworkPolicyLabel),
					dump+"\nsallyport netpol preview "+ns.Name+" cluster.yaml   # what would be cut off\n"+kubectl("label namespace %s %s=enabled", ns.Name, mesh.NetworkPolicyLabel),
					"the namespace has no wall: a pod that gets around its sidecar reaches the world")
				continue
			}
			e.kept(m, ns.Name)
		}
		for o := range m.All("NetworkPolicy") {
			np := o.(*mesh.NetworkPolicy)
			openings, err := netpol.Wider(m, np)
			if err != nil {
				e.unknown(np.Ref, "", kubectl("-n %s get networkpolicy %s -o yaml", np.Namespace, np.Name), "%v", err)
			}
			for _, op := range openings {
				e.fail(op.Ref, op.Path, kubectl("-n %s edit networkpolicy %s", np.Namespace, np.Name), "beside the wall, it %s", op.Message)
			}
		}
		e.passed(mark, mesh.Ref{}, "", "%s", count(n, "namespace"))
	},
}

// kept looks whether the policies of a namespace are there, as they should be.
func (e *Exam) kept(m *mesh.Mesh, namespace string) {
	for _, want := range netpol.For(m, namespace) {
		at := mesh.Ref{Kind: "NetworkPolicy", Namespace: namespace, Name: want.Name}
		i := slices.IndexFunc(e.netpols, func(p networkingv1.NetworkPolicy) bool { return p.Namespace == namespace && p.Name == want.Name })
		switch {
		case i < 0:
			e.fail(at, "", e.serverLog(), "Sallyport has not written this NetworkPolicy")
		case !equality.Semantic.DeepEqual(e.netpols[i].Spec, want.Spec):
			e.fail(at, "spec", e.serverLog(), "the NetworkPolicy is not as Sallyport keeps it")
		}
	}
}

// serverLog shows what the server says.
func (f *Facts) serverLog() string {
	return kubectl("-n %s logs -l app.kubernetes.io/name=%s --tail=100 | grep networkpolicies", f.Namespace, f.Account)
}

var gatewayWalls = &Check{
	Name:  "gateway-walls",
	Group: groupWall,
	Doc: `the egress gateway itself is walled

Into the gateway comes the mesh and nobody else; out of it goes traffic to the
world, but not back into the cluster or to the metadata service of the cloud.
Without that the gateway is a relay for every pod that reaches it.`,
	Sources: []string{taskPage + "#additional-security-considerations"},
	Check: func(e *Exam) {
		if !e.need(walls...) {
			return
		}
		m := e.Mesh()
		var namespaces []string
		for _, g := range e.Settings.Gateways {
			if !slices.Contains(namespaces, g.Namespace) {
				namespaces = append(namespaces, g.Namespace)
			}
		}
		for _, ns := range namespaces {
			mark := e.mark()
			if len(netpol.For(m, ns)) == 0 {
				e.fail(namespaceRef(ns), fmt.Sprintf("metadata.labels[%q]", mesh.NetworkPolicyLabel), kubectl("label namespace %s %s=enabled", ns, mesh.NetworkPolicyLabel), "the egress gateway has no wall: every pod of the cluster may use it, and it may connect to every address")
			}
			e.kept(m, ns)
			e.passed(mark, namespaceRef(ns), "", "%s", count(len(netpol.For(m, ns)), "NetworkPolicy"))
		}
	},
}

var outsideNamespaces = &Check{
	Name:  "outside-namespaces",
	Group: groupWall,
	Doc: `namespaces outside the mesh do not lead around it

What runs in a namespace without sidecars goes out as it likes, and a pod of the
mesh may send its traffic there. Such a namespace is the platform's, or has a
NetworkPolicy of its own that confines the egress of all its pods. Policies of the
network plugin's own kinds are not seen.`,
	Sources: []string{taskPage + "#additional-security-considerations"},
	Check: func(e *Exam) {
		if !e.need(kinds("Namespace", "NetworkPolicy", "Pod")...) {
			return
		}
		running := map[string]int{}
		for i := range e.pods {
			if p := &e.pods[i]; !finished(p) {
				running[p.Namespace]++
			}
		}
		mark := e.mark()
		for o := range e.Mesh().All("Namespace") {
			ns := o.(*mesh.Namespace)
			if running[ns.Name] == 0 || ns.InMesh() || e.Settings.Platform(ns.Name) || e.confined(ns.Name) {
				continue
			}
			e.fail(ns.Ref, "", kubectl("label namespace %s istio-injection=enabled %s=enabled", ns.Name, mesh.NetworkPolicyLabel)+
				"\n# or write a NetworkPolicy for it, or list it in platformNamespaces of Sallyport's configuration",
				"%s outside the mesh that nothing confines", count(running[ns.Name], "pod"))
		}
		e.passed(mark, mesh.Ref{}, "", "no pod runs outside the mesh unconfined, but for the platform's")
	},
}

// confined reports whether a NetworkPolicy isolates the egress of every pod of
// the namespace.
func (f *Facts) confined(namespace string) bool {
	return slices.ContainsFunc(f.netpols, func(p networkingv1.NetworkPolicy) bool {
		s := p.Spec
		return p.Namespace == namespace && len(s.PodSelector.MatchLabels) == 0 && len(s.PodSelector.MatchExpressions) == 0 &&
			slices.Contains(s.PolicyTypes, networkingv1.PolicyTypeEgress) &&
			!slices.ContainsFunc(s.Egress, worldly)
	})
}

// worldly reports whether the rule opens the world: every destination, or every
// address of a family, on other ports than those of DNS.
func worldly(r networkingv1.NetworkPolicyEgressRule) bool {
	open := len(r.To) == 0 || slices.ContainsFunc(r.To, func(p networkingv1.NetworkPolicyPeer) bool {
		return p.IPBlock != nil && strings.HasSuffix(p.IPBlock.CIDR, "/0")
	})
	dns := len(r.Ports) > 0 && !slices.ContainsFunc(r.Ports, func(p networkingv1.NetworkPolicyPort) bool {
		return p.Port == nil || p.Port.IntValue() != 53 || p.EndPort != nil
	})
	return open && !dns
}
