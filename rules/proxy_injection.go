package rules

import (
	"fmt"
	"slices"

	"github.com/sallyport-io/sallyport/internal/mesh"
)

var proxyInjection = &Rule{
	Name: "proxy-injection",
	Doc: `pods of the mesh run the platform's proxy

A pod may choose another template, image, bootstrap or control plane for its
sidecar, and with interceptionMode NONE a sidecar that captures nothing: a proxy
that does not do what Istio tells it. That is denied in namespaces of the mesh, and
so is a sidecar in a namespace in ambient mode: its hosts are led through a
waypoint, which sidecars do not know. A pod without a sidecar is warned about:
only a NetworkPolicy confines it.`,
	Severity: Deny,
	Remedy:   "Leave it out: what the proxy is and does is the platform team's to say.",
	Rows:     []string{"K-2", "B-E3"},
	Kinds:    workloadKinds,
	Check: On(onWorkload(func(p *Pass, w *mesh.Workload, base string) {
		ambient := p.After.Namespace(w.Namespace).Ambient()
		for field, set := range map[string]map[string]string{"labels": w.PodLabels, "annotations": w.PodAnnotations} {
			if set["sidecar.istio.io/inject"] == "false" {
				p.Report(Finding{Severity: Warn, Path: fmt.Sprintf(`%smetadata.%s["sidecar.istio.io/inject"]`, base, field), Message: "the pod has no sidecar: its traffic is nobody's"})
			}
			if ambient && set["sidecar.istio.io/inject"] == "true" {
				p.Reportf(fmt.Sprintf(`%smetadata.%s["sidecar.istio.io/inject"]`, base, field), "the pod has a sidecar, in a namespace whose hosts are reached by ztunnel and waypoints: a sidecar goes past those")
			}
			for _, k := range proxyKeys {
				if v, ok := set[k]; ok {
					p.Reportf(fmt.Sprintf("%smetadata.%s[%q]", base, field, k), "%s: %q changes what the sidecar is", k, v)
				}
			}
			if v := set["sidecar.istio.io/interceptionMode"]; slices.Contains([]string{"NONE", "none"}, v) {
				p.Reportf(fmt.Sprintf(`%smetadata.%s["sidecar.istio.io/interceptionMode"]`, base, field), "with interceptionMode %s the sidecar captures nothing", v)
			}
		}
	})),
}

var proxyKeys = []string{
	"inject.istio.io/templates",
	"proxy.istio.io/config",
	"proxy.istio.io/overrides",
	"sidecar.istio.io/bootstrapOverride",
	"sidecar.istio.io/discoveryAddress",
	"sidecar.istio.io/proxyImage",
}
