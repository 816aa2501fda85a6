package doctor

import (
	"context"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/sallyport-io/sallyport/internal/mesh"
	"github.com/sallyport-io/sallyport/rules"
)

// finished reports whether a pod no longer runs.
func finished(p *pod) bool {
	return p.Status.Phase == corev1.PodSucceeded || p.Status.Phase == corev1.PodFailed
}

// ready reports whether a pod is ready to serve.
func ready(p *pod) bool {
	return p.DeletionTimestamp == nil && slices.ContainsFunc(p.Status.Conditions, func(c corev1.PodCondition) bool {
		return c.Type == corev1.PodReady && c.Status == corev1.ConditionTrue
	})
}

// selected yields the pods of a namespace with these labels that still run.
func (f *Facts) selected(namespace string, with map[string]string) []*pod {
	var pods []*pod
	selector := labels.SelectorFromSet(with)
	for i := range f.pods {
		p := &f.pods[i]
		if p.Namespace == namespace && !finished(p) && selector.Matches(labels.Set(p.Labels)) {
			pods = append(pods, p)
		}
	}
	return pods
}

// tenants yields the running pods of namespaces in the mesh that are not the
// platform's.
func (f *Facts) tenants(yield func(*mesh.Namespace, *pod) bool) {
	m := f.Mesh()
	for i := range f.pods {
		p := &f.pods[i]
		ns := m.Namespace(p.Namespace)
		if ns == nil || finished(p) || f.Settings.Platform(p.Namespace) || !ns.InMesh() {
			continue
		}
		if !yield(ns, p) {
			return
		}
	}
}

// judged runs rules over an object as it stands and returns what they deny.
func (e *Exam) judged(o mesh.Object, names ...string) []rules.Finding {
	m := e.Mesh()
	var some []*rules.Rule
	for _, r := range rules.All {
		if slices.Contains(names, r.Name) {
			some = append(some, r)
		}
	}
	// Nothing waits in a rule, so there is nothing to cancel.
	findings, err := rules.Run(context.Background(), some, rules.Pass{
		Request: rules.Request{Operation: "CREATE"}, Subject: o,
		Before: func() *mesh.Mesh { return m.Without(o.Metadata().Ref) }, After: m, Live: m, Memo: new(rules.Memo),
	})
	if err != nil {
		e.unknown(o.Metadata().Ref, "", "Report this.", "%v", err)
	}
	return slices.DeleteFunc(findings, func(f rules.Finding) bool { return f.Severity != rules.Deny })
}

var podsSidecar = &Check{
	Name:  "pods-sidecar",
	Group: groupWorkloads,
	Doc: `every pod of the mesh has a sidecar

A pod without a sidecar in a namespace of the mesh was made before the label was
set, or asks to be left out. Its traffic is routed by nobody; only a NetworkPolicy
holds it back. A container called istio-proxy of another image than the injector's
is no sidecar.`,
	Sources: []string{taskPage + "#additional-security-considerations", taskPage + "#apply-kubernetes-network-policies"},
	Check: func(e *Exam) {
		if !e.need(kinds("Pod", "Namespace")...) || !e.need(e.meshConfigMaps()) {
			return
		}
		n, mark, images := 0, e.mark(), e.proxyImages()
		for ns, p := range e.tenants {
			if ns.Labels["istio.io/dataplane-mode"] == "ambient" || p.Spec.HostNetwork {
				continue // no sidecar is due; host networks are pods-capture's
			}
			n++
			image := imageOf(p, "istio-proxy")
			if image != "" && optsOut(p) == "" {
				if len(images) > 0 && !slices.Contains(images, repository(image)) {
					e.fail(p.ref(), "spec.containers", "Remove the container istio-proxy from the template of "+owner(p)+": the injector adds one.",
						"its istio-proxy is %s, the injector's %s", image, strings.Join(images, ", "))
				}
				continue
			}
			remedy := kubectl("-n %s delete pod %s   # what owns it makes a new one, which gets a sidecar", p.Namespace, p.Name)
			path, why := "spec.containers", "it is older than the label of its namespace, or the injector was away"
			if field := optsOut(p); field != "" {
				path, why = field, "it asks for none"
				remedy = "Remove sidecar.istio.io/inject from the template of " + owner(p) + "."
			}
			e.fail(p.ref(), path, remedy, "the pod has no sidecar: %s", why)
		}
		e.passed(mark, mesh.Ref{}, "", "%s", count(n, "pod"))
	},
}

