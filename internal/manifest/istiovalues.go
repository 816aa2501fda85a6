package manifest

import (
	"net/netip"
	"slices"
	"strings"
)

// This file has what Istio's validating webhook refuses beyond what its schemas do
// (pkg/config/validation in Istio), of the fields by which traffic is led.

// labelled reports whether Istio takes a string for a DNS label.
func labelled(s string) bool { return label.MatchString(s) }

// protocols are those that Istio knows (Parse in Istio's pkg/config/protocol), in
// lower case.
var protocols = []string{"tcp", "udp", "grpc", "grpc-web", "http", "http_proxy", "http2", "https", "tls", "mongo", "redis", "mysql"}

// byName reports whether a protocol names the host that is called, in a header or as
// SNI.
func byName(protocol string) bool {
	return slices.Contains([]string{"grpc", "grpc-web", "http", "http_proxy", "http2", "https", "tls"}, strings.ToLower(protocol))
}

// exportTo checks to whom an object is exported (validateExportTo).
func (c *checker) exportTo(o *Object, spec *value) {
	list := spec.get("exportTo")
	seen := map[string]bool{}
	for i, e := range list.list() {
		path, to := index("spec.exportTo", i), e.text
		if to == "." {
			to = o.Namespace
		}
		switch {
		case seen[to]:
			c.errorf(e.line, path, "%q is given twice", e.text)
		case len(list.items) > 1 && (to == "*" || to == "~"):
			c.errorf(e.line, path, "%q cannot stand beside others: it is everybody, or nobody", e.text)
		case to == "~" && o.Kind != "ServiceEntry":
			c.errorf(e.line, path, `"~" is for a ServiceEntry alone`)
		case to != "*" && to != "~" && !labelled(to):
			c.errorf(e.line, path, `%q is neither ".", "*" nor "~", nor the name of a namespace`, e.text)
		case o.Kind == "DestinationRule" && spec.get("workloadSelector") != nil && to != o.Namespace:
			c.errorf(e.line, path, `a DestinationRule for some workloads is exported to its own namespace alone; write exportTo: ["."]`)
		}
		seen[to] = true
	}
}

// portName checks the name of a port.
func (c *checker) portName(p *value, path string) {
	if name := p.get("name"); !labelled(name.str()) {
		c.errorf(lineIn(name, p), path+".name", "%q is not the name of a port: at most 63 letters, digits and '-', of which the last stands inside", name.str())
	}
}

// protocol checks the name of a protocol.
func (c *checker) protocol(p *value, path string, optional bool) {
	protocol := p.get("protocol")
	if s := protocol.str(); (s != "" || !optional) && !slices.Contains(protocols, strings.ToLower(s)) {
		c.errorf(lineIn(protocol, p), path+".protocol", "%q is none of HTTP, HTTP2, HTTP_PROXY, GRPC, GRPC-WEB, HTTPS, TLS, TCP, UDP, MONGO, MYSQL, REDIS", s)
	}
}

// lineIn is the line of a value, or where it is missing that of its parent.
func lineIn(v, parent *value) int {
	if v == nil {
		return parent.line
	}
	return v.line
}

