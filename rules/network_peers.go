package rules

import (
	"fmt"

	"github.com/sallyport-io/sallyport/internal/mesh"
	"github.com/sallyport-io/sallyport/internal/netpol"
	"github.com/sallyport-io/sallyport/internal/told"
)

var networkPeers = &Rule{
	Name: "network-peers",
	Doc: `neighbours behind the wall are in the mesh

The annotation sallyport.io/network-peers on a Namespace chooses the namespaces
that its confined pods may talk to. It chooses among those of the mesh that are
not the platform's: a name of another one, or of none, opens nothing, and whoever
wrote it is told.

A namespace of the mesh that has no wall itself is reached from behind the walls
of others, and its pods may pass on what they are sent. That is mentioned where
such a namespace comes to be.`,
	Severity: Warn,
	Rows:     []string{"K-17"},
	Kinds:    []string{"Namespace"},
	Check: On(func(p *Pass, ns *mesh.Namespace) {
		if _, unknown := netpol.Neighbours(p.After, ns.Name); len(unknown) > 0 {
			p.Reportf(fmt.Sprintf("metadata.annotations[%q]", mesh.PeersAnnotation),
				"%s: no namespaces of the mesh by these names, or they are the platform's; the wall stays closed towards them",
				told.Plain(mesh.Few(unknown, len(unknown)))) // which stand in the annotation
		}
		if old, ok := p.Old.(*mesh.Namespace); ok && openToWalls(p.After.With(old), ns.Name) != "" {
			return
		}
		if walled := openToWalls(p.After, ns.Name); walled != "" {
			p.Report(Finding{
				Severity: Info,
				Path:     "metadata.labels",
				Told: told.F("the namespace is in the mesh and has no wall: the confined pods of %s reach its pods, and these reach what they like",
					told.InNamespace(walled)),
				ToldFix: told.F("Wall it in as well: kubectl label namespace %s %s=enabled --overwrite\n", told.Namespace(ns.Name), told.Plain(mesh.NetworkPolicyLabel)),
			})
		}
	}),
}

// openToWalls returns the first walled namespace from which the namespace's
// pods are reached although it has no wall itself, empty where there is none.
func openToWalls(m *mesh.Mesh, name string) string {
	ns := m.Namespace(name)
	if ns == nil || !ns.InMesh() || netpol.StageOf(m, name) == netpol.Enforced || m.Settings().Platform(name) {
		return ""
	}
	for o := range m.All("Namespace") {
		m.Spend(1)
		if other := o.Metadata().Name; netpol.Walled(m, other) && netpol.Adjoins(m, other, name) {
			return other
		}
	}
	return ""
}
