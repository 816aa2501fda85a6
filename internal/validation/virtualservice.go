package validation

import (
	"regexp"
	"slices"
	"strings"

	networking "istio.io/api/networking/v1alpha3"
)

// mesh is the name by which a VirtualService calls the sidecars.
const mesh = "mesh"

// virtualService checks a VirtualService (ValidateVirtualService).
func (c *checker) virtualService(s *networking.VirtualService) {
	if len(s.GetHosts()) == 0 {
		for _, f := range []struct {
			name string
			set  bool
		}{{"gateways", len(s.GetGateways()) > 0}, {"tls", len(s.GetTls()) > 0}, {"tcp", len(s.GetTcp()) > 0}} {
			if f.set {
				c.refuse("spec."+f.name, "a VirtualService without hosts is a delegate, and has http alone")
			}
		}
	}
	own := c.Annotations[routeSemantics] == "gateway"
	c.gatewayNames("spec.gateways", s.GetGateways(), own)
	// With a gateway, and without the sidecars.
	atGateway := len(s.GetGateways()) > 0 && !slices.Contains(s.GetGateways(), mesh)
	c.serviceHosts(s, atGateway)
	if len(s.GetHttp())+len(s.GetTls())+len(s.GetTcp()) == 0 {
		c.refuse("spec", "has neither http, nor tls, nor tcp: a VirtualService has a rule")
	}
	for i, r := range s.GetHttp() {
		path := index("spec.http", i)
		if !atGateway {
			c.claims(path, r)
		}
		c.httpRoute(path, r, len(s.GetHosts()) == 0, own)
	}
	for i, r := range s.GetTls() {
		path := index("spec.tls", i)
		if len(r.GetMatch()) == 0 {
			c.refuse(path+".match", "missing: a tls rule names the hosts it is for")
		}
		for j, m := range r.GetMatch() {
			c.tlsMatch(index(path+".match", j), m, s)
		}
		c.l4Route(path, r.GetRoute(), own)
	}
	for i, r := range s.GetTcp() {
		path := index("spec.tcp", i)
		for j, m := range r.GetMatch() {
			at := index(path+".match", j)
			for k, subnet := range m.GetDestinationSubnets() {
				c.subnet(index(at+".destinationSubnets", k), subnet)
			}
			c.match(at, m.GetPort(), m.GetSourceLabels(), m.GetGateways())
		}
		c.l4Route(path, r.GetRoute(), own)
	}
	c.exportTo(s.GetExportTo(), false, false)
}

// serviceHosts checks the hosts of a VirtualService: no two may have a name in common.
func (c *checker) serviceHosts(s *networking.VirtualService, atGateway bool) {
	valid, hosts := true, s.GetHosts()
	for i, h := range hosts {
		path := index("spec.hosts", i)
		why := notAHost(h, true)
		if atGateway && ofOtherCluster(s, h) {
			why = badClusterHost(h)
		}
		switch {
		case why != "" && !isAddress(h):
			c.why(path, why)
			valid = false
		case h == "*" && !atGateway:
			c.refuse(path, `"*" is for gateways alone; the sidecars are told which hosts`)
			valid = false
		}
	}
	if !valid {
		return
	}
	for i, h := range hosts {
		for j, other := range hosts[:i] {
			if overlap(h, other) {
				c.refuse(index("spec.hosts", i), "%q is the same as spec.hosts[%d], %q, or among it", h, j, other)
			}
		}
	}
}

// ofOtherCluster reports whether a host is the SNI by which clusters call each other,
// "outbound_.PORT_._.HOST", of a service that matches SNI.
func ofOtherCluster(s *networking.VirtualService, h string) bool {
	return strings.HasPrefix(h, "outbound_") && slices.ContainsFunc(s.GetTls(), func(r *networking.TLSRoute) bool {
		return slices.ContainsFunc(r.GetMatch(), func(m *networking.TLSMatchAttributes) bool { return len(m.GetSniHosts()) > 0 })
	})
}

var (
	digit  = regexp.MustCompile(`[0-9]`)
	letter = regexp.MustCompile(`[a-zA-Z]`)
)

