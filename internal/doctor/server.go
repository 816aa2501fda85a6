package doctor

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/sallyport-io/sallyport/internal/mesh"
)

var webhookServer = &Check{
	Name:  "webhook-server",
	Group: groupServer,
	Doc: `Sallyport's server has ready pods behind its Service

The API server calls the entries through a Service. With one replica, or with all
on one node, a drain stops every write that the validating entry guards.`,
	Sources: []string{webhookPage, "docs/server.md"},
	Check: func(e *Exam) {
		if !e.need(kinds("Service", "EndpointSlice", "Pod", "PodDisruptionBudget")...) {
			return
		}
		var done []mesh.Ref
		for _, w := range e.registered() {
			s := w.ClientConfig.Service
			if s == nil {
				e.unknown(w.ref, w.at("clientConfig.url"), "curl --insecure URL/readyz", "the server is called by URL, and does not run in the cluster")
				continue
			}
			at := serviceOf(s)
			if slices.Contains(done, at) {
				continue
			}
			done = append(done, at)
			svc := e.service(s.Namespace, s.Name)
			if svc == nil {
				e.fail(at, "", reinstall, "the entries call this Service, and it is not there")
				continue
			}
			port := int32(443)
			if s.Port != nil {
				port = *s.Port
			}
			mark := e.mark()
			if !slices.ContainsFunc(svc.Spec.Ports, func(p corev1.ServicePort) bool { return p.Port == port }) {
				e.fail(at, "spec.ports", reinstall, "the entries call port %d, which the Service does not have", port)
			}
			e.replicas(at, svc)
			e.passed(mark, at, "", "%s", count(e.endpoints(s.Namespace, s.Name), "ready endpoint"))
		}
	},
}

func (e *Exam) replicas(at mesh.Ref, s *corev1.Service) {
	n := e.endpoints(s.Namespace, s.Name)
	look := kubectl("-n %s describe pod -l %s", s.Namespace, selectorText(s.Spec.Selector))
	switch {
	case n == 0:
		e.fail(at, "", look, "no endpoint is ready: no write that the validating entry guards passes")
		return
	case n == 1:
		e.fail(at, "", kubectl("-n %s scale deployment %s --replicas=3", s.Namespace, e.Account), "one endpoint is ready: when it goes, writes stop")
	}
	nodes := map[string]bool{}
	pods := e.selected(s.Namespace, s.Spec.Selector)
	for _, p := range pods {
		if ready(p) {
			nodes[p.Spec.NodeName] = true
		}
	}
	if n > 1 && len(nodes) == 1 {
		e.fail(at, "", look, "all its ready pods are on one node")
	}
	for _, b := range e.budgets {
		if b.Namespace == s.Namespace && b.Spec.Selector != nil && matches(b.Spec.Selector, s.Spec.Selector) {
			return
		}
	}
	e.fail(at, "", reinstall, "no PodDisruptionBudget covers its pods: a drain may take all at once")
}

// Probe is what the API server answered to a write of [ProbeObjects], a dry
// run: nothing was stored.
type Probe struct {
	// Object is what would have been stored.
	Object []byte
	// Error is why it would not.
	Error string
	// Forbidden is true where the user may not write such an object, so that
	// nobody asked Sallyport.
	Forbidden bool
}

// The probes.
const (
	mutateProbe   = "mutate"
	validateProbe = "validate"
)

// probeNamespace is one that every cluster has, and that the entries see.
const probeNamespace = "default"

// ProbePath is where the probes are written.
const ProbePath = "/apis/networking.istio.io/v1/namespaces/" + probeNamespace + "/serviceentries"

// ProbeObjects are ServiceEntries by which the entries show that they answer,
// by the name of the probe: one that the mutating entry annotates, and one of a
// name that the validating entry reserves. Neither registers a host outside the
// mesh. They are for dry runs.
func ProbeObjects() map[string][]byte {
	objects := map[string][]byte{}
	for probe, name := range map[string]string{mutateProbe: "sallyport-doctor", validateProbe: "sallyport-00000000000000000000"} {
		objects[probe] = fmt.Appendf(nil, `{"apiVersion":"networking.istio.io/v1","kind":"ServiceEntry",`+
			`"metadata":{"namespace":%q,"name":%q},"spec":{"hosts":["probe.sallyport.internal"],`+
			`"ports":[{"number":443,"name":"tls","protocol":"TLS"}],"resolution":"STATIC","location":"MESH_INTERNAL",`+
			`"workloadSelector":{"labels":{"app":"sallyport-doctor"}}}}`, probeNamespace, name)
	}
	return objects
}

var webhookAnswers = &Check{
	Name:  "webhook-answers",
	Group: groupServer,
	Doc: `the API server reaches Sallyport, and gets its answer

Two dry runs, which store nothing: a ServiceEntry that the mutating entry
annotates, and one under a reserved name, which the validating entry must refuse.
Firewalls between the control plane and the nodes, a CNI's policy or a wrong
certificate are seen here, whatever the other checks say.`,
	Sources: []string{webhookPage, "https://kubernetes.io/docs/reference/using-api/api-concepts/#dry-run"},
	Check: func(e *Exam) {
		where := mesh.Ref{Kind: "ServiceEntry", Namespace: probeNamespace}
		for _, p := range []struct {
			probe, entry string
			answered     func(Probe) bool
		}{
			{mutateProbe, mutateEntry, func(p Probe) bool { return annotated(p.Object) }},
			{validateProbe, validateEntry, func(p Probe) bool {
				return strings.Contains(p.Error, `admission webhook "`+validateEntry+`" denied the request`)
			}},
		} {
			got, made := e.Probes[p.probe]
			reach := kubectl("-n %s get pod,endpointslice\n%s", e.Namespace, kubectl("-n %s logs -l app.kubernetes.io/name=%s --tail=100", e.Namespace, e.Account))
			at := mesh.Ref{}
			for _, w := range e.webhooks() {
				if w.Name == p.entry {
					at = w.ref
				}
			}
			switch {
			case !made:
				e.unknown(where, "", "sallyport doctor, with access to the cluster and without --no-probe", "no dry run was made")
			case got.Forbidden:
				e.unknown(where, "", kubectl("auth can-i create serviceentries.networking.istio.io --namespace %s", probeNamespace), "the dry run is not permitted: %s", got.Error)
			case p.answered(got):
				e.pass(at, "", "%s answers", p.entry)
			case strings.Contains(got.Error, `calling webhook "`+p.entry+`"`):
				e.fail(at, "", reach, "the API server does not reach the server: %s", got.Error)
			case got.Error != "":
				e.unknown(at, "", "Repair that first.", "the write failed for another reason: %s", got.Error)
			default:
				e.fail(at, "", reach, "%s did not answer, and the write would have passed", p.entry)
			}
		}
	},
}

// annotated reports whether the mutating entry has seen the object.
func annotated(raw []byte) bool {
	var o struct {
		Metadata struct {
			Annotations map[string]string `json:"annotations"`
		} `json:"metadata"`
	}
	return json.Unmarshal(raw, &o) == nil && o.Metadata.Annotations[mesh.ExportAnnotation] != ""
}
