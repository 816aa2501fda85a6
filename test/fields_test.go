package test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/sallyport-io/sallyport/internal/schema"
	"github.com/sallyport-io/sallyport/internal/surface"
)

// TestFieldsPage holds docs/fields.md to what it is generated from; -update
// writes it. It fails for a field of Istio's and the Gateway API's types that is
// in no class, or in two, and for a class that is of no field.
func TestFieldsPage(t *testing.T) {
	checkPage(t, "../docs/fields.md", fieldsPage(t))
}

func fieldsPage(t *testing.T) string {
	t.Helper()
	var b strings.Builder
	b.WriteString(`# Which fields are judged

This page is generated from the types of Istio's API and the Gateway API that
Sallyport is built with, the model's, and package internal/schema; edit those, not
the page. A test fails for a field that is in no class.

A field of a later version, which is not listed here, is never passed over in
silence: rule [unknown-field](../rules/README.md#unknown-field) says that it was not
judged, on the server and on the command line. It says the same of the fields that
are called undetermined here. A field that is named stands for all that is beneath
it. The kinds of Kubernetes itself have no table; their unknown fields are told of
in the same way.

A field that is almost a known one, or is known elsewhere in the kind, is a mistake
where nobody serves it. An API server refuses it, or drops it before it asks the
server about the object; so the server never sees the mistake, and the command line,
which stands in for the API server, refuses it with the line. What an API server has
handed out (it has a metadata.uid) has no field that it does not serve: there both
sides say unknown-field, in the same words. Values of the wrong type, missing fields
and values that are none of an enumeration an API server refuses in any case, and so
does the command line.
`)
	used := map[schema.FieldName]bool{}
	for _, k := range customKinds {
		var rows []fieldRow
		at := map[[2]string]int{}
		walkFields(t, k, func(r fieldRow) {
			if r.class == "" {
				t.Errorf("%s %s: %s (field %s of %s) is in no class%s: have the model read it, or say in package schema why nobody need",
					k.group, k.kind, r.path, r.name, r.of, r.why)
			}
			for _, name := range []string{r.name, "*"} {
				used[schema.FieldName{Type: r.of, Name: name}] = true
			}
			key := [2]string{r.of, r.name}
			switch i, again := at[key]; {
			case !again:
				at[key] = len(rows)
				rows = append(rows, r)
			case len(r.path) < len(rows[i].path):
				rows[i] = r // each type is listed where it is nearest to the top
			}
		})
		slices.SortFunc(rows, func(a, b fieldRow) int { return strings.Compare(a.path, b.path) })
		fmt.Fprintf(&b, "\n## %s of %s\n\n| field | class | why, or what is not judged |\n|---|---|---|\n", k.kind, k.group)
		for _, r := range rows {
			fmt.Fprintf(&b, "| `%s` | %s | %s |\n", r.path, r.class, r.why)
		}
	}
	for name, class := range schema.Fields {
		if !used[name] {
			t.Errorf("package schema classes the field %s of %s, which no judged kind has", name.Name, name.Type)
		}
		if why := class.Harmless + class.Judged; why != "" && !strings.HasSuffix(why, ".") || strings.Contains(why, "|") {
			t.Errorf("%s of %s: the reason is no sentence: %q", name.Name, name.Type, why)
		}
	}
	return b.String()
}

// TestFieldsOfEveryKind: each judged kind that comes with Istio or the Gateway
// API is among those whose fields are classed.
func TestFieldsOfEveryKind(t *testing.T) {
	for _, r := range surface.Resources {
		if r.Kind == "" || strings.Contains(r.Name, "/") || r.Optional || !strings.HasSuffix(r.Group, ".istio.io") && !strings.HasPrefix(r.Group, "gateway.") {
			continue
		}
		kind := strings.TrimPrefix(r.Kind, "K8s")
		if !slices.ContainsFunc(customKinds, func(k customKind) bool { return k.group == r.Group && k.kind == kind }) {
			t.Errorf("the fields of %s %s are in no table", r.Group, kind)
		}
	}
}
