package mesh

import (
	"iter"
	"slices"
)

// Named yields the objects of one kind in one namespace whose names begin
// with prefix, ordered by name.
func (m *Mesh) Named(kind, namespace, prefix string) iter.Seq[Object] {
	return m.objects.under(objectKey(Ref{Kind: kind, Namespace: namespace, Name: prefix}))
}

// RoutesFor returns the VirtualServices that list exactly this canonical
// host, oldest first.
func (m *Mesh) RoutesFor(host string) []*VirtualService {
	return slices.Collect(m.routes.under(hostPrefix(host)))
}
