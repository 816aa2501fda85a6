package mesh

import (
	"net/netip"
	"strings"

	"golang.org/x/net/idna"
)

// CanonicalHost returns the form of a host name under which the model knows
// it: lower case, without one trailing dot, and in ASCII (punycode) where IDNA
// can say so. "API.Partner.COM." and "api.partner.com" are one host; a
// comparison of anything less canonical is a bypass.
func CanonicalHost(host string) string {
	canonical := true
	for i := range len(host) {
		if c := host[i]; 'A' <= c && c <= 'Z' || c >= 0x80 {
			canonical = false
			break
		}
	}
	if !canonical {
		host = lookup(host)
	}
	if len(host) > 1 {
		host = strings.TrimSuffix(host, ".")
	}
	return host
}

func lookup(host string) string {
	lower := strings.ToLower(host)
	prefix := ""
	rest := lower
	if strings.HasPrefix(rest, "*.") {
		prefix, rest = "*.", rest[2:]
	}
	ascii, err := idna.Lookup.ToASCII(rest)
	if err != nil {
		return lower
	}
	return prefix + ascii
}

// IsWildcard reports whether the host is a pattern: Istio reads every name
// that starts with "*" as one, with or without a dot after it.
func IsWildcard(host string) bool { return strings.HasPrefix(host, "*") }

// HostCovers reports whether every name that host stands for also matches
// pattern (SubsetOf in Istio's pkg/config/host).
func HostCovers(pattern, host string) bool {
	if !IsWildcard(pattern) {
		return pattern == host
	}
	if IsWildcard(host) {
		return len(host) >= len(pattern) && strings.HasSuffix(host[1:], pattern[1:])
	}
	return strings.HasSuffix(host, pattern[1:])
}

// HostsOverlap reports whether some name matches both hosts (Matches in
// Istio's pkg/config/host).
func HostsOverlap(a, b string) bool { return HostCovers(a, b) || HostCovers(b, a) }

// ResolveHost returns the canonical name that a destination or host of an
// object in the namespace stands for: a name without a dot is a Service of
// that namespace (ResolveShortnameToFQDN in Istio's pilot/pkg/model).
func ResolveHost(host, namespace, clusterDomain string) string {
	return CanonicalHost(qualify(host, namespace, clusterDomain))
}

// qualify is ResolveHost without a change of spelling. Istio compares names as
// they are written, so two spellings of a host are two services to it.
func qualify(host, namespace, clusterDomain string) string {
	if host == "" || host == "*" || strings.Contains(host, ".") || IsAddress(host) {
		return host
	}
	return host + "." + namespace + ".svc." + clusterDomain
}

// IsAddress reports whether a host is an IP address rather than a name.
func IsAddress(host string) bool {
	_, ok := parseIP(host)
	return ok
}

// parseIP is quick about names, which are what it mostly sees.
func parseIP(s string) (netip.Addr, bool) {
	if s == "" || (s[0] < '0' || s[0] > '9') && !strings.Contains(s, ":") {
		return netip.Addr{}, false
	}
	ip, err := netip.ParseAddr(s)
	return ip, err == nil
}

// inDomain reports whether a name lies under a domain.
func inDomain(host, domain string) bool {
	rest, ok := strings.CutSuffix(host, domain)
	return ok && strings.HasSuffix(rest, ".")
}

// serviceOf splits the name of a Kubernetes Service, given what all end with.
func serviceOf(host, suffix string) (namespace, name string, ok bool) {
	rest, ok := strings.CutSuffix(host, suffix)
	if !ok {
		return "", "", false
	}
	name, namespace, ok = strings.Cut(rest, ".")
	if !ok || name == "" || namespace == "" || strings.Contains(namespace, ".") {
		return "", "", false
	}
	return namespace, name, true
}

// reversed is the host read from its end, so that the names below a suffix are
// neighbours in an index. A wildcard's star stays behind the bytes that it
// follows: "*.x.org" becomes "gro.x.*".
func reversed(host string) string {
	p := hostPrefix(host)
	return p[:len(p)-len(sep)]
}

// hostPrefix is what the keys of a host begin with in a [hostIndex].
func hostPrefix(host string) string {
	var buf [keySize]byte
	return string(appendHost(buf[:0], host))
}

func appendHost(key []byte, host string) []byte {
	for i := len(host) - 1; i >= 0; i-- {
		key = append(key, host[i])
	}
	return append(key, sep...)
}
