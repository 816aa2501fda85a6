package rules

import (
	"fmt"
	"slices"
	"strings"

	"github.com/sallyport-io/sallyport/internal/mesh"
)

var subjectAltNames = &Rule{
	Name: "subject-alt-names",
	Doc: `certificates are checked against the host itself

The subjectAltNames of a ServiceEntry are what the gateway accepts in the
server's certificate where it originates TLS and the DestinationRule names none.
A name that is none of the entry's hosts lets another server answer.`,
	Severity: Warn,
	Rows:     []string{"S-20"},
	Kinds:    []string{"ServiceEntry"},
	Check: On(func(p *Pass, se *mesh.ServiceEntry) {
		if !p.After.HasPoints(se) {
			return
		}
		for i, san := range se.SubjectAltNames {
			p.Spend(len(se.Hosts))
			name := p.canonical(san)
			if strings.HasPrefix(name, "spiffe://") || slices.ContainsFunc(se.Hosts, func(h string) bool {
				return mesh.HostsOverlap(mesh.CanonicalHost(h), name)
			}) {
				continue
			}
			p.Reportf(fmt.Sprintf("spec.subjectAltNames[%d]", i), "a certificate for %q passes for the entry's hosts", san)
		}
	}),
}
