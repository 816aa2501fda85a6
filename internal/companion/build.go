package companion

import (
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/sallyport-io/sallyport/internal/mesh"
)

// meshGateway is the word by which a VirtualService means the sidecars.
const meshGateway = "mesh"

// builder makes the objects for one host.
type builder struct {
	host string
	key  string // see [Key]
	// server answers for every name of the host, where that is a wildcard.
	server string
	// labels and annotations of all of them
	labels, annotations map[string]string
}

func newBuilder(host string) builder {
	return builder{
		host: host, key: Key(host),
		labels:      map[string]string{mesh.ManagedByLabel: mesh.ManagedBy},
		annotations: map[string]string{mesh.HostAnnotation: host},
	}
}

// upstream is the name by which the gateway knows the host. A wildcard cannot
// be dialled; its one server has a name of its own here, for the same server
// may be a host in its own right, registered otherwise.
func (b *builder) upstream() string {
	if b.server == "" {
		return b.host
	}
	return "wildcard." + digest(b.host, hashLength) + internalSuffix
}

func (b *builder) meta(kind, namespace, name string) mesh.Meta {
	return mesh.Meta{
		Ref:         mesh.Ref{Kind: kind, Namespace: namespace, Name: name},
		Labels:      b.labels,
		Annotations: b.annotations,
	}
}

// registration is the gateway's own ServiceEntry: what the gateway dials is
// never what a tenant wrote. It is for the gateway's namespace alone.
func (b *builder) registration(namespace string, upstreams []upstream) *mesh.ServiceEntry {
	se := &mesh.ServiceEntry{
		Meta:       b.meta("ServiceEntry", namespace, b.key),
		Hosts:      []string{b.upstream()},
		Location:   "MESH_EXTERNAL",
		Resolution: "DNS",
		ExportTo:   []string{"."},
	}
	if b.server != "" {
		se.Endpoints = []mesh.Endpoint{{Address: b.server}}
	}
	for _, u := range upstreams {
		se.Ports = append(se.Ports, mesh.ServicePort{
			Number:     u.port,
			Protocol:   u.protocol,
			Name:       strings.ToLower(u.protocol) + "-" + strconv.Itoa(u.port),
			TargetPort: u.targetPort,
		})
	}
	return se
}

// origination makes the gateway, and nobody else, speak TLS to the host.
// Neither sni nor subjectAltNames is set: Istio then takes both from the
// request's host and verifies it (setAutoSniAndAutoSanValidation in Istio's
// pilot/pkg/networking/core). It returns nil where no port needs it.
func (b *builder) origination(namespace string, upstreams []upstream) *mesh.DestinationRule {
	ports := make(map[int]*mesh.ClientTLS)
	for _, u := range upstreams {
		if u.originate {
			ports[u.to] = &mesh.ClientTLS{Mode: "SIMPLE"}
		}
		if u.credential != "" {
			ports[u.to] = &mesh.ClientTLS{Mode: "MUTUAL", CredentialName: u.credential}
		}
	}
	if len(ports) == 0 {
		return nil
	}
	policy := &mesh.TrafficPolicy{}
	for _, port := range slices.Sorted(maps.Keys(ports)) {
		policy.PortLevelSettings = append(policy.PortLevelSettings, mesh.PortPolicy{
			Port: mesh.PortSelector{Number: port},
			TLS:  ports[port],
		})
	}
	return &mesh.DestinationRule{
		Meta:          b.meta("DestinationRule", namespace, b.key+originateSuffix),
		Host:          b.upstream(),
		TrafficPolicy: policy,
		ExportTo:      []string{"."},
	}
}

// gateways are the Gateways of the lanes, one for each group.
func (b *builder) gateways(gateway mesh.EgressGateway, lanes []lane) []*mesh.Gateway {
	var out []*mesh.Gateway
	for _, l := range lanes {
		i := slices.IndexFunc(out, func(g *mesh.Gateway) bool { return g.Name == l.group })
		if i < 0 {
			i = len(out)
			out = append(out, &mesh.Gateway{
				Meta:     b.meta("Gateway", gateway.Namespace, l.group),
				Selector: maps.Clone(gateway.Selector),
			})
		}
		server := mesh.Server{
			Port:  mesh.ServerPort{Number: l.port, Protocol: l.protocol, Name: l.name},
			Hosts: []string{gateway.Namespace + "/" + l.host}, // no other namespace's VirtualService binds
		}
		if l.tlsMode != "" {
			server.TLS = &mesh.ServerTLS{Mode: l.tlsMode}
		}
		out[i].Servers = append(out[i].Servers, server)
	}
	return out
}

