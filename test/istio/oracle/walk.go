package oracle

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	cluster "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	endpoint "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	listener "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	route "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	hcm "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	tcp "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/tcp_proxy/v3"
	tls "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
	"istio.io/istio/pilot/pkg/model"
	"istio.io/istio/pilot/pkg/xds/endpoints"
	"istio.io/istio/pilot/test/xds"
)

// Proxy is one Envoy, reduced to the ways through it.
type Proxy struct {
	Leaves   []Leaf
	Clusters map[string]*Cluster
	// Refused are the listeners that Envoy does not accept, by name, with
	// the reason: two of their filter chains match the same connections.
	Refused map[string]string
}

// Leaf is one way through a proxy: a filter chain, for HTTP a virtual host
// and one of its routes, and the cluster at its end. Every weighted cluster
// and every mirror is a leaf of its own, default chains included; a route
// that the proxy answers itself has no cluster.
type Leaf struct {
	Listener string
	Address  string
	Port     uint32

	Default    bool     // the listener's default filter chain
	SNI        []string // sorted; none means any
	Subnets    []string // destination subnets of the chain; none means any
	TLSOnly    bool     // the chain matches TLS connections only
	PlainOnly  bool     // the chain matches plaintext connections only
	Terminates bool     // the proxy terminates TLS
	ClientCert bool     // ... and requires a client certificate

	HTTP        bool
	VirtualHost string
	Domains     []string
	Route       int               // its place in the virtual host
	Headers     map[string]string // that the route wants, exactly
	Conditions  bool              // the route has other conditions as well
	Sets        map[string]string // headers that the route sets
	Authority   string            // what the route rewrites the authority to
	Mirror      bool
	Cluster     string
}

// source is where a proxy's configuration comes from.
type source interface {
	listeners() ([]*listener.Listener, error)
	routes(names []string) (map[string]*route.RouteConfiguration, error)
	clusters() ([]*cluster.Cluster, error)
	endpoints(clusters []string) (map[string]*endpoint.ClusterLoadAssignment, error)
}

// reduce walks a proxy's listeners, routes and clusters.
func reduce(from source) (*Proxy, error) {
	clusters, err := clustersOf(from)
	if err != nil {
		return nil, err
	}
	p := &Proxy{Clusters: clusters, Refused: map[string]string{}}
	listeners, err := from.listeners()
	if err != nil {
		return nil, err
	}
	var w walker
	for _, l := range listeners {
		w.listener(l)
		if twice := matchedTwice(l); twice != "" {
			p.Refused[l.Name] = "two filter chains match " + twice
		}
	}
	routes, err := from.routes(w.routeNames())
	if err != nil {
		return nil, err
	}
	for _, c := range w.chains {
		p.Leaves = append(p.Leaves, c.leaves(routes)...)
	}
	return p, nil
}

// inProcess is a proxy of the fake control plane.
type inProcess struct {
	s    *xds.FakeDiscoveryServer
	node *model.Proxy
}

// reduceFake sets a proxy of the fake control plane up and reduces it.
func reduceFake(s *xds.FakeDiscoveryServer, node *model.Proxy) *Proxy {
	p, err := reduce(inProcess{s, s.SetupProxy(node)})
	if err != nil {
		panic(fmt.Sprintf("reduce a proxy of this process: %v", err)) // nothing can fail
	}
	return p
}

func (p inProcess) listeners() ([]*listener.Listener, error) { return p.s.Listeners(p.node), nil }

func (p inProcess) routes(names []string) (map[string]*route.RouteConfiguration, error) {
	out := map[string]*route.RouteConfiguration{}
	resources, _ := p.s.ConfigGen.BuildHTTPRoutes(p.node, &model.PushRequest{Push: p.s.PushContext()}, names)
	for _, r := range resources {
		out[r.Name] = unpack(r.Resource, &route.RouteConfiguration{})
	}
	return out, nil
}

func (p inProcess) clusters() ([]*cluster.Cluster, error) { return p.s.Clusters(p.node), nil }

func (p inProcess) endpoints(names []string) (map[string]*endpoint.ClusterLoadAssignment, error) {
	out := map[string]*endpoint.ClusterLoadAssignment{}
	for _, name := range names {
		b := endpoints.NewEndpointBuilder(name, p.node, p.s.PushContext())
		out[name] = b.BuildClusterLoadAssignment(p.s.Discovery.Env.EndpointIndex)
	}
	return out, nil
}

// chain is a filter chain whose routes are not resolved yet.
type chain struct {
	Leaf
	clusters []string // TCP
	inline   *route.RouteConfiguration
	rds      string
}

type walker struct{ chains []chain }

func (w *walker) routeNames() []string {
	var names []string
	for _, c := range w.chains {
		if c.rds != "" && !slices.Contains(names, c.rds) {
			names = append(names, c.rds)
		}
	}
	return names
}

func (w *walker) listener(l *listener.Listener) {
	if l.TrafficDirection == core.TrafficDirection_INBOUND {
		return
	}
	at := Leaf{
		Listener: l.Name,
		Address:  l.GetAddress().GetSocketAddress().GetAddress(),
		Port:     l.GetAddress().GetSocketAddress().GetPortValue(),
	}
	for _, fc := range l.FilterChains {
		w.filterChain(at, fc)
	}
	if l.DefaultFilterChain != nil {
		at.Default = true
		w.filterChain(at, l.DefaultFilterChain)
	}
}

