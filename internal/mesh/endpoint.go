package mesh

import (
	"maps"
	"slices"
	"strings"
)

const (
	endpointSteps = 3 // to see where an address lies
	labelSteps    = 2 // to compare a label, or to copy it
)

// leavesMesh reports whether traffic for one of the entry's canonical hosts
// leaves the mesh.
//
// Istio keeps the endpoints of all entries of one namespace for one host
// together (EndpointIndex in its pilot/pkg/model), so that what one of them
// has is dialled for the ports of the others too, held or not.
func (m *Mesh) leavesMesh(se *ServiceEntry, host string) bool {
	if m.leavesAlone(se) {
		return true
	}
	for other := range m.entries.exactly(host) {
		m.Spend(1)
		if other.Namespace == se.Namespace && other.Ref != se.Ref && m.leavesAlone(other) {
			return true
		}
	}
	return false
}

// leavesAlone reports whether traffic for the entry leaves the mesh, judged by
// where its own endpoints lie and not by what its location claims. An endpoint
// that is an approved egress gateway counts: what is behind it is outside.
func (m *Mesh) leavesAlone(se *ServiceEntry) bool {
	// With a resolution that takes no endpoints a selector selects nothing.
	if se.WorkloadLabels != nil && se.Resolution != "NONE" && se.Resolution != "DYNAMIC_DNS" {
		return m.selectsOutside(se)
	}
	if len(se.Endpoints) > 0 {
		for i := range se.Endpoints {
			m.Spend(endpointSteps)
			if e := &se.Endpoints[i]; m.endpointOutside(e, se.Location) || m.gatewayOf(CanonicalHost(e.Address)) != nil {
				return true
			}
		}
		return false
	}
	switch se.Resolution {
	case "STATIC":
		return false // no endpoints: nothing is dialled
	case "NONE":
		// The client chooses the address: for HTTP and TLS any, for they are
		// told by a name. Only an entry that says it is in the mesh, and whose
		// addresses could be, is taken at its word about TCP.
		if se.Location != "MESH_INTERNAL" || len(se.Addresses) == 0 {
			return true
		}
		m.Spend(len(se.Ports) + endpointSteps*len(se.Addresses))
		return slices.ContainsFunc(se.Ports, func(p ServicePort) bool { return ClassOf(p.Protocol) != TCPLike }) ||
			slices.ContainsFunc(se.Addresses, func(a string) bool { return m.outside(prefixAddress(a), se.Location) })
	default: // DNS, DNS_ROUND_ROBIN, DYNAMIC_DNS: the host is the address
		for _, h := range se.Hosts {
			m.Spend(endpointSteps)
			if m.outside(m.canonical(h), se.Location) {
				return true
			}
		}
		return false
	}
}

// selectsOutside reports whether a WorkloadEntry that the entry selects has an
// address outside the mesh. The pods it may select are inside.
func (m *Mesh) selectsOutside(se *ServiceEntry) bool {
	for o := range m.readIn("WorkloadEntry", se.Namespace) {
		we := o.(*WorkloadEntry)
		m.Spend(labelSteps * (1 + len(se.WorkloadLabels.Labels) + len(we.Meta.Labels) + len(we.Endpoint.Labels)))
		if HasLabels(se.WorkloadLabels.Labels, we.SelectorLabels()) && m.endpointOutside(&we.Endpoint, se.Location) {
			return true
		}
	}
	return false
}

// SelectorLabels are the labels by which a WorkloadEntry is selected: those of
// its spec, and those of its metadata (convertWorkloadEntry in Istio's
// pilot/pkg/serviceregistry/serviceentry).
func (we *WorkloadEntry) SelectorLabels() map[string]string {
	if len(we.Meta.Labels) == 0 {
		return we.Endpoint.Labels
	}
	labels := make(map[string]string, len(we.Meta.Labels)+len(we.Endpoint.Labels))
	maps.Copy(labels, we.Meta.Labels)
	maps.Copy(labels, we.Endpoint.Labels)
	return labels
}

// outside reports whether the address of an endpoint lies outside the mesh. A
// private address is inside where the entry says so: it may be a machine that
// joined the mesh. A public one never is, and neither is a name without a dot,
// which is whatever the node's search list makes of it once there is no Service
// of that name.
func (m *Mesh) outside(address, location string) bool {
	if path, ok := strings.CutPrefix(address, "unix://"); ok {
		return path != ""
	}
	if ip, ok := parseIP(address); ok {
		ip = ip.Unmap()
		switch {
		case ip.IsLoopback():
			return false
		case ip.IsPrivate():
			return location != "MESH_INTERNAL"
		default:
			return location != "MESH_INTERNAL" || !m.settings.InMesh.address(ip)
		}
	}
	name := CanonicalHost(address)
	switch {
	case !strings.Contains(name, "."):
		return true
	case location == "MESH_INTERNAL" && m.settings.InMesh.name(name):
		return false
	default:
		return m.outsideName(name)
	}
}

// endpointOutside is outside for an endpoint, which may lie in a network that is
// part of the mesh: whoever is not in it then dials its east-west gateway
// (EndpointsByNetworkFilter in Istio's pilot/pkg/xds/endpoints).
func (m *Mesh) endpointOutside(e *Endpoint, location string) bool {
	if location == "MESH_INTERNAL" && slices.Contains(m.settings.InMesh.Networks, e.Network) && e.Network != "" {
		return false
	}
	return m.outside(e.Address, location)
}

