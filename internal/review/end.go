package review

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/sallyport-io/sallyport/internal/companion"
	"github.com/sallyport-io/sallyport/internal/mesh"
	"github.com/sallyport-io/sallyport/internal/rawjson"
)

// This file knows the ways by which an object comes to its end without anybody
// asking for that at the time: its last finalizer goes, its owner goes, its
// namespace goes. Each is judged as the deletion that it is, when it is asked for.

// endMeta is what an API server looks at when it decides whether an object ends.
type endMeta struct {
	DeletionTimestamp          *string           `json:"deletionTimestamp"`
	DeletionGracePeriodSeconds *int64            `json:"deletionGracePeriodSeconds"`
	Finalizers                 []json.RawMessage `json:"finalizers"`
	OwnerReferences            []owner           `json:"ownerReferences"`
}

// owner is one of an object's ownerReferences.
type owner struct {
	APIVersion string `json:"apiVersion"`
	Kind       string `json:"kind"`
	Name       string `json:"name"`
	UID        string `json:"uid"`
}

func endMetaOf(raw []byte) (m endMeta, ok bool) {
	return m, json.Unmarshal(rawjson.Member(raw, "metadata"), &m) == nil
}

// asEnd returns the write as what comes of it: an UPDATE of an object that is being
// deleted, after which no finalizer holds it any more, is its DELETE
// (ShouldDeleteDuringUpdate in k8s.io/apiserver).
func (w Write) asEnd() Write {
	if w.Request.Operation != "UPDATE" {
		return w
	}
	was, ok := endMetaOf(w.OldObject)
	is, read := endMetaOf(w.Object)
	switch {
	case !ok || !read, was.DeletionTimestamp == nil, len(is.Finalizers) > 0,
		was.DeletionGracePeriodSeconds != nil && *was.DeletionGracePeriodSeconds != 0:
		return w
	}
	old, err := mesh.Decode(w.OldObject)
	if err != nil {
		return w // nobody knows what goes; what stands is judged
	}
	if _, ok := old.(*mesh.Namespace); ok {
		var spec struct {
			Finalizers []json.RawMessage `json:"finalizers"`
		}
		if json.Unmarshal(rawjson.Member(w.Object, "spec"), &spec) != nil || len(spec.Finalizers) > 0 {
			return w
		}
	}
	if !mesh.Missed(old) {
		return w
	}
	w.Request.Operation, w.Object = "DELETE", nil
	return w
}

// fate returns the object of a write as the judge has to take it. What is being
// deleted already is judged by what it says, for as long as it is there: that its
// absence counts as well is nothing that the write changes. What the garbage
// collector is about to delete, for want of an owner, counts as being deleted.
func fate(m *mesh.Mesh, o mesh.Object, raw []byte) mesh.Object {
	if _, ok := o.(*mesh.Namespace); !ok {
		o = mesh.NotDeleting(o)
	} else if o.Metadata().Deleting {
		return o // a namespace stands among the survivors as well, only empty
	}
	if !mesh.Missed(o) || companion.Is(o.Metadata().Ref) {
		return o
	}
	if why := orphaned(m, o, raw); why != "" {
		return mesh.Terminating(o, why)
	}
	return o
}

// orphaned says why the garbage collector deletes the object that is written: none
// of its owners is there to stay. It is empty where one is, or may be, because the
// model does not hold its kind; what the collector deletes then is judged when it
// does.
func orphaned(m *mesh.Mesh, o mesh.Object, raw []byte) string {
	if rawjson.Member(rawjson.Member(raw, "metadata"), "ownerReferences") == nil {
		return "" // most objects have none
	}
	meta, ok := endMetaOf(raw)
	if !ok || len(meta.OwnerReferences) == 0 {
		return ""
	}
	why := ""
	for i, owner := range meta.OwnerReferences {
		m.Spend(1)
		problem := owner.missing(m, o.Metadata())
		if problem == "" {
			return ""
		}
		if i == 0 {
			why = problem
		}
	}
	return why + ", and Kubernetes deletes what has no owner left"
}

// missing says why an owner is none, or is about to go.
func (r owner) missing(m *mesh.Mesh, of *mesh.Meta) string {
	group, _, found := strings.Cut(r.APIVersion, "/")
	if !found {
		group = ""
	}
	kind, clusterScoped, ok := mesh.KindOf(group, r.Kind)
	if !ok {
		return ""
	}
	ref := mesh.Ref{Kind: kind, Namespace: of.Namespace, Name: r.Name}
	if clusterScoped {
		ref.Namespace = ""
	} else if of.Namespace == "" {
		return fmt.Sprintf("its owner %s %s lies in a namespace, which no owner of a %s can", r.Kind, r.Name, of.Kind)
	}
	if ref == of.Ref {
		return fmt.Sprintf("its owner %s is itself", ref)
	}
	have := m.Get(ref)
	switch there := have != nil && have.Metadata().UID == r.UID && !m.Dying(have); {
	case there:
		return ""
	case clusterScoped && r.Name != of.Namespace:
		// Which of it would tell a tenant what namespaces there are.
		return fmt.Sprintf("its owner %s with the uid %q does not exist or is being deleted", ref, r.UID)
	case have == nil:
		return fmt.Sprintf("its owner %s does not exist", ref)
	case have.Metadata().UID != r.UID:
		return fmt.Sprintf("its owner %s is not the one with the uid %q", ref, r.UID)
	default:
		return fmt.Sprintf("its owner %s is being deleted", ref)
	}
}

// end returns the mesh after a DELETE, given the one before, and what goes with the
// object. With a namespace goes all that is in it. An object that is deleted in
// the foreground stays until the garbage collector has deleted those that it owns.
func (w Write) end(m *mesh.Mesh, o mesh.Object) (after *mesh.Mesh, along []mesh.Object) {
	meta := o.Metadata()
	if meta.Kind == "Namespace" {
		if m.Dying(o) {
			return m.Without(meta.Ref), nil // its contents count as gone since it was deleted
		}
		doomed := mesh.Terminating(o, "")
		return m.With(doomed), []mesh.Object{doomed}
	}
	if !w.foreground() {
		return m.Without(meta.Ref), nil
	}
	var refs []mesh.Ref
	for other := range m.Within(meta.Namespace) {
		m.Spend(1)
		if other := other.Metadata(); !companion.Is(other.Ref) && other.Ref != meta.Ref && slices.Contains(other.Owners, meta.UID) {
			refs = append(refs, other.Ref)
			along = append(along, m.Get(other.Ref))
		}
	}
	if len(refs) == 0 {
		return m.Without(meta.Ref), nil
	}
	return m.With(mesh.Terminating(o, "")).Without(refs...), along
}

// foreground reports whether the API server keeps the object of a DELETE until
// those that it owns are gone (shouldDeleteDependents in k8s.io/apiserver).
func (w Write) foreground() bool {
	switch w.Propagation {
	case "Foreground":
		return true
	case "":
		meta, _ := endMetaOf(w.OldObject)
		return slices.ContainsFunc(meta.Finalizers, func(f json.RawMessage) bool { return string(f) == `"foregroundDeletion"` })
	default:
		return false
	}
}