// entryValues checks a ServiceEntry.
func (c *checker) entryValues(o *Object, spec *value) {
	c.exportTo(o, spec)
	var names []string
	hosts, endpoints, resolution := spec.get("hosts").list(), spec.get("endpoints").list(), spec.get("resolution").str()
	for i, p := range spec.get("ports").list() {
		path := index("spec.ports", i)
		c.portName(p, path)
		c.protocol(p, path, true)
		names = append(names, p.get("name").str())
		protocol := strings.ToLower(p.get("protocol").str())
		if len(hosts) > 1 && resolution != "" && resolution != "NONE" && !byName(protocol) {
			c.errorf(p.line, path, "traffic of this port does not name its host, and the entry has %d; give each host an entry of its own", len(hosts))
		}
		if resolution == "DYNAMIC_DNS" && !slices.Contains([]string{"http", "tls", "grpc", "http2"}, protocol) {
			c.errorf(p.line, path+".protocol", "resolution DYNAMIC_DNS takes HTTP, HTTP2, GRPC and TLS alone")
		}
	}
	for i, h := range hosts {
		switch path := index("spec.hosts", i); {
		case resolution == "DYNAMIC_DNS" && !strings.HasPrefix(h.str(), "*"):
			c.errorf(h.line, path, "resolution DYNAMIC_DNS is for hosts with a wildcard; write resolution: DNS")
		case (resolution == "DNS" || resolution == "DNS_ROUND_ROBIN") && len(endpoints) == 0 && strings.HasPrefix(h.str(), "*"):
			c.errorf(h.line, path, "resolution %s looks the host up, and %q is no name; give endpoints, or name the hosts", resolution, h.str())
		}
	}
	if addresses := spec.get("addresses"); resolution == "DYNAMIC_DNS" && len(addresses.list()) > 0 {
		c.errorf(addresses.line, "spec.addresses", "resolution DYNAMIC_DNS takes none")
	}
	if list := spec.get("endpoints"); resolution == "DYNAMIC_DNS" && len(endpoints) > 0 {
		c.errorf(list.line, "spec.endpoints", "resolution DYNAMIC_DNS takes none")
	}
	for i, e := range endpoints {
		path := index("spec.endpoints", i)
		address := e.get("address").str()
		if resolution == "STATIC" && address != "" && !strings.HasPrefix(address, "unix://") && !isAddress(address) {
			c.errorf(e.get("address").line, path+".address", "%q is no IP address, and resolution STATIC looks no name up; write resolution: DNS", address)
		}
		if strings.HasPrefix(resolution, "DNS") && !isAddress(address) {
			c.name(e.get("address"), e, path+".address")
		}
		if ports := e.get("ports"); ports != nil {
			for _, f := range ports.fields {
				if !slices.Contains(names, f.key) {
					c.errorf(f.line, path+`.ports["`+f.key+`"]`, "the entry has no port of that name")
				}
			}
		}
	}
}

// name checks a host name without a wildcard.
func (c *checker) name(v, parent *value, path string) {
	if strings.HasPrefix(v.str(), "*") {
		c.errorf(v.line, path, "%q is no name to look up", v.str())
		return
	}
	if v == nil {
		v = &value{kind: text, line: parent.line}
	}
	c.host(v, path)
}

// serviceValues checks a VirtualService.
func (c *checker) serviceValues(o *Object, spec *value) {
	c.exportTo(o, spec)
	hosts := spec.get("hosts").list()
	gateways := spec.get("gateways").list()
	for i, g := range gateways {
		c.gatewayName(g, index("spec.gateways", i))
	}
	mesh := len(gateways) == 0 || slices.ContainsFunc(gateways, func(g *value) bool { return g.str() == "mesh" })
	for i, h := range hosts {
		if mesh && h.str() == "*" {
			c.errorf(h.line, index("spec.hosts", i), `"*" is for gateways alone; name the hosts, or leave mesh out of gateways`)
		}
		for j, other := range hosts[:i] {
			if overlap(h.str(), other.str()) {
				c.errorf(h.line, index("spec.hosts", i), "%q is the same as spec.hosts[%d], %q, or among it", h.str(), j, other.str())
			}
		}
	}
	if len(hosts) == 0 {
		for _, key := range []string{"gateways", "tls", "tcp"} {
			if v := spec.get(key); len(v.list()) > 0 {
				c.errorf(v.line, "spec."+key, "a VirtualService without hosts is a delegate, and has http alone")
			}
		}
	}
	if len(spec.get("http").list())+len(spec.get("tls").list())+len(spec.get("tcp").list()) == 0 {
		c.errorf(spec.line, "spec", "has neither http, nor tls, nor tcp: a VirtualService has a rule")
	}
	for i, rule := range spec.get("http").list() {
		c.httpRule(rule, index("spec.http", i))
	}
	for _, protocol := range []string{"tls", "tcp"} {
		for i, rule := range spec.get(protocol).list() {
			path := index("spec."+protocol, i)
			if len(rule.get("route").list()) == 0 {
				c.errorf(rule.line, path+".route", "missing: a rule leads somewhere")
			}
			c.weights(rule, path)
			if protocol == "tls" && len(rule.get("match").list()) == 0 {
				c.errorf(rule.line, path+".match", "missing: a tls rule names the hosts it is for")
			}
			for j, m := range rule.get("match").list() {
				c.l4Match(m, index(path+".match", j), protocol == "tls", hosts)
			}
		}
	}
}

