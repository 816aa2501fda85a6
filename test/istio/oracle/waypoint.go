package oracle

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	matcher "github.com/cncf/xds/go/xds/type/matcher/v3"
	listener "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	network "github.com/envoyproxy/go-control-plane/envoy/extensions/matching/common_inputs/network/v3"
	"istio.io/api/label"
	"istio.io/istio/pilot/pkg/model"
	"istio.io/istio/pilot/test/xds"
	"istio.io/istio/pkg/config/constants"
	"istio.io/istio/pkg/workloadapi"
	"k8s.io/apimachinery/pkg/types"
)

// waypoint is the proxy of a waypoint: the filter chains of the listener that
// takes the traffic out of the tunnel, and what chooses among them.
type waypoint struct {
	types.NamespacedName
	clusters map[string]*Cluster
	chains   map[string]chainOfService
	match    *matcher.Matcher
}

// chainOfService is a filter chain, and the AuthorizationPolicies that its
// filters ask, as "namespace/name".
type chainOfService struct {
	leaves []Leaf
	guards []string
	door   Door
}

// Way is one of the ways that traffic for a point takes from a namespace whose
// pods are ztunnel's.
type Way struct {
	// Waypoint is where ztunnel sends it, as "namespace/name", and Weight the
	// percentage of the connections that go there. It is empty where ztunnel
	// connects to the host itself.
	Waypoint string
	Weight   uint32
	// Chain is the waypoint's filter chain, and Guards the AuthorizationPolicies
	// that are asked in it, sorted.
	Chain  string
	Guards []string
	// Door is that chain, by whom it lets in.
	Door Door
	// Cluster is where the chain leads: the service's own, or that of another
	// host. Mirror is set where it gets a copy.
	Cluster string
	Mirror  bool
	// TLS is how the cluster protects its connections, and Dials what it dials.
	TLS   UpstreamTLS
	Dials string
	// To is the host of the cluster, lower case, and Namespace that of the service
	// that was called.
	To        string
	Namespace string
	Verdict   Verdict
	Why       string
}

