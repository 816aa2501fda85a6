package rules

import (
	"fmt"
	"slices"

	"github.com/sallyport-io/sallyport/internal/mesh"
)

var endpointNetwork = &Rule{
	Name: "endpoint-network",
	Doc: `endpoints of a tenant stay in the tenant's network

An endpoint with a network is reached through that network's east-west gateway,
which is another way out than the egress gateway, unless the configuration lists the
network as part of the mesh (inMesh).`,
	Severity: Warn,
	For:      Tenants,
	Rows:     []string{"S-23"},
	Kinds:    []string{"ServiceEntry", "WorkloadEntry"},
	Check: Each(
		On(func(p *Pass, se *mesh.ServiceEntry) {
			for i, e := range se.Endpoints {
				reportNetwork(p, fmt.Sprintf("spec.endpoints[%d].network", i), e.Network)
			}
		}),
		On(func(p *Pass, we *mesh.WorkloadEntry) { reportNetwork(p, "spec.network", we.Network) }),
	),
}

func reportNetwork(p *Pass, path, network string) {
	if network != "" && !slices.Contains(p.After.Settings().InMesh.Networks, network) {
		p.Reportf(path, "network %q steers the traffic through an east-west gateway", network)
	}
}
