package manifest

import (
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/sallyport-io/sallyport/internal/schema"
)

var istioVersions = []string{"v1", "v1beta1", "v1alpha3", "v1alpha1"}

// object checks what lies beneath apiVersion, kind and metadata.
func (c *checker) object(o *Object) {
	g := group(o.APIVersion)
	if !schema.IstioGroup(g) {
		c.misspelt(o)
		c.goObject(o)
		return
	}
	m, ok := schema.Istio(g, o.Kind)
	if !ok {
		c.errorf(o.root.at("kind").line, "kind", "%s has no kind %s%s", g, o.Kind, suggest(o.Kind, schema.IstioKinds(g)))
		return
	}
	if _, version, _ := strings.Cut(o.APIVersion, "/"); !slices.Contains(istioVersions, version) {
		c.errorf(o.root.at("apiVersion").line, "apiVersion", "%s is not a version that Istio serves; write %s/v1", o.APIVersion, g)
	}
	for _, f := range o.root.fields {
		if !slices.Contains([]string{"apiVersion", "kind", "metadata", "spec", "status"}, f.key) {
			c.unknown(f, f.key, slices.Values([]string{"metadata", "spec"}))
		}
	}
	spec := o.root.get("spec")
	if spec == nil || spec.kind == null {
		c.errorf(o.Line, "spec", "missing")
		return
	}
	before := len(c.errs)
	c.kind, _ = schema.Find(o.APIVersion, o.Kind)
	c.message(spec, m.ProtoReflect().Descriptor(), "spec")
	if len(c.errs) > before {
		return // what follows trusts the types
	}
	switch o.Kind {
	case "ServiceEntry":
		c.serviceEntry(spec)
	case "VirtualService":
		c.virtualService(spec)
	case "DestinationRule":
		c.host(spec.get("host"), "spec.host")
	case "Gateway":
		c.gateway(spec)
	case "WorkloadEntry":
		c.endpoint(spec, "spec")
	case "Sidecar":
		c.sidecar(spec)
	}
	if c.stored || len(c.errs) > before {
		return // what is stored Istio has taken
	}
	switch o.Kind {
	case "ServiceEntry":
		c.entryValues(o, spec)
	case "VirtualService":
		c.serviceValues(o, spec)
	case "DestinationRule":
		c.ruleValues(o, spec)
	case "Gateway":
		c.gatewayValues(o, spec)
	}
}

// serviceEntry checks what the CRD's validation rules check
// (https://github.com/istio/api, networking/v1alpha3/service_entry.proto).
func (c *checker) serviceEntry(spec *value) {
	hosts := spec.get("hosts")
	if len(hosts.list()) == 0 {
		c.errorf(hosts.line, "spec.hosts", "is empty: a ServiceEntry registers at least one host")
	}
	for i, h := range hosts.list() {
		path := index("spec.hosts", i)
		if h.str() == "*" {
			c.errorf(h.line, path, `"*" registers every host there is; name the hosts that are called`)
			continue
		}
		c.host(h, path)
	}
	c.servicePorts(spec.get("ports"))

	resolution := spec.get("resolution").str()
	endpoints := spec.get("endpoints")
	if endpoints != nil && spec.get("workloadSelector") != nil {
		c.errorf(endpoints.line, "spec.endpoints", "cannot stand beside workloadSelector: only one of them may be given")
	}
	if endpoints != nil && (resolution == "" || resolution == "NONE") {
		c.errorf(endpoints.line, "spec.endpoints", "resolution NONE takes no endpoints; write resolution: STATIC or DNS")
	}
	if resolution == "DNS_ROUND_ROBIN" && len(endpoints.list()) > 1 {
		c.errorf(endpoints.line, "spec.endpoints", "resolution DNS_ROUND_ROBIN takes one endpoint, not %d", len(endpoints.list()))
	}
	for i, e := range endpoints.list() {
		c.endpoint(e, index("spec.endpoints", i))
	}
	for i, a := range spec.get("addresses").list() {
		c.address(a, resolution, index("spec.addresses", i))
	}
}

// servicePorts checks the ports of a ServiceEntry.
func (c *checker) servicePorts(ports *value) {
	names, numbers := map[string]int{}, map[string]int{}
	for i, p := range ports.list() {
		path := index("spec.ports", i)
		c.port(p.get("number"), path+".number")
		c.port(p.get("targetPort"), path+".targetPort")
		for _, unique := range []struct {
			key  string
			seen map[string]int
		}{{"name", names}, {"number", numbers}} {
			v := p.get(unique.key)
			if first, ok := unique.seen[v.text]; ok {
				c.errorf(v.line, path+"."+unique.key, "%s is the %s of spec.ports[%d] already", v.text, unique.key, first)
				continue
			}
			unique.seen[v.text] = i
		}
	}
}

// address checks an item of a ServiceEntry's addresses.
func (c *checker) address(a *value, resolution, path string) {
	if _, err := netip.ParseAddr(a.text); err == nil {
		return
	}
	if _, err := netip.ParsePrefix(a.text); err != nil {
		c.errorf(a.line, path, "%q is neither an IP address nor a CIDR range", a.text)
		return
	}
	if !slices.Contains([]string{"", "NONE", "STATIC"}, resolution) {
		c.errorf(a.line, path, "a CIDR range needs resolution NONE or STATIC, not %s", resolution)
	}
}