// WorkloadOutside reports whether a WorkloadEntry of a mesh's Service has an address
// outside the mesh: a public one, or a name, that the configuration does not say is
// inside.
func (m *Mesh) WorkloadOutside(we *WorkloadEntry) bool {
	if ip, ok := parseIP(we.Address); ok {
		ip = ip.Unmap()
		return !ip.IsPrivate() && !ip.IsLoopback() && m.endpointOutside(&we.Endpoint, "MESH_INTERNAL")
	}
	return we.Address != "" && (!strings.Contains(we.Address, ".") || !m.settings.InMesh.name(CanonicalHost(we.Address)))
}

// ClusterSet is what the names of Services of several clusters end with, in the
// Multi-Cluster Services API: Istio looks for their endpoints in its meshes.
const ClusterSet = ".svc.clusterset.local"

// outsideName reports whether a name resolves to something outside the
// cluster: any name that is not a Service's, and the Services that only stand
// for such a name or address. The cluster's DNS has other names too, of which
// those of pods spell out any address that a client likes.
func (m *Mesh) outsideName(host string) bool {
	for range 8 { // ExternalName Services may point at each other
		if !strings.Contains(host, ".") {
			return false
		}
		if name, ok := strings.CutSuffix(host, ".svc"); ok && strings.Contains(name, ".") {
			host = name + m.names.suffix
		}
		if !inDomain(host, m.settings.ClusterDomain) {
			return !strings.HasSuffix(host, ClusterSet)
		}
		svc := m.service(host)
		if svc == nil {
			return !strings.HasSuffix(host, m.names.suffix) || m.podOutside(host)
		}
		if svc.Type != "ExternalName" {
			return m.slicesOutside(svc)
		}
		host = CanonicalHost(svc.ExternalName)
	}
	return true
}

// podOutside reports whether a name below that of a headless Service, which stands
// for one of its endpoints, may be one outside the cluster.
func (m *Mesh) podOutside(host string) bool {
	labels := strings.Split(strings.TrimSuffix(host, m.names.suffix), ".")
	if len(labels) < 3 {
		return false // of a Service that is still to come
	}
	svc := m.service(strings.Join(labels[len(labels)-2:], ".") + m.names.suffix)
	return svc != nil && (svc.Type == "ExternalName" || m.slicesOutside(svc))
}

// slicesOutside reports whether a Service has addresses that are not in the
// cluster: those of EndpointSlices, and with a selector those of WorkloadEntries.
// Private addresses are taken for pods or nodes.
func (m *Mesh) slicesOutside(svc *Service) bool {
	if len(svc.Selector) > 0 {
		for o := range m.In("WorkloadEntry", svc.Namespace) {
			we := o.(*WorkloadEntry)
			m.Spend(labelSteps * (1 + len(svc.Selector) + len(we.Meta.Labels) + len(we.Endpoint.Labels)))
			if HasLabels(svc.Selector, we.SelectorLabels()) && m.endpointOutside(&we.Endpoint, "MESH_INTERNAL") {
				return true
			}
		}
	}
	for _, kind := range []string{"EndpointSlice", "Endpoints"} {
		for o := range m.In(kind, svc.Namespace) {
			slice := o.(*EndpointSlice)
			if slice.Service != svc.Name || slice.OfPods(svc) {
				continue
			}
			for _, a := range slice.Addresses {
				m.Spend(endpointSteps)
				if m.outside(a, "MESH_INTERNAL") {
					return true
				}
			}
		}
	}
	return false
}

// OfPods reports whether Kubernetes' own controller keeps the slice, from the
// pods that the Service selects; where it does it undoes what others write.
// Istio reads a slice of anybody else beside those. Endpoints of a Service with
// a selector it does not read at all.
func (s *EndpointSlice) OfPods(svc *Service) bool {
	if len(svc.Selector) == 0 {
		return false
	}
	return s.Kind == "Endpoints" || s.Labels["endpointslice.kubernetes.io/managed-by"] == "endpointslice-controller.k8s.io"
}

// service returns the Kubernetes Service of that canonical name, or nil.
func (m *Mesh) service(host string) *Service {
	namespace, name, ok := serviceOf(host, m.names.suffix)
	if !ok {
		return nil
	}
	svc, _ := m.read(Ref{Kind: "Service", Namespace: namespace, Name: name}).(*Service)
	return svc
}

// gatewayOf returns the approved egress gateway whose Service has that
// canonical name, or nil.
func (m *Mesh) gatewayOf(host string) *EgressGateway {
	for i, name := range m.names.gateways {
		if name == host {
			return &m.settings.Gateways[i]
		}
	}
	return nil
}

// prefixAddress is the address of "address" or "address/length".
func prefixAddress(s string) string {
	address, _, _ := strings.Cut(s, "/")
	return address
}

// HasLabels reports whether every label of want is in have.
func HasLabels(want, have map[string]string) bool {
	for k, v := range want {
		if got, ok := have[k]; !ok || got != v {
			return false
		}
	}
	return true
}
