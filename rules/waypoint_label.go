package rules

import (
	"github.com/sallyport-io/sallyport/internal/mesh"
	"github.com/sallyport-io/sallyport/internal/told"
)

var waypointLabel = &Rule{
	Name: "waypoint-label",
	Doc: `an entry does not opt out of its waypoint

In ambient mode the waypoint is the egress gateway. The label
istio.io/use-waypoint on a ServiceEntry takes precedence over the namespace's:
"none", and a waypoint that does not exist, leave the entry without any. ztunnel
then passes the traffic through. That is denied to tenants in ambient
namespaces.`,
	Severity: Deny,
	For:      Tenants,
	Rows:     []string{"S-21"},
	Kinds:    []string{"ServiceEntry"},
	Check: On(func(p *Pass, se *mesh.ServiceEntry) {
		if !p.After.HasPoints(se) {
			return
		}
		ns := p.After.Namespace(se.Namespace)
		if ns == nil || ns.Labels["istio.io/dataplane-mode"] != "ambient" {
			return
		}
		ref, labelled := mesh.UseWaypoint(se.Labels, se.Namespace)
		if !labelled {
			return
		}
		const path = `metadata.labels["istio.io/use-waypoint"]`
		if ref.Name == "none" {
			p.Report(Finding{Path: path, Told: "label istio.io/use-waypoint: none takes the host past the waypoint", ToldFix: "Remove the label.\n"})
			return
		}
		if p.After.Get(ref) == nil {
			p.Report(Finding{Path: path, Severity: Warn, Told: told.F("waypoint %s does not exist: until it does, traffic passes without any", ref.Tell().As(ref.Namespace+"/"+ref.Name))})
		}
	}),
}
