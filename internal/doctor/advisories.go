package doctor

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/sallyport-io/sallyport/internal/mesh"
	"github.com/sallyport-io/sallyport/internal/netpol"
)

// advisory is a fault of Istio's or of Envoy's that bears on egress.
type advisory struct {
	id, what string
	// component is whose version counts: istiod, or the gateway's proxy.
	component string
	// fixed is the first patch without the fault, by minor version. Minor
	// versions below all of these have it; those above have not.
	fixed map[int]int
}

const (
	ofIstiod = "istiod"
	ofProxy  = "proxy"
)

// advisories are those that Sallyport's own promises depend on, as Istio's
// bulletins have them (https://istio.io/latest/news/security/).
var advisories = []advisory{
	{"CVE-2025-54588", "a use after free in Envoy's DNS cache, on the path of DYNAMIC_DNS and of forward proxies", ofProxy, map[int]int{25: 5, 26: 4, 27: 1}},
	// Patches of 1.28 may have it mended; every 1.29 has.
	{"CVE-2025-62408", "a use after free in c-ares: an answer of DNS ends the proxy", ofProxy, map[int]int{29: 0}},
	{"CVE-2026-47220", "Envoy crashes when it formats the SNI for a log", ofProxy, map[int]int{28: 9, 29: 5, 30: 2}},
	{"ISTIO-SECURITY-2026-006", "an EnvoyFilter with a long proxyVersion ends istiod, and its webhook with it", ofIstiod, map[int]int{29: 7, 30: 4}},
	{"GHSA-qm8v-g4f9-qhjx", "a BackendTLSPolicy whose CA is not found sends plain text", ofIstiod, map[int]int{30: 4, 31: 1}},
}

// affects reports whether a version has the fault.
func (a advisory) affects(minor, patch int) bool {
	if first, ok := a.fixed[minor]; ok {
		return patch < first
	}
	return minor < slices.Min(slices.Collect(maps.Keys(a.fixed)))
}

// remedy is the patch to upgrade to, of the same minor version where it has one.
func (a advisory) remedy(minor int) string {
	if patch, ok := a.fixed[minor]; ok {
		return fmt.Sprintf("1.%d.%d", minor, patch)
	}
	newest := slices.Max(slices.Collect(maps.Keys(a.fixed)))
	return fmt.Sprintf("1.%d.%d", newest, a.fixed[newest])
}

var knownFaults = &Check{
	Name:  "known-faults",
	Group: groupMesh,
	Doc: `Istio and the gateway have none of the faults that defeat egress control

What Sallyport promises rests on a control plane that stands and on a gateway that
does. Of the security bulletins of Istio and Envoy this check knows those that
bear on egress, and compares the versions of istiod and of the gateway's proxies.`,
	Sources: []string{"https://istio.io/latest/news/security/"},
	Check: func(e *Exam) {
		if !e.need(kinds("Pod")...) {
			return
		}
		mark, istiods := e.mark(), 0
		for i := range e.pods {
			if p := &e.pods[i]; e.istiod(*p) {
				istiods++
				e.faults(p, "discovery", ofIstiod)
			}
		}
		for _, g := range e.Settings.Gateways {
			for _, p := range e.gatewayPods(g) {
				e.faults(p, "istio-proxy", ofProxy)
			}
			if len(e.gatewayPods(g)) == 0 {
				e.unknown(serviceRef(g), "", kubectl("-n %s get pods", g.Namespace), "the gateway has no pods whose version could be compared")
			}
		}
		if istiods == 0 {
			e.unknown(mesh.Ref{}, "", "Set istioNamespace in Sallyport's configuration to the namespace of istiod.", "there is no pod of istiod in namespace %s", e.Settings.IstioNamespace)
		}
		e.passed(mark, mesh.Ref{}, "", "%s looked for, none found", count(len(advisories), "fault"))
	},
}

// faults compares the version of a pod's container with the advisories.
func (e *Exam) faults(p *pod, container, component string) {
	image := imageOf(p, container)
	minor, patch, ok := versionOf(image)
	if !ok {
		e.unknown(p.ref(), "spec.containers", "istioctl version   # and compare it with https://istio.io/latest/news/security/",
			"the version is not to be seen in the image %q", image)
		return
	}
	for _, a := range advisories {
		if a.component == component && a.affects(minor, patch) {
			e.fail(p.ref(), "spec.containers", "Upgrade to Istio "+a.remedy(minor)+" or later.", "Istio 1.%d.%d has %s: %s", minor, patch, a.id, a.what)
		}
	}
}

// versionOf is the minor version and the patch of an image of Istio 1.
func versionOf(image string) (minor, patch int, ok bool) {
	image, _, _ = strings.Cut(image, "@")
	i := strings.LastIndexByte(image, ':')
	if i < 0 {
		return 0, 0, false
	}
	n, _ := fmt.Sscanf(strings.TrimPrefix(image[i+1:], "v"), "1.%d.%d", &minor, &patch)
	return minor, patch, n == 2
}

