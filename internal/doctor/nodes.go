package doctor

import (
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/sallyport-io/sallyport/internal/mesh"
)

// matches reports whether a selector that can be read selects the labels.
func matches(s *metav1.LabelSelector, set map[string]string) bool {
	selector, err := metav1.LabelSelectorAsSelector(s)
	return err == nil && selector.Matches(labels.Set(set))
}

var gatewayNodes = &Check{
	Name:  "gateway-nodes",
	Group: groupGateway,
	Doc: `the egress gateway runs on nodes of its own

"A set of dedicated nodes", says the task page, that are guarded and watched more
closely than the others. Kubernetes gives them no special treatment by itself: the
pods of the gateway must ask for these nodes (nodeSelector or required node
affinity), and a taint must keep everything else away. DaemonSets and static pods
may run there too.`,
	Sources: []string{taskPage + "#use-case", taskPage + "#additional-security-considerations", "https://kubernetes.io/docs/concepts/scheduling-eviction/taint-and-toleration/#example-use-cases"},
	Check: func(e *Exam) {
		if !e.need(kinds("Pod", "Node")...) {
			return
		}
		guests := map[string][]*pod{} // by node
		for i := range e.pods {
			if p := &e.pods[i]; !finished(p) && p.Spec.NodeName != "" {
				guests[p.Spec.NodeName] = append(guests[p.Spec.NodeName], p)
			}
		}
		for _, g := range e.Settings.Gateways {
			at, mark := serviceRef(g), e.mark()
			var names []string
			for _, p := range e.gatewayPods(g) {
				if !bound(p) {
					e.fail(p.ref(), "spec.nodeSelector", "Give the pod template of the gateway a nodeSelector, and a toleration of the nodes' taint.", "nothing keeps the pod on nodes of its own: it has neither nodeSelector nor required node affinity")
				}
				if p.Spec.NodeName != "" && !slices.Contains(names, p.Spec.NodeName) {
					names = append(names, p.Spec.NodeName)
				}
			}
			slices.Sort(names)
			for _, name := range names {
				e.dedicated(name, guests[name])
			}
			if len(names) == 0 {
				e.unknown(at, "", kubectl("-n %s get pod -l %s -o wide", g.Namespace, selectorText(g.Selector)), "no pod of the egress gateway %s is on a node", g.Name)
			}
			e.passed(mark, at, "", "%s: %s", count(len(names), "dedicated node"), strings.Join(names, ", "))
		}
	},
}

// dedicated looks whether a node is kept for gateways.
func (e *Exam) dedicated(name string, guests []*pod) {
	at := mesh.Ref{Kind: "Node", Name: name}
	i := slices.IndexFunc(e.nodes, func(n corev1.Node) bool { return n.Name == name })
	if i < 0 {
		e.unknown(at, "", kubectl("get node %s", name), "a pod of the gateway runs on this node, which is not there")
		return
	}
	if !slices.ContainsFunc(e.nodes[i].Spec.Taints, dedicates) {
		e.fail(at, "spec.taints", kubectl("taint node %s sallyport.io/egress=:NoSchedule   # and tolerate it in the gateway's pods", name), "no taint keeps other pods away")
	}
	var others []string
	for _, p := range guests {
		if !e.gateway(p) && !everywhere(p) {
			others = append(others, p.Namespace+"/"+p.Name)
		}
	}
	if n := len(others); n > 0 {
		slices.Sort(others)
		e.fail(at, "", kubectl("taint node %s sallyport.io/egress=:NoExecute   # evicts what does not tolerate it", name),
			"%s beside the gateway: %s", count(n, "other pod"), some(others))
	}
}

// gateway reports whether the pod is one of an egress gateway.
func (f *Facts) gateway(p *pod) bool {
	return slices.ContainsFunc(f.Settings.Gateways, func(g mesh.EgressGateway) bool {
		return p.Namespace == g.Namespace && labels.SelectorFromSet(g.Selector).Matches(labels.Set(p.Labels))
	})
}

// everywhere reports whether the pod belongs to its node: one of a DaemonSet,
// or a static pod.
func everywhere(p *pod) bool {
	return p.Annotations[corev1.MirrorPodAnnotationKey] != "" ||
		slices.ContainsFunc(p.OwnerReferences, func(o metav1.OwnerReference) bool { return o.Kind == "DaemonSet" || o.Kind == "Node" })
}

// bound reports whether the pod asks for certain nodes.
func bound(p *pod) bool {
	if len(p.Spec.NodeSelector) > 0 {
		return !onlyPlatform(p.Spec.NodeSelector)
	}
	a := p.Spec.Affinity
	return a != nil && a.NodeAffinity != nil && a.NodeAffinity.RequiredDuringSchedulingIgnoredDuringExecution != nil
}

// onlyPlatform reports whether a node selector asks for an operating system or
// architecture alone, as Istio's charts do.
func onlyPlatform(selector map[string]string) bool {
	for k := range selector {
		if k != corev1.LabelOSStable && k != corev1.LabelArchStable {
			return false
		}
	}
	return true
}

// dedicates reports whether the taint was set to keep pods away, and not by
// Kubernetes because something is wrong with the node.
func dedicates(t corev1.Taint) bool {
	return t.Effect != corev1.TaintEffectPreferNoSchedule && !strings.HasPrefix(t.Key, "node.kubernetes.io/") &&
		!strings.HasPrefix(t.Key, "node.cloudprovider.kubernetes.io/")
}

// some is the beginning of a list.
func some(list []string) string {
	const most = 5
	if len(list) <= most+1 {
		return strings.Join(list, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(list[:most], ", "), len(list)-most)
}