// httpRule checks what one http rule does with requests.
func (c *checker) httpRule(rule *value, path string) {
	has := func(key string) bool { v := rule.get(key); return v != nil && v.kind != null }
	routes := len(rule.get("route").list()) > 0
	if has("delegate") {
		for _, key := range []string{"redirect", "route"} {
			if has(key) {
				c.errorf(rule.get(key).line, path+"."+key, "cannot stand beside delegate")
			}
		}
	} else if !routes && !has("redirect") && !has("directResponse") {
		c.errorf(rule.line, path+".route", "missing: a rule has a route, a redirect or a directResponse")
	}
	for _, ends := range []string{"redirect", "directResponse"} {
		if !has(ends) || has("delegate") {
			continue
		}
		for _, key := range []string{"route", "fault", "rewrite", "directResponse"} {
			if key != ends && has(key) && (key != "route" || routes) {
				c.errorf(rule.get(key).line, path+"."+key, "cannot stand beside %s", ends)
			}
		}
		break
	}
	if has("mirror") && len(rule.get("mirrors").list()) > 0 {
		c.errorf(rule.get("mirror").line, path+".mirror", "cannot stand beside mirrors")
	}
	c.weights(rule, path)
	for j, m := range rule.get("match").list() {
		at := index(path+".match", j)
		c.matchPort(m, at)
		if ns := m.get("sourceNamespace"); ns.str() != "" && !labelled(ns.str()) {
			c.errorf(ns.line, at+".sourceNamespace", "%q is not the name of a namespace", ns.str())
		}
		for k, g := range m.get("gateways").list() {
			c.gatewayName(g, index(at+".gateways", k))
		}
	}
}

// l4Match checks a match of a tls or tcp rule.
func (c *checker) l4Match(m *value, path string, tls bool, hosts []*value) {
	c.matchPort(m, path)
	for k, g := range m.get("gateways").list() {
		c.gatewayName(g, index(path+".gateways", k))
	}
	for k, s := range m.get("destinationSubnets").list() {
		_, err := netip.ParsePrefix(s.str())
		if err != nil && !isAddress(s.str()) {
			c.errorf(s.line, index(path+".destinationSubnets", k), "%q is neither an IP address nor a CIDR range", s.str())
		}
	}
	if !tls {
		return
	}
	if len(m.get("sniHosts").list()) == 0 {
		c.errorf(m.line, path+".sniHosts", "missing: a tls rule names the hosts it is for")
	}
	for k, sni := range m.get("sniHosts").list() {
		if isAddress(sni.str()) {
			continue
		}
		if !slices.ContainsFunc(hosts, func(h *value) bool { return covers(h.str(), sni.str()) }) {
			c.errorf(sni.line, index(path+".sniHosts", k), "%q is none of the hosts of the VirtualService, and not below one", sni.str())
		}
	}
}

// matchPort checks the port of a match, of which zero is none.
func (c *checker) matchPort(m *value, path string) {
	if p := m.get("port"); p != nil && p.text != "0" {
		c.port(p, path+".port")
	}
}

// weights checks the destinations that share the traffic of a rule.
func (c *checker) weights(rule *value, path string) {
	routes := rule.get("route").list()
	some := false
	for i, r := range routes {
		at := index(path+".route", i)
		w := r.get("weight")
		if w != nil && strings.HasPrefix(w.text, "-") {
			c.errorf(w.line, at+".weight", "%s is less than nothing", w.text)
		}
		some = some || w != nil && w.kind == number && strings.Trim(w.text, "0") != ""
		d := r.get("destination")
		if d == nil {
			c.errorf(r.line, at+".destination", "missing")
			continue
		}
		if d.get("host").str() == "*" {
			c.errorf(d.line, at+".destination.host", `"*" is no destination`)
		}
		c.subset(d.get("subset"), at+".destination.subset")
	}
	if len(routes) > 1 && !some {
		c.errorf(rule.line, path+".route", "no destination has a weight: of several each has a share")
	}
}

