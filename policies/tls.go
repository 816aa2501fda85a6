package policies

import (
	"slices"

	"github.com/open-policy-agent/opa/v1/ast"

	"github.com/sallyport-io/sallyport/internal/mesh"
	"github.com/sallyport-io/sallyport/rules"
)

// tlsValue says what protects each hop of a point's traffic.
func tlsValue(pass *rules.Pass, p *point, entry *mesh.ServiceEntry) ast.Value {
	external := "none"
	switch {
	case p.Protocol == "HTTPS" || p.Protocol == "TLS":
		external = "application"
	case originatedByGateway(pass, p.Host, entry):
		external = "gateway"
	case originatedBySidecar(pass.After, p.Host, entry):
		external = "sidecar"
	}
	hop := "none"
	settings := pass.After.Settings()
	via := slices.IndexFunc(p.paths, func(path mesh.Path) bool { return path.Verdict == mesh.Via })
	mutual := via >= 0 && slices.ContainsFunc(settings.Gateways, func(g mesh.EgressGateway) bool {
		return g.Name == p.paths[via].Gateway && g.MutualTLS
	})
	switch {
	case mutual:
		hop = "mutual"
	case external == "application" || external == "sidecar":
		hop = "application"
	}
	return object(tlsKeys, text(hop), text(external))
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
