package rules

import (
	"github.com/sallyport-io/sallyport/internal/mesh"
	"github.com/sallyport-io/sallyport/internal/told"
)

var destinationRuleShadow = &Rule{
	Name: "destination-rule-shadow",
	Doc: `the gateway's DestinationRules are the platform's

Sidecars look for the gateway's DestinationRule in their own namespace first. A
tenant's, a wildcard such as "*.local" and one whose workloadSelector does not
match the pod included, hides the platform's with all its subsets: the mesh hop
loses its mutual TLS or its subset and fails. Only the tenant's own namespace is
affected, so it is warned about; paths that break are named by direct-path.`,
	Severity: Warn,
	For:      Tenants,
	Rows:     []string{"B-D1", "B-D5"},
	Kinds:    []string{"DestinationRule"},
	Check: On(func(p *Pass, dr *mesh.DestinationRule) {
		s := p.After.Settings()
		pattern := mesh.ResolveHost(dr.Host, dr.Namespace, s.ClusterDomain)
		for _, g := range s.Gateways {
			if mesh.HostCovers(pattern, g.Host(s.ClusterDomain)) {
				p.Reportf("spec.host", "host %q covers the egress gateway %s: for namespace %s this object replaces the platform's DestinationRule with all its subsets", dr.Host, told.Plain(g.Name), told.Namespace(dr.Namespace))
			}
		}
		if dr.WorkloadSelector == nil {
			return
		}
		if _, external := externalHost(p.After, dr.Host, dr.Namespace); external {
			p.Report(Finding{Path: "spec.workloadSelector", Told: told.F("for the selected pods this replaces every other DestinationRule of %q", dr.Host)})
		}
	}),
}
