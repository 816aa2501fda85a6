package doctor

import (
	"github.com/sallyport-io/sallyport/internal/companion"
	"github.com/sallyport-io/sallyport/internal/mesh"
	"github.com/sallyport-io/sallyport/internal/meshconfig"
)

var waypoint = &Check{
	Name:  "waypoint",
	Group: groupGateway,
	Doc: `clients in ambient mode have a waypoint to leave by

Sallyport leads namespaces in ambient mode out by one waypoint, the first of
ambient.waypoints in its configuration or of the platform's namespaces. One that is
not there, not programmed, closed to its own namespace or without a pod that is
ready leads nobody out: what Sallyport keeps beside it is withdrawn, and the
requests are held. ztunnel asks for no permission: what it does not know it passes
on, and only a NetworkPolicy stops that. An entry of a tenant that ztunnel is shown
goes before the one that leads out, so serviceEntryVisibility of the mesh
configuration has to hide it.`,
	Sources: []string{"https://istio.io/latest/docs/ambient/usage/waypoint/", "https://istio.io/latest/docs/reference/config/istio.mesh.v1alpha1/"},
	Check: func(e *Exam) {
		if !e.need(kinds("Namespace", "K8sGateway", "EndpointSlice", "ServiceEntry")...) {
			return
		}
		m, mark := e.Mesh(), e.mark()
		if !m.AnyAmbient() {
			e.pass(mesh.Ref{}, "", "no namespace is in ambient mode")
			return
		}
		name := m.EgressWaypoint()
		at := mesh.Ref{Kind: "K8sGateway", Namespace: name.Namespace, Name: name.Name}
		switch problem := m.WaypointProblem(name); {
		case name == mesh.WaypointName{}:
			e.fail(mesh.Ref{}, "", "Name a waypoint under ambient.waypoints in Sallyport's configuration:\n"+kubectl("get gateways.gateway.networking.k8s.io --all-namespaces | grep waypoint"), "%s", problem)
			return
		case problem != "":
			e.fail(at, "", kubectl("-n %s describe gateways.gateway.networking.k8s.io %s", name.Namespace, name.Name), "it leads nobody out: %s", problem)
		case e.endpoints(name.Namespace, name.Name) == 0:
			e.fail(at, "", kubectl("-n %s get pods -l gateway.networking.k8s.io/gateway-name=%s", name.Namespace, name.Name), "no pod of it is ready")
		}
		for o := range m.All("Namespace") {
			ns := o.(*mesh.Namespace)
			if !ns.Ambient() || ns.Name == name.Namespace || !e.asked(m, ns.Name) {
				continue
			}
			if v := m.Settings().Visibility; v == nil || v.Of(ns.Labels) != meshconfig.Nobody {
				e.fail(ns.Ref, "metadata.labels", "Set meshConfig.serviceEntryVisibility with defaultVisibility: NONE, and a policy with visibility: PUBLIC for namespace "+name.Namespace+".",
					"ztunnel is shown the entries of this namespace, and prefers them to those that lead out")
			}
		}
		e.passed(mark, at, "", "it is ready to lead out")
	},
}

// asked reports whether a namespace has an entry that Sallyport is to lead out and
// that no waypoint takes already.
func (e *Exam) asked(m *mesh.Mesh, namespace string) bool {
	for o := range m.In("ServiceEntry", namespace) {
		if se := o.(*mesh.ServiceEntry); companion.Serves(m, se) && m.HasPoints(se) && m.Waypoint(se) == nil {
			return true
		}
	}
	return false
}
