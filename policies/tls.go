package policies

import (
	"slices"

	"github.com/open-policy-agent/opa/v1/ast"

	"github.com/sallyport-io/sallyport/internal/mesh"
	"github.com/sallyport-io/sallyport/rules"
)

// tlsValue says what protects each hop of a point's traffic, on the weakest of
// its paths.
func tlsValue(pass *rules.Pass, p *point, entry *mesh.ServiceEntry) ast.Value {
	via, mutual, originated := false, true, true
	for i := range p.paths {
		if p.paths[i].Verdict == mesh.Via {
			inner, outer := hops(&p.paths[i])
			via, mutual, originated = true, mutual && isMutual(inner.TLS), originated && speaksTLS(outer.TLS)
		}
	}
	external := "none"
	switch {
	case p.Protocol == "HTTPS" || p.Protocol == "TLS":
		external = "application"
	case via && originated || !via && originatedByGateway(pass, p.Host, entry):
		external = "gateway"
	case originatedBySidecar(pass.After, p.Host, entry):
		external = "sidecar"
	}
	hop := "none"
	switch {
	case via && mutual:
		hop = "mutual"
	case external == "application" || external == "sidecar":
		hop = "application"
	}
	return object(tlsKeys, text(hop), text(external))
}

// hops returns the hop to the gateway and the hop out of the mesh, each empty
// where the path has none.
func hops(p *mesh.Path) (inner, outer mesh.Hop) {
	n := len(p.Hops)
	switch {
	case n == 0:
	case p.Verdict == mesh.Direct:
		outer = p.Hops[n-1]
	case n == 1:
		inner = p.Hops[0]
	default:
		inner, outer = p.Hops[0], p.Hops[n-1]
	}
	return inner, outer
}

// pathTLSValue says what the proxies wrap the traffic of one path in.
func pathTLSValue(p *mesh.Path) ast.Value {
	inner, outer := hops(p)
	in, out := settings(inner.TLS), settings(outer.TLS)
	return object(tlsKeys,
		object(innerTLSKeys, text(in.Mode), text(in.SNI), text(inner.Subset)),
		object(outerTLSKeys, text(out.Mode), text(out.SNI), texts(out.SubjectAltNames), ast.Boolean(verifies(out)), text(out.CredentialName)),
	)
}

func settings(t *mesh.ClientTLS) *mesh.ClientTLS {
	if t == nil {
		return &mesh.ClientTLS{}
	}
	return t
}

// verifies reports whether a certificate passes only if it is valid and for
// the name that is meant. With an SNI of its own and without names a proxy
// takes any valid certificate.
func verifies(t *mesh.ClientTLS) bool {
	return speaksTLS(t) && (t.InsecureSkipVerify == nil || !*t.InsecureSkipVerify) && (t.SNI == "" || len(t.SubjectAltNames) > 0)
}

func isMutual(t *mesh.ClientTLS) bool {
	return t != nil && (t.Mode == "ISTIO_MUTUAL" || t.Mode == "MUTUAL" || t.Mode == "HBONE")
}

// originatedByGateway reports whether the gateway speaks TLS to the host: the
// entry asks Sallyport for it, or a DestinationRule of the gateway's namespace
// says so.
func originatedByGateway(pass *rules.Pass, host string, entry *mesh.ServiceEntry) bool {
	if entry != nil && entry.Annotations[mesh.OriginateTLSAnnotation] == "true" {
		return true
	}
	for _, g := range pass.After.Settings().Gateways {
		if originates(pass.After, g.Namespace, host) {
			return true
		}
	}
	return false
}

func originatedBySidecar(m *mesh.Mesh, host string, entry *mesh.ServiceEntry) bool {
	return entry != nil && originates(m, entry.Namespace, host)
}

func originates(m *mesh.Mesh, namespace, host string) bool {
	for o := range m.In("DestinationRule", namespace) {
		d, ok := o.(*mesh.DestinationRule)
		if !ok || mesh.CanonicalHost(d.Host) != host || d.TrafficPolicy == nil {
			continue
		}
		if speaksTLS(d.TrafficPolicy.TLS) || slices.ContainsFunc(d.TrafficPolicy.PortLevelSettings, func(p mesh.PortPolicy) bool { return speaksTLS(p.TLS) }) {
			return true
		}
	}
	return false
}

func speaksTLS(t *mesh.ClientTLS) bool {
	return t != nil && (t.Mode == "SIMPLE" || t.Mode == "MUTUAL")
}
