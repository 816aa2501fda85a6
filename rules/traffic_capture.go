package rules

import (
	"fmt"
	"slices"

	"github.com/sallyport-io/sallyport/internal/mesh"
)

var trafficCapture = &Rule{
	Name: "traffic-capture",
	Doc: `pods do not take traffic out of the sidecar's hands

Annotations on a pod exclude addresses, ports or interfaces from the sidecar's
capture, and labels opt the pod out of ambient mode. What is not captured is
routed by nobody. Pods and templates in namespaces of the mesh are denied them.`,
	Severity: Deny,
	For:      Tenants,
	Remedy:   "Leave it out, and register the hosts that are called with a ServiceEntry.",
	Rows:     []string{"K-1", "K-15"},
	Kinds:    workloadKinds,
	Check: On(onWorkload(func(p *Pass, w *mesh.Workload, base string) {
		for _, k := range captureAnnotations {
			if v, ok := w.PodAnnotations[k]; ok && !(k == "traffic.sidecar.istio.io/includeOutboundIPRanges" && v == "*") {
				p.Reportf(fmt.Sprintf("%smetadata.annotations[%q]", base, k), "annotation %s: %q takes traffic past the sidecar", k, v)
			}
		}
		for k, good := range ambientKeys {
			for _, f := range []stringMap{{"labels", w.PodLabels}, {"annotations", w.PodAnnotations}} {
				field, set := f.field, f.values
				if v, ok := set[k]; ok && !slices.Contains(good, v) {
					p.Reportf(fmt.Sprintf("%smetadata.%s[%q]", base, field, k), "%s: %q takes the pod out of the mesh's hands", k, v)
				}
			}
		}
	})),
}

var captureAnnotations = []string{
	"istio.io/reroute-virtual-interfaces",
	"traffic.sidecar.istio.io/excludeInterfaces",
	"traffic.sidecar.istio.io/excludeOutboundIPRanges",
	"traffic.sidecar.istio.io/excludeOutboundPorts",
	"traffic.sidecar.istio.io/includeOutboundIPRanges",
	"traffic.sidecar.istio.io/includeOutboundPorts",
	"traffic.sidecar.istio.io/kubevirtInterfaces",
}

// ambientKeys say how a pod is in ambient mode. Any value but these leaves it, or
// part of its traffic, out; what Istio makes of a misspelt one is not for a guess.
var ambientKeys = map[string][]string{
	"istio.io/dataplane-mode":                 {"ambient"},
	"ambient.istio.io/dns-capture":            {"true"},
	"ambient.istio.io/bypass-inbound-capture": {"false"},
	"ambient.istio.io/redirection":            {"enabled", "pending"}, // as Istio's network plugin says it
}
