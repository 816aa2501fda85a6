package mesh

import (
	"slices"

	"github.com/sallyport-io/sallyport/internal/meshconfig"
)

const dataplaneLabel = "istio.io/dataplane-mode"

// InMesh reports whether the labels of a namespace put its pods into the mesh, by
// sidecar or in ambient mode. A single pod may still be in or out by labels of
// its own.
func (n *Namespace) InMesh() bool { return n.Ambient() || n.Injected() }

// Ambient reports whether the pods of a namespace are in ambient mode, and speak
// HBONE to one another. A nil namespace is not.
func (n *Namespace) Ambient() bool { return n != nil && n.Labels[dataplaneLabel] == "ambient" }

// Injected reports whether the pods of a namespace get sidecars. One in ambient
// mode may say so as well: a pod with a sidecar is not ztunnel's then. A nil
// namespace does not.
//
// https://istio.io/latest/docs/setup/additional-setup/sidecar-injection/#controlling-the-injection-policy
func (n *Namespace) Injected() bool {
	if n == nil {
		return false
	}
	switch n.Labels["istio-injection"] {
	case "enabled":
		return true
	case "disabled":
		return false
	default:
		return n.Labels[RevisionLabel] != ""
	}
}

// AnyAmbient reports whether some namespace is in ambient mode.
func (m *Mesh) AnyAmbient() bool { return !m.ambient.empty() }

// AnyInjected reports whether the pods of some namespace get sidecars.
func (m *Mesh) AnyInjected() bool { return !m.injected.empty() }

// inAmbient reports whether traffic from a namespace to an entry is ztunnel's
// business: the namespace is in ambient mode, or the entry's is and the
// namespace is not known to have sidecars.
func (m *Mesh) inAmbient(namespace string, se *ServiceEntry) bool {
	n := m.Namespace(namespace)
	return n.Ambient() || !n.Injected() && m.Namespace(se.Namespace).Ambient()
}

// withoutSidecar is the path of a client whose pods have no sidecar; ok is false
// where they are taken to have one. Neither exportTo nor VirtualServices of sidecars
// count then. The entry is nil where nobody registers the host, or no entry is shown.
func (m *Mesh) withoutSidecar(namespace, host string, port int, terse bool) (o outcome, entry *ServiceEntry, ok bool) {
	n := m.Namespace(namespace)
	if m.ambient.empty() && (n == nil || n.InMesh()) {
		return outcome{}, nil, false
	}
	var all, shown []*ServiceEntry
	for se := range m.entries.exactly(host) {
		m.Spend(lookupSteps)
		all = append(all, se)
		if !m.showsTo(se, namespace) {
			continue
		}
		shown = append(shown, se)
		// ztunnel prefers an entry of the client's namespace, else the oldest.
		if entry == nil || se.Namespace == namespace && entry.Namespace != namespace {
			entry = se
		}
	}
	switch {
	case n != nil && !n.InMesh() && (len(all) == 0 || !m.ambient.empty()):
		why := Reason{Ref: n.Ref, Path: "metadata.labels"}.with("the pods of this namespace have no proxy, and connect to %s themselves", hostAt(host, port))
		return outcome{verdict: Direct, passed: true, because: []Reason{why}}, entry, true
	case m.ambient.empty(), slices.ContainsFunc(all, func(se *ServiceEntry) bool { return !m.inAmbient(namespace, se) }):
		return outcome{}, nil, false
	case entry == nil && !n.Ambient():
		return outcome{}, nil, false
	case entry == nil && len(all) > 0:
		why := Reason{Ref: m.settings.MeshConfig, Path: "data.mesh"}.with("serviceEntryVisibility shows ztunnel no entry for the host, and what ztunnel does not know it passes on")
		return outcome{verdict: Direct, passed: true, because: []Reason{why}}, nil, true
	case entry == nil:
		why := Reason{Ref: n.Ref, Path: "metadata.labels"}.with("nobody registers %s, and ztunnel passes on what it does not know", hostAt(host, port))
		return outcome{verdict: Direct, passed: true, because: []Reason{why}}, nil, true
	}
	var outcomes []outcome
	for _, se := range shown {
		// Which of those of one second it takes is left to chance.
		if (se.Namespace == namespace) == (entry.Namespace == namespace) && se.Created.Unix() == entry.Created.Unix() {
			outcomes = append(outcomes, m.throughZtunnel(namespace, se, host, port, terse))
		}
	}
	o, _ = worst(outcomes)
	return o, entry, true
}

// showsTo reports whether ztunnel knows an entry for clients of a namespace.
func (m *Mesh) showsTo(se *ServiceEntry, namespace string) bool {
	if m.settings.Visibility == nil {
		return true
	}
	shown := m.shown(se)
	return shown != meshconfig.Nobody && (shown != meshconfig.OwnNamespace || se.Namespace == namespace)
}

// throughZtunnel is the path of a client in ambient mode for an entry: to the
// waypoints of the entry, or straight out.
func (m *Mesh) throughZtunnel(namespace string, entry *ServiceEntry, host string, port int, terse bool) outcome {
	shares, why := m.shares(entry)
	if len(shares) > 0 && !captured(entry, host) {
		shares, why = nil, Reason{Ref: entry.Ref, Path: "spec.addresses"}.with("ztunnel knows traffic by its address, and the entry has none")
	}
	if len(shares) == 0 {
		why = why.says("ztunnel connects to %s itself: %s", hostAt(host, port), why.Told)
		return outcome{verdict: Direct, passed: m.Namespace(namespace).Ambient() && namespace != entry.Namespace, because: []Reason{why}}
	}
	outcomes := make([]outcome, 0, len(shares))
	for _, s := range shares {
		outcomes = append(outcomes, m.throughWaypoint(s, entry, host, port, terse))
	}
	o, _ := worst(outcomes)
	return o
}

// throughWaypoint is the path of the share of an entry's traffic that one waypoint
// gets.
func (m *Mesh) throughWaypoint(s share, entry *ServiceEntry, host string, port int, terse bool) outcome {
	o := m.atWaypoint(s.waypoint, entry, host, port, terse)
	if terse {
		return o
	}
	reason := s.by.with("ztunnel sends %d%% of it to waypoint %s", s.weight, s.waypoint.Tell().As(s.waypoint.Namespace+"/"+s.waypoint.Name))
	hop := Hop{From: "ztunnel", Decided: reason, To: "waypoint " + s.waypoint.Namespace + "/" + s.waypoint.Name, TLS: &ClientTLS{Mode: "HBONE"}} // mutual TLS, always
	o.hops = append([]Hop{hop}, o.hops...)
	if o.verdict == Direct { // whoever has chosen the waypoint is to blame
		o.because = append([]Reason{reason.with("it is none of those that may lead out of the mesh")}, o.because...)
	}
	return o
}