// istiod is what a pod tells of the version of istiod; nil where it is none of
// its pods.
func (p *pod) istiod() *mesh.Istiod {
	if w, ok := p.workload.(*mesh.Workload); ok {
		return w.Istiod
	}
	return nil
}

// istiod reports whether a pod is one of the control plane's.
func (f *Facts) istiod(p pod) bool {
	return p.Namespace == f.Settings.IstioNamespace && p.istiod() != nil
}

// debugPorts are those at which istiod answers whoever asks: XDS without TLS,
// monitoring and the debug interface.
var debugPorts = []int32{15010, 15014, 8080}

var istiodPorts = &Check{
	Name:  "istiod-ports",
	Group: groupWall,
	Doc: `istiod's open ports are closed to tenants

At 15010, 15014 and 8080 istiod tells whoever reaches it what the mesh is
configured with, other tenants' hosts included (CVE-2026-31838). A walled
namespace reaches 15012 alone. Where a namespace with pods has no wall, a
NetworkPolicy must close the ports at istiod's pods.`,
	Sources: []string{"https://istio.io/latest/docs/ops/best-practices/security/#control-plane", networkPage},
	Check: func(e *Exam) {
		if !e.need(kinds("Namespace", "NetworkPolicy", "Service", "ServiceEntry", "Node", "ServiceCIDR", "Pod")...) {
			return
		}
		mark, m, n := e.mark(), e.Mesh(), 0
		if !slices.ContainsFunc(e.pods, e.istiod) {
			e.unknown(mesh.Ref{}, "", "Set istioNamespace in Sallyport's configuration to the namespace of istiod.", "there is no pod of istiod in namespace %s", e.Settings.IstioNamespace)
			return
		}
		for o := range m.All("Namespace") {
			ns := o.(*mesh.Namespace)
			if e.Settings.Platform(ns.Name) || netpol.Walled(m, ns.Name) || !slices.ContainsFunc(e.pods, func(p pod) bool { return p.Namespace == ns.Name }) {
				continue
			}
			n++
			for i := range e.pods {
				p := &e.pods[i]
				if !e.istiod(*p) {
					continue
				}
				if port, open := e.reaches(ns, p); open {
					e.fail(ns.Ref, "", kubectl("label namespace %s %s=enabled   # or a NetworkPolicy for istiod's pods that lets in 15012 and 15017 alone", ns.Name, mesh.NetworkPolicyLabel),
						"its pods reach port %d of %s, where istiod tells everybody everything", port, p.ref())
					break
				}
			}
		}
		e.passed(mark, mesh.Ref{}, "", "%s without a wall, and none reaches them", count(n, "namespace"))
	},
}

// reaches returns one of the ports that pods of a namespace reach at the pod.
func (e *Exam) reaches(ns *mesh.Namespace, p *pod) (int32, bool) {
	open := map[int32]bool{}
	selected := false
	for i := range e.netpols {
		np := &e.netpols[i]
		if np.Namespace != p.Namespace || !matches(&np.Spec.PodSelector, p.Labels) || !closesIngress(&np.Spec) {
			continue
		}
		selected = true
		for _, rule := range np.Spec.Ingress {
			if !admits(rule.From, ns) {
				continue
			}
			for _, port := range debugPorts {
				open[port] = open[port] || len(rule.Ports) == 0 || slices.ContainsFunc(rule.Ports, func(r networkingv1.NetworkPolicyPort) bool { return holds(r, port) })
			}
		}
	}
	for _, port := range debugPorts {
		if !selected || open[port] {
			return port, true
		}
	}
	return 0, false
}

func closesIngress(s *networkingv1.NetworkPolicySpec) bool {
	return len(s.PolicyTypes) == 0 || slices.Contains(s.PolicyTypes, networkingv1.PolicyTypeIngress)
}

// admits reports whether a rule may let in pods of the namespace. Addresses are
// taken to: nobody knows what addresses its pods will have.
func admits(from []networkingv1.NetworkPolicyPeer, ns *mesh.Namespace) bool {
	if len(from) == 0 {
		return true
	}
	set := labels.Merge(ns.Labels, labels.Set{corev1.LabelMetadataName: ns.Name})
	return slices.ContainsFunc(from, func(peer networkingv1.NetworkPolicyPeer) bool {
		return peer.IPBlock != nil || peer.NamespaceSelector != nil && matches(peer.NamespaceSelector, set)
	})
}

// holds reports whether a port of a rule may be that one. A name may be any.
func holds(r networkingv1.NetworkPolicyPort, port int32) bool {
	switch {
	case r.Port == nil || r.Port.Type == intstr.String:
		return true
	case r.EndPort != nil:
		return r.Port.IntVal <= port && port <= *r.EndPort
	default:
		return r.Port.IntVal == port
	}
}
