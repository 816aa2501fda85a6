package rules

import (
	"fmt"

	"github.com/sallyport-io/sallyport/internal/mesh"
	"github.com/sallyport-io/sallyport/internal/told"
)

var hostCanonical = &Rule{
	Name: "host-canonical",
	Doc: `a host is written as Istio compares it

Istio accepts "API.Partner.COM" and "api.partner.com." and then looks for them
letter by letter: routes and clusters no longer find each other, and allow-lists
written in lower case do not see them. An address in place of a name has no SNI
and no certificate to check. Sallyport compares hosts in canonical form: lower
case, no trailing dot, IDNA as ASCII.`,
	Severity: Warn,
	Rows:     []string{"S-17"},
	Kinds:    []string{"ServiceEntry", "VirtualService"},
	Check: Each(
		On(func(p *Pass, se *mesh.ServiceEntry) { checkCanonical(p, se.Hosts) }),
		On(func(p *Pass, vs *mesh.VirtualService) { checkCanonical(p, vs.Hosts) }),
	),
}

func checkCanonical(p *Pass, hosts []string) {
	for i, h := range hosts {
		if canonical := p.canonical(h); canonical != h {
			p.Report(Finding{
				Path:    fmt.Sprintf("spec.hosts[%d]", i),
				Told:    told.F("host %q is not in the form in which Istio compares hosts", h),
				ToldFix: told.F("Write %q.\n", told.Host(canonical)),
			})
		} else if mesh.IsAddress(h) {
			p.Reportf(fmt.Sprintf("spec.hosts[%d]", i), "host %q is an address: name the host, and put the address in addresses or endpoints", h)
		}
	}
}
