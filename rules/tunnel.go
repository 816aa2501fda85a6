package rules

import (
	"fmt"

	"github.com/sallyport-io/sallyport/internal/mesh"
	"github.com/sallyport-io/sallyport/internal/told"
)

var tunnel = &Rule{
	Name: "tunnel",
	Doc: `no tunnels to hosts of a tenant's choice

trafficPolicy.tunnel wraps TCP and TLS traffic in HTTP CONNECT or POST to an
arbitrary target: the destination that Istio shows, and that policies see, is
not where the traffic ends. Tenants are denied it.`,
	Severity: Deny,
	Remedy:   "Leave the tunnel out: the egress gateway is the way out.",
	Rows:     []string{"B-D3"},
	Kinds:    []string{"DestinationRule"},
	Check: On(func(p *Pass, dr *mesh.DestinationRule) {
		report := func(path string, tp *mesh.TrafficPolicy) {
			if tp != nil && tp.Tunnel != nil {
				p.Report(Finding{
					Path: path, Severity: p.WarnInPlatform(),
					Told: told.F("tunnels traffic to %s:%d through %q", tp.Tunnel.TargetHost, tp.Tunnel.TargetPort, dr.Host),
				})
			}
		}
		report("spec.trafficPolicy.tunnel", dr.TrafficPolicy)
		for i, s := range dr.Subsets {
			report(fmt.Sprintf("spec.subsets[%d].trafficPolicy.tunnel", i), s.TrafficPolicy)
		}
	}),
}
