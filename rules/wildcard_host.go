package rules

import (
	"fmt"
	"strings"

	"github.com/sallyport-io/sallyport/internal/mesh"
	"github.com/sallyport-io/sallyport/internal/told"
)

var wildcardHost = &Rule{
	Name: "wildcard-host",
	Doc: `egress hosts are named one by one

A wildcard registers names that nobody has looked at, and the names that
somebody else will register tomorrow. One that leaves fewer than two labels
fixed, such as "*.com", is most of the Internet and is denied to tenants. Those
for which the administrator has named the server are fine. The shipped policy no-wildcards forbids the others too.`,
	Severity: Warn,
	Rows:     []string{"S-11"},
	Kinds:    []string{"ServiceEntry"},
	Check: On(func(p *Pass, se *mesh.ServiceEntry) {
		if !p.After.HasPoints(se) {
			return
		}
		var denied []Finding
		for i, h := range se.Hosts {
			host := mesh.CanonicalHost(h)
			if !mesh.IsWildcard(host) || p.After.Settings().Serves(host) {
				continue
			}
			f := Finding{
				Path:    fmt.Sprintf("spec.hosts[%d]", i),
				Told:    told.F("host %q opens every name of a domain", h),
				ToldFix: "Name the hosts that are called, each in hosts.\n",
			}
			if suffix, dotted := strings.CutPrefix(host, "*."); !dotted || !strings.Contains(suffix, ".") {
				f.Told = told.F("host %q opens every name of a top-level domain", h)
				if !p.Platform() {
					f.Severity, f.Words = Deny, f.ToldFix
					denied = append(denied, f)
					continue
				}
			}
			p.Report(f)
		}
		p.reportHosts(denied)
	}),
}