// subset checks the name of a subset where there is one.
func (c *checker) subset(v *value, path string) {
	if v.str() != "" && !labelled(v.str()) {
		c.errorf(v.line, path, "%q is not the name of a subset: at most 63 letters, digits and '-', of which the last stands inside", v.str())
	}
}

// gatewayName checks the name by which a VirtualService calls a Gateway.
func (c *checker) gatewayName(g *value, path string) {
	namespace, name, ok := strings.Cut(g.str(), "/")
	if !ok {
		c.name(g, g, path)
		return
	}
	if !labelled(namespace) || !labelled(name) {
		c.errorf(g.line, path, "%q is no Gateway; write NAMESPACE/NAME, or NAME for one of the same namespace", g.str())
	}
}

// ruleValues checks a DestinationRule.
func (c *checker) ruleValues(o *Object, spec *value) {
	c.exportTo(o, spec)
	seen := map[string]bool{}
	for i, s := range spec.get("subsets").list() {
		path, name := index("spec.subsets", i)+".name", s.get("name")
		if name.str() == "" {
			c.errorf(s.line, path, "missing: a subset has a name")
			continue
		}
		if seen[name.str()] {
			c.errorf(name.line, path, "%q is the name of another subset already", name.str())
		}
		seen[name.str()] = true
		c.subset(name, path)
	}
}

// gatewayValues checks a Gateway.
func (c *checker) gatewayValues(o *Object, spec *value) {
	if !labelled(o.Name) {
		c.errorf(o.Line, "metadata.name", "%q is not the name of a Gateway: at most 63 letters, digits and '-'", o.Name)
	}
	servers := spec.get("servers").list()
	if len(servers) == 0 {
		c.errorf(spec.line, "spec.servers", "missing: a Gateway has a server")
	}
	seen := map[string]bool{}
	for i, s := range servers {
		path := index("spec.servers", i)
		port, tls := s.get("port"), s.get("tls")
		if port == nil {
			continue // said already
		}
		c.protocol(port, path+".port", false)
		name := port.get("name")
		switch {
		case name.str() == "":
			c.errorf(port.line, path+".port.name", "missing: a port has a name")
		case seen[name.str()]:
			c.errorf(name.line, path+".port.name", "%q is the name of another server's port already", name.str())
		}
		seen[name.str()] = true
		switch protocol := strings.ToLower(port.get("protocol").str()); {
		case (protocol == "https" || protocol == "tls") && tls == nil:
			c.errorf(s.line, path+".tls", "missing: a server of %s says what it does with TLS", port.get("protocol").str())
		case slices.Contains([]string{"tcp", "udp", "mongo", "redis", "mysql"}, protocol) && tls != nil:
			c.errorf(tls.line, path+".tls", "a port of %s has none; write protocol: TLS", port.get("protocol").str())
		}
		for j, h := range s.get("hosts").list() {
			if namespace, _, ok := strings.Cut(h.str(), "/"); ok && namespace != "*" && namespace != "." && !labelled(namespace) {
				c.errorf(h.line, index(path+".hosts", j), "%q is not the name of a namespace", namespace)
			}
		}
	}
}

// covers reports whether a pattern, or name, stands for all that another does
// (SubsetOf in Istio's pkg/config/host).
func covers(pattern, name string) bool {
	if !strings.HasPrefix(pattern, "*") {
		return pattern == name
	}
	rest, wild := strings.CutPrefix(name, "*")
	return strings.HasSuffix(rest, pattern[1:]) && (!wild || len(rest) >= len(pattern)-1)
}

// overlap reports whether two hosts share a name (Matches in Istio's
// pkg/config/host).
func overlap(a, b string) bool { return covers(a, b) || covers(b, a) }