// endpoint checks an endpoint of a ServiceEntry, or a WorkloadEntry's spec.
func (c *checker) endpoint(e *value, path string) {
	address := e.get("address")
	if address.str() == "" && e.get("network") == nil {
		c.errorf(e.line, path+".address", "missing: an endpoint needs an address or a network")
	}
	if ports := e.get("ports"); ports != nil {
		if strings.HasPrefix(address.str(), "unix://") {
			c.errorf(ports.line, path+".ports", "a Unix domain socket has no ports")
		}
		for _, f := range ports.fields {
			c.port(f.value, path+`.ports["`+f.key+`"]`)
		}
	}
}

func (c *checker) virtualService(spec *value) {
	for i, h := range spec.get("hosts").list() {
		path := index("spec.hosts", i)
		if h.str() != "*" {
			c.host(h, path)
		}
	}
	for _, protocol := range []string{"http", "tls", "tcp"} {
		for i, rule := range spec.get(protocol).list() {
			path := index("spec."+protocol, i)
			for j, r := range rule.get("route").list() {
				c.destination(r.get("destination"), index(path+".route", j)+".destination")
			}
			c.destination(rule.get("mirror"), path+".mirror")
			for j, m := range rule.get("mirrors").list() {
				c.destination(m.get("destination"), index(path+".mirrors", j)+".destination")
			}
			for j, m := range rule.get("match").list() {
				for k, sni := range m.get("sniHosts").list() {
					if sni.str() != "*" {
						c.host(sni, index(index(path+".match", j)+".sniHosts", k))
					}
				}
			}
		}
	}
}

func (c *checker) destination(d *value, path string) {
	if d == nil {
		return
	}
	c.host(d.get("host"), path+".host")
	c.port(d.at("port", "number"), path+".port.number")
}

func (c *checker) gateway(spec *value) {
	for i, s := range spec.get("servers").list() {
		path := index("spec.servers", i)
		c.port(s.at("port", "number"), path+".port.number")
		hosts := s.get("hosts")
		if len(hosts.list()) == 0 {
			c.errorf(hosts.line, path+".hosts", "is empty: a server serves at least one host")
		}
		for j, h := range hosts.list() {
			c.scopedHost(h, index(path+".hosts", j))
		}
	}
}

func (c *checker) sidecar(spec *value) {
	for i, e := range spec.get("egress").list() {
		for j, h := range e.get("hosts").list() {
			path := index(index("spec.egress", i)+".hosts", j)
			if !strings.Contains(h.str(), "/") {
				c.errorf(h.line, path, "%q lacks its namespace; write ./%s, */%s or NAMESPACE/%s", h.str(), h.str(), h.str(), h.str())
				continue
			}
			c.scopedHost(h, path)
		}
	}
}

// scopedHost checks "host", "namespace/host", "./host", "*/host" and, in
// Sidecars, "~/*".
func (c *checker) scopedHost(v *value, path string) {
	_, host, ok := strings.Cut(v.str(), "/")
	if !ok {
		host = v.str()
	}
	if host == "*" {
		return
	}
	c.host(&value{kind: text, line: v.line, text: host}, path)
}

// label is one label of a host name, as Istio's validation has it: letters of
// both cases, but no underscore (pkg/config/validation, dns1123LabelFmt).
var label = regexp.MustCompile(`^[a-zA-Z0-9]([-a-zA-Z0-9]{0,61}[a-zA-Z0-9])?$`)

// wildcardLabel may stand first: "*" and "*-suffix".
var wildcardLabel = regexp.MustCompile(`^\*(-?[a-zA-Z0-9]([-a-zA-Z0-9]*[a-zA-Z0-9])?)?$`)

// host checks a host name: fully qualified, short or with a leading wildcard.
func (c *checker) host(v *value, path string) {
	s := v.str()
	var why string
	switch labels := strings.Split(strings.TrimSuffix(s, "."), "."); {
	case s == "":
		why = "it is empty"
	case len(s) > 255:
		why = "it is longer than 255 characters"
	case strings.Contains(s, "://"):
		why = "it is a URL; write the host alone"
	case strings.Contains(s, "/"):
		why = "it has a path; write the host alone"
	case isAddress(s):
		return
	case strings.Contains(s, ":"):
		why = "it has a port; ports are given in a field of their own"
	case !isASCII(s):
		why = "it is not in ASCII; write it in its xn-- form"
	default:
		for i, l := range labels {
			if !label.MatchString(l) && (i != 0 || !wildcardLabel.MatchString(l)) {
				why = fmt.Sprintf("%q is not a label of a DNS name", l)
				break
			}
		}
	}
	if why != "" {
		line := 0
		if v != nil {
			line = v.line
		}
		c.errorf(line, path, "%q is not a host: %s", s, why)
	}
}

// isAddress accepts IP addresses, IPv6 ones with their colons: Istio allows
// them as destinations and as hosts of a VirtualService.
func isAddress(s string) bool {
	_, err := netip.ParseAddr(s)
	return err == nil
}

func isASCII(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r > 127 })
}

// port checks a port number where there is one.
func (c *checker) port(v *value, path string) {
	if v == nil || v.kind == null {
		return
	}
	if n, err := strconv.Atoi(v.text); err != nil || n < 1 || n > 65535 {
		c.errorf(v.line, path, "%s is not a port: 1 to 65535", v.text)
	}
}

func index(path string, i int) string { return path + "[" + strconv.Itoa(i) + "]" }