// badClusterHost is [notAHost] for the SNI by which clusters call each other.
func badClusterHost(h string) string {
	parts := strings.Split(h, "_")
	if len(h) > 255 || len(parts) < 4 || !digit.MatchString(parts[1]) || !letter.MatchString(parts[3]) {
		return "it is not of the form outbound_.PORT_._.HOST"
	}
	return ""
}

// gatewayNames checks the names by which a VirtualService calls Gateways
// (validateGatewayNames, which looks at none behind the first without a namespace).
func (c *checker) gatewayNames(path string, names []string, own bool) {
	for i, g := range names {
		at := index(path, i)
		namespace, name, ok := strings.Cut(g, "/")
		if !ok {
			c.fqdn(at, g)
			return
		}
		if !isLabel(namespace) || !isLabel(name) && (!own || name == "") {
			c.refuse(at, "%q is no Gateway; write NAMESPACE/NAME, or NAME for one of the same namespace", g)
		}
	}
}

// match checks what matches of all protocols have in common.
func (c *checker) match(path string, port uint32, labels map[string]string, gateways []string) {
	c.optionalPort(path+".port", port)
	c.labels(path+".sourceLabels", labels)
	c.gatewayNames(path+".gateways", gateways, false)
}

func (c *checker) tlsMatch(path string, m *networking.TLSMatchAttributes, s *networking.VirtualService) {
	if len(m.GetSniHosts()) == 0 {
		c.refuse(path+".sniHosts", "missing: a tls rule names the hosts it is for")
	}
	for i, sni := range m.GetSniHosts() {
		at := index(path+".sniHosts", i)
		why := notAHost(sni, true)
		if strings.HasPrefix(sni, "outbound_") && !slices.Contains(s.GetGateways(), mesh) {
			why = badClusterHost(sni)
		}
		switch {
		case isAddress(sni) && why != "":
		case why != "":
			c.why(at, why)
		case !slices.ContainsFunc(s.GetHosts(), func(h string) bool { return covers(h, sni) }):
			c.refuse(at, "%q is none of the hosts of the VirtualService, and not below one", sni)
		}
	}
	for i, subnet := range m.GetDestinationSubnets() {
		c.subnet(index(path+".destinationSubnets", i), subnet)
	}
	c.match(path, m.GetPort(), m.GetSourceLabels(), m.GetGateways())
}

// l4Route checks the destinations of a tls or tcp rule.
func (c *checker) l4Route(path string, routes []*networking.RouteDestination, own bool) {
	if len(routes) == 0 {
		c.refuse(path+".route", "missing: a rule leads somewhere")
	}
	var w weights
	for i, r := range routes {
		at := index(path+".route", i)
		c.required(at+".destination", r.GetDestination(), own)
		c.weight(at, r.GetWeight(), &w)
	}
	c.shares(path, w)
}

// weights are those of the destinations of one rule.
type weights struct {
	n     int
	total int32 // in 32 bits, as Istio counts
}

func (c *checker) weight(path string, weight int32, w *weights) {
	c.notNegative(path+".weight", weight)
	w.n, w.total = w.n+1, w.total+weight
}

func (c *checker) shares(path string, w weights) {
	if w.n > 1 && w.total == 0 {
		c.refuse(path+".route", "no destination has a weight: of several each has a share")
	}
}

// required checks a destination that must be given.
func (c *checker) required(path string, d *networking.Destination, own bool) {
	if d == nil {
		c.refuse(path, "missing")
		return
	}
	if !own {
		c.destination(path, d)
	}
}

// destination checks a destination where there is one (validateDestination).
func (c *checker) destination(path string, d *networking.Destination) {
	if d == nil {
		return
	}
	if d.GetHost() == "*" {
		c.refuse(path+".host", `"*" is no destination`)
	} else {
		c.domain(path+".host", d.GetHost())
	}
	if d.GetSubset() != "" {
		c.subset(path+".subset", d.GetSubset())
	}
	if d.GetPort() != nil {
		c.port(path+".port.number", d.GetPort().GetNumber())
	}
}