// String is the form of the recorded facts.
func (w Way) String() string {
	if w.Waypoint == "" {
		return "ztunnel itself: " + w.Why
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%d%% waypoint %s", w.Weight, w.Waypoint)
	if w.Chain != "" {
		fmt.Fprintf(&b, " chain %s", w.Chain)
	}
	if len(w.Guards) > 0 {
		fmt.Fprintf(&b, " asks %s", strings.Join(w.Guards, ","))
	}
	if w.Mirror {
		b.WriteString(" mirror")
	}
	fmt.Fprintf(&b, " -> %s (%s)", w.Cluster, w.Verdict)
	return b.String()
}

// Detour reports whether the way leads out to another host than the one that was
// called: the policies that are asked are those of the latter.
func (w Way) Detour(p Point) bool {
	return (w.Verdict == Via || w.Verdict == Direct) && w.To != "" && !strings.EqualFold(w.To, p.Host) && !strings.HasSuffix(w.To, clusterSuffix)
}

// ThroughZtunnel is what becomes of traffic from a namespace whose pods are
// ztunnel's: the worst of its ways.
func (a *Ambient) ThroughZtunnel(namespace string, p Point) (Verdict, string) {
	verdict, why := Blocked, "every way is answered by the waypoint"
	rank := []Verdict{Blocked, Via, Broken, Direct}
	for _, w := range a.Ways(namespace, p) {
		if slices.Index(rank, w.Verdict) > slices.Index(rank, verdict) {
			verdict, why = w.Verdict, w.String()+" "+w.Why
		}
	}
	return verdict, why
}

// service is the service that ztunnel takes the point for: it knows services by
// their addresses, and its answers to DNS queries prefer the one of the client's
// own namespace to the canonical one.
func (a *Ambient) service(namespace string, p Point) *workloadapi.Service {
	var found *workloadapi.Service
	for _, svc := range a.services {
		if strings.EqualFold(strings.TrimSuffix(svc.Hostname, "."), p.Host) &&
			(svc.Namespace == namespace || svc.Canonical && (found == nil || found.Namespace != namespace)) {
			found = svc
		}
	}
	return found
}

// Ways are the ways of traffic for a point from a namespace whose pods are
// ztunnel's: to each of the service's waypoints that gets a share, by every route
// of the service there.
func (a *Ambient) Ways(namespace string, p Point) []Way {
	svc := a.service(namespace, p)
	switch {
	case svc == nil || len(svc.Addresses) == 0:
		return []Way{{Verdict: Direct, Why: "it knows no address of the service"}}
	case svc.Waypoint == nil:
		return []Way{{Verdict: Direct, Why: "the service has no waypoint"}}
	}
	shares := svc.WeightedWaypoints
	if len(shares) == 0 {
		shares = []*workloadapi.WeightedWaypoint{{Destination: svc.Waypoint, Weight: 100}}
	}
	var out []Way
	for _, share := range shares {
		if share.Weight == 0 {
			continue
		}
		name := share.GetDestination().GetHostname().GetHostname()
		w := a.waypoints[name]
		if w == nil {
			out = append(out, Way{Waypoint: name, Weight: share.Weight, Verdict: Broken, Why: "there is no such waypoint"})
			continue
		}
		for _, way := range w.ways(&a.World, svc, p) {
			way.Waypoint, way.Weight, way.Namespace = w.String(), share.Weight, svc.Namespace
			if way.Verdict == Via && !slices.Contains(a.platform, w.Namespace) {
				way.Verdict, way.Why = Direct, way.Why+", from a waypoint that is not the platform's"
			}
			out = append(out, way)
		}
	}
	return out
}

// ways are those of traffic that arrives at the waypoint for a service.
func (w *waypoint) ways(world *World, svc *workloadapi.Service, p Point) []Way {
	at := destination{
		authority: fmt.Sprintf("%s:%d", svc.Hostname, p.Port), port: p.Port,
	}
	at.ip, _ = netip.AddrFromSlice(svc.Addresses[0].GetAddress())
	var out []Way
	for _, name := range at.chains(w.match) {
		c, ok := w.chains[name]
		if !ok {
			out = append(out, Way{Chain: name, Verdict: Broken, Why: "the filter chain is missing"})
		}
		for _, l := range c.leaves {
			out = append(out, w.way(world, p, l, name, c))
		}
	}
	if len(out) == 0 {
		return []Way{{Verdict: Broken, Why: "the waypoint has no filter chain for it"}}
	}
	return out
}

// way is what becomes of traffic on one leaf of a chain: out, or on through the
// egress gateway.
func (w *waypoint) way(world *World, p Point, l Leaf, name string, c chainOfService) Way {
	way := Way{Chain: name, Guards: c.guards, Door: c.door, Cluster: l.Cluster, Mirror: l.Mirror}
	cl := w.clusters[l.Cluster]
	switch {
	case l.Cluster == "":
		way.Verdict, way.Why = Blocked, "answered by the waypoint"
	case cl == nil:
		way.Verdict, way.Why = Broken, "the cluster is missing"
	case !cl.External() && len(cl.gatewayPorts()) > 0:
		way.Verdict, way.Why, _ = world.exit(cl.gatewayPorts()[0], outward(p, l, cl))
	case !cl.External():
		way.Verdict, way.Why = Broken, "the cluster dials "+dialled(cl)
	default:
		way.Verdict, way.Why = Via, "the cluster dials "+dialled(cl)
	}
	if cl != nil {
		way.To, way.TLS, way.Dials = strings.ToLower(cl.Host), cl.TLS, dialled(cl)
	}
	if l.Mirror && way.Verdict == Broken {
		way.Verdict = Blocked
	}
	return way
}

// destination is what a waypoint chooses a filter chain by.
type destination struct {
	authority string // that ztunnel names, "host:port"
	ip        netip.Addr
	port      uint32
}

// chains are the names of the filter chains that a matcher may choose, in the
// manner of Envoy: of address ranges the narrowest decides. What protocol the
// traffic has is not known, and so every one counts.
func (d destination) chains(m *matcher.Matcher) []string {
	tree := m.GetMatcherTree()
	var chosen []*matcher.Matcher_OnMatch
	switch input := tree.GetInput().GetTypedConfig(); {
	case tree == nil:
	case tree.GetCustomMatch() != nil:
		chosen = append(chosen, d.byAddress(unpack(tree.GetCustomMatch().GetTypedConfig(), &matcher.IPMatcher{})))
	case input.MessageIs(&network.DestinationPortInput{}):
		chosen = append(chosen, tree.GetExactMatchMap().GetMap()[strconv.Itoa(int(d.port))])
	case input.MessageIs(&network.FilterStateInput{}):
		chosen = append(chosen, tree.GetExactMatchMap().GetMap()[d.authority])
	case input.MessageIs(&network.ApplicationProtocolInput{}):
		for _, on := range tree.GetExactMatchMap().GetMap() {
			chosen = append(chosen, on)
		}
		chosen = append(chosen, m.GetOnNoMatch())
	default:
		panic("a matcher of filter chains is not known here: " + input.GetTypeUrl())
	}
	var out []string
	for _, on := range chosen {
		out = append(out, d.follow(on)...)
	}
	if len(out) == 0 && m.GetOnNoMatch() != nil {
		out = d.follow(m.GetOnNoMatch())
	}
	slices.Sort(out)
	return slices.Compact(out)
}

func (d destination) follow(on *matcher.Matcher_OnMatch) []string {
	if on.GetAction() != nil {
		return []string{on.GetAction().GetName()}
	}
	return d.chains(on.GetMatcher())
}

func (d destination) byAddress(m *matcher.IPMatcher) (chosen *matcher.Matcher_OnMatch) {
	narrowest := -1
	for _, r := range m.GetRangeMatchers() {
		for _, cidr := range r.GetRanges() {
			ip, err := netip.ParseAddr(cidr.GetAddressPrefix())
			if err != nil {
				continue
			}
			bits := int(cidr.GetPrefixLen().GetValue())
			if prefix, err := ip.Prefix(bits); err == nil && prefix.Contains(d.ip) && bits > narrowest {
				narrowest, chosen = bits, r.GetOnMatch()
			}
		}
	}
	return chosen
}

// askWaypoint reads the configuration of a waypoint's proxy.
func askWaypoint(s *xds.FakeDiscoveryServer, name types.NamespacedName, ip string) *waypoint {
	node := s.SetupProxy(&model.Proxy{
		Type:            model.Waypoint,
		ConfigNamespace: name.Namespace,
		IPAddresses:     []string{ip},
		Labels: map[string]string{
			label.IoK8sNetworkingGatewayGatewayName.Name: name.Name,
			label.GatewayManaged.Name:                    constants.ManagedGatewayMeshControllerLabel,
		},
	})
	w := &waypoint{NamespacedName: name, chains: map[string]chainOfService{}}
	var err error
	if w.clusters, err = clustersOf(inProcess{s, node}); err != nil {
		panic(fmt.Sprintf("read the clusters of a proxy of this process: %v", err)) // nothing can fail
	}
	for _, l := range s.Listeners(node) {
		if l.FilterChainMatcher == nil {
			continue // it opens or closes tunnels
		}
		w.match = l.FilterChainMatcher
		for _, fc := range l.FilterChains {
			w.chains[fc.Name] = serviceChain(l.Name, fc)
		}
	}
	return w
}

func serviceChain(listenerName string, fc *listener.FilterChain) chainOfService {
	var out chainOfService
	var walk walker
	walk.filterChain(Leaf{Listener: listenerName}, fc)
	for _, c := range walk.chains {
		out.leaves = append(out.leaves, c.leaves(nil)...)
	}
	out.door = doorOf(0, fc)
	for _, rules := range out.door.rules {
		for policy := range rules.GetPolicies() {
			out.guards = append(out.guards, policyName(policy))
		}
	}
	out.guards = distinct(out.guards)
	return out
}

// policyName is "namespace/name" of the AuthorizationPolicy that Istio made
// "ns[namespace]-policy[name]-rule[0]" of.
func policyName(rule string) string {
	namespace, rest, ok := strings.Cut(strings.TrimPrefix(rule, "ns["), "]-policy[")
	if !ok {
		return rule
	}
	name, _, _ := strings.Cut(rest, "]-rule[")
	return namespace + "/" + name
}
