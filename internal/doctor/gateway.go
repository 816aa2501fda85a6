package doctor

import (
	"cmp"
	"fmt"
	"iter"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/sallyport-io/sallyport/internal/mesh"
)

// gatewayPods are the pods of an egress gateway that run.
func (f *Facts) gatewayPods(g mesh.EgressGateway) []*pod { return f.selected(g.Namespace, g.Selector) }

func (f *Facts) service(namespace, name string) *corev1.Service {
	i := slices.IndexFunc(f.services, func(s corev1.Service) bool { return s.Namespace == namespace && s.Name == name })
	if i < 0 {
		return nil
	}
	return &f.services[i]
}

// endpoints counts the endpoints of a Service that are ready.
func (f *Facts) endpoints(namespace, service string) int {
	n := 0
	for _, s := range f.slices {
		if s.Namespace != namespace || s.Labels[discoveryv1.LabelServiceName] != service {
			continue
		}
		for _, e := range s.Endpoints {
			if e.Conditions.Ready == nil || *e.Conditions.Ready {
				n += len(e.Addresses)
			}
		}
	}
	return n
}

func serviceRef(g mesh.EgressGateway) mesh.Ref {
	return mesh.Ref{Kind: "Service", Namespace: g.Namespace, Name: g.Service}
}

// selectorText is a label set as kubectl takes it.
func selectorText(set map[string]string) string { return labels.SelectorFromSet(set).String() }

// restart is the command that makes new pods of a gateway.
func (f *Facts) restart(g mesh.EgressGateway) string {
	return kubectl("-n %s rollout restart deployment -l %s", g.Namespace, selectorText(g.Selector))
}

// binders yields the Gateways that program an egress gateway. A selector
// without labels picks every gateway.
func (f *Facts) binders(g mesh.EgressGateway) iter.Seq[*mesh.Gateway] {
	return func(yield func(*mesh.Gateway) bool) {
		for o := range f.Mesh().All("Gateway") {
			gw := o.(*mesh.Gateway)
			if labels.SelectorFromSet(gw.Selector).Matches(labels.Set(g.Selector)) && !yield(gw) {
				return
			}
		}
	}
}

var gatewayService = &Check{
	Name:  "gateway-service",
	Group: groupGateway,
	Doc: `the egress gateway has a Service with the ports that Gateways use

Sidecars reach the gateway through its Service. A server of a Gateway on a port
that the Service does not have is reached by nobody; a target port without a name
in the pods leads nowhere. A Service that selects other pods than the
configuration sends traffic to proxies that no Gateway programs. An egress gateway
that is reachable from outside the cluster relays for whoever finds it.`,
	Sources: []string{taskPage + "#before-you-begin"},
	Check: func(e *Exam) {
		if !e.need(kinds("Service", "Pod", "Gateway")...) {
			return
		}
		for _, g := range e.Settings.Gateways {
			at, s := serviceRef(g), e.service(g.Namespace, g.Service)
			if s == nil {
				e.fail(at, "", "Install the egress gateway, or name the right Service in gateways of Sallyport's configuration:\n"+kubectl("get service --all-namespaces | grep egress"),
					"the egress gateway %s has no Service", g.Name)
				continue
			}
			mark := e.mark()
			e.exposed(at, s)
			e.selects(g, at, s)
			e.ports(g, at, s)
			e.passed(mark, at, "spec.ports", "ports %s", portsOf(s))
		}
	},
}

// exposed looks for ways into the gateway from outside the cluster.
func (e *Exam) exposed(at mesh.Ref, s *corev1.Service) {
	switch {
	case s.Spec.Type == corev1.ServiceTypeLoadBalancer || s.Spec.Type == corev1.ServiceTypeNodePort:
		e.fail(at, "spec.type", kubectl(`-n %s patch service %s -p '{"spec":{"type":"ClusterIP"}}'`, s.Namespace, s.Name),
			"type %s opens the egress gateway to the world outside the cluster", s.Spec.Type)
	case len(s.Spec.ExternalIPs) > 0:
		e.fail(at, "spec.externalIPs", kubectl(`-n %s patch service %s -p '{"spec":{"externalIPs":null}}'`, s.Namespace, s.Name),
			"the egress gateway answers at external addresses: %s", strings.Join(s.Spec.ExternalIPs, ", "))
	}
}

