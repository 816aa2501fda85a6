package rules

import (
	"context"

	"github.com/sallyport-io/sallyport/internal/mesh"
	"github.com/sallyport-io/sallyport/internal/told"
)

var tenantGateway = &Rule{
	Name: "tenant-gateway",
	Doc: `gateways and waypoints are the platform's to deploy

A Gateway of the Gateway API makes Istio deploy proxies in the tenant's own
namespace: an egress gateway that nobody approved, or a waypoint that takes
precedence over the platform's. A path through it does not count as via; the
NetworkPolicy of the namespace still holds for its pods.`,
	Severity: Warn,
	For:      Tenants,
	Rows:     []string{"V-25", "S-21"},
	Kinds:    []string{"K8sGateway", "ListenerSet", "XListenerSet"},
	Check: func(_ context.Context, p *Pass) error {
		if g, ok := p.Subject.(*mesh.K8sGateway); ok {
			p.Reportf("spec.gatewayClassName", "class %q makes Istio deploy a gateway of this namespace's own", g.GatewayClassName)
			return nil
		}
		p.Report(Finding{Path: "spec.parentRef", Told: told.F("a %s adds listeners to a gateway from a tenant's namespace", told.Plain(p.Subject.Metadata().Kind))})
		return nil
	},
}
