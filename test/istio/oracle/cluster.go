package oracle

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	cluster "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	endpoint "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	internalupstream "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/internal_upstream/v3"
	tls "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"
	upstreams "github.com/envoyproxy/go-control-plane/envoy/extensions/upstreams/http/v3"
	"istio.io/istio/pilot/pkg/model"
)

// Cluster is an upstream of a proxy.
type Cluster struct {
	Name   string
	Host   string // the service it belongs to; empty for Istio's own clusters
	Port   int
	Subset string

	// Endpoints are the addresses it dials. Anywhere is true where the
	// request or connection chooses the address (ORIGINAL_DST, dynamic
	// forward proxy).
	Endpoints []Address
	Anywhere  bool

	TLS UpstreamTLS
	// HTTP2 is true where every request travels by HTTP/2.
	HTTP2 bool
}

// Address is one endpoint.
type Address struct {
	Host string // IP or DNS name; a path for a pipe
	Port uint32
	// Tunnel is true where it is a listener of the proxy itself, Host, that leads
	// through HBONE to a pod of the mesh.
	Tunnel bool
}

// UpstreamTLS is how a cluster protects its connections.
type UpstreamTLS struct {
	Enabled bool
	Auto    bool // mutual TLS to endpoints that announce it, plaintext to others
	SNI     string
	Certs   []string // SDS names of the client certificates
	CA      string   // SDS name of the trusted roots
	SANs    []string
	ALPN    []string // the protocols that it offers to the server
}

// Mutual is Istio's own mutual TLS (ISTIO_MUTUAL).
func (t UpstreamTLS) Mutual() bool { return t.Enabled && slices.Equal(t.Certs, []string{"default"}) }

// String is the form of the observed facts.
func (t UpstreamTLS) String() string {
	switch {
	case t.Auto:
		return "auto"
	case !t.Enabled:
		return "plaintext"
	}
	return fmt.Sprintf("tls sni=%s certs=[%s] ca=%s", t.SNI, strings.Join(t.Certs, ","), t.CA)
}

// External reports whether a connection of this cluster can end outside the
// mesh: whether any address it dials is neither a pod nor a Service of it.
func (c *Cluster) External() bool {
	return c.Anywhere || slices.ContainsFunc(c.Endpoints, Address.external)
}

// gatewayPorts returns the ports of the egress gateway's pods that the
// cluster dials, where it dials nothing else.
func (c *Cluster) gatewayPorts() []uint32 {
	var ports []uint32
	for _, a := range c.Endpoints {
		port, ok := a.gatewayPort()
		if !ok {
			return nil
		}
		ports = append(ports, port)
	}
	return ports
}

// serviceToPod are the ports of the gateway Service in base.yaml.
var serviceToPod = map[uint32]uint32{80: 8080, 443: 8443, 15443: 15443}

func (a Address) gatewayPort() (uint32, bool) {
	switch strings.ToLower(strings.TrimSuffix(a.Host, ".")) {
	case gatewayPodIP:
		return a.Port, true
	case gatewayVIP, GatewayHost:
		port, ok := serviceToPod[a.Port]
		return port, ok
	}
	return 0, false
}

// external is decided by address. The pods and Services of these tests live
// in 10.0.0.0/8; every name outside the cluster domain is the world's.
func (a Address) external() bool {
	if a.Tunnel {
		return false
	}
	if ip, err := netip.ParseAddr(a.Host); err == nil {
		return !netip.MustParsePrefix("10.0.0.0/8").Contains(ip.Unmap())
	}
	return !strings.HasSuffix(strings.ToLower(strings.TrimSuffix(a.Host, ".")), clusterSuffix)
}

