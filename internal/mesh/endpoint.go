package mesh

import (
	"maps"
	"strings"
)

// leavesMesh reports whether traffic for the entry leaves the mesh, judged by
// where its endpoints lie and not by what its location claims. An endpoint
// that is an approved egress gateway counts: what is behind it is outside.
func (m *Mesh) leavesMesh(se *ServiceEntry) bool {
	if se.WorkloadLabels != nil {
		return m.selectsOutside(se)
	}
	if len(se.Endpoints) > 0 {
		for i := range se.Endpoints {
			if a := se.Endpoints[i].Address; m.outside(a, se.Location) || m.gatewayOf(CanonicalHost(a)) != nil {
				return true
			}
		}
		return false
	}
	switch se.Resolution {
	case "STATIC":
		return false // no endpoints: nothing is dialled
	case "NONE":
		// The client chooses the address. Only an entry that says it is in
		// the mesh, and whose addresses could be, is taken at its word.
		if se.Location != "MESH_INTERNAL" || len(se.Addresses) == 0 {
			return true
		}
		for _, a := range se.Addresses {
			if m.outside(prefixAddress(a), se.Location) {
				return true
			}
		}
		return false
	default: // DNS, DNS_ROUND_ROBIN, DYNAMIC_DNS: the host is the address
		for _, h := range se.Hosts {
			if m.outside(CanonicalHost(h), se.Location) {
				return true
			}
		}
		return false
	}
}

// selectsOutside reports whether a WorkloadEntry that the entry selects has an
// address outside the mesh. The pods it may select are inside.
func (m *Mesh) selectsOutside(se *ServiceEntry) bool {
	for o := range m.In("WorkloadEntry", se.Namespace) {
		we := o.(*WorkloadEntry)
		if hasLabels(se.WorkloadLabels.Labels, workloadLabels(we)) && m.outside(we.Address, se.Location) {
			return true
		}
	}
	return false
}

// workloadLabels are the labels by which a WorkloadEntry is selected: those of
// its spec, and those of its metadata (convertWorkloadEntry in Istio's
// pilot/pkg/serviceregistry/serviceentry).
func workloadLabels(we *WorkloadEntry) map[string]string {
	if len(we.Meta.Labels) == 0 {
		return we.Endpoint.Labels
	}
	labels := make(map[string]string, len(we.Meta.Labels)+len(we.Endpoint.Labels))
	maps.Copy(labels, we.Meta.Labels)
	maps.Copy(labels, we.Endpoint.Labels)
	return labels
}

// outside reports whether an endpoint's address lies outside the mesh. A
// private address is inside where the entry says so: it may be a machine that
// joined the mesh. A public one never is.
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
			return true
		}
	}
	return m.outsideName(CanonicalHost(address))
}

// outsideName reports whether a name resolves to something outside the
// cluster: any name that is not a Service's, and the Services that only stand
// for such a name or address.
func (m *Mesh) outsideName(host string) bool {
	for range 8 { // ExternalName Services may point at each other
		if !strings.Contains(host, ".") || strings.HasSuffix(host, ".svc") {
			return false
		}
		if !inDomain(host, m.settings.ClusterDomain) {
			return true
		}
		svc := m.service(host)
		if svc == nil {
			return false
		}
		if svc.Type != "ExternalName" {
			return m.slicesOutside(svc)
		}
		host = CanonicalHost(svc.ExternalName)
	}
	return true
}

// slicesOutside reports whether a Service has addresses that are not in the
// cluster: those of EndpointSlices where it has no selector, those of
// WorkloadEntries where it has one. Private addresses are taken for pods or
// nodes.
func (m *Mesh) slicesOutside(svc *Service) bool {
	if len(svc.Selector) > 0 {
		for o := range m.In("WorkloadEntry", svc.Namespace) {
			we := o.(*WorkloadEntry)
			if hasLabels(svc.Selector, workloadLabels(we)) && m.outside(we.Address, "MESH_INTERNAL") {
				return true
			}
		}
		return false
	}
	for _, kind := range []string{"EndpointSlice", "Endpoints"} {
		for o := range m.In(kind, svc.Namespace) {
			slice := o.(*EndpointSlice)
			if slice.Service != svc.Name {
				continue
			}
			for _, a := range slice.Addresses {
				if m.outside(a, "MESH_INTERNAL") {
					return true
				}
			}
		}
	}
	return false
}

// service returns the Kubernetes Service of that canonical name, or nil.
func (m *Mesh) service(host string) *Service {
	namespace, name, ok := serviceOf(host, m.names.suffix)
	if !ok {
		return nil
	}
	svc, _ := m.Get(Ref{Kind: "Service", Namespace: namespace, Name: name}).(*Service)
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

// hasLabels reports whether every label of want is in have.
func hasLabels(want, have map[string]string) bool {
	for k, v := range want {
		if got, ok := have[k]; !ok || got != v {
			return false
		}
	}
	return true
}
