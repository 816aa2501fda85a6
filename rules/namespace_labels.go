package rules

import (
	"fmt"

	"github.com/sallyport-io/sallyport/internal/mesh"
)

var namespaceLabels = &Rule{
	Name: "namespace-labels",
	Doc: `labels that keep a namespace in the mesh are not dropped

Whether pods get a sidecar, which waypoint they use, and whether Sallyport judges
the namespace and keeps its NetworkPolicy: all that hangs on labels of the
Namespace. A change that loosens one is warned about; paths that it opens are
denied by direct-path.`,
	Severity: Warn,
	Rows:     []string{"K-14", "K-2", "S-21"},
	Kinds:    []string{"Namespace"},
	Check: On(func(p *Pass, ns *mesh.Namespace) {
		old, ok := p.Old.(*mesh.Namespace)
		if !ok || p.After.Settings().Platform(ns.Name) {
			return
		}
		for _, g := range guardedLabels {
			was, is := old.Labels[g.key], ns.Labels[g.key]
			if was == is || !g.loosens(was, is) {
				continue
			}
			p.Reportf(fmt.Sprintf("metadata.labels[%q]", g.key), "label %s changes from %q to %q: %s", g.key, was, is, g.effect)
		}
	}),
}

// guardedLabels are the labels whose change can let pods out.
var guardedLabels = []struct {
	key     string
	loosens func(was, is string) bool
	effect  string
}{
	{"istio-injection", func(was, _ string) bool { return was == "enabled" }, "new pods get no sidecar"},
	{"istio.io/rev", func(was, _ string) bool { return was != "" }, "new pods get another control plane's sidecar, or none"},
	{"istio.io/dataplane-mode", func(was, _ string) bool { return was != "" }, "pods leave the ambient mesh"},
	{"istio.io/use-waypoint", func(was, _ string) bool { return was != "" }, "traffic takes another waypoint, or none"},
	{mesh.ModeLabel, func(_, is string) bool { return is == "warn" || is == "off" }, "findings no longer stop a write"},
	{mesh.InjectionLabel, func(_, is string) bool { return is == "disabled" }, "Sallyport no longer keeps routes for the namespace's hosts"},
	{mesh.NetworkPolicyLabel, func(_, is string) bool { return is != "enabled" }, "Sallyport no longer keeps the namespace's NetworkPolicy"},
}
