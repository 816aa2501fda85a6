package rules

import (
	"context"

	"github.com/sallyport-io/sallyport/internal/mesh"
	"github.com/sallyport-io/sallyport/internal/told"
)

var unjudgedPoints = &Rule{
	Name: "unjudged-points",
	Doc: `a write that bears on more than it is judged by

A write is judged by at most 1,024 egress points (hosts times ports). A tenant's
new object that bears on more is refused, and so is a change or a deletion that
decides the way of more: it can be made in steps. The platform's objects may be
for every host: theirs are judged by the first 1,024, and the rest is not looked
at. "sallyport doctor" looks at all of them.`,
	Severity:   Warn,
	Kinds:      []string{"DestinationRule", "Gateway", "Sidecar", "VirtualService"},
	Operations: everyOperation,
	Check: func(_ context.Context, p *Pass) error {
		points := 0
		for i, path := range p.Paths {
			if i == 0 || path.Host != p.Paths[i-1].Host || path.Port != p.Paths[i-1].Port {
				points++
			}
		}
		if points >= mesh.MaxAffected {
			p.Report(Finding{
				Path:    "spec",
				Told:    told.F("bears on %d egress points or more, and was judged by those alone", mesh.MaxAffected),
				ToldFix: "Look at all of them afterwards, with \"sallyport doctor\".\n",
			})
		}
		return nil
	},
}
