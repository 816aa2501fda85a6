package validation

import (
	"fmt"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// maxLabel is the length of a label of a DNS name.
const maxLabel = 63

var (
	// label is a label as Istio has it: letters of both cases, but no underscore
	// (pkg/config/labels, dns1123LabelFmt).
	label = regexp.MustCompile(`^[a-zA-Z0-9]([-a-zA-Z0-9]*[a-zA-Z0-9])?$`)
	// wildcardLabel may stand first: "*", "*-suffix" and "*suffix" too.
	wildcardLabel = regexp.MustCompile(`^(\*|(\*|\*-)?[a-zA-Z0-9]([-a-zA-Z0-9]*[a-zA-Z0-9])?)$`)

	labelKey   = regexp.MustCompile(`^([a-zA-Z0-9]([-a-zA-Z0-9]*[a-zA-Z0-9])?(\.[a-zA-Z0-9]([-a-zA-Z0-9]*[a-zA-Z0-9])?)*/)?(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])$`)
	labelValue = regexp.MustCompile(`^(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?$`)
)

func isLabel(s string) bool { return len(s) <= maxLabel && label.MatchString(s) }

// anAddress is a reason by which not every version of Istio refuses a host.
const anAddress = "it is an address"

// notAHost returns why a string is no name of a host; empty where it is one. Where
// wildcard is set, its first label may be or begin with a "*".
func notAHost(s string, wildcard bool) string {
	var why string
	switch {
	case s == "":
		why = "it is empty"
	case len(s) > 255:
		why = "it is longer than 255 characters"
	case strings.Contains(s, "://"):
		why = "it is a URL; write the host alone"
	case strings.Contains(s, "/"):
		why = "it has a path; write the host alone"
	case isAddress(s):
		why = anAddress
	case strings.Contains(s, ":"):
		why = "it has a port; ports are given in a field of their own"
	case strings.ContainsFunc(s, func(r rune) bool { return r > 127 }):
		why = "it is not in ASCII; write it in its xn-- form"
	default:
		why = badLabel(s, wildcard)
	}
	if why == "" {
		return ""
	}
	return fmt.Sprintf("%q is not a host: %s", s, why)
}

func badLabel(s string, wildcard bool) string {
	labels := strings.Split(s, ".")
	last := len(labels) - 1
	for i, l := range labels {
		if i == last && i > 0 && l == "" {
			break // "example.com." is one name, whatever is around it
		}
		if i == 0 && wildcard {
			if len(l) > maxLabel || !wildcardLabel.MatchString(l) {
				return fmt.Sprintf("%q is not a label of a DNS name", l)
			}
			continue
		}
		if !isLabel(l) {
			return fmt.Sprintf("%q is not a label of a DNS name", l)
		}
	}
	if _, err := strconv.Atoi(labels[last]); err == nil && (last > 0 || !wildcard) {
		return fmt.Sprintf("its last label, %q, is a number", labels[last])
	}
	return ""
}

// domain checks a host of which the first label may be a wildcard (ValidateWildcardDomain).
func (c *checker) domain(path, s string) { c.why(path, notAHost(s, true)) }

// fqdn checks a host without a wildcard (ValidateFQDN).
func (c *checker) fqdn(path, s string) { c.why(path, notAHost(s, false)) }

// fqdnOrAddress checks what is looked up, or connected to.
func (c *checker) fqdnOrAddress(path, s string) {
	if !isAddress(s) {
		c.fqdn(path, s)
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

// overlap reports whether two hosts share a name (Matches in Istio's pkg/config/host).
func overlap(a, b string) bool { return covers(a, b) || covers(b, a) }

// scopedHost checks "namespace/host" of a Gateway's server or a Sidecar's listener
// (ValidateNamespaceSlashWildcardHostname).
func (c *checker) scopedHost(path, s string, ofGateway bool) {
	namespace, host, scoped := strings.Cut(s, "/")
	if !scoped {
		if !ofGateway {
			c.refuse(path, "%q lacks its namespace; write ./%s, */%s or NAMESPACE/%s", s, s, s, s)
			return
		}
		host = s
	}
	own := ofGateway && c.Annotations[gatewaySemantics] == "gateway"
	switch name := strings.TrimPrefix(namespace, "~"); {
	case !scoped || namespace == "*" || namespace == ".":
	case namespace == "":
		c.refuse(path, "%q lacks its namespace", s)
	case !ofGateway && (name == "" || name == "*" || name == "." || isLabel(name)):
	case ofGateway && (isLabel(namespace) || own && namespace == "~"):
	default:
		c.refuse(path, "%q is not the name of a namespace", namespace)
	}
	switch {
	case host == "*", ofGateway && isAddress(host) && strings.Contains(host, "."):
	case notAHost(host, true) != "":
		c.domain(path, host)
	case !strings.Contains(host, "."):
		c.refuse(path, "%q is a short name; write the whole name of the host", host)
	case strings.Contains(host, "*") && !strings.HasPrefix(host, "*."):
		c.refuse(path, "%q has a wildcard within a label; write *.DOMAIN", host)
	}
}

// labels checks labels of workloads by the rules of Kubernetes.
func (c *checker) labels(path string, m map[string]string) {
	for _, k := range sorted(m) {
		parts := labelKey.FindStringSubmatch(k)
		if parts == nil || len(parts[1]) > 254 || len(parts[5]) > maxLabel {
			c.refuse(key(path, k), "%q is not the name of a label", k)
		}
		if !labelValue.MatchString(m[k]) {
			c.refuse(key(path, k), "%q is not the value of a label", m[k])
		}
	}
}

// protocols are those that Istio knows (Parse in Istio's pkg/config/protocol), in
// lower case.
var protocols = []string{"tcp", "udp", "grpc", "grpc-web", "http", "http_proxy", "http2", "https", "tls", "mongo", "redis", "mysql"}

func isHTTP(protocol string) bool {
	return slices.Contains([]string{"grpc", "grpc-web", "http", "http_proxy", "http2"}, strings.ToLower(protocol))
}

func isTLS(protocol string) bool {
	return slices.Contains([]string{"https", "tls"}, strings.ToLower(protocol))
}

// protocol checks the name of a protocol.
func (c *checker) protocol(path, s string, optional bool) {
	if (s != "" || !optional) && !slices.Contains(protocols, strings.ToLower(s)) {
		c.refuse(path, "%q is none of HTTP, HTTP2, HTTP_PROXY, GRPC, GRPC-WEB, HTTPS, TLS, TCP, UDP, MONGO, MYSQL, REDIS", s)
	}
}

// portName checks the name of a port.
func (c *checker) portName(path, s string) {
	if !isLabel(s) {
		c.refuse(path, "%q is not the name of a port: at most 63 letters, digits and '-', of which the last stands inside", s)
	}
}

const unix = "unix://"

// socket checks the path of a Unix domain socket, with its scheme.
func (c *checker) socket(at, s string) {
	file := strings.TrimPrefix(s, unix)
	if !strings.HasPrefix(file, "@") && (!path.IsAbs(file) || strings.HasSuffix(file, "/")) {
		c.refuse(at, "%q is not the absolute path of a socket", s)
	}
}

// exportTo checks to whom an object is exported (validateExportTo).
func (c *checker) exportTo(list []string, ofEntry, forSome bool) {
	seen := map[string]bool{}
	for i, e := range list {
		at, to := index("spec.exportTo", i), e
		if to == "." {
			to = c.Namespace
		}
		switch {
		case seen[to]:
			c.refuse(at, "%q is given twice", e)
		case len(list) > 1 && (to == "*" || to == "~"):
			c.refuse(at, "%q cannot stand beside others: it is everybody, or nobody", e)
		case to == "~" && !ofEntry:
			c.refuse(at, `"~" is for a ServiceEntry alone`)
		case to != "*" && to != "~" && !isLabel(to):
			c.refuse(at, `%q is neither ".", "*" nor "~", nor the name of a namespace`, e)
		case forSome && to != c.Namespace:
			c.refuse(at, `a DestinationRule for some workloads is exported to its own namespace alone; write exportTo: ["."]`)
		}
		seen[to] = true
	}
}
