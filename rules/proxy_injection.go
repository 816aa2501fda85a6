package rules

import (
	"fmt"
	"slices"
	"strings"

	"github.com/sallyport-io/sallyport/internal/mesh"
	"github.com/sallyport-io/sallyport/internal/told"
)

var proxyInjection = &Rule{
	Name: "proxy-injection",
	Doc: `pods of the mesh run the platform's proxy

A pod may choose another template, image, bootstrap or control plane for its
sidecar, mount what it likes into it, and with interceptionMode NONE have a sidecar
that captures nothing: a proxy that does not do what Istio tells it. That is denied
in namespaces of the mesh, and so is a sidecar in a namespace in ambient mode: its
hosts are led through a waypoint, which sidecars do not know. A pod without a
sidecar is warned about: only a NetworkPolicy confines it. Whatever
sidecar.istio.io/inject says beside true and yes counts as no, for some version of
Istio, or its network plugin, takes it so.`,
	Severity: Deny,
	For:      Tenants,
	Remedy:   "Leave it out: what the proxy is and does is the platform team's to say.",
	Rows:     []string{"K-2", "B-E3"},
	Kinds:    workloadKinds,
	Check: On(onWorkload(func(p *Pass, w *mesh.Workload, base string) {
		ambient := p.After.Namespace(w.Namespace).Ambient()
		for _, f := range []stringMap{{"labels", w.PodLabels}, {"annotations", w.PodAnnotations}} {
			field, set := f.field, f.values
			at := func(key string) string { return fmt.Sprintf("%smetadata.%s[%q]", base, field, key) }
			if v, ok := set[injectKey]; ok && v != "" {
				switch yes := slices.Contains(injectYes, strings.ToLower(v)); {
				case yes && ambient:
					p.Reportf(at(injectKey), "the pod has a sidecar, in a namespace whose hosts are reached by ztunnel and waypoints: a sidecar goes past those")
				case v == "false":
					p.Report(Finding{Severity: Warn, Path: at(injectKey), Told: "the pod has no sidecar: its traffic is nobody's"})
				case !yes:
					p.Report(Finding{Severity: Warn, Path: at(injectKey), Told: told.F("%q is false to some version of Istio or its network plugin: the pod has no sidecar, or one that captures nothing", v)})
				}
			}
			for _, k := range proxyKeys {
				if v, ok := set[k]; ok && !(k == overridesKey && w.Injected() && resized(v)) {
					p.Reportf(at(k), "%s: %q changes what the sidecar is", k, v)
				}
			}
			switch v, ok := set[interceptionKey]; {
			case !ok || v == "REDIRECT" || v == "TPROXY":
			case strings.EqualFold(v, "NONE"):
				p.Reportf(at(interceptionKey), "with interceptionMode %s the sidecar captures nothing", v)
			default:
				p.Reportf(at(interceptionKey), "interceptionMode %q is none that captures", v)
			}
		}
	})),
}

const (
	injectKey       = "sidecar.istio.io/inject"
	interceptionKey = "sidecar.istio.io/interceptionMode"
	overridesKey    = "proxy.istio.io/overrides"
)

// injectYes are the values, in any case, that no version of Istio takes for
// false: today's knows "true" and "false" and falls back to the namespace's
// choice for all others, the one before took all others for false, and the
// network plugin reads what strconv.ParseBool does (pkg/kube/inject,
// cni/pkg/plugin).
var injectYes = []string{"true", "y", "yes", "on"}

// proxyKeys are the annotations that make another proxy of the sidecar. The
// overrides are the injector's own note of what a user's container said: they
// may stay where they only size the proxy.
var proxyKeys = []string{
	"inject.istio.io/templates",
	"proxy.istio.io/config",
	overridesKey,
	"sidecar.istio.io/bootstrapOverride",
	"sidecar.istio.io/discoveryAddress",
	"sidecar.istio.io/proxyImage",
	"sidecar.istio.io/userVolume",
	"sidecar.istio.io/userVolumeMount",
}
