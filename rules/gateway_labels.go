package rules

import (
	"github.com/sallyport-io/sallyport/internal/mesh"
	"github.com/sallyport-io/sallyport/internal/told"
)

var gatewayLabels = &Rule{
	Name: "gateway-labels",
	Doc: `the egress gateway's labels are on its pods alone

Gateways select pods by label in every namespace, and so do NetworkPolicies that
forget to name one. A tenant's pod with the egress gateway's labels passes for
it. A Binding, which assigns a pod to a node, puts its labels on the pod: one of
those labels is denied there.`,
	Severity: Deny,
	For:      Tenants,
	Remedy:   "Give the pods other labels, and their Service a selector for those.",
	Rows:     []string{"K-13"},
	Kinds:    workloadKinds,
	Check: On(func(p *Pass, w *mesh.Workload) {
		for _, g := range p.After.Settings().Gateways {
			if g.Namespace != w.Namespace && len(g.Selector) > 0 && passesFor(w, g.Selector) {
				p.Reportf(podPath(w.Kind)+"metadata.labels", "the labels are those of the egress gateway %s, for which the pod would pass", told.Plain(g.Name))
			}
		}
	}),
}

// passesFor reports whether the pod would have every label of the selector. A
// Binding adds its labels to those of a pod that is not known here: one label of
// the selector is enough then.
func passesFor(w *mesh.Workload, selector map[string]string) bool {
	if w.Kind != "Binding" {
		return mesh.HasLabels(selector, w.PodLabels)
	}
	for k, v := range selector {
		if got, ok := w.PodLabels[k]; ok && got == v {
			return true
		}
	}
	return false
}
