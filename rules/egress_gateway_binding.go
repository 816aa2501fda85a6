package rules

import (
	"fmt"
	"slices"

	"github.com/sallyport-io/sallyport/internal/mesh"
	"github.com/sallyport-io/sallyport/internal/told"
)

var egressGatewayBinding = &Rule{
	Name: "egress-gateway-binding",
	Doc: `the egress gateway's servers are the platform's

A Gateway programs every gateway pod that its selector matches, in any
namespace, and without a selector all gateways of the mesh. A tenant's that
programs an egress gateway is warned about, more so where its hosts let any
VirtualService bind to it; one without a selector that does so for any host is
denied. Where it takes the server of another namespace away, breaks-others
denies it.`,
	Severity: Warn,
	For:      Tenants,
	Rows:     []string{"B-G1", "B-G2", "B-G3", "V-19"},
	Kinds:    []string{"Gateway"},
	Check: On(func(p *Pass, gw *mesh.Gateway) {
		if len(gw.Selector) == 0 {
			f := Finding{Path: "spec.selector", Told: "without a selector the Gateway programs every gateway of the mesh", ToldFix: "Select the pods of your own gateway, by their labels, in spec.selector.\n"}
			if slices.ContainsFunc(gw.Servers, func(s mesh.Server) bool { return slices.ContainsFunc(s.Hosts, anyHost) }) {
				f.Severity = Deny
				f.Told += ", for any host"
			}
			p.Report(f)
			return
		}
		g := selectsEgress(p.After, gw.Selector)
		if g == nil {
			return
		}
		p.Reportf("spec.selector", "selects the egress gateway %s, which all namespaces share, from a tenant's namespace", told.Plain(g.Name))
		for i, s := range gw.Servers {
			p.Spend(1 + len(s.Hosts))
			for j, h := range s.Hosts {
				if anyHost(h) {
					p.Reportf(fmt.Sprintf("spec.servers[%d].hosts[%d]", i, j), "host %q lets any VirtualService of any namespace bind to the egress gateway", h)
				}
			}
		}
	}),
}

// anyHost reports whether a server's host lets in every host of every
// namespace.
func anyHost(h string) bool { return h == "*" || h == "*/*" }
