package oracle

import (
	"slices"
	"strings"
)

// packet is what arrives at the egress gateway: HTTP, the application's own
// TLS or neither, perhaps inside the TLS of the client's sidecar.
type packet struct {
	http      bool
	authority string
	headers   map[string]string // that the client's proxy has set
	appSNI    string            // of the application's own TLS; empty where there is none
	meshSNI   string            // of the sidecar's TLS; empty where there is none
	mutual    bool              // the sidecar's TLS is Istio's own
}

// outward is the packet that a leaf's cluster sends for a point.
func outward(p Point, l Leaf, cl *Cluster) packet {
	host := strings.Replace(p.Host, "*", "probe", 1)
	out := packet{http: l.HTTP, headers: l.Sets}
	switch {
	case l.HTTP:
		out.authority = host
		if l.Authority != "" {
			out.authority = strings.ToLower(l.Authority)
		}
	case len(l.SNI) > 0:
		out.appSNI = host
	}
	if cl.TLS.Enabled {
		out.mutual, out.meshSNI = cl.TLS.Mutual(), strings.ToLower(cl.TLS.SNI)
		if out.meshSNI == "" {
			out.meshSNI = host // auto_sni
		}
	}
	return out
}

// exit follows a packet through the egress gateway's listener on a port, and
// returns the clusters by which it leaves.
func (w *World) exit(port uint32, in packet) (Verdict, string, []*Cluster) {
	sni := in.meshSNI
	if sni == "" {
		sni = in.appSNI
	}
	chains := w.accept(port, sni)
	if len(chains) == 0 {
		return Broken, "the gateway has no listener or filter chain for it", nil
	}
	if why := w.Gateway.Refused[chains[0].Listener]; why != "" {
		return Broken, "Envoy refuses the gateway's listener " + chains[0].Listener + ": " + why, nil
	}
	var ends []Leaf
	for _, l := range chains {
		switch {
		case l.Terminates && in.meshSNI == "":
			return Broken, "the gateway expects the mesh's TLS", nil
		case l.Terminates && l.ClientCert && !in.mutual:
			return Broken, "the gateway expects the mesh's client certificate", nil
		case !l.Terminates && in.meshSNI != "":
			return Broken, "the gateway passes the sidecar's TLS on", nil
		case l.HTTP && !in.http:
			return Broken, "the gateway expects HTTP", nil
		}
		if l.HTTP && len(mostSpecific([]Leaf{l}, in.authority, domains)) == 0 && !slices.Contains(l.Domains, "*") {
			continue
		}
		ends = append(ends, l)
	}
	if in.http {
		if exact := mostSpecific(ends, in.authority, domains); len(exact) > 0 {
			ends = exact
		}
		ends = in.routes(ends)
	}
	var out []*Cluster
	for _, l := range ends {
		cl := w.Gateway.Clusters[l.Cluster]
		switch {
		case l.Mirror:
			continue
		case l.Cluster == "" || l.Cluster == blackHole:
			continue // answered by the gateway: another route may serve the rest
		case cl == nil:
			return Broken, "the gateway's cluster " + l.Cluster + " is missing", nil
		case !cl.External():
			return Broken, "the gateway's cluster " + l.Cluster + " dials " + dialled(cl), nil
		}
		out = append(out, cl)
	}
	if len(out) == 0 {
		return Broken, "the gateway has no route for it", nil
	}
	return Via, "the gateway sends it to " + out[0].Name, out
}

// routes returns the leaves of the routes that the request can take: those
// that no header rules out, up to the first that takes everything.
func (in packet) routes(leaves []Leaf) []Leaf {
	var out []Leaf
	last := -1
	for _, l := range leaves {
		if last >= 0 && l.Route != last {
			break
		}
		certain, possible := !l.Conditions, true
		for name, want := range l.Headers {
			got, set := in.headers[name]
			possible = possible && (!set || got == want)
			certain = certain && set
		}
		if !possible {
			continue
		}
		if l.HTTP && certain {
			last = l.Route
		}
		out = append(out, l)
	}
	return out
}

func domains(l Leaf) []string { return l.Domains }

// accept returns the leaves of the gateway's filter chains that take a
// connection: with the SNI, or plaintext where it is empty.
func (w *World) accept(port uint32, sni string) []Leaf {
	var named, open []Leaf
	for _, l := range w.Gateway.Leaves {
		switch {
		case l.Port != port:
		case len(l.SNI) > 0:
			named = append(named, l)
		case sni == "" && (l.TLSOnly || l.Terminates), sni != "" && l.PlainOnly:
		default:
			open = append(open, l)
		}
	}
	if sni != "" {
		if found := mostSpecific(named, sni, func(l Leaf) []string { return l.SNI }); len(found) > 0 {
			return found
		}
	}
	return open
}
