package mesh

// visibility is how an object comes to be seen from a namespace. Istio
// prefers objects in this order.
type visibility int

const (
	private  visibility = iota // in the namespace itself, exported to no more
	exported                   // exported to the namespace by name
	public
	hidden
)

// visibleFrom reads an exportTo as Istio does for services and
// VirtualServices (initServiceRegistry and initVirtualServices in Istio's
// pilot/pkg/model): "*" beats everything, then "~" hides from all.
func visibleFrom(exportTo []string, owner, viewer string) visibility {
	if len(exportTo) == 0 {
		return public
	}
	seen := hidden
	none := false
	for _, e := range exportTo {
		switch {
		case e == "*":
			return public
		case e == "~":
			none = true
		case e == "." || e == owner:
			if owner == viewer {
				seen = private
			}
		case e == viewer && seen == hidden:
			seen = exported
		}
	}
	if none {
		return hidden
	}
	return seen
}

// exportOf is the exportTo of an entry in this mesh: what it says, or what
// Sallyport will make it say, where the mesh is read as open.
func (m *Mesh) exportOf(se *ServiceEntry) []string {
	if m.open && len(se.ExportTo) == 1 && se.ExportTo[0] == "~" {
		switch to := se.Annotations[ExportAnnotation]; to {
		case ".", "*":
			return []string{to}
		}
	}
	return se.ExportTo
}