// selects compares the Service's pods with those of the configuration.
func (e *Exam) selects(g mesh.EgressGateway, at mesh.Ref, s *corev1.Service) {
	if len(s.Spec.Selector) == 0 {
		e.fail(at, "spec.selector", kubectl("-n %s edit service %s", s.Namespace, s.Name), "the Service selects no pods")
		return
	}
	want := labels.SelectorFromSet(g.Selector)
	for _, p := range e.selected(s.Namespace, s.Spec.Selector) {
		if !want.Matches(labels.Set(p.Labels)) {
			e.fail(p.ref(), "metadata.labels", fmt.Sprintf("Make gateways[].selector of Sallyport's configuration and spec.selector of %s select the same pods.", at),
				"the Service sends traffic to this pod, and no Gateway with selector %s programs it", want)
		}
	}
}

// ports compares the Service's ports with the servers of Gateways, and its
// target ports with the pods.
func (e *Exam) ports(g mesh.EgressGateway, at mesh.Ref, s *corev1.Service) {
	has := func(port int) bool {
		return slices.ContainsFunc(s.Spec.Ports, func(p corev1.ServicePort) bool { return int(p.Port) == port })
	}
	if !has(80) && !has(443) {
		e.fail(at, "spec.ports", kubectl("-n %s edit service %s   # ports 80 and 443, as in Istio's charts", s.Namespace, s.Name), "neither port 80 nor port 443, which companions use first")
	}
	for gw := range e.binders(g) {
		for i, server := range gw.Servers {
			if !has(server.Port.Number) {
				e.fail(gw.Ref, fmt.Sprintf("spec.servers[%d].port.number", i), kubectl("-n %s edit service %s   # add port %d", s.Namespace, s.Name, server.Port.Number),
					"%s has no port %d: nobody reaches this server", at, server.Port.Number)
			}
		}
	}
	for i, p := range s.Spec.Ports {
		if p.TargetPort.Type != intstr.String {
			continue
		}
		for _, pod := range e.gatewayPods(g) {
			if !hasPort(pod, p.TargetPort.StrVal) {
				e.fail(at, fmt.Sprintf("spec.ports[%d].targetPort", i), kubectl("-n %s edit service %s", s.Namespace, s.Name),
					"%s has no port with the name %q", pod.ref(), p.TargetPort.StrVal)
			}
		}
	}
}

func hasPort(p *pod, name string) bool {
	return slices.ContainsFunc(p.Spec.Containers, func(c corev1.Container) bool {
		return slices.ContainsFunc(c.Ports, func(port corev1.ContainerPort) bool { return port.Name == name })
	})
}

func portsOf(s *corev1.Service) string {
	list := make([]string, len(s.Spec.Ports))
	for i, p := range s.Spec.Ports {
		target := cmp.Or(p.TargetPort.String(), "0")
		if target == "0" {
			target = fmt.Sprint(p.Port)
		}
		list[i] = fmt.Sprintf("%d to %s", p.Port, target)
	}
	return strings.Join(list, ", ")
}

