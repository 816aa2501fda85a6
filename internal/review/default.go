package review

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/sallyport-io/sallyport/internal/budget"
	"github.com/sallyport-io/sallyport/internal/companion"
	"github.com/sallyport-io/sallyport/internal/mesh"
)

// PatchOp is one operation of a JSON patch (RFC 6902) on the raw object.
type PatchOp struct {
	Op    string `json:"op"`
	Path  string `json:"path"`
	Value any    `json:"value,omitempty"`
}

// held is the exportTo of an entry that no sidecar sees.
var held = []string{"~"}

// Default returns the patch that admission applies to an object before it is
// judged. It adds absent fields only, with two exceptions: an exportTo that
// Sallyport itself manages ([mesh.ExportAnnotation]), and the routes of a
// VirtualService that asks for it ([mesh.RewriteAnnotation]). It is idempotent.
//
// A new ServiceEntry without exportTo is to be seen by its own namespace, or by
// all where the platform owns it or Sallyport keeps no companions for it; but
// not before its paths are via, which is a question to the mesh as it stands,
// not as it will be.
//
// Where Sallyport keeps companions for new entries only, one that is created is
// marked as such ([mesh.InjectionAnnotation]), in whichever mode its namespace is,
// and an update does not lose the mark. An entry without it is left as it is.
//
// An update leaves who sees an entry as it was, whatever else it changes: one
// that others see without Sallyport's doing stays as it is, and one that is
// open is held back only where it registers nothing that it registered before.
// What an update adds to an open entry rule open-gap judges.
//
// It has the budget of [Judge.Review], and so has its errors; taken is how many steps
// it spent of that, with an error too.
func Default(ctx context.Context, m *mesh.Mesh, w Write) (ops []PatchOp, taken int64, err error) {
	if w.Request.Operation == "DELETE" {
		return nil, 0, nil
	}
	var ref mesh.Ref
	steps := budget.New(ctx, limitOf(w.Request.Operation))
	err = within(&ref, func() (err error) {
		ops, err = defaults(m.Draft().Bounded(steps), w, &ref)
		return err
	})
	if err != nil {
		return nil, steps.Spent(), err
	}
	return ops, steps.Spent(), nil
}

// Awaited are the hosts of which the mesh holds no entry yet, and by which [Default]
// would have more to fill in; see [companion.Awaited]. What cannot be read awaits none.
// It has the budget of Default; taken is how many steps it spent of that.
func Awaited(ctx context.Context, m *mesh.Mesh, w Write) (hosts []string, taken int64) {
	if w.Request.Operation == "DELETE" {
		return nil, 0
	}
	var ref mesh.Ref
	steps := budget.New(ctx, limitOf(w.Request.Operation))
	err := within(&ref, func() error {
		m := m.Bounded(steps)
		spendToRead(m, Write{Object: w.Object})
		o, err := mesh.Decode(w.Object)
		if vs, ok := o.(*mesh.VirtualService); ok && err == nil {
			hosts = companion.Awaited(m, vs)
		}
		return err
	})
	if err != nil {
		return nil, steps.Spent()
	}
	return hosts, steps.Spent()
}

func defaults(m *mesh.Mesh, w Write, ref *mesh.Ref) ([]PatchOp, error) {
	spendToRead(m, Write{Object: w.Object})
	o, err := mesh.Decode(w.Object)
	if errors.Is(err, mesh.ErrUnknownKind) {
		return nil, nil
	}
	if err != nil {
		return nil, &InputError{fmt.Errorf("decoding the object: %w", err)}
	}
	*ref = o.Metadata().Ref
	if err := mesh.CheckWords(o, w.Object); err != nil {
		return nil, &InputError{fmt.Errorf("%s is not judged: %w", mesh.Short(ref.String()), err)}
	}
	if vs, ok := o.(*mesh.VirtualService); ok {
		return rewrite(m, vs)
	}
	se, ok := o.(*mesh.ServiceEntry)
	if !ok || len(se.Hosts) == 0 || se.Deleting {
		return nil, nil
	}
	return entryDefaults(m, w, se, entryBefore(m, w, se))
}

// entryDefaults is [Default] for an entry; old is the one before the update, nil where
// there is none that can be read.
func entryDefaults(m *mesh.Mesh, w Write, se, old *mesh.ServiceEntry) ([]PatchOp, error) {
	asks := se.Asks()
	if companion.Injects(m, se.Namespace) == mesh.InjectNew && !asks {
		switch _, says := se.Annotations[mesh.InjectionAnnotation]; {
		case old == nil && w.Request.Operation == "UPDATE":
			return nil, nil
		case old != nil && !companion.Serves(m, old) && !companion.Serves(m, se):
			return nil, nil // it was there before, and nobody asks for anything
		case says, old != nil && !old.Asks():
		default:
			se = se.Asking()
		}
	}
	ops, err := export(m, w, se, old)
	if err != nil || asks || !se.Asks() || slices.ContainsFunc(ops, func(op PatchOp) bool { return strings.HasPrefix(op.Path, "/metadata") }) {
		return ops, err // an entry with the one annotation need not have the other
	}
	m.Spend(readSteps(w.Object))
	mark, err := annotate(w.Object, mesh.InjectionAnnotation, "enabled")
	return append(mark, ops...), err
}