// matchedTwice returns what two filter chains of the listener match alike, in
// the manner of Envoy's FilterChainManagerImpl::addFilterChains, which goes by
// each server name of a chain on its own.
func matchedTwice(l *listener.Listener) string {
	seen := map[string]bool{}
	for _, fc := range l.FilterChains {
		match := &listener.FilterChainMatch{}
		if fc.FilterChainMatch != nil {
			match = proto.CloneOf(fc.FilterChainMatch)
		}
		names := match.ServerNames
		match.ServerNames = nil
		rest, err := proto.MarshalOptions{Deterministic: true}.Marshal(match)
		if err != nil {
			panic(fmt.Sprintf("marshal a filter chain match: %v", err))
		}
		if len(names) == 0 {
			names = []string{""}
		}
		for _, name := range names {
			key := strings.ToLower(name) + "\x00" + string(rest)
			if seen[key] {
				return "SNI " + strconv.Quote(name)
			}
			seen[key] = true
		}
	}
	return ""
}

func (w *walker) filterChain(at Leaf, fc *listener.FilterChain) {
	m := fc.GetFilterChainMatch()
	at.SNI = slices.Sorted(slices.Values(m.GetServerNames()))
	for _, r := range m.GetPrefixRanges() {
		at.Subnets = append(at.Subnets, fmt.Sprintf("%s/%d", r.AddressPrefix, r.PrefixLen.GetValue()))
	}
	at.TLSOnly = m.GetTransportProtocol() == "tls"
	at.PlainOnly = m.GetTransportProtocol() == "raw_buffer"
	if ts := fc.GetTransportSocket(); ts != nil {
		down := unpack(ts.GetTypedConfig(), &tls.DownstreamTlsContext{})
		at.Terminates = true
		at.ClientCert = down.GetRequireClientCertificate().GetValue()
	}
	for _, f := range fc.Filters {
		switch {
		case f.GetTypedConfig().MessageIs(&tcp.TcpProxy{}):
			w.chains = append(w.chains, chain{Leaf: at, clusters: tcpClusters(unpack(f.GetTypedConfig(), &tcp.TcpProxy{}))})
		case f.GetTypedConfig().MessageIs(&hcm.HttpConnectionManager{}):
			h := unpack(f.GetTypedConfig(), &hcm.HttpConnectionManager{})
			at.HTTP = true
			w.chains = append(w.chains, chain{Leaf: at, rds: h.GetRds().GetRouteConfigName(), inline: h.GetRouteConfig()})
		}
	}
}

func tcpClusters(p *tcp.TcpProxy) []string {
	if p.GetCluster() != "" {
		return []string{p.GetCluster()}
	}
	var names []string
	for _, c := range p.GetWeightedClusters().GetClusters() {
		names = append(names, c.Name)
	}
	return names
}

func (c chain) leaves(routes map[string]*route.RouteConfiguration) []Leaf {
	var out []Leaf
	leaf := c.Leaf
	for _, name := range c.clusters {
		leaf.Cluster = name
		out = append(out, leaf)
	}
	if !c.HTTP {
		return out
	}
	config := c.inline
	if config == nil {
		config = routes[c.rds]
	}
	for _, vh := range config.GetVirtualHosts() {
		leaf.VirtualHost, leaf.Domains = vh.Name, vh.Domains
		for i, r := range vh.Routes {
			leaf.Route = i
			out = append(out, routeLeaves(leaf, r)...)
		}
	}
	return out
}

func routeLeaves(leaf Leaf, r *route.Route) []Leaf {
	leaf.match(r.GetMatch())
	leaf.Sets = headers(nil, r.GetRequestHeadersToAdd())
	action := r.GetRoute()
	leaf.Authority = action.GetHostRewriteLiteral()
	var out []Leaf
	if weighted := action.GetWeightedClusters().GetClusters(); len(weighted) > 0 {
		for _, c := range weighted {
			to := leaf
			to.Cluster, to.Sets = c.Name, headers(leaf.Sets, c.GetRequestHeadersToAdd())
			out = append(out, to)
		}
	} else {
		to := leaf
		to.Cluster = action.GetCluster()
		out = append(out, to)
	}
	leaf.Mirror = true
	for _, m := range action.GetRequestMirrorPolicies() {
		leaf.Cluster = m.Cluster
		out = append(out, leaf)
	}
	return out
}

// match keeps the exact headers that a route wants, and whether it wants
// anything else.
func (l *Leaf) match(m *route.RouteMatch) {
	l.Headers = map[string]string{}
	l.Conditions = m.GetPrefix() != "/" || len(m.GetQueryParameters()) > 0
	for _, h := range m.GetHeaders() {
		if exact := h.GetStringMatch().GetExact(); exact != "" && !h.InvertMatch {
			l.Headers[strings.ToLower(h.Name)] = exact
			continue
		}
		l.Conditions = true
	}
}

func headers(base map[string]string, set []*core.HeaderValueOption) map[string]string {
	out := maps.Clone(base)
	for _, h := range set {
		if out == nil {
			out = map[string]string{}
		}
		out[strings.ToLower(h.GetHeader().GetKey())] = h.GetHeader().GetValue()
	}
	return out
}

// unpack decodes what Istio generated a moment ago in this process: a failure
// is a mistake in this package, not a condition.
func unpack[M proto.Message](from *anypb.Any, into M) M {
	if err := from.UnmarshalTo(into); err != nil {
		panic(fmt.Sprintf("unpack %s: %v", from.GetTypeUrl(), err))
	}
	return into
}
