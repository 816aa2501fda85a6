package oracle

import (
	"fmt"
	"slices"
	"strings"

	networking "istio.io/api/networking/v1alpha3"
)

// Verdict is what Istio does with a client's traffic for a host and port.
type Verdict string

// The verdicts.
const (
	Via     Verdict = "via"     // through the egress gateway and out of it
	Direct  Verdict = "direct"  // some of it leaves from the client's own proxy
	Broken  Verdict = "broken"  // it fails behind the client's proxy
	Blocked Verdict = "blocked" // the client's proxy has no way for it
)

// Point is a host and port that a ServiceEntry registers.
type Point struct {
	Host      string // lower case
	Port      uint32
	Addresses []string
}

// Points returns the points of every ServiceEntry, sorted, each once.
func (w *World) Points() []Point {
	var out []Point
	for _, c := range w.Configs {
		se, ok := c.Spec.(*networking.ServiceEntry)
		if !ok {
			continue
		}
		for _, h := range se.Hosts {
			for _, p := range se.Ports {
				out = append(out, Point{strings.ToLower(strings.TrimSuffix(h, ".")), p.Number, se.Addresses})
			}
		}
	}
	slices.SortFunc(out, func(a, b Point) int {
		if c := strings.Compare(a.Host, b.Host); c != 0 {
			return c
		}
		return int(a.Port) - int(b.Port)
	})
	merged := out[:0]
	for _, p := range out {
		if n := len(merged); n > 0 && merged[n-1].Host == p.Host && merged[n-1].Port == p.Port {
			merged[n-1].Addresses = append(slices.Clone(merged[n-1].Addresses), p.Addresses...)
			continue
		}
		merged = append(merged, p)
	}
	return merged
}

// Leaks returns every way out of the client's proxy that does not pass the
// egress gateway, whatever host it was meant for.
func (c ClientProxy) Leaks() []string {
	var out []string
	for _, l := range c.Leaves {
		if cl := c.Clusters[l.Cluster]; cl != nil && (cl.External() || l.Cluster == passthrough) {
			out = append(out, describe(l))
		}
	}
	return distinct(out)
}

const (
	passthrough = "PassthroughCluster"
	blackHole   = "BlackHoleCluster"
)

// Passthrough reports whether the client's proxy lets traffic for unknown
// destinations out.
func (c ClientProxy) Passthrough() bool {
	return slices.ContainsFunc(c.Leaves, func(l Leaf) bool { return l.Cluster == passthrough })
}

// Verdict follows the client's traffic for one point through its sidecar and,
// where it goes there, through the egress gateway. It also says why.
func (w *World) Verdict(c ClientProxy, p Point) (Verdict, string) {
	verdict, why := Blocked, "no way in the client's proxy"
	rank := []Verdict{Blocked, Via, Broken, Direct}
	for _, l := range c.entrances(p) {
		v, reason := w.follow(c, p, l)
		if slices.Index(rank, v) > slices.Index(rank, verdict) {
			verdict, why = v, describe(l)+": "+reason
		}
	}
	return verdict, why
}

// entrances returns the leaves of the client's proxy that traffic for the
// point can take, and every leaf that ends at the point's own service: a chain
// for a wider name that dials this host is a way to it too. Chains without
// SNI take what no more specific chain wants.
func (c ClientProxy) entrances(p Point) []Leaf {
	probe := strings.Replace(p.Host, "*", "probe", 1)
	var own, http, named, rest []Leaf
	for _, l := range c.Leaves {
		if cl := c.Clusters[l.Cluster]; cl != nil && strings.EqualFold(cl.Host, p.Host) && cl.Port == int(p.Port) {
			own = append(own, l)
		}
		switch {
		case l.Port != p.Port || l.Address != "0.0.0.0" && !slices.Contains(p.Addresses, l.Address):
		case l.Cluster == passthrough || l.Cluster == blackHole:
		case l.HTTP:
			http = append(http, l)
		case len(l.SNI) > 0:
			named = append(named, l)
		default:
			rest = append(rest, l)
		}
	}
	out := mostSpecific(http, probe, domains)
	out = append(out, mostSpecific(named, probe, func(l Leaf) []string { return l.SNI })...)
	if len(out) == 0 {
		out = rest
	}
	return append(out, own...)
}

// mostSpecific returns the leaves that Envoy chooses for a name: those of the
// longest pattern that matches it. The catch-all is not a match for anybody
// in particular.
func mostSpecific(leaves []Leaf, name string, patterns func(Leaf) []string) []Leaf {
	var out []Leaf
	best := 0
	for _, l := range leaves {
		score := 0
		for _, p := range patterns(l) {
			score = max(score, matches(p, name))
		}
		switch {
		case score == 0 || score < best:
		case score > best:
			best, out = score, []Leaf{l}
		default:
			out = append(out, l)
		}
	}
	return out
}

// matches scores a domain or SNI pattern against a name: 0 for no match, and
// more for a more specific one.
func matches(pattern, name string) int {
	pattern = strings.ToLower(pattern)
	if host, port, ok := strings.Cut(pattern, ":"); ok && strings.Trim(port, "0123456789*") == "" {
		pattern = host
	}
	suffix, wild := strings.CutPrefix(pattern, "*")
	switch {
	case pattern == name:
		return 1000
	case wild && suffix != "" && strings.HasSuffix(name, suffix):
		return len(suffix)
	}
	return 0
}

// follow says what becomes of traffic for the point on one leaf.
func (w *World) follow(c ClientProxy, p Point, l Leaf) (Verdict, string) {
	if l.Cluster == "" {
		return Blocked, "answered by the client's proxy"
	}
	cl := c.Clusters[l.Cluster]
	if cl == nil {
		if l.Mirror {
			return Blocked, "mirror to a missing cluster"
		}
		return Broken, "the cluster is missing"
	}
	if cl.External() {
		return Direct, "dials " + dialled(cl)
	}
	ports := cl.gatewayPorts()
	if len(ports) == 0 {
		if l.Mirror {
			return Blocked, "mirror inside the mesh"
		}
		return Broken, "dials " + dialled(cl)
	}
	verdict, why, _ := w.exit(ports[0], outward(p, l, cl))
	if l.Mirror && verdict == Broken {
		return Blocked, why
	}
	return verdict, why
}

// Exits returns the gateway's clusters by which the client's traffic for the
// point leaves the mesh, each once.
func (w *World) Exits(c ClientProxy, p Point) []*Cluster {
	var out []*Cluster
	for _, l := range c.entrances(p) {
		cl := c.Clusters[l.Cluster]
		if cl == nil || cl.External() {
			continue
		}
		for _, port := range cl.gatewayPorts() {
			_, _, exits := w.exit(port, outward(p, l, cl))
			for _, exit := range exits {
				if !slices.Contains(out, exit) {
					out = append(out, exit)
				}
			}
		}
	}
	return out
}

// Missing returns the clusters that the proxy's routes name and that it does
// not have, sorted.
func (p *Proxy) Missing() []string {
	var out []string
	for _, l := range p.Leaves {
		if l.Cluster != "" && p.Clusters[l.Cluster] == nil {
			out = append(out, l.Cluster)
		}
	}
	return distinct(out)
}

func dialled(cl *Cluster) string {
	switch {
	case cl.Anywhere:
		return "what the client names"
	case len(cl.Endpoints) == 0:
		return "nothing, for it has no endpoints"
	}
	return fmt.Sprintf("%s:%d", cl.Endpoints[0].Host, cl.Endpoints[0].Port)
}
