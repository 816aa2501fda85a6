package report

import (
	"fmt"
	"slices"
	"strings"

	"github.com/sallyport-io/sallyport/internal/mesh"
	"github.com/sallyport-io/sallyport/rules"
)

// Place is where a finding of one object stands.
type Place struct {
	Object string // "Kind namespace/name"
	File   string
	Line   int
	Path   string
	Rule   string
}

func (p Place) String() string {
	return join(" ", place(p.File, p.Line)+":", p.Object, p.Path)
}

// maxPlaces bounds how many places people are shown; JSON has them all.
const maxPlaces = 10

// listed are the places to be shown, one a line.
func listed(places []Place) string {
	var b strings.Builder
	for i, p := range places {
		if i == maxPlaces && len(places) > maxPlaces+1 {
			fmt.Fprintf(&b, "%d more; -o json lists them\n", len(places)-maxPlaces)
			break
		}
		fmt.Fprintf(&b, "%s (%s)\n", p, p.Rule)
	}
	return b.String()
}

// oneCause finds the findings, of whatever objects, that one fix ends: those of one
// severity about the ways to one host. The one whose object the others name as what
// decides those ways, or else the first, gets the places of the others, which say
// whose they are. [rules.OneCause] does the same within one object.
//
// None is taken away: each object keeps the verdict that it has.
func oneCause(objects []Object) {
	type cause struct {
		severity  rules.Severity
		host, fix string
	}
	type at struct{ object, finding int }
	groups := map[cause][]at{}
	var order []cause
	for i := range objects {
		for j := range objects[i].Findings {
			f := &objects[i].Findings[j]
			if f.Host == "" || f.Fix == "" || f.Severity != rules.Deny && f.Severity != rules.Warn {
				continue
			}
			c := cause{f.Severity, f.Host, rules.Bare(f.Fix)}
			if groups[c] == nil {
				order = append(order, c)
			}
			groups[c] = append(groups[c], at{i, j})
		}
	}
	for _, c := range order {
		group := groups[c]
		if len(group) < 2 {
			continue
		}
		blamed := map[mesh.Ref]bool{}
		for _, g := range group {
			blamed[objects[g.object].Findings[g.finding].Decided] = true
		}
		main := group[0]
		for _, g := range group {
			if blamed[objects[g.object].ref()] {
				main = g
				break
			}
		}
		first := &objects[main.object].Findings[main.finding]
		for _, g := range group {
			if g == main {
				continue
			}
			o := &objects[g.object]
			f := &o.Findings[g.finding]
			f.SameAs = objects[main.object].title()
			first.Also = append(first.Also, Place{Object: o.title(), File: o.File, Line: f.Line, Path: f.Path, Rule: f.Rule})
			if len(f.Fix) > len(first.Fix) {
				first.Fix = f.Fix // with comments on shorter ways to the same end
			}
		}
	}
}

// own are the findings that say what is wrong: others that have the cause of one of
// them are named there.
func (o Object) own() []Finding {
	return slices.DeleteFunc(slices.Clone(o.Findings), func(f Finding) bool { return f.SameAs != "" })
}

func (o Object) ref() mesh.Ref {
	return mesh.Ref{Kind: o.Kind, Namespace: o.Namespace, Name: o.Name}
}
