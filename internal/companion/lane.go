package companion

import (
	"cmp"
	"slices"
	"strconv"
	"strings"

	"github.com/sallyport-io/sallyport/internal/mesh"
)

// portHeader tells the gateway which of a host's HTTP ports a request is for:
// all of them share one lane. The mesh hop sets it, whatever the application
// sent, and the gateway takes it off again.
const portHeader = "x-sallyport-port"

// lane is one way through the gateway: a server of a Gateway, the subset by
// which sidecars reach it, and what it carries.
type lane struct {
	group    string // name of the Gateway and of the subset
	port     int    // of the gateway's Service
	name     string // of the server's port
	protocol string // of the server
	tlsMode  string // of the server; empty for plain HTTP
	host     string // of the server
	sni      string // by which sidecars ask for it: the host, or a name under it where that is a wildcard
	carries  []upstream
}

// http2 reports whether some request on the lane has to travel by HTTP/2.
func (l lane) http2() bool {
	return slices.ContainsFunc(l.carries, func(u upstream) bool { return u.protocol == "HTTP2" || strings.HasPrefix(u.protocol, "GRPC") })
}

// planner lays the lanes of one host through one gateway.
type planner struct {
	host    string
	gateway mesh.EgressGateway
	prefix  string // what the names of the groups begin with
	door    door
	lanes   []lane
	taken   map[serverClaim]bool // by the host's own lanes, in the manner of door.claims
}

// lay returns the lanes for the upstreams, which are sorted by port. Where
// one cannot be served it says which and why.
//
// A port's lane does not depend on the host's other ports, as far as that is
// possible: what one tenant registers must not move the lane of another.
func (p *planner) lay(upstreams []upstream) (lanes []lane, unserved map[int]string) {
	unserved = make(map[int]string)
	p.lanes = make([]lane, 0, len(upstreams))
	var http []upstream
	for _, u := range upstreams {
		if u.class() == mesh.HTTPLike {
			http = append(http, u)
		}
	}
	if len(http) > 0 {
		if why := p.http(http); why != "" {
			for _, u := range http {
				unserved[u.port] = why
			}
		}
	}
	for _, u := range upstreams {
		if u.class() == mesh.HTTPLike {
			continue
		}
		if why := p.opaque(u); why != "" {
			unserved[u.port] = why
		}
	}
	return p.lanes, unserved
}

// http lays the one lane of all HTTP ports. Its server name is the host
// itself: Istio builds a server's virtual hosts from its server names.
func (p *planner) http(carries []upstream) (why string) {
	l := lane{name: "http", protocol: "HTTP", host: p.host, sni: p.host, carries: carries}
	if suffix, ok := strings.CutPrefix(p.host, "*"); ok {
		l.sni = digest(p.host, hashLength) + suffix // a name that nobody registers
	}
	prefer := []int{80}
	if p.gateway.MutualTLS {
		l.protocol, l.tlsMode = "HTTPS", "ISTIO_MUTUAL"
		prefer = []int{80, tlsPort}
	}
	port, ok := p.free(prefer, l.tlsMode != "", l.host)
	if !ok {
		return "no port of the gateway's Service " + p.gateway.Namespace + "/" + p.gateway.Service + " is left for HTTP to this host"
	}
	l.port = port
	p.place(l, p.prefix)
	return ""
}

// opaque lays the lane of one TLS or TCP port. A gateway tells such lanes
// apart by server name only. Port 443 goes by the host's own name, every
// other port by a synthetic one.
func (p *planner) opaque(u upstream) (why string) {
	suffix := portSuffix + strconv.Itoa(u.port)
	l := lane{name: "tls", protocol: "TLS", tlsMode: "ISTIO_MUTUAL", host: p.host, sni: p.host, carries: []upstream{u}}
	if !p.gateway.MutualTLS {
		l.tlsMode = "PASSTHROUGH"
		if u.class() != mesh.TLSLike {
			return "without mutual TLS between sidecars and the gateway, TCP carries nothing by which the gateway could tell its host"
		}
		for _, other := range p.lanes {
			if other.tlsMode == "PASSTHROUGH" {
				return "without mutual TLS between sidecars and the gateway, two TLS ports of one host are the same server name to it"
			}
		}
	}
	if u.port == tlsPort && !mesh.IsWildcard(p.host) || !p.gateway.MutualTLS {
		if port, ok := p.free([]int{tlsPort}, true, l.host); ok {
			l.port = port
			p.place(l, p.prefix)
			return ""
		}
		if !p.gateway.MutualTLS {
			return "the server name " + p.host + " is taken at the gateway by a Gateway that is not Sallyport's"
		}
	}
	l.sni = syntheticSNI(p.host, u.port)
	l.host = l.sni
	port, ok := p.free([]int{tlsPort, 80}, true, l.host)
	if !ok {
		return "no port of the gateway's Service " + p.gateway.Namespace + "/" + p.gateway.Service + " is left for TLS"
	}
	l.port = port
	l.name = "tls" + suffix
	p.place(l, p.prefix+suffix)
	return ""
}

