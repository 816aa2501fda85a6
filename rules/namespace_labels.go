package rules

import (
	"fmt"
	"slices"

	"github.com/sallyport-io/sallyport/internal/mesh"
	"github.com/sallyport-io/sallyport/internal/netpol"
	"github.com/sallyport-io/sallyport/internal/told"
)

var namespaceLabels = &Rule{
	Name: "namespace-labels",
	Doc: `labels that keep a namespace in the mesh are not dropped

Whether pods get a sidecar, which waypoint they use, and whether Sallyport judges
the namespace and keeps its NetworkPolicy: all that hangs on labels of the
Namespace, and the neighbours that its pods may talk to on an annotation. A
change that loosens one is warned about, of a gateway's namespace too; paths that
it opens are denied by direct-path.`,
	Severity: Warn,
	Rows:     []string{"K-14", "K-2", "S-21"},
	Kinds:    []string{"Namespace"},
	Check: On(func(p *Pass, ns *mesh.Namespace) {
		old, ok := p.Old.(*mesh.Namespace)
		if !ok {
			return
		}
		leavesWall(p, old, ns)
		if p.After.Settings().Platform(ns.Name) {
			return
		}
		for _, g := range guardedLabels {
			was, is := old.Labels[g.key], ns.Labels[g.key]
			if was == is || !g.loosens(was, is) {
				continue
			}
			p.Reportf(labelPath(g.key), "label %s changes from %q to %q: %s", told.Plain(g.key), was, is, told.Plain(g.effect))
		}
	}),
}

func labelPath(key string) string { return fmt.Sprintf("metadata.labels[%q]", key) }

// leavesWall reports an edit after which Sallyport no longer keeps the
// NetworkPolicies of the namespace, or keeps wider ones. Which label that
// hangs on depends on the configuration.
func leavesWall(p *Pass, old, ns *mesh.Namespace) {
	before := p.After.With(old)
	if netpol.StageOf(before, ns.Name) != netpol.Enforced {
		return
	}
	if netpol.StageOf(p.After, ns.Name) != netpol.Enforced {
		for _, key := range []string{mesh.NetworkPolicyLabel, "istio-injection", "istio.io/rev", "istio.io/dataplane-mode"} {
			if was, is := old.Labels[key], ns.Labels[key]; was != is {
				p.Reportf(labelPath(key), "label %s changes from %q to %q: Sallyport no longer keeps the namespace's NetworkPolicies, and its pods reach what they like", told.Plain(key), was, is)
				return
			}
		}
		return
	}
	if !netpol.Walled(before, ns.Name) {
		return
	}
	had, _ := netpol.Neighbours(before, ns.Name)
	have, _ := netpol.Neighbours(p.After, ns.Name)
	more := slices.DeleteFunc(have, func(name string) bool {
		_, before := slices.BinarySearch(had, name)
		return before
	})
	if len(more) > 0 {
		p.Reportf(fmt.Sprintf("metadata.annotations[%q]", mesh.PeersAnnotation),
			"the wall opens towards %s", mesh.FewNamespaces("namespaces ", more, len(more)))
	}
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
	{"istio.io/use-waypoint-canary", func(_, is string) bool { return is != "" }, "part of the traffic takes another waypoint"},
	{mesh.ModeLabel, func(_, is string) bool { return is == "warn" || is == "off" }, "findings no longer stop a write"},
	{mesh.InjectionLabel, func(_, is string) bool { return is == "disabled" }, "Sallyport no longer keeps routes for the namespace's hosts"},
}