// clientHop gives the sidecars a subset for each group of lanes. Without
// exportTo it merges with every other DestinationRule for the gateway's
// Service that has none, ours and hand-written ones; where the mesh keeps such
// rules to their own namespace, the caller has to add one.
func (b *builder) clientHop(gateway mesh.EgressGateway, namespace, name, service string, lanes []lane) *mesh.DestinationRule {
	dr := &mesh.DestinationRule{
		Meta: b.meta("DestinationRule", namespace, name),
		Host: service,
	}
	for _, l := range lanes {
		i := slices.IndexFunc(dr.Subsets, func(s mesh.Subset) bool { return s.Name == l.group })
		if i < 0 {
			i = len(dr.Subsets)
			dr.Subsets = append(dr.Subsets, mesh.Subset{Name: l.group})
		}
		port := mesh.PortPolicy{Port: mesh.PortSelector{Number: l.port}}
		if gateway.MutualTLS {
			// Without sni the sidecar would send the cluster's name, which
			// no server of the gateway answers to.
			port.TLS = &mesh.ClientTLS{Mode: "ISTIO_MUTUAL", SNI: l.sni}
		}
		if l.http2() {
			// By itself a sidecar speaks to the gateway what the Service's
			// port is named after, and gRPC does not fit into HTTP/1.1
			// (shouldH2Upgrade in Istio's pilot/pkg/networking/core).
			port.ConnectionPool = &mesh.ConnectionPool{HTTP: &mesh.HTTPPool{H2UpgradePolicy: "UPGRADE"}}
		}
		if port.TLS == nil && port.ConnectionPool == nil {
			continue
		}
		s := &dr.Subsets[i]
		if s.TrafficPolicy == nil {
			s.TrafficPolicy = &mesh.TrafficPolicy{}
		}
		s.TrafficPolicy.PortLevelSettings = append(s.TrafficPolicy.PortLevelSettings, port)
	}
	return dr
}

// shadowed returns the host and the exportTo under which a DestinationRule merges with
// the one that the sidecars of a namespace take for the service, from their own
// namespace. Such a rule hides those of the gateway's namespace from them, the subsets
// that the companions' routes name among them; one for another host would hide its own.
// ok is false where there is none.
func shadowed(m *mesh.Mesh, namespace, service string) (host string, exportTo []string, ok bool) {
	var force *mesh.DestinationRule
	for o := range m.In("DestinationRule", namespace) {
		dr := o.(*mesh.DestinationRule)
		m.Spend(hostSteps)
		covers := mesh.ResolveHost(dr.Host, namespace, m.Settings().ClusterDomain)
		if Is(dr.Ref) || dr.WorkloadSelector != nil || !mesh.HostCovers(covers, service) || !m.SeenAtHome(dr) {
			continue
		}
		narrower := covers != host && (covers == service || host != service && len(covers) > len(host))
		if force == nil || narrower || covers == host && dr.Created.Before(force.Created) {
			host, force = covers, dr
		}
	}
	if force == nil {
		return "", nil, false
	}
	return host, slices.Clone(force.ExportTo), true
}

