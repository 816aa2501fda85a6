package review

import (
	"context"
	"fmt"

	"github.com/sallyport-io/sallyport/internal/budget"
	"github.com/sallyport-io/sallyport/internal/mesh"
	"github.com/sallyport-io/sallyport/internal/told"
	"github.com/sallyport-io/sallyport/rules"
)

// Collect judges that Kubernetes deletes one of Sallyport's own objects, because
// its owner or its namespace is gone. It may, once no path rests on the object any
// more; until then Kubernetes is to try again. An entry that a finalizer holds is
// still served by Istio, and so is one that goes in the foreground, after what it
// owns.
func (j *Judge) Collect(ctx context.Context, m *mesh.Mesh, ref mesh.Ref) (out Outcome, err error) {
	steps := budget.New(ctx, MaxSteps)
	out = Outcome{Ref: ref, Known: true}
	err = within(&ref, func() error { return collect(m.Draft().Bounded(steps), &out) })
	if err != nil {
		out = Outcome{Ref: ref}
	}
	out.Steps = steps.Spent()
	return out, err
}

func collect(m *mesh.Mesh, out *Outcome) error {
	o := m.Get(out.Ref)
	if o == nil {
		return nil
	}
	m = m.With(mesh.NotDeleting(o)) // it leads traffic for as long as it is there
	after := m.Without(out.Ref)
	for _, p := range m.Affected(o) {
		for _, client := range append(m.Clients(p.Host), mesh.AnyClient, out.Ref.Namespace) {
			if m.Settings().GatewayNamespace(client) {
				continue
			}
			verdict, entry := after.Verdict(client, p.Host, p.Port)
			if before, _ := m.Verdict(client, p.Host, p.Port); verdict != mesh.Direct || before == mesh.Direct || entry == (mesh.Ref{}) {
				continue
			}
			why := told.F("%s still needs it to lead %s through the gateway", entry, told.Host(p.Host).As(fmt.Sprintf("%s:%d", p.Host, p.Port)))
			fix := told.F("Nothing is to be done but to let %s go, if a finalizer holds it: Kubernetes tries again.", entry)
			out.Findings = append(out.Findings, rules.Finding{
				Rule:     "direct-path",
				Severity: rules.Deny,
				Path:     "metadata.name",
				Message:  why.String(),
				Fix:      fix.String(),
				Told:     why,
				ToldFix:  fix,
			})
			return nil
		}
	}
	return nil
}
