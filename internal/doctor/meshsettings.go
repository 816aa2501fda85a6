package doctor

import (
	"fmt"

	"github.com/sallyport-io/sallyport/internal/mesh"
	"github.com/sallyport-io/sallyport/internal/meshconfig"
)

var meshConfiguration = &Check{
	Name:  "mesh-configuration",
	Group: groupMesh,
	Doc: `Sallyport judges by the mesh configuration that the mesh has

It is read from Istio's ConfigMaps and followed. Fields of Sallyport's own
configuration override it: where one says something else than the cluster, verdicts
are about another mesh. Where revisions differ, the worst of each field counts; with
different root namespaces that cannot be. What istiod does not take, or reads from
other places than the API server, nobody can judge, and what is in a namespace that
discoverySelectors leave out does not count.`,
	Sources: []string{"https://istio.io/latest/docs/reference/config/istio.mesh.v1alpha1/"},
	Check: func(e *Exam) {
		if !e.need(e.meshConfigMaps()) {
			return
		}
		mark := e.mark()
		for _, n := range e.Mesh().Notes() {
			if n.Field == mesh.FieldIstio || n.Field == mesh.FieldGatewayAPI {
				continue // see istio-version and gateway-api-version
			}
			path := "data.mesh"
			if n.Field != "" {
				path += ": " + n.Field
			}
			edit := kubectl("-n %s get configmap istio -o yaml   # data.mesh", e.Settings.IstioNamespace)
			switch {
			case n.Kind == mesh.NoteOverridden:
				e.fail(n.Ref, path, fmt.Sprintf("Remove %s from Sallyport's configuration, or change the mesh's.", n.Field), "%s", n.Message)
			case n.Kind == mesh.NoteMalformed, n.Kind == mesh.NoteElsewhere, n.Kind == mesh.NoteDifferent && n.Field == "rootNamespace":
				e.fail(n.Ref, path, edit, "%s", n.Message)
			case n.Kind == mesh.NoteUnknown:
				e.unknown(n.Ref, path, "Update Sallyport to a version that knows this version of Istio.", "%s", n.Message)
			case n.Kind == mesh.NoteAbsent:
				e.unknown(n.Ref, "", "Set istioNamespace in Sallyport's configuration to the namespace of istiod. Where istiod runs outside the cluster, say there what its configuration is.", "%s", n.Message)
			default:
				e.pass(n.Ref, path, "%s", n.Message)
			}
		}
		for o := range e.Mesh().All("Namespace") {
			ns := o.(*mesh.Namespace)
			if !e.Mesh().Reads(ns.Name) && (ns.InMesh() || e.Settings.GatewayNamespace(ns.Name)) {
				e.fail(ns.Ref, "metadata.labels", kubectl("label namespace %s ...   # or discoverySelectors of the mesh configuration", ns.Name),
					"its pods are in the mesh, and discoverySelectors leave it out: routes, entries and Services in it do not count")
			}
		}
		for _, r := range e.Mesh().Revisions() {
			e.passed(mark, mesh.Ref{Kind: mesh.IstioConfigKind, Namespace: e.Settings.IstioNamespace, Name: r.Name}, "data.mesh", "%s", summary(r.Config))
		}
	},
}

// summary is what is taken from a mesh configuration.
func summary(c *meshconfig.Config) string {
	s := fmt.Sprintf("%s, root namespace %s, trust domain %s", c.Outbound, c.RootNamespace, c.TrustDomain)
	if len(c.Discovery) > 0 {
		s += ", discoverySelectors " + c.Discovery.String()
	}
	if c.Visibility != nil {
		s += ", serviceEntryVisibility " + c.Visibility.String()
	}
	return s
}