// gatewayHop routes from the gateway to the host. It also holds the mesh hop
// of the gateway's own namespace, whose sidecars see the gateway's
// registration.
func (b *builder) gatewayHop(gateway mesh.EgressGateway, name, service string, lanes []lane) *mesh.VirtualService {
	vs := &mesh.VirtualService{
		Meta:     b.meta("VirtualService", gateway.Namespace, name),
		Hosts:    []string{b.host},
		ExportTo: []string{"."},
	}
	snis := []string{b.host}
	if b.server != "" { // the sidecars of this namespace see the server's name
		vs.Hosts = append(vs.Hosts, b.upstream())
		snis = append(snis, b.upstream())
	}
	for _, l := range lanes {
		ref := gateway.Namespace + "/" + l.group
		if !slices.Contains(vs.Gateways, ref) {
			vs.Gateways = append(vs.Gateways, ref)
		}
		if l.host != b.host {
			vs.Hosts = append(vs.Hosts, l.host) // a Gateway's server must find its name here
		}
		for _, u := range l.carries {
			route := []mesh.RouteDestination{{Destination: mesh.Destination{Host: b.upstream(), Port: &mesh.PortSelector{Number: u.to}}}}
			switch {
			case u.class() == mesh.HTTPLike:
				number := strconv.Itoa(u.port)
				vs.HTTP = append(vs.HTTP, mesh.HTTPRoute{
					Match: []mesh.HTTPMatch{{
						Gateways: []string{ref},
						Port:     l.port,
						Headers:  map[string]mesh.StringMatch{portHeader: {Exact: &number}},
					}},
					Headers: &mesh.Headers{Request: &mesh.HeaderOperations{Remove: []string{portHeader}}},
					Route:   route,
				})
			case l.tlsMode == "PASSTHROUGH":
				vs.TLS = append(vs.TLS, mesh.TLSRoute{
					Match: []mesh.TLSMatch{{Gateways: []string{ref}, Port: l.port, SNIHosts: []string{b.host}}},
					Route: route,
				})
			default: // the gateway has taken the mutual TLS off
				vs.TCP = append(vs.TCP, mesh.TCPRoute{
					Match: []mesh.TCPMatch{{Gateways: []string{ref}, Port: l.port}},
					Route: route,
				})
			}
		}
	}
	vs.Gateways = append(vs.Gateways, meshGateway)
	b.meshRules(vs, snis, service, lanes, nil)
	return vs
}

// meshHop routes from the sidecars of the clients to the gateway, for the
// ports given.
func (b *builder) meshHop(namespace string, exportTo []string, owners []string, service string, lanes []lane, ports map[int]bool) *mesh.VirtualService {
	vs := &mesh.VirtualService{
		Meta:     b.meta("VirtualService", namespace, b.key+meshSuffix),
		Hosts:    []string{b.host},
		Gateways: []string{meshGateway},
		ExportTo: exportTo,
	}
	vs.Owners = owners
	b.meshRules(vs, []string{b.host}, service, lanes, ports)
	return vs
}

// meshRules adds the sidecars' rules for the ports given, or for all, and for
// TLS to these names. Istio merges no two VirtualServices of a sidecar for one
// HTTP host: the rules are complete or they leave a port open.
func (b *builder) meshRules(vs *mesh.VirtualService, snis []string, service string, lanes []lane, ports map[int]bool) {
	for _, l := range lanes {
		route := []mesh.RouteDestination{{
			Destination: mesh.Destination{Host: service, Subset: l.group, Port: &mesh.PortSelector{Number: l.port}},
		}}
		for _, u := range l.carries {
			if ports != nil && !ports[u.port] {
				continue
			}
			switch u.class() {
			case mesh.HTTPLike:
				vs.HTTP = append(vs.HTTP, mesh.HTTPRoute{
					Match: []mesh.HTTPMatch{{Gateways: []string{meshGateway}, Port: u.port}},
					Headers: &mesh.Headers{Request: &mesh.HeaderOperations{
						Set: map[string]string{portHeader: strconv.Itoa(u.port)},
					}},
					Route: route,
				})
			case mesh.TLSLike:
				vs.TLS = append(vs.TLS, mesh.TLSRoute{
					Match: []mesh.TLSMatch{{Gateways: []string{meshGateway}, Port: u.port, SNIHosts: snis}},
					Route: route,
				})
			default:
				vs.TCP = append(vs.TCP, mesh.TCPRoute{
					Match: []mesh.TCPMatch{{Gateways: []string{meshGateway}, Port: u.port}},
					Route: route,
				})
			}
		}
	}
}

// groupPrefix is what the names of a gateway's objects begin with: the host's
// key, and a mark of the gateway where another one of its namespace comes
// first.
func (b *builder) groupPrefix(s mesh.Settings, gateway mesh.EgressGateway) string {
	for _, g := range s.Gateways {
		if g.Name == gateway.Name {
			return b.key
		}
		if g.Namespace == gateway.Namespace {
			return b.key + gatewayMark + digest(gateway.Name, markLength)
		}
	}
	return b.key
}
