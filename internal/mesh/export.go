package mesh

import (
	"maps"
	"slices"

	"github.com/sallyport-io/sallyport/internal/meshconfig"
)

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

// ExportTo is the exportTo of an entry in this mesh: what it says, what
// Sallyport will make it say where the mesh is read as open, or what the mesh
// configuration says for it.
func (m *Mesh) ExportTo(se *ServiceEntry) []string {
	to := orDefaults(m.declaredExport(se), m.settings.DefaultExports.Services)
	if v := m.settings.Visibility; v != nil && v.ToSidecars {
		return capped(to, m.shown(se), se.Namespace)
	}
	return to
}

// shown is to whom serviceEntryVisibility of the mesh configuration shows an entry
// at the most. Of a namespace that the mesh does not hold it is taken to show all:
// its labels are not known.
func (m *Mesh) shown(se *ServiceEntry) meshconfig.Level {
	if m.settings.Visibility == nil {
		return meshconfig.Everybody
	}
	ns := m.Namespace(se.Namespace)
	if ns == nil {
		return meshconfig.Everybody
	}
	m.Spend(lookupSteps + labelSteps*len(ns.Labels))
	return m.settings.Visibility.Of(ns.Labels)
}

// capped is an exportTo that is narrowed to a level (serviceExportTo in Istio's
// pilot/pkg/model).
func capped(exportTo []string, level meshconfig.Level, owner string) []string {
	own := len(exportTo) == 0 || slices.ContainsFunc(exportTo, func(to string) bool { return to == "*" || to == "." || to == owner })
	switch {
	case level == meshconfig.Everybody:
		return exportTo
	case level == meshconfig.OwnNamespace && own:
		return ownOnly
	default:
		return nobody
	}
}

var ownOnly, nobody = []string{"."}, []string{"~"}

// Held reports whether Sallyport holds the entry back: no sidecar sees it until
// its paths are via, and it is then opened to what it says it is to be.
func (se *ServiceEntry) Held() bool {
	to := se.Annotations[ExportAnnotation]
	return len(se.ExportTo) == 1 && se.ExportTo[0] == "~" && (to == "." || to == "*")
}

// Managed reports whether who sees the entry is Sallyport's to say: it holds the
// entry back, or has opened it. Who has written another exportTo since means
// that one.
func (se *ServiceEntry) Managed() bool {
	to := se.Annotations[ExportAnnotation]
	return se.Held() || (to == "." || to == "*") && (len(se.ExportTo) == 0 || len(se.ExportTo) == 1 && se.ExportTo[0] == to)
}

// Asks reports whether the entry itself asks for companions: admission or its
// owner has put [InjectionAnnotation] on it, or [ExportAnnotation], by which
// Sallyport says who sees it.
func (se *ServiceEntry) Asks() bool {
	to := se.Annotations[ExportAnnotation]
	return to == "." || to == "*" || se.Annotations[InjectionAnnotation] == "enabled"
}

// Asking is the entry with the annotation by which it asks for companions.
func (se *ServiceEntry) Asking() *ServiceEntry {
	out := *se
	out.Annotations = make(map[string]string, len(se.Annotations)+1)
	maps.Copy(out.Annotations, se.Annotations)
	out.Annotations[InjectionAnnotation] = "enabled"
	return &out
}

// Shared reports whether somebody sees an entry beside its own namespace.
func (m *Mesh) Shared(se *ServiceEntry) bool {
	to := m.ExportTo(se)
	if len(to) == 0 || slices.Contains(to, "*") {
		return true
	}
	return !m.Hidden(se) && slices.ContainsFunc(to, func(e string) bool { return e != "." && e != se.Namespace })
}

// Hidden reports whether nobody sees an entry.
func (m *Mesh) Hidden(se *ServiceEntry) bool {
	to := m.ExportTo(se)
	return slices.Contains(to, "~") && !slices.Contains(to, "*")
}

// declaredExport is ExportTo without the mesh configuration's default.
func (m *Mesh) declaredExport(se *ServiceEntry) []string {
	if m.open && se.Held() && !se.Kept {
		return []string{se.Annotations[ExportAnnotation]}
	}
	return se.ExportTo
}

// routeExport is the exportTo of a VirtualService, or the default.
func (m *Mesh) routeExport(vs *VirtualService) []string {
	return orDefaults(vs.ExportTo, m.settings.DefaultExports.VirtualServices)
}

// routeVisibility is how a VirtualService comes to be seen from a namespace.
func (m *Mesh) routeVisibility(vs *VirtualService, viewer string) visibility {
	to := m.routeExport(vs)
	m.Spend(len(to) >> 2)
	return visibleFrom(to, vs.Namespace, viewer)
}

// serviceExport is the exportTo of a Kubernetes Service, or the default.
func (m *Mesh) serviceExport(svc *Service) []string {
	return orDefaults(svc.ExportTo, m.settings.DefaultExports.Services)
}

func orDefaults(exportTo, fallback []string) []string {
	if len(exportTo) == 0 {
		return fallback
	}
	return exportTo
}

// SeenFrom reports whether an object is one that a namespace sees: its own, or one
// that is exported to it. Of the kinds that have no exportTo it sees its own alone.
// The viewer "" stands for every namespace at once.
func (m *Mesh) SeenFrom(o Object, viewer string) bool {
	meta := o.Metadata()
	if viewer != "" && meta.Namespace == viewer {
		return true
	}
	var exportTo []string
	switch o := o.(type) {
	case *ServiceEntry:
		exportTo = m.ExportTo(o)
	case *VirtualService:
		exportTo = m.routeExport(o)
	case *DestinationRule:
		exportTo = orDefaults(o.ExportTo, m.settings.DefaultExports.DestinationRules)
	case *Service:
		exportTo = m.serviceExport(o)
	default:
		return false
	}
	switch visibleFrom(exportTo, meta.Namespace, viewer) {
	case public:
		return true
	case exported:
		return viewer != ""
	default:
		return false
	}
}
