package mesh

import (
	"slices"

	"github.com/sallyport-io/sallyport/internal/told"
)

// arrival is traffic at the door of an egress gateway.
type arrival struct {
	traffic
	from    *client
	gateway *EgressGateway
	port    int        // of the gateway's Service
	tls     *ClientTLS // nil: automatic
	setBy   tlsField   // what set it
}

// encrypted reports whether the client's proxy wraps the traffic in TLS of its
// own. Automatic mutual TLS does not count: gateway pods do not ask for it.
func (a *arrival) encrypted() bool {
	return a.tls != nil && a.tls.Mode != "DISABLE"
}

// sni is the server name that the client's proxy sends.
func (a *arrival) sni() string {
	switch {
	case a.tls.SNI != "":
		return CanonicalHost(a.tls.SNI)
	case a.tls.Mode == "ISTIO_MUTUAL":
		return "" // the name of the cluster, which nobody expects
	default:
		return a.authority
	}
}

// arrive follows traffic through an egress gateway: the port must be one of
// its Service, a server must take the traffic, and the server's routes must
// lead out. The reason is why the client's proxy sent it here.
func (m *Mesh) arrive(a arrival, reason Reason, hop Hop) outcome {
	// Names are compared as they are written up to here; from here on they
	// are those of requests and of SNI.
	a.host, a.authority = CanonicalHost(a.host), CanonicalHost(a.authority)
	d := &door{m: m, a: a, index: m.gatewayIndex(a.gateway)}
	d.client = client{m: m, namespace: a.gateway.Namespace, gateway: a.gateway, terse: a.from.terse}
	if !a.from.terse {
		hop.To += d.describe()
	}
	var o outcome
	if k := m.deployed(a.gateway); k != nil {
		o = d.enterListener(k)
	} else if d.ports = m.serverPorts(a.gateway, a.port); len(d.ports) == 0 {
		o = d.fail(Reason{Ref: reason.Ref, Path: reason.Path}, "the Service of gateway %s has no port %d", told.Plain(a.gateway.Name), a.port)
	} else {
		o = d.enter()
	}
	o.gateway = a.gateway.Name
	if a.from.terse {
		return o
	}
	o.hops = append([]Hop{hop}, o.hops...)
	via := reason.with("traffic goes to gateway %s, port %d", told.Plain(a.gateway.Name), a.port)
	if o.verdict == Via {
		o.because = append([]Reason{via}, o.because...)
	} else {
		o.because = append(o.because, via)
	}
	return o
}

// hostSteps is what it costs to read a host of a server.
const hostSteps = 2

// door is an egress gateway as one arrival finds it.
type door struct {
	m      *Mesh
	a      arrival
	client client // the gateway's own proxy
	index  int    // of the gateway in the settings
	ports  []int  // that servers may name to listen where the traffic arrives
}

func (d *door) describe() string {
	switch {
	case d.a.tls == nil:
		return ""
	case d.a.tls.SNI != "":
		return ", TLS " + d.a.tls.Mode + ", SNI " + d.a.tls.SNI
	default:
		return ", TLS " + d.a.tls.Mode
	}
}

func (d *door) fail(r Reason, format told.Text, args ...any) outcome {
	if d.client.terse {
		return outcome{verdict: Broken}
	}
	return outcome{verdict: Broken, because: []Reason{r.with(format, args...)}}
}

// enter finds the server for the arrival, and follows its routes.
func (d *door) enter() outcome {
	if d.a.encrypted() {
		return d.enterTLS()
	}
	if plain, ok := d.first(true); ok && d.plainOpen(plain) {
		return d.enterPlain(plain)
	}
	if d.a.class == TLSLike {
		return d.enterPassthrough()
	}
	if tls, ok := d.first(false); ok {
		return d.fail(tls.reason(""), "the servers of gateway %s on port %d expect TLS, but the client's proxy sends plain text there", told.Plain(d.a.gateway.Name), d.a.port)
	}
	return d.fail(d.none(), "gateway %s has no server on port %d", told.Plain(d.a.gateway.Name), d.a.port)
}

// none is the reason where no object is to blame: the gateway's Service.
func (d *door) none() Reason {
	return Reason{Ref: Ref{Kind: "Service", Namespace: d.a.gateway.Namespace, Name: d.a.gateway.Service}, Path: "spec.ports"}
}

// first returns the oldest server that listens where the traffic arrives.
func (d *door) first(plain bool) (hostedServer, bool) {
	var found hostedServer
	for _, p := range d.ports {
		if h, ok := d.m.firstServer(d.index, p, plain); ok && (found.gateway == nil || older(h, found)) {
			found = h
		}
	}
	return found, found.gateway != nil
}

func older(a, b hostedServer) bool {
	if c := compareAge(&a.gateway.Meta, &b.gateway.Meta); c != 0 {
		return c < 0
	}
	return a.n < b.n
}

// plainOpen reports whether plain text servers are served on the port. Plain
// text and TLS do not share one: the oldest server decides (mergeGateways in
// Istio's pilot/pkg/model/gateway.go).
func (d *door) plainOpen(plain hostedServer) bool {
	tls, ok := d.first(false)
	return !ok || older(plain, tls)
}

// visible returns the VirtualServices bound to a Gateway, among those given,
// in the order in which the gateway's proxy considers them.
func (d *door) visible(found []*VirtualService, gateway string) []*VirtualService {
	var out []*VirtualService
	for want := private; want <= public; want++ {
		for _, vs := range found {
			d.m.Spend(2 + len(vs.Gateways))
			if d.m.routeVisibility(vs, d.client.namespace) == want && bindsTo(vs, gateway) {
				out = append(out, vs)
			}
		}
	}
	return out
}

func bindsTo(vs *VirtualService, gateway string) bool {
	return slices.ContainsFunc(vs.Gateways, func(g string) bool { return gatewayRef(g, vs.Namespace) == gateway })
}

// allows reports whether a server accepts a VirtualService for one of the
// VirtualService's hosts (pickMatchingGatewayHosts): the names need only
// overlap.
func (d *door) allows(h hostedServer, vs *VirtualService) bool {
	for _, entry := range h.server().Hosts {
		d.m.Spend(hostSteps)
		from, host := serverHost(entry, h.gateway.Namespace)
		if from != "*" && from != vs.Namespace {
			continue
		}
		for name := range d.m.hosts(vs) {
			if HostsOverlap(host, name) {
				return true
			}
		}
	}
	return false
}

// bound returns the VirtualServices that a server's routes may come from.
func (d *door) bound(h hostedServer) []*VirtualService {
	name := h.name()
	var found []*VirtualService
	for _, entry := range h.server().Hosts {
		d.m.Spend(lookupSteps)
		_, host := serverHost(entry, h.gateway.Namespace)
		if IsWildcard(host) {
			found = slices.Collect(d.m.index.bound.under(name + sep))
			break
		}
		found = append(found, d.m.routes.overlapping(host)...)
	}
	found = d.visible(distinct(found), name)
	return slices.DeleteFunc(found, func(vs *VirtualService) bool { return !d.allows(h, vs) })
}
