package rules

import (
	"slices"

	"github.com/sallyport-io/sallyport/internal/mesh"
	"github.com/sallyport-io/sallyport/internal/told"
)

var relayDestinationRule = &Rule{
	Name: "relay-destination",
	Doc: `external hosts are not sent to relays inside the mesh

A VirtualService that sends an external host to a Service of the mesh other than
an egress gateway hands the traffic to a relay: a proxy, another team's pod.
What that does with it, and the policy of the gateway, is beyond Istio.`,
	Severity: Warn,
	Rows:     []string{"V-17"},
	Kinds:    []string{"VirtualService"},
	Check: On(func(p *Pass, vs *mesh.VirtualService) {
		if !slices.ContainsFunc(vs.Hosts, func(h string) bool {
			_, external := externalHost(p.After, h, vs.Namespace)
			return external
		}) {
			return
		}
		if d := relayDestination(p, vs); d != nil {
			p.Report(Finding{
				Path:    d.path,
				Told:    told.F("sends an external host to %q inside the mesh, which is not an approved egress gateway", d.Host),
				ToldFix: "Route the host to an egress gateway; where that Service is one, the platform team lists it under gateways in Sallyport's configuration.\n",
			})
		}
	}),
}
