package mesh

import "github.com/sallyport-io/sallyport/internal/meshconfig"

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

// inAmbient reports whether traffic from a namespace to an entry is ztunnel's
// business: the namespace is in ambient mode, or the entry's is and the
// namespace is not known to have sidecars.
func (m *Mesh) inAmbient(namespace string, se *ServiceEntry) bool {
	n := m.Namespace(namespace)
	return n.Ambient() || !n.Injected() && m.Namespace(se.Namespace).Ambient()
}

// throughZtunnel is the path of a client without sidecar: to the waypoint of
// the entry, or straight out. Neither exportTo nor VirtualServices count. ok is
// false where the namespace is not in ambient mode.
func (m *Mesh) throughZtunnel(namespace, host string, port int) (o outcome, entry *ServiceEntry, ok bool) {
	if m.ambient.empty() {
		return outcome{}, nil, false
	}
	hides := m.settings.Visibility != nil
	for se := range m.entries.exactly(host) {
		m.Spend(lookupSteps)
		if !m.inAmbient(namespace, se) {
			return outcome{}, nil, false
		}
		if hides {
			if shown := m.shown(se); shown == meshconfig.Nobody || shown == meshconfig.OwnNamespace && se.Namespace != namespace {
				continue
			}
		}
		// ztunnel prefers an entry of the client's namespace, else the oldest.
		if entry == nil || se.Namespace == namespace && entry.Namespace != namespace {
			entry = se
		}
	}
	if entry == nil {
		if !hides || !m.Namespace(namespace).Ambient() {
			return outcome{}, nil, false
		}
		why := Reason{Ref: m.settings.MeshConfig, Path: "data.mesh"}.with("serviceEntryVisibility shows ztunnel no entry for the host, and what ztunnel does not know it passes on")
		return outcome{verdict: Direct, passed: true, because: []Reason{why}}, nil, true
	}
	g, why := m.waypoint(entry)
	if g != nil && !captured(entry, host) {
		g, why = nil, Reason{Ref: entry.Ref, Path: "spec.addresses"}.with("ztunnel knows traffic by its address, and the entry has none")
	}
	if g == nil {
		why = why.says("ztunnel connects to %s itself: %s", hostAt(host, port), why.Told)
		return outcome{verdict: Direct, passed: m.Namespace(namespace).Ambient() && namespace != entry.Namespace, because: []Reason{why}}, entry, true
	}
	reason := Reason{Ref: g.Ref, Path: "spec.gatewayClassName"}.with("traffic goes through this waypoint")
	hop := Hop{From: "ztunnel", Decided: reason, To: "waypoint " + g.Namespace + "/" + g.Name, TLS: &ClientTLS{Mode: "HBONE"}} // mutual TLS, always
	return outcome{verdict: Via, gateway: g.Name, because: []Reason{reason}, hops: []Hop{hop}}, entry, true
}
