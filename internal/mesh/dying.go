package mesh

import (
	"iter"
	"reflect"
	"slices"
)

// Survivors returns the mesh as it stands once everything that is being deleted
// has gone, with all that is in a namespace which is being deleted. The
// namespace itself counts as there: what its labels say holds for as long as
// there is a pod in it.
func (m *Mesh) Survivors() *Mesh {
	if m.rest == nil {
		return m
	}
	out := *m
	out.index, out.rest = m.rest, nil
	return &out
}

// Dying reports whether the object is being deleted, by itself or with its
// namespace.
func (m *Mesh) Dying(o Object) bool {
	meta := o.Metadata()
	if meta.Deleting {
		return true
	}
	ns := m.Namespace(meta.Namespace)
	return meta.Namespace != "" && ns != nil && ns.Deleting
}

// NotDeleting returns the object as it would be if nobody had deleted it.
func NotDeleting(o Object) Object { return withDeleting(o, false, "") }

// Terminating returns the object as one that is being deleted, for a reason other than
// a deletionTimestamp of its own, if one is given.
func Terminating(o Object, why string) Object { return withDeleting(o, true, why) }

func withDeleting(o Object, deleting bool, why string) Object {
	meta := o.Metadata()
	if meta.Deleting == deleting && meta.DeletingReason == why {
		return o
	}
	of := reflect.ValueOf(o).Elem()
	out := reflect.New(of.Type())
	out.Elem().Set(of) // shares what nobody changes
	changed := out.Interface().(Object)
	changed.Metadata().Deleting, changed.Metadata().DeletingReason = deleting, why
	return changed
}

// Missed reports whether it changes a path, or a wall, that an object is gone:
// pods and what makes them come and go all day long. A mesh configuration counts
// until it is gone: that the last one goes is refused for its own sake, and of
// what is assumed without one nothing is known to be so.
func Missed(o Object) bool {
	switch o.(type) {
	case *ServiceEntry, *VirtualService, *Gateway, *DestinationRule, *Sidecar, *WorkloadEntry, *EnvoyFilter,
		*Route, *K8sGateway, *Service, *EndpointSlice, *AuthorizationPolicy, *NetworkPolicy, *Namespace:
		return true
	default:
		return false
	}
}

// anyDying reports whether the mesh has survivors: anything in it is being deleted.
func (m *Mesh) anyDying() bool { return !m.dying.empty() }

// updateSurvivors gives the mesh its survivors, given those of the mesh from which it
// differs in the named objects.
func (m *Mesh) updateSurvivors(before *Mesh, changed []Ref) {
	// The index is complete, and nobody changes it in place any more: what it
	// shares with the survivors' is safe under an edit of its own.
	e := &edit{draft: m.draft}
	if before.rest == nil || before.settings != m.settings {
		rest := *m.index
		m.rest = &rest
		for _, o := range slices.Collect(m.dying.under("")) {
			if ns, ok := o.(*Namespace); ok {
				m.removeContents(e, ns.Name)
			} else {
				rest.remove(e, o.Metadata().Ref)
			}
		}
		rest.seal(e)
		return
	}
	rest := *before.rest
	m.rest = &rest
	for _, ref := range changed {
		o, there := m.get(ref)
		rest.remove(e, ref)
		switch {
		case ref.Kind == "Namespace":
			if there {
				rest.add(e, o)
			}
			was, is := before.Namespace(ref.Name), m.Namespace(ref.Name)
			switch {
			case is != nil && is.Deleting:
				m.removeContents(e, ref.Name)
			case was != nil && was.Deleting:
				m.restoreContents(e, ref.Name)
			}
		case there && !(m.Dying(o) && Missed(o)):
			rest.add(e, o)
		}
	}
	rest.seal(e)
}

// removeContents takes all that is in a namespace from the survivors.
func (m *Mesh) removeContents(e *edit, namespace string) {
	for o := range m.Within(namespace) {
		m.Spend(1)
		if Missed(o) {
			m.rest.remove(e, o.Metadata().Ref)
		}
	}
}

// restoreContents puts back what is in a namespace of that name and is not dying by
// itself: the namespace that was deleted is gone, and this is another one.
func (m *Mesh) restoreContents(e *edit, namespace string) {
	for o := range m.Within(namespace) {
		if Missed(o) && !o.Metadata().Deleting {
			m.rest.remove(e, o.Metadata().Ref)
			m.rest.add(e, o)
		}
	}
}

// KindOf returns the model's name of an API kind whose absence changes paths, which
// the model therefore always holds.
func KindOf(group, name string) (kind string, clusterScoped, ok bool) {
	k, known := kinds[groupKind{group, name}]
	return k.name, k.clusterScoped, known && slices.Contains(heldKinds, k.name)
}

// heldKinds are the kinds of what is [Missed].
var heldKinds = []string{
	"AuthorizationPolicy", "DestinationRule", "EndpointSlice", "EnvoyFilter", "GRPCRoute", "Gateway", "HTTPRoute", "K8sGateway",
	"Namespace", "NetworkPolicy", "Service", "ServiceEntry", "Sidecar", "TCPRoute", "TLSRoute", "VirtualService", "WorkloadEntry",
}

// Within yields every object in a namespace.
func (m *Mesh) Within(namespace string) iter.Seq[Object] {
	return func(yield func(Object) bool) {
		for _, kind := range Kinds() {
			for o := range m.In(kind, namespace) {
				if !yield(o) {
					return
				}
			}
		}
	}
}

// without returns the survivors of a mesh for which a path was decided, or nil
// where they cannot make it worse.
func (m *Mesh) without(path Path) *Mesh {
	if m.rest == nil || path.Verdict == Direct {
		return nil
	}
	return m.Survivors()
}

// worse returns the worse of a path and what it is among the survivors. A client
// whose entry goes has lost the egress point itself: what it then sends to the
// host is traffic for an unknown host like any other.
func (m *Mesh) worse(path, rest Path) Path {
	if !graver(rest.Verdict, rest.Passed, path.Verdict, path.Passed) {
		return path
	}
	if entry, ok := m.get(path.Entry); ok && rest.Entry == (Ref{}) && m.Dying(entry) {
		return path
	}
	rest.Because = slices.Concat(m.goneReasons(path, rest), rest.Because)
	return rest
}

// goneReasons say of which objects that decided a path the survivors lack.
func (m *Mesh) goneReasons(path, rest Path) []Reason {
	var out []Reason
	say := func(ref Ref) {
		o, ok := m.get(ref)
		if !ok || !m.Dying(o) || slices.ContainsFunc(out, func(r Reason) bool { return r.Ref == ref }) {
			return
		}
		r := Reason{Ref: ref, Path: "metadata.deletionTimestamp"}.with("it is being deleted, and counts as gone")
		switch meta := o.Metadata(); {
		case meta.DeletingReason != "":
			r = Reason{Ref: ref, Path: "metadata.ownerReferences"}.with("%s", ref.Tell().Detail(meta.DeletingReason))
		case !meta.Deleting:
			r = r.says("its namespace is being deleted, and it counts as gone")
		}
		if len(out) == 0 && len(rest.Because) > 0 {
			r = r.with("%s", rest.Because[0].Says())
		}
		out = append(out, r)
	}
	for _, r := range path.Because {
		say(r.Ref)
	}
	for _, h := range path.Hops {
		say(h.Decided.Ref)
	}
	return out
}