// export is what admission makes of who sees an entry; old is nil for a new one.
func export(m *mesh.Mesh, w Write, se, old *mesh.ServiceEntry) (ops []PatchOp, err error) {
	if modeOf(m, se) != modeEnforce {
		return nil, nil
	}
	value, annotated := exportOf(m, se)
	if old != nil && len(se.ExportTo) == 0 {
		switch {
		case len(old.ExportTo) == 0 && (!annotated || old.Annotations[mesh.ExportAnnotation] == value):
			return nil, nil // it came in like this, and nothing new is asked for
		case annotated:
		case old.Managed():
			value = old.Annotations[mesh.ExportAnnotation]
		case m.Shared(old):
			return nil, nil // the client's choice before, and the client's choice now
		case !m.Hidden(old):
			value = "."
		}
	}
	want := []string{value}
	switch {
	case len(se.ExportTo) == 0:
		// As the client left it: ours to choose.
	case !annotated || !slices.Equal(se.ExportTo, want):
		// The client's own choice, or held already: the reconciler opens it.
		return nil, nil
	}
	if !ready(m, se, want) && !hides(m, old, se) {
		want = held
	}
	if slices.Equal(se.ExportTo, want) {
		return nil, nil
	}
	m.Spend(readSteps(w.Object))
	if _, ok := se.Annotations[mesh.ExportAnnotation]; !ok {
		if ops, err = annotate(w.Object, mesh.ExportAnnotation, value); err != nil {
			return nil, err
		}
	}
	return append(ops, PatchOp{Op: "add", Path: "/spec/exportTo", Value: want}), nil
}

// rewrite returns the patch that makes a VirtualService's straight routes the
// mesh hop of two, where it asks for that.
func rewrite(m *mesh.Mesh, vs *mesh.VirtualService) ([]PatchOp, error) {
	var ops []PatchOp
	size := 0
	for _, e := range companion.Rewrite(m, vs) {
		ops = append(ops, PatchOp{Op: "add", Path: e.Pointer, Value: e.Value}) // "add" replaces what is there
		value, err := json.Marshal(e.Value)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", vs.Ref, err)
		}
		size += len(e.Pointer) + len(value)
		m.Spend(len(value) / bytesPerStep)
	}
	if size > MaxPatch {
		return nil, &InputError{fmt.Errorf("%s asks to be rewritten, which takes %d bytes; the limit is %d: split it, or write the two hops yourself", vs.Ref, size, MaxPatch)}
	}
	return ops, nil
}

// MaxPatch is how many bytes are put into an object on request. An object that
// grows by more could hardly be stored.
const MaxPatch = 512 << 10

// exportOf returns what the entry's exportTo is to be once it is open, and
// whether the entry's own annotation says so. An annotation that says neither
// "." nor "*" is left for the rules to complain about. Where users keep the
// routes themselves an entry is what Istio makes of it, public: confined to
// its namespace it would be out of sight of the gateway's hop.
func exportOf(m *mesh.Mesh, se *mesh.ServiceEntry) (string, bool) {
	switch v := se.Annotations[mesh.ExportAnnotation]; {
	case v == "." || v == "*":
		return v, true
	case m.Settings().Platform(se.Namespace), companion.Injects(m, se.Namespace) == mesh.InjectNone:
		return "*", false
	default:
		return ".", false
	}
}

// ready reports whether nothing keeps the entry from being open, in the mesh
// as it stands.
func ready(m *mesh.Mesh, se *mesh.ServiceEntry, exportTo []string) bool {
	m.Spend(hostSteps * len(se.Hosts))
	open := *se
	open.ExportTo = exportTo
	m = companion.Lasting(m, &open).With(&open)
	if !m.HasPoints(&open) {
		return true // it registers nothing outside the mesh
	}
	for _, host := range hostsOf(&open) {
		if len(companion.Unready(m, &open, host)) > 0 {
			return false
		}
	}
	return true
}

// entryBefore is the entry before an update, nil where there is none that can be
// read.
func entryBefore(m *mesh.Mesh, w Write, se *mesh.ServiceEntry) *mesh.ServiceEntry {
	if w.Request.Operation != "UPDATE" {
		return nil
	}
	m.Spend(readSteps(w.OldObject))
	o, err := mesh.Decode(w.OldObject)
	if old, ok := o.(*mesh.ServiceEntry); err == nil && ok && old.Ref == se.Ref {
		return old
	}
	return nil
}

// hides reports whether to hold the entry back would hide something that it
// registered before, where somebody saw it.
func hides(m *mesh.Mesh, old, se *mesh.ServiceEntry) bool {
	if old == nil || m.Hidden(old) {
		return false
	}
	kept := hostsOf(se)
	if !slices.ContainsFunc(hostsOf(old), func(host string) bool { _, ok := slices.BinarySearch(kept, host); return ok }) {
		return false
	}
	return slices.ContainsFunc(old.Ports, func(port mesh.ServicePort) bool {
		return slices.ContainsFunc(se.Ports, func(p mesh.ServicePort) bool {
			m.Spend(1)
			return p.Number == port.Number && mesh.ClassOf(p.Protocol) == mesh.ClassOf(port.Protocol)
		})
	})
}

// annotate returns the patch that gives the object an annotation.
func annotate(raw []byte, key, value string) ([]PatchOp, error) {
	var object struct {
		Metadata struct {
			Annotations map[string]string `json:"annotations"`
		} `json:"metadata"`
	}
	if err := json.Unmarshal(raw, &object); err != nil {
		return nil, &InputError{fmt.Errorf("reading the annotations: %w", err)}
	}
	if object.Metadata.Annotations == nil {
		return []PatchOp{{Op: "add", Path: "/metadata/annotations", Value: map[string]string{key: value}}}, nil
	}
	return []PatchOp{{Op: "add", Path: "/metadata/annotations/" + escape(key), Value: value}}, nil
}
