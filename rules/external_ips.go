package rules

import (
	"fmt"

	"github.com/sallyport-io/sallyport/internal/mesh"
	"github.com/sallyport-io/sallyport/internal/told"
)

var externalIPs = &Rule{
	Name: "external-ips",
	Doc: `no tenant's Service claims addresses of the outside

spec.externalIPs takes the whole cluster's traffic for those addresses to the
Service's pods (CVE-2020-8554). Tenants are denied it.`,
	Severity: Deny,
	For:      Tenants,
	Rows:     []string{"K-11"},
	Kinds:    []string{"Service"},
	Check: On(func(p *Pass, svc *mesh.Service) {
		for i, ip := range svc.ExternalIPs {
			p.Report(Finding{
				Path:    fmt.Sprintf("spec.externalIPs[%d]", i),
				Told:    told.F("takes every client's traffic for %s to this Service", ip),
				ToldFix: "Use type LoadBalancer.\n",
			})
		}
	}),
}