func clustersOf(from source) (map[string]*Cluster, error) {
	clusters, err := from.clusters()
	if err != nil {
		return nil, err
	}
	var discovered []string
	for _, c := range clusters {
		if c.GetType() == cluster.Cluster_EDS {
			discovered = append(discovered, c.Name)
		}
	}
	endpoints, err := from.endpoints(discovered)
	if err != nil {
		return nil, err
	}
	out := map[string]*Cluster{}
	for _, c := range clusters {
		reduced := &Cluster{Name: c.Name}
		if model.IsValidSubsetKey(c.Name) {
			direction, subset, host, port := model.ParseSubsetKey(c.Name)
			if direction == model.TrafficDirectionInbound {
				continue
			}
			reduced.Host, reduced.Subset, reduced.Port = string(host), subset, port
		}
		switch {
		case c.GetType() == cluster.Cluster_EDS:
			reduced.Endpoints = addresses(endpoints[c.Name])
		case c.GetType() == cluster.Cluster_ORIGINAL_DST, c.GetClusterType() != nil:
			reduced.Anywhere = true
		default:
			reduced.Endpoints = addresses(c.LoadAssignment)
		}
		reduced.TLS, reduced.HTTP2 = upstreamTLS(c), http2(c)
		out[c.Name] = reduced
	}
	return out, nil
}

func addresses(cla *endpoint.ClusterLoadAssignment) []Address {
	var out []Address
	for _, locality := range cla.GetEndpoints() {
		for _, e := range locality.LbEndpoints {
			address := e.GetEndpoint().GetAddress()
			if pipe := address.GetPipe(); pipe != nil {
				out = append(out, Address{Host: pipe.Path})
				continue
			}
			if tunnel := address.GetEnvoyInternalAddress(); tunnel != nil {
				out = append(out, Address{Host: tunnel.GetServerListenerName(), Tunnel: true})
				continue
			}
			socket := address.GetSocketAddress()
			out = append(out, Address{Host: socket.GetAddress(), Port: socket.GetPortValue()})
		}
	}
	return out
}

func http2(c *cluster.Cluster) bool {
	const options = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
	packed, ok := c.TypedExtensionProtocolOptions[options]
	return ok && unpack(packed, &upstreams.HttpProtocolOptions{}).GetExplicitHttpConfig().GetHttp2ProtocolOptions() != nil
}

func upstreamTLS(c *cluster.Cluster) UpstreamTLS {
	socket := c.TransportSocket
	if len(c.TransportSocketMatches) > 0 {
		// In ambient mode the first is for endpoints that take tunnels; that for
		// all others is the one of the DestinationRule.
		i := slices.IndexFunc(c.TransportSocketMatches, func(m *cluster.Cluster_TransportSocketMatch) bool {
			return len(m.GetMatch().GetFields()) == 0 && m.GetTransportSocket().GetTypedConfig().MessageIs(&tls.UpstreamTlsContext{})
		})
		if i < 0 {
			return UpstreamTLS{Auto: true}
		}
		socket = c.TransportSocketMatches[i].TransportSocket
	}
	// A waypoint wraps it, lest the way should lead through a tunnel.
	if wrapped := socket.GetTypedConfig(); wrapped.MessageIs(&internalupstream.InternalUpstreamTransport{}) {
		socket = unpack(wrapped, &internalupstream.InternalUpstreamTransport{}).GetTransportSocket()
	}
	if socket == nil || !socket.GetTypedConfig().MessageIs(&tls.UpstreamTlsContext{}) {
		return UpstreamTLS{}
	}
	up := unpack(socket.GetTypedConfig(), &tls.UpstreamTlsContext{})
	out := UpstreamTLS{Enabled: true, SNI: up.Sni, ALPN: up.GetCommonTlsContext().GetAlpnProtocols()}
	for _, cert := range up.GetCommonTlsContext().GetTlsCertificateSdsSecretConfigs() {
		out.Certs = append(out.Certs, cert.Name)
	}
	combined := up.GetCommonTlsContext().GetCombinedValidationContext()
	out.CA = combined.GetValidationContextSdsSecretConfig().GetName()
	for _, san := range combined.GetDefaultValidationContext().GetMatchTypedSubjectAltNames() {
		out.SANs = append(out.SANs, san.GetMatcher().GetExact())
	}
	return out
}
