package doctor

import (
	"encoding/json"
	"fmt"

	"github.com/sallyport-io/sallyport/internal/companion"
	"github.com/sallyport-io/sallyport/internal/mesh"
)

var companions = &Check{
	Name:  "companions",
	Group: groupMesh,
	Doc: `every host has the companions that Sallyport keeps for it

The objects that lead a host's traffic through the gateway are computed anew and
compared with those that are there. Where one is missing or another the server's
leader is away, may not write, or somebody writes against it. What Sallyport
refuses to serve is said with the reason. How many entries have none because they
were there before Sallyport is said, too, and is no fault of its own: where they
lead is said by egress-paths.`,
	Sources: []string{"docs/companions.md"},
	Check: func(e *Exam) {
		if !e.need(paths...) || !e.need(kinds("AuthorizationPolicy")...) {
			return
		}
		m := e.Mesh()
		n, mark, last := 0, e.mark(), ""
		for p := range m.AllPoints() { // by host
			if p.Host == last {
				continue
			}
			last = p.Host
			set := companion.For(m, p.Host)
			for _, r := range set.Refused {
				e.fail(r.Entry, r.Path, r.Fix, "Sallyport does not serve %s: %s", p.Host, r.Message)
			}
			if set.SparesAfter.After(e.Now) {
				continue // they may not be there yet
			}
			for _, want := range set.Objects {
				n++
				e.companion(p.Host, want, m.Get(want.Metadata().Ref))
			}
		}
		e.passed(mark, mesh.Ref{}, "", "%s", count(n, "companion"))
		e.unserved(m)
	},
}

// unserved says how many entries nobody keeps companions for because they came
// before Sallyport, and how to have them served.
func (e *Exam) unserved(m *mesh.Mesh) {
	n, namespaces := 0, make(map[string]bool)
	for o := range m.All("ServiceEntry") {
		se := o.(*mesh.ServiceEntry)
		if companion.Is(se.Ref) || companion.Injects(m, se.Namespace) != mesh.InjectNew || !m.HasPoints(se) || companion.Serves(m, se) {
			continue
		}
		n++
		namespaces[se.Namespace] = true
	}
	if n == 0 {
		return
	}
	e.pass(mesh.Ref{}, "", "%s in %s without companions, from before Sallyport; to have them: kubectl annotate serviceentry NAME -n NAMESPACE %s=enabled, or kubectl label namespace NAMESPACE %s=enabled",
		entries(n), count(len(namespaces), "namespace"), mesh.InjectionAnnotation, mesh.InjectionLabel)
}

// companion compares a companion with what is there under its name.
func (e *Exam) companion(host string, want, have mesh.Object) {
	at := want.Metadata().Ref
	look := kubectl("-n %s logs -l app.kubernetes.io/name=%s --tail=100 | grep companions", e.Namespace, e.Account)
	if have == nil {
		e.fail(at, "", look, "the companion of %s is not there", host)
		return
	}
	wanted, err := specText(want)
	if err != nil {
		e.unknown(at, "spec", "Report this.", "%v", err)
		return
	}
	if had, err := specText(have); err != nil || had != wanted {
		e.fail(at, "spec", look, "the companion of %s is not as Sallyport keeps it", host)
	}
}

// specText is what the model knows of an object's spec, as one would write it.
func specText(o mesh.Object) (string, error) {
	rendered, err := companion.Render(o)
	if err != nil {
		return "", fmt.Errorf("rendering %s: %w", o.Metadata().Ref, err)
	}
	data, err := json.Marshal(rendered)
	if err != nil {
		return "", err
	}
	var fields struct {
		Spec json.RawMessage `json:"spec"`
	}
	if err := json.Unmarshal(data, &fields); err != nil {
		return "", err
	}
	return string(fields.Spec), nil
}
