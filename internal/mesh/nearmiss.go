package mesh

import "github.com/sallyport-io/sallyport/internal/told"

// maxNearMisses bounds how many rules are named that could have covered an
// egress point.
const maxNearMisses = 3

// nearMisses says of VirtualServices for the host why they do not route this
// client's traffic for a port: the reader looks for one of these fields.
func (c *client) nearMisses(l *listener, host string, port int, class Class) []Reason {
	var out []Reason
	for _, vs := range c.m.inOrder(c.m.routes.overlapping(CanonicalHost(host))) {
		c.m.Spend(virtualSteps)
		if len(out) == maxNearMisses {
			break
		}
		if field, why := c.nearMiss(l, vs, port, class); why != "" {
			out = append(out, Reason{Ref: vs.Ref, Path: field}.says("%s", why))
		}
	}
	return out
}

func (c *client) nearMiss(l *listener, vs *VirtualService, port int, class Class) (field string, why told.Text) {
	switch {
	case !vs.inMesh():
		if !c.m.leadsToGateway(vs) {
			return "", "" // the gateway's own hop
		}
		return "spec.gateways", "the list lacks mesh, so sidecars do not follow these rules"
	case c.m.routeVisibility(vs, c.namespace) == hidden:
		return "spec.exportTo", told.F("these rules are not exported to %s", c.told())
	case !l.importsVirtual(c, vs):
		return "spec.hosts", told.F("the Sidecar of %s does not import these rules", c.told())
	}
	switch class {
	case HTTPLike:
		return c.httpMiss(vs, port)
	case TLSLike:
		if len(vs.TLS) == 0 {
			return "spec.http", "http and tcp rules do not apply to a TLS port; it takes tls rules"
		}
		for i := range vs.TLS {
			for j := range vs.TLS[i].Match {
				m := &vs.TLS[i].Match[j]
				if f, w := c.sourceMiss(m.Gateways, m.SourceLabels, m.SourceNamespace, m.Port, vs, port); w != "" {
					return indexed(indexed("spec.tls", i)+".match", j) + f, w
				}
			}
		}
	case TCPLike:
		if len(vs.TCP) == 0 {
			return "spec", "http and tls rules do not apply to TCP connections; they take tcp rules"
		}
		for i := range vs.TCP {
			for j := range vs.TCP[i].Match {
				m := &vs.TCP[i].Match[j]
				if len(m.DestinationSubnets) > 0 {
					return indexed(indexed("spec.tcp", i)+".match", j) + ".destinationSubnets", "the rule is for some addresses only"
				}
				if f, w := c.sourceMiss(m.Gateways, m.SourceLabels, m.SourceNamespace, m.Port, vs, port); w != "" {
					return indexed(indexed("spec.tcp", i)+".match", j) + f, w
				}
			}
		}
	}
	return "", ""
}

// leadsToGateway reports whether a rule of the VirtualService is meant for
// sidecars: its destination is an approved egress gateway.
func (m *Mesh) leadsToGateway(vs *VirtualService) bool {
	for d := range vs.destinations() {
		m.Spend(1)
		if m.gatewayOf(m.host(vs, d.Host)) != nil {
			return true
		}
	}
	return false
}

func (c *client) httpMiss(vs *VirtualService, port int) (field string, why told.Text) {
	if len(vs.HTTP) == 0 {
		return "spec", "tls and tcp rules do not apply to HTTP; it takes http rules"
	}
	for i := range vs.HTTP {
		r := &vs.HTTP[i]
		if r.Delegate != nil && c.m.delegate(vs, r.Delegate) == nil {
			return indexed("spec.http", i) + ".delegate", "there is no such VirtualService without hosts that is exported to this namespace, so the rule is left out"
		}
		c.m.Spend(1)
		for j := range r.Match {
			c.m.Spend(matchSteps + len(r.Match[j].Gateways))
			m := &r.Match[j]
			labels, namespace := m.SourceLabels, m.SourceNamespace
			if len(m.Gateways) > 0 {
				labels, namespace = nil, "" // not looked at
			}
			if f, w := c.sourceMiss(m.Gateways, labels, namespace, m.Port, vs, port); w != "" {
				return indexed(indexed("spec.http", i)+".match", j) + f, w
			}
		}
	}
	return "", ""
}

// sourceMiss names the first build-time predicate that keeps a match from
// applying to every workload of the client.
func (c *client) sourceMiss(gateways []string, labels map[string]string, namespace string, matchPort int, vs *VirtualService, port int) (field string, why told.Text) {
	switch {
	case len(gateways) > 0 && !namesGateway(gateways, vs, meshGateway):
		return "", "" // a rule of the gateway's
	case matchPort != 0 && matchPort != port:
		return ".port", told.F("the rule is for port %d, not %d", matchPort, port)
	case namespace != "" && namespace != c.namespace:
		return ".sourceNamespace", told.F("the rule is for clients in %s", told.InNamespace(namespace))
	case len(labels) > 0:
		return ".sourceLabels", "the rule is for workloads with these labels only"
	}
	return "", ""
}
