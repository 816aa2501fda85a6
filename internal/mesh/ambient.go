package mesh

import "fmt"

// Labels of ambient mode.
const (
	dataplaneLabel         = "istio.io/dataplane-mode"
	waypointLabel          = "istio.io/use-waypoint"
	waypointNamespaceLabel = "istio.io/use-waypoint-namespace"
	waypointClass          = "istio-waypoint"
)

func ambient(n *Namespace) bool { return n != nil && n.Labels[dataplaneLabel] == "ambient" }

// hasSidecars reports whether the pods of a namespace get sidecars.
func hasSidecars(n *Namespace) bool {
	return n != nil && !ambient(n) && (n.Labels["istio-injection"] == "enabled" || n.Labels["istio.io/rev"] != "")
}

// waypoint returns the waypoint that an entry is bound to: its own label wins
// over its namespace's, and "none" opts out. It is nil where the waypoint does
// not exist: then the entry resolves without one (fetchWaypointForTarget in
// Istio's pilot/pkg/serviceregistry/ambient).
func (m *Mesh) waypoint(se *ServiceEntry) *K8sGateway {
	labels := se.Labels
	if labels[waypointLabel] == "" {
		ns := m.Namespace(se.Namespace)
		if ns == nil {
			return nil
		}
		labels = ns.Labels
	}
	name := labels[waypointLabel]
	if name == "" || name == "none" {
		return nil
	}
	ref := Ref{Kind: "K8sGateway", Namespace: orDefault(labels[waypointNamespaceLabel], se.Namespace), Name: name}
	g, _ := m.Get(ref).(*K8sGateway)
	if g == nil || g.GatewayClassName != waypointClass {
		return nil
	}
	return g
}

// inAmbient reports whether traffic from a namespace to an entry is ztunnel's
// business: the namespace is in ambient mode, or the entry's is and the
// namespace is not known to have sidecars.
func (m *Mesh) inAmbient(namespace string, se *ServiceEntry) bool {
	n := m.Namespace(namespace)
	return ambient(n) || !hasSidecars(n) && ambient(m.Namespace(se.Namespace))
}

// throughZtunnel is the path of a client without sidecar: to the waypoint of
// the entry, or straight out. Neither exportTo nor VirtualServices count. ok is
// false where the namespace is not in ambient mode.
func (m *Mesh) throughZtunnel(namespace, host string, port int) (o outcome, entry *ServiceEntry, ok bool) {
	if m.ambient.empty() {
		return outcome{}, nil, false
	}
	for se := range m.entries.exactly(host) {
		if !m.inAmbient(namespace, se) {
			return outcome{}, nil, false
		}
		// ztunnel prefers an entry of the client's namespace, else the oldest.
		if entry == nil || se.Namespace == namespace && entry.Namespace != namespace {
			entry = se
		}
	}
	if entry == nil {
		return outcome{}, nil, false
	}
	g := m.waypoint(entry)
	if g == nil {
		reason := Reason{Ref: entry.Ref, Path: "metadata.labels", Message: fmt.Sprintf(
			"no waypoint serves the entry, so ztunnel connects to %s:%d itself", host, port)}
		return outcome{verdict: Direct, because: []Reason{reason}}, entry, true
	}
	reason := Reason{Ref: g.Ref, Path: "spec.gatewayClassName", Message: "traffic goes through this waypoint"}
	hop := Hop{From: "ztunnel", Decided: reason, To: "waypoint " + g.Namespace + "/" + g.Name}
	return outcome{verdict: Via, gateway: g.Name, because: []Reason{reason}, hops: []Hop{hop}}, entry, true
}