// place adds a lane under a group. The rules for opaque traffic at a gateway
// see a port and a Gateway's name, but no server name: a group has at most one
// lane on a port.
func (p *planner) place(l lane, group string) {
	l.group = group
	p.lanes = append(p.lanes, l)
	p.taken[p.door.claim(l.port, l.host)] = true
}

// door is what the gateway's Service offers and what Gateways that are not
// Sallyport's have taken of it, by target port: mergeGateways in Istio's
// pilot/pkg/model drops a server whose host another one on the port has, and
// one that is plain where others speak TLS or the other way round.
type door struct {
	ports  []mesh.K8sServicePort
	plain  map[string]bool
	tls    map[string]bool
	claims map[serverClaim]bool
}

// serverClaim is a server name on a target port of a gateway.
type serverClaim struct{ target, name string }

func openDoor(m *mesh.Mesh, gateway mesh.EgressGateway) door {
	d := door{plain: map[string]bool{}, tls: map[string]bool{}, claims: map[serverClaim]bool{}}
	if svc, ok := m.Get(mesh.Ref{Kind: "Service", Namespace: gateway.Namespace, Name: gateway.Service}).(*mesh.Service); ok {
		for _, p := range svc.Ports {
			if offered(p) {
				d.ports = append(d.ports, p)
			}
		}
	} else {
		// As Istio's own charts make it.
		d.ports = []mesh.K8sServicePort{{Port: 80, TargetPort: "8080"}, {Port: tlsPort, TargetPort: "8443"}}
	}
	slices.SortStableFunc(d.ports, func(a, b mesh.K8sServicePort) int { return cmp.Compare(a.Port, b.Port) })
	for g := range m.Binders() {
		if !gateway.SelectedBy(g.Selector) {
			continue
		}
		for _, s := range g.Servers {
			m.Spend(hostSteps * (1 + len(d.ports) + len(s.Hosts)*(1+len(d.ports)>>2)))
			target := d.target(s.Port.Number)
			if s.TLS == nil {
				d.plain[target] = true
				continue
			}
			d.tls[target] = true
			for _, h := range s.Hosts {
				if _, name, ok := strings.Cut(h, "/"); ok {
					h = name
				}
				d.claims[d.claim(s.Port.Number, mesh.CanonicalHost(h))] = true
			}
		}
	}
	return d
}

// offered reports whether a port of the gateway's Service can carry egress
// traffic: not UDP, and not one of those that Istio's own installation gives
// a purpose (health 15021, metrics 15090, cross-network 15443 ...).
func offered(p mesh.K8sServicePort) bool {
	return (p.Protocol == "" || p.Protocol == "TCP") && (p.Port < 15000 || p.Port >= 16000)
}

// target is the target port of a port of the Service, or the port itself as
// Istio has it (resolvePorts in Istio's pilot/pkg/model).
func (d door) target(port int) string {
	for _, p := range d.ports {
		if p.Port == port && p.TargetPort != "" {
			return p.TargetPort
		}
	}
	return strconv.Itoa(port)
}

// claim is a server name on a port, as a key of door.claims.
func (d door) claim(port int, sni string) serverClaim { return serverClaim{d.target(port), sni} }

// free returns the first port, the preferred ones before the others, on which
// a server with this name would be kept.
func (p *planner) free(prefer []int, tls bool, sni string) (port int, ok bool) {
	candidates := slices.Clone(prefer)
	for _, offered := range p.door.ports {
		// Without TLS a port belongs to one protocol: 443 is left to TLS.
		if !slices.Contains(candidates, offered.Port) && (tls || offered.Port != tlsPort) {
			candidates = append(candidates, offered.Port)
		}
	}
	for _, c := range candidates {
		if !slices.ContainsFunc(p.door.ports, func(offered mesh.K8sServicePort) bool { return offered.Port == c }) {
			continue
		}
		target, claim := p.door.target(c), p.door.claim(c, sni)
		if tls && !p.door.plain[target] && !p.door.claims[claim] && !p.taken[claim] || !tls && !p.door.tls[target] {
			return c, true
		}
	}
	return 0, false
}
