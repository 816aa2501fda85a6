package rules

import (
	"iter"

	"github.com/sallyport-io/sallyport/internal/mesh"
)

// subsetNamespace is where sidecars of a client's namespace look for the gateway's
// DestinationRule: their own, where there is one, which then hides those of the
// gateway's namespace, and these those of the root namespace.
func (h *hops) subsetNamespace(client string) string {
	for _, namespace := range []string{client, h.gateway.Namespace, h.m.Settings().RootNamespace} {
		for dr := range h.doorRules(namespace) {
			return dr.Namespace
		}
	}
	return h.gateway.Namespace
}

// maxRules bounds how many DestinationRules a fix is looked for in: a fix is
// not worth reading all of a large mesh. One that is overlooked is written
// once more, under another name.
const maxRules = 256

// doorRules yields the namespace's DestinationRules that are in force for the gateway's
// Service: of those for several hosts that cover it the ones for the narrowest, which
// hide the others. One that the sidecars do not look at, by its exportTo, hides nothing.
func (h *hops) doorRules(namespace string) iter.Seq[*mesh.DestinationRule] {
	return func(yield func(*mesh.DestinationRule) bool) {
		n, narrowest := 0, ""
		home := namespace != h.gateway.Namespace && namespace != h.m.Settings().RootNamespace
		var rules []*mesh.DestinationRule
		for o := range h.m.In("DestinationRule", namespace) {
			dr := o.(*mesh.DestinationRule)
			h.m.Spend(hostSteps)
			if n++; n > maxRules {
				break
			}
			host := h.ruleHost(dr)
			if !mesh.HostCovers(host, h.service) || dr.WorkloadSelector != nil || home && !h.m.SeenAtHome(dr) || len(host) < len(narrowest) && host != h.service {
				continue
			}
			if host != narrowest {
				if narrowest == h.service {
					continue
				}
				narrowest, rules = host, nil
			}
			rules = append(rules, dr)
		}
		for _, dr := range rules {
			if !yield(dr) {
				return
			}
		}
	}
}

// ruleHost is the host of a DestinationRule, in full.
func (h *hops) ruleHost(dr *mesh.DestinationRule) string {
	return mesh.ResolveHost(dr.Host, dr.Namespace, h.m.Settings().ClusterDomain)
}

// findSubset returns the subset by which sidecars reach the door: one that a
// route of the host uses, or else one that says the right name. Without mutual
// TLS none is needed.
func (h *hops) findSubset(d door) (string, mesh.Ref, bool) {
	for _, vs := range h.m.RoutesFor(h.host) {
		for _, to := range destinationsOf(h.m, vs) {
			if to.mesh && to.Subset != "" && to.Port != nil && to.Port.Number == d.port &&
				mesh.ResolveHost(to.Host, vs.Namespace, h.m.Settings().ClusterDomain) == h.service {
				return to.Subset, vs.Ref, true
			}
		}
	}
	sni := ""
	if d.mutual {
		sni = h.host
	}
	for dr := range h.doorRules(h.subsetNamespace(h.namespace)) {
		for _, s := range dr.Subsets {
			h.m.Spend(hostSteps)
			if subsetSNI(s, d.port) == sni {
				return s.Name, dr.Ref, true
			}
		}
	}
	return "", mesh.Ref{}, !d.mutual
}

// subsetSNI is the server name that a subset sends to the port under
// ISTIO_MUTUAL, and "" where it sends none.
func subsetSNI(s mesh.Subset, port int) string {
	if s.TrafficPolicy == nil {
		return ""
	}
	tls := s.TrafficPolicy.TLS
	for _, pp := range s.TrafficPolicy.PortLevelSettings {
		if pp.Port.Number == port {
			tls = pp.TLS
		}
	}
	if tls == nil || tls.Mode != "ISTIO_MUTUAL" {
		return ""
	}
	return mesh.CanonicalHost(tls.SNI)
}
