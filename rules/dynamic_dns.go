package rules

import "github.com/sallyport-io/sallyport/internal/mesh"

var dynamicDNS = &Rule{
	Name: "dynamic-dns",
	Doc: `dynamic DNS leaves from the sidecar, without the gateway

With resolution DYNAMIC_DNS a sidecar resolves whatever name matches the
wildcard, from an SNI or Host header that the client may forge, and dials it
itself. Only a waypoint in ambient mode can carry such hosts, and only over
HTTP: of an entry for a namespace in ambient mode alone nothing is said. Where
Sallyport sees the path leave directly, direct-path denies it.`,
	Severity: Warn,
	Rows:     []string{"S-12"},
	Kinds:    []string{"ServiceEntry"},
	Check: On(func(p *Pass, se *mesh.ServiceEntry) {
		if se.Resolution != "DYNAMIC_DNS" {
			return
		}
		if ns := p.After.Namespace(se.Namespace); ns.Ambient() && !ns.Injected() && !p.After.Shared(se) {
			return // no sidecar sees it
		}
		p.Report(Finding{
			Path:    "spec.resolution",
			Told:    "resolution DYNAMIC_DNS lets sidecars resolve and dial every name that matches, without the egress gateway",
			ToldFix: "Name the hosts, with resolution DNS; or, in ambient mode, bind the entry to an approved waypoint.\n",
		})
	}),
}
