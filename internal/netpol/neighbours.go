package netpol

import (
	"maps"
	"slices"
	"strings"

	"github.com/sallyport-io/sallyport/internal/mesh"
)

// meshNamespaces are the namespaces of the mesh that are not the platform's,
// sorted.
func meshNamespaces(m *mesh.Mesh) []string {
	var names []string
	for o := range m.All("Namespace") {
		m.Spend(1)
		ns := o.(*mesh.Namespace)
		if ns.InMesh() && !m.Settings().Platform(ns.Name) {
			names = append(names, ns.Name)
		}
	}
	return names
}

// neighbours are the namespaces to whose pods those of a confined namespace
// may talk, sorted: their own, and those of the mesh that are chosen. What is
// not in the mesh, or is the platform's, cannot be chosen.
func neighbours(m *mesh.Mesh, own string) []string {
	chosen, all := peers(m, own)
	names := []string{own}
	for _, name := range meshNamespaces(m) {
		if name != own && (all || chosen[name]) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// Adjoins reports whether the pods of a confined namespace may talk to those
// of another one, which is a namespace of the mesh and not the platform's.
func Adjoins(m *mesh.Mesh, confined, other string) bool {
	chosen, all := peers(m, confined)
	return all || chosen[other]
}

// Neighbours returns the namespaces to whose pods those of a confined
// namespace may talk, and the names in its annotation that are none of the
// mesh's; both sorted.
func Neighbours(m *mesh.Mesh, namespace string) (names, unknown []string) {
	names = neighbours(m, namespace)
	chosen, _ := peers(m, namespace)
	for _, name := range names {
		delete(chosen, name)
	}
	return names, slices.Sorted(maps.Keys(chosen))
}

// peers reads whom a namespace has chosen: the names in its annotation, or all
// of the mesh, where it says "*" or says nothing and the configuration lets it.
func peers(m *mesh.Mesh, namespace string) (chosen map[string]bool, all bool) {
	ns := m.Namespace(namespace)
	if ns == nil {
		return nil, !m.Settings().Walls.OwnOnly
	}
	list, ok := ns.Annotations[mesh.PeersAnnotation]
	if !ok {
		return nil, !m.Settings().Walls.OwnOnly
	}
	m.Spend(len(list) / bytesPerStep)
	chosen = map[string]bool{}
	for name := range strings.SplitSeq(list, ",") {
		switch name = strings.TrimSpace(name); name {
		case "":
		case "*":
			all = true
		default:
			chosen[name] = true
		}
	}
	return chosen, all
}
