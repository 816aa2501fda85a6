package rules

import (
	"slices"

	"github.com/sallyport-io/sallyport/internal/mesh"
	"github.com/sallyport-io/sallyport/internal/told"
)

var resolutionNone = &Rule{
	Name: "resolution-none",
	Doc: `an external host is resolved by the proxy, not by the client

With resolution NONE, which is also the default, the proxy dials the address
that the client chose and trusts the Host or SNI that it sent: one allowed host
is any address on that port. At the gateway it makes a loop, for the address is
the gateway's own. A wildcard has no other resolution: where the administrator
has named the server behind it, nobody dials what the client has chosen.`,
	Severity: Warn,
	Rows:     []string{"S-10"},
	Kinds:    []string{"ServiceEntry"},
	Check: On(func(p *Pass, se *mesh.ServiceEntry) {
		if se.Resolution != "NONE" || se.WorkloadLabels != nil || !p.After.HasPoints(se) {
			return
		}
		if !slices.ContainsFunc(se.Hosts, func(h string) bool { return !p.After.Settings().Serves(mesh.CanonicalHost(h)) }) {
			return
		}
		fix, words := told.Text("spec:\n  resolution: DNS\n"), told.Text("Have the proxy look the hosts up: spec.resolution: DNS.\n")
		if slices.ContainsFunc(se.Hosts, mesh.IsWildcard) {
			fix, words = "Register every name on its own, with resolution DNS: a wildcard has no address to look up.\n", ""
		}
		if se.WideRange() >= 0 { // which Istio takes with no resolution by name
			fix, words = mesh.RangeFix, ""
		}
		p.Report(Finding{
			Path:    "spec.resolution",
			Told:    "resolution NONE dials whatever address the client chooses",
			ToldFix: fix, Words: words,
		})
	}),
}
