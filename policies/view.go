package policies

import (
	"context"

	"github.com/open-policy-agent/opa/v1/ast"

	"github.com/sallyport-io/sallyport/internal/mesh"
	"github.com/sallyport-io/sallyport/internal/sight"
	"github.com/sallyport-io/sallyport/internal/told"
	"github.com/sallyport-io/sallyport/rules"
)

// A policy is given what the write bears on, whoever has it: an entry of one
// namespace may be reached by many. What it says may so name things that are none
// of the writer's business, in whatever way it has put them together, and no list
// of words to look for would find all of that. So what a policy says to a writer is
// what it says, too, when it is given no more than the writer's namespace sees. Of
// all else that it finds the writer is told the policy's title, and the log the
// rest.

// view is what a policy is given of the mesh: what the reader sees, or everything
// where there is none.
type view struct {
	*sight.Reader
	// less is set where anything was left out.
	less *bool
}

var unmasked view

func (v view) sees(name told.Name) bool {
	if v.Reader == nil || v.Sees(name) {
		return true
	}
	*v.less = true
	return false
}

func (v view) ref(r mesh.Ref) bool {
	return v.sees(told.Name{Kind: told.Objects, Value: r.String()})
}

func (v view) object(o mesh.Object) bool { return v.ref(o.Metadata().Ref) }

func (v view) point(p *point) bool {
	return v.sees(told.Name{Kind: told.Hosts, Value: p.Host}) && (p.registered || v.ref(p.Entry))
}

func (v view) path(p mesh.Path) bool {
	return v.sees(told.Name{Kind: told.Namespaces, Value: p.Client})
}

func (v view) reason(r mesh.Reason) bool { return r.Ref == mesh.Ref{} || v.ref(r.Ref) }

func (v view) message(r mesh.Reason) string {
	if v.Reader == nil {
		return r.Message
	}
	message, whole := r.Told.To(v.Sees)
	if !whole {
		*v.less = true
	}
	return message
}

// only returns the elements of a list that are to be seen.
func only[T any](list []T, see func(T) bool) []T {
	var out []T
	for i, e := range list {
		if see(e) {
			if out != nil {
				out = append(out, e)
			}
			continue
		}
		if out == nil {
			out = append(make([]T, 0, len(list)), list[:i]...)
		}
	}
	if out == nil {
		return list
	}
	return out
}

// tellable returns what marks a finding as one that may be told to the namespace of
// the subject, where it may. A batch is judged for who has all of its files.
func (p *Policy) tellable(ctx context.Context, pass *rules.Pass, in ast.Value, ask asker) func(rules.Finding) rules.Finding {
	if pass.Batch != nil {
		return func(f rules.Finding) rules.Finding { return f }
	}
	meta := pass.Subject.Metadata()
	namespace := meta.Namespace
	if meta.Kind == "Namespace" {
		namespace = meta.Name
	}
	less := false
	in = seen(pass, in, view{sight.From(pass.After, namespace, pass.Raw, pass.OldRaw), &less})
	may := func(rules.Finding) bool { return true }
	if less {
		alone := *pass
		alone.Memo = nil // what is found of another input is nobody else's
		found, err := ask(ctx, p, &alone, in)
		if err != nil {
			// It cannot judge with less: then it has nothing to say to the writer.
			found = nil
		}
		said := map[rules.Finding]bool{}
		for _, f := range found {
			said[f] = true
		}
		may = func(f rules.Finding) bool { return said[f] }
	}
	to := told.Namespace(namespace)
	return func(f rules.Finding) rules.Finding {
		if may(f) {
			f.Told = told.If(to, told.Plain(f.Message))
			if f.Fix != "" {
				f.ToldFix = told.If(to, told.Plain(f.Fix))
			}
		}
		return f
	}
}