var gatewayPods = &Check{
	Name:  "gateway-pods",
	Group: groupGateway,
	Doc: `the egress gateway has ready pods, and nobody else has their labels

A gateway without a ready pod stops all egress traffic. Istio programs every pod
with the labels of a Gateway's selector, in whatever namespace it is: a tenant's
pod with the gateway's labels gets the gateway's routes and client certificates.`,
	Sources: []string{taskPage + "#before-you-begin", "https://istio.io/latest/docs/reference/config/networking/gateway/#Gateway"},
	Check: func(e *Exam) {
		if !e.need(kinds("Pod", "Service", "EndpointSlice")...) {
			return
		}
		for _, g := range e.Settings.Gateways {
			at, mark := serviceRef(g), e.mark()
			pods := e.gatewayPods(g)
			n := 0
			for _, p := range pods {
				if ready(p) {
					n++
				}
			}
			look := kubectl("-n %s describe pod -l %s", g.Namespace, selectorText(g.Selector))
			switch {
			case len(pods) == 0:
				e.fail(at, "", look, "the egress gateway %s has no pod: none in namespace %s has the labels %s", g.Name, g.Namespace, selectorText(g.Selector))
			case n == 0:
				e.fail(at, "", look, "no pod of the egress gateway %s is ready, of %d", g.Name, len(pods))
			case e.endpoints(g.Namespace, g.Service) == 0:
				e.fail(at, "spec.selector", kubectl("-n %s get endpointslices -l kubernetes.io/service-name=%s", g.Namespace, g.Service), "the Service has no ready endpoint")
			}
			for i := range e.pods {
				p := &e.pods[i]
				if p.Namespace != g.Namespace && !finished(p) && labels.SelectorFromSet(g.Selector).Matches(labels.Set(p.Labels)) {
					e.fail(p.ref(), "metadata.labels", "Remove the labels from the template of "+owner(p)+".", "the pod has the labels of the egress gateway %s, and gets its routes", g.Name)
				}
			}
			e.passed(mark, at, "", "%d of %s ready", n, count(len(pods), "pod"))
		}
	},
}

var gatewayReplicas = &Check{
	Name:  "gateway-replicas",
	Group: groupGateway,
	Doc: `the egress gateway survives the loss of a node

All egress traffic of the mesh goes through these pods: there are two at least, on
two nodes, and a PodDisruptionBudget keeps a drain from taking the last one.`,
	Sources: []string{"https://kubernetes.io/docs/tasks/run-application/configure-pdb/"},
	Check: func(e *Exam) {
		if !e.need(kinds("Pod", "PodDisruptionBudget")...) {
			return
		}
		for _, g := range e.Settings.Gateways {
			at, mark := serviceRef(g), e.mark()
			pods := slices.DeleteFunc(e.gatewayPods(g), func(p *pod) bool { return !ready(p) })
			nodes := map[string]bool{}
			for _, p := range pods {
				nodes[p.Spec.NodeName] = true
			}
			switch {
			case len(pods) < 2:
				e.fail(at, "", kubectl("-n %s scale deployment -l %s --replicas=2\n# Where a HorizontalPodAutoscaler rules, set its minReplicas.", g.Namespace, selectorText(g.Selector)),
					"%s ready: when it goes, egress traffic stops", count(len(pods), "pod"))
			case len(nodes) < 2:
				e.fail(at, "", "Give the pod template of the gateway a topologySpreadConstraint over kubernetes.io/hostname.", "all %d ready pods are on node %s", len(pods), pods[0].Spec.NodeName)
			}
			if !e.budgeted(g) {
				e.fail(at, "", kubectl("-n %s create poddisruptionbudget %s --selector=%s --min-available=1", g.Namespace, g.Service, selectorText(g.Selector)),
					"no PodDisruptionBudget covers the pods of the gateway: a drain may take all at once")
			}
			e.passed(mark, at, "", "%s on %s, with a PodDisruptionBudget", count(len(pods), "ready pod"), count(len(nodes), "node"))
		}
	},
}

// budgeted reports whether a PodDisruptionBudget covers the pods.
func (f *Facts) budgeted(g mesh.EgressGateway) bool {
	for _, b := range f.budgets {
		if b.Namespace != g.Namespace || b.Spec.Selector == nil {
			continue
		}
		covers := len(f.gatewayPods(g)) > 0
		for _, p := range f.gatewayPods(g) {
			covers = covers && matches(b.Spec.Selector, p.Labels)
		}
		if covers {
			return true
		}
	}
	return false
}
