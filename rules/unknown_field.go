package rules

import (
	"context"
	"strings"

	"github.com/sallyport-io/sallyport/internal/mesh"
	"github.com/sallyport-io/sallyport/internal/rawjson"
	"github.com/sallyport-io/sallyport/internal/schema"
	"github.com/sallyport-io/sallyport/internal/told"
)

// maxStrays bounds how many fields are named that nobody judges.
const maxStrays = 8

var unknownField = &Rule{
	Name: "unknown-field",
	Doc: `a field that nobody judges

The API server hands on the fields of the schema that it serves, which may be of a
later Istio, Gateway API or Kubernetes than this program was built with. What a
field does that is not known here, nobody can tell: the object is judged as if it
were absent, and that is said. The same is said of the few fields that are known
and not judged. docs/fields.md lists, for each kind, what is judged, what is
harmless and why, and what is undetermined.

The command line says the same; but a field that is almost one of those known, or
stands where it does not belong, it takes for a mistake and refuses, as an API
server would, unless an API server has handed the object out: that drops what it
does not serve.`,
	Severity: Warn,
	Check: func(_ context.Context, p *Pass) error {
		k, ok := schema.Find(typeOf(p.Raw))
		if !ok {
			return nil
		}
		p.Spend(len(p.Raw) / bytesPerStep)
		for _, s := range k.Strays(p.Raw, maxStrays) {
			p.Report(strayFinding(s))
		}
		return nil
	},
}

// typeOf returns the apiVersion and the kind of an object.
func typeOf(raw []byte) (apiVersion, kind string) {
	_ = rawjson.Members(raw, func(name, value []byte) error {
		switch string(name) {
		case "apiVersion":
			apiVersion, _ = rawjson.Plain(value)
		case "kind":
			kind, _ = rawjson.Plain(value)
		}
		return nil
	})
	return apiVersion, kind
}

func strayFinding(s schema.Stray) Finding {
	f := Finding{Path: mesh.Short(s.Path)}
	if s.Why == "" {
		name := s.Path[strings.LastIndexByte(s.Path, '.')+1:]
		f.Told = told.F("undetermined: the field %q is not known to this version of Sallyport, and was not judged", told.Plain(mesh.Short(name)))
		f.ToldFix = "Is the field meant, and does your version of Istio have it? Then bring Sallyport up to that version; until then judge by hand what the field does.\n"
		return f
	}
	f.Told = told.F("undetermined: it %s, and that is not judged", told.Plain(s.Why))
	return f
}
