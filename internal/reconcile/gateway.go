package reconcile

import (
	"github.com/sallyport-io/sallyport/internal/companion"
	"github.com/sallyport-io/sallyport/internal/mesh"
	"github.com/sallyport-io/sallyport/internal/netpol"
	"github.com/sallyport-io/sallyport/internal/told"
)

// unreached says why nothing of a namespace arrives at its egress gateway,
// though all routes lead there.
func unreached(m *mesh.Mesh, namespace string) []told.Text {
	gateway, problem := companion.GatewayFor(m, namespace)
	if problem != "" {
		return []told.Text{problem}
	}
	var out []told.Text
	service := mesh.Ref{Kind: "Service", Namespace: gateway.Namespace, Name: gateway.Service}
	switch {
	case m.Get(service) == nil:
		out = append(out, told.F("the egress gateway %s has no %s", told.Plain(gateway.Name), told.Plain(service.String())))
	case !ready(m, gateway.Namespace, gateway.Service):
		out = append(out, told.F("no endpoint of the egress gateway %s is ready (%s)", told.Plain(gateway.Name), told.Plain(service.String())))
	}
	if !netpol.Reaches(m, namespace, gateway) {
		out = append(out, told.F("the NetworkPolicies of namespace %s do not let its pods go to the egress gateway %s", told.Namespace(namespace), told.Plain(gateway.Name)))
	}
	return out
}

// ready reports whether some endpoint of a Service is ready.
func ready(m *mesh.Mesh, namespace, service string) bool {
	for o := range m.In("EndpointSlice", namespace) {
		if slice := o.(*mesh.EndpointSlice); slice.Service == service && slice.Ready > 0 {
			return true
		}
	}
	return false
}

// arrives reports whether a change of endpoints may be the first of a gateway's, or
// of the waypoint's that leads out, to be ready, or the last.
func (c *Companions) arrives(old, new mesh.Object) bool {
	a, _ := old.(*mesh.EndpointSlice)
	b, _ := new.(*mesh.EndpointSlice)
	if (a != nil && a.Ready > 0) == (b != nil && b.Ready > 0) {
		return false
	}
	for _, s := range []*mesh.EndpointSlice{a, b} {
		if s != nil && (c.isGateway(mesh.Ref{Kind: "Service", Namespace: s.Namespace, Name: s.Service}) ||
			c.store.Mesh().EgressWaypoint() == mesh.WaypointName{Namespace: s.Namespace, Name: s.Service}) {
			return true
		}
	}
	return false
}