// optsOut is the field by which a pod asks for no sidecar.
func optsOut(p *pod) string {
	const key = "sidecar.istio.io/inject"
	switch {
	case p.Labels[key] == "false":
		return fmt.Sprintf("metadata.labels[%q]", key)
	case p.Annotations[key] == "false":
		return fmt.Sprintf("metadata.annotations[%q]", key)
	}
	return ""
}

var podsCapture = &Check{
	Name:  "pods-capture",
	Group: groupWorkloads,
	Doc: `no pod of the mesh takes its traffic past its sidecar

Annotations keep addresses, ports or interfaces from being captured; user and
group 1337, the proxy's, are not captured at all; a pod in the node's network has
no sidecar, and NetworkPolicies do not hold for it; a proxy of another image or
template does what it likes. Admission denies these; pods that are older than
Sallyport, or were admitted in another mode, run on. The rules proxy-injection,
proxy-uid, host-network and traffic-capture judge.`,
	Sources: []string{taskPage + "#additional-security-considerations", securityPage + "#understand-traffic-capture-limitations"},
	Check: func(e *Exam) {
		if !e.need(kinds("Pod", "Namespace")...) {
			return
		}
		n, mark := 0, e.mark()
		for _, p := range e.tenants {
			n++
			for _, f := range e.judged(p.workload, "traffic-capture", "proxy-injection", "proxy-uid", "host-network") {
				e.fail(p.ref(), f.Path, "Change the template of "+owner(p)+": see rules/README.md#"+f.Rule+".", "%s (%s)", f.Message, f.Rule)
			}
		}
		e.passed(mark, mesh.Ref{}, "", "%s", count(n, "pod"))
	},
}

var podsPrivileges = &Check{
	Name:  "pods-privileges",
	Group: groupWorkloads,
	Doc: `no pod of the mesh may change its own network

NET_ADMIN and privileged containers can flush the rules that lead traffic into
the sidecar, NET_RAW sends packets that those rules do not see. There is no wall
between an application and its sidecar.`,
	Sources: []string{securityPage + "#understand-traffic-capture-limitations", "https://kubernetes.io/docs/concepts/security/pod-security-standards/"},
	Check: func(e *Exam) {
		if !e.need(kinds("Pod", "Namespace")...) {
			return
		}
		n, mark := 0, e.mark()
		for _, p := range e.tenants {
			n++
			for _, list := range []struct {
				path       string
				containers []corev1.Container
			}{{"spec.initContainers", p.Spec.InitContainers}, {"spec.containers", p.Spec.Containers}} {
				for i, c := range list.containers {
					if istioContainer[c.Name] || c.SecurityContext == nil {
						continue
					}
					path := fmt.Sprintf("%s[%d].securityContext", list.path, i)
					remedy := kubectl("label namespace %s pod-security.kubernetes.io/enforce=baseline", p.Namespace) + "\n# and change the template of " + owner(p)
					if v := c.SecurityContext.Privileged; v != nil && *v {
						e.fail(p.ref(), path+".privileged", remedy, "container %s is privileged: it can take its traffic past the sidecar", c.Name)
						continue
					}
					if caps := c.SecurityContext.Capabilities; caps != nil {
						for _, added := range caps.Add {
							if slices.Contains([]corev1.Capability{"NET_ADMIN", "NET_RAW", "SYS_ADMIN", "BPF", "ALL"}, added) {
								e.fail(p.ref(), path+".capabilities.add", remedy, "container %s has %s: it can take its traffic past the sidecar", c.Name, added)
							}
						}
					}
				}
			}
		}
		e.passed(mark, mesh.Ref{}, "", "%s", count(n, "pod"))
	},
}

// istioContainer has the containers that Istio itself adds; istio-init needs
// NET_ADMIN where Istio's CNI plugin does not do its work.
var istioContainer = map[string]bool{"istio-proxy": true, "istio-init": true, "istio-validation": true, "enable-core-dump": true}

// owner is what has the template of a pod.
func owner(p *pod) string {
	for _, o := range p.OwnerReferences {
		if o.Controller != nil && *o.Controller {
			return o.Kind + " " + p.Namespace + "/" + o.Name
		}
	}
	return "Pod " + p.Namespace + "/" + p.Name
}

func count(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprint(n, " ", noun, "s")
}
