package rules

import (
	"fmt"
	"slices"

	"github.com/sallyport-io/sallyport/internal/mesh"
	"github.com/sallyport-io/sallyport/internal/told"
)

var redirectElsewhere = &Rule{
	Name: "redirect-elsewhere",
	Doc: `clients are not redirected to other external hosts

A redirect tells the client to go elsewhere. The new request is judged as any
other, but a client with another way out, a browser say, takes it.`,
	Severity: Warn,
	For:      Tenants,
	Rows:     []string{"V-11"},
	Kinds:    []string{"VirtualService"},
	Check: On(func(p *Pass, vs *mesh.VirtualService) {
		for i, r := range vs.HTTP {
			if r.Redirect == nil || r.Redirect.Authority == "" {
				continue
			}
			host, external := externalHost(p.After, hostOfAuthority(r.Redirect.Authority), vs.Namespace)
			if external && !slices.ContainsFunc(vs.Hosts, func(h string) bool { return mesh.HostCovers(mesh.CanonicalHost(h), host) }) {
				p.Reportf(fmt.Sprintf("spec.http[%d].redirect.authority", i), "redirects clients to %q, a host that this object does not route", told.Host(host))
			}
		}
	}),
}
