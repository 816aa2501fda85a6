package review

import (
	"context"
	"errors"

	"github.com/sallyport-io/sallyport/internal/budget"
	"github.com/sallyport-io/sallyport/internal/companion"
	"github.com/sallyport-io/sallyport/internal/mesh"
	"github.com/sallyport-io/sallyport/rules"
)

// admit makes of the objects what admission makes of them, in subjects, in
// their JSON and in the returned mesh: the entries of injected namespaces get
// their exportTo, opened, and then VirtualServices that ask for it are
// rewritten. A rewrite asks for the companions of what it routes to, and these
// depend on every entry of the batch; each sees the others as they are written,
// so that the order in which they are given does not matter. What is too large for
// that is left as it is written, as the server leaves it. Of the objects in old they
// are updates.
func admit(ctx context.Context, live *mesh.Mesh, subjects []mesh.Object, raw [][]byte, old map[mesh.Ref]standingObject) (*mesh.Mesh, error) {
	patch := func(i int, ops []PatchOp) (err error) {
		if raw[i], err = Patched(raw[i], ops); err == nil {
			subjects[i], err = mesh.Decode(raw[i])
		}
		if err != nil {
			return &ObjectError{i, err}
		}
		return nil
	}
	for i, o := range subjects {
		se, ok := o.(*mesh.ServiceEntry)
		if !ok || len(se.Hosts) == 0 {
			continue
		}
		ops, err := admitted(live, se, raw[i], old[se.Ref])
		if err != nil {
			return nil, &ObjectError{i, err}
		}
		if len(ops) == 0 {
			continue
		}
		if err := patch(i, ops); err != nil {
			return nil, err
		}
		live = live.With(subjects[i])
	}
	var rewritten []mesh.Object
	for i, o := range subjects {
		vs, ok := o.(*mesh.VirtualService)
		if !ok {
			continue
		}
		var ops []PatchOp
		ref := vs.Ref
		steps := budget.New(ctx, limitOf("CREATE"))
		err := within(&ref, func() (err error) {
			steps.Spend(readSteps(raw[i]))
			ops, err = rewrite(live.Draft().Bounded(steps), vs)
			return err
		})
		if _, tooLarge := errors.AsType[*budget.TooLarge](err); err != nil && !tooLarge {
			return nil, &ObjectError{i, err}
		}
		if err != nil || len(ops) == 0 {
			continue
		}
		if err := patch(i, ops); err != nil {
			return nil, err
		}
		rewritten = append(rewritten, subjects[i])
	}
	return live.With(rewritten...), nil
}

// admitted is the patch that makes of an entry what it comes to be, opened.
func admitted(live *mesh.Mesh, se *mesh.ServiceEntry, raw []byte, old standingObject) (ops []PatchOp, err error) {
	if was, ok := old.object.(*mesh.ServiceEntry); ok {
		return updated(live, se, raw, was)
	}
	injection := companion.Injects(live, se.Namespace)
	_, annotated := se.Annotations[mesh.ExportAnnotation]
	_, says := se.Annotations[mesh.InjectionAnnotation]
	switch {
	case injection == mesh.InjectNone:
		return nil, nil
	case len(se.ExportTo) > 0:
		if injection == mesh.InjectNew && !se.Asks() && !says {
			return annotate(raw, mesh.InjectionAnnotation, "enabled")
		}
		return nil, nil
	}
	value, _ := exportOf(live, se)
	if !annotated {
		if ops, err = annotate(raw, mesh.ExportAnnotation, value); err != nil {
			return nil, err
		}
	}
	return append(ops, PatchOp{Op: "add", Path: "/spec/exportTo", Value: []string{value}}), nil
}

// updated is that patch for an entry that was there before: who sees it, and whether
// there are companions for it, stays as it was where [Default] has it so.
func updated(live *mesh.Mesh, se *mesh.ServiceEntry, raw []byte, old *mesh.ServiceEntry) ([]PatchOp, error) {
	ops, err := entryDefaults(live, Write{Request: rules.Request{Operation: "UPDATE"}, Object: raw}, se, old)
	if err != nil || len(ops) == 0 {
		return nil, err
	}
	after, err := Patched(raw, ops)
	if err != nil {
		return nil, err
	}
	o, err := mesh.Decode(after)
	if err != nil {
		return nil, err
	}
	if entry, ok := o.(*mesh.ServiceEntry); ok && entry.Held() {
		ops = append(ops, PatchOp{Op: "add", Path: "/spec/exportTo", Value: []string{entry.Annotations[mesh.ExportAnnotation]}})
	}
	return ops, nil
}

// standingObject is an object of the state that another one of a batch updates; the
// zero value is none.
type standingObject struct {
	object mesh.Object
	raw    []byte
}

// write is the write that an object of a batch is.
func (o standingObject) write(time string, raw []byte) Write {
	w := Write{Request: rules.Request{Operation: "CREATE", Time: time}, Object: raw}
	if o.object != nil {
		w.Request.Operation, w.OldObject = "UPDATE", o.raw
	}
	return w
}

// standing are the objects of the state that the subjects update, as far as they can
// be read: others count as absent.
func (j *Judge) standing(state *mesh.Mesh, subjects []mesh.Object) map[mesh.Ref]standingObject {
	old := map[mesh.Ref]standingObject{}
	if j.Standing == nil || j.Stored {
		return old
	}
	for _, o := range subjects {
		if o == nil {
			continue
		}
		ref := o.Metadata().Ref
		raw := j.Standing(ref)
		if was := state.Get(ref); was != nil && raw != nil && mesh.CheckWords(was, raw) == nil {
			old[ref] = standingObject{was, raw}
		}
	}
	return old
}
