package rules

import (
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/net/idna"

	"github.com/sallyport-io/sallyport/internal/mesh"
)

// privateURL says why the platform must not fetch from a URL that a tenant has
// written, and is "" where it may. It goes by what is written: where a name
// resolves to, and where the server redirects to, no object tells.
func privateURL(m *mesh.Mesh, text string) string {
	u, err := url.Parse(text)
	switch {
	case err != nil:
		return "no URL"
	case !strings.EqualFold(u.Scheme, "http") && !strings.EqualFold(u.Scheme, "https"):
		return "no URL of http or https"
	case u.User != nil:
		return "a URL with a user's name, which hides where it leads"
	case strings.ContainsAny(text, "\\ \t\r\n"):
		return "a URL that readers take differently"
	}
	return privateHost(m, u.Hostname())
}

// privateHost says why a host, in any spelling of its name or address, is not
// one of the public Internet, and is "" where it is.
func privateHost(m *mesh.Mesh, host string) string {
	if !isASCII(host) { // digits and dots have doubles, which clients map to those
		ascii, err := idna.Lookup.ToASCII(host)
		if err != nil {
			return "no name of a host"
		}
		host = ascii
	}
	host = strings.TrimRight(strings.ToLower(host), ".")
	if host == "" {
		return "no host at all"
	}
	if ip, ok := addressOf(host); ok {
		return privateAddress(m, ip)
	}
	last := host[strings.LastIndexByte(host, '.')+1:]
	if numeric(last) || strings.ContainsAny(host, ":%[]/@") {
		return "no address, and no name: it ends in a number"
	}
	domain := m.Settings().ClusterDomain
	switch {
	case clusterName(host, domain), last == "pod":
		return "a name of the cluster"
	case slices.Contains([]string{"localhost", "localdomain", "local", "internal", "intranet", "lan", "home", "corp", "private", "test", "invalid"}, last), strings.HasSuffix(host, ".home.arpa"):
		return "a name that is not of the public Internet"
	}
	// The control plane's resolver first tries a name as one under
	// svc.cluster.local: SERVICE.NAMESPACE, or a pod's name before it.
	labels := strings.Split(host, ".")
	if m.Get(mesh.Ref{Kind: "Service", Namespace: last, Name: labels[len(labels)-2]}) != nil {
		return "a name of a Service of the cluster"
	}
	return ""
}

func isASCII(s string) bool {
	return strings.IndexFunc(s, func(r rune) bool { return r >= 0x80 }) < 0
}

// addressOf reads an address in any spelling that some resolver takes: with a
// zone or without, and of IPv4 with up to four parts in decimal, octal or
// hexadecimal, as inet_aton does.
func addressOf(host string) (netip.Addr, bool) {
	if ip, err := netip.ParseAddr(host); err == nil {
		return ip.WithZone(""), true
	}
	parts := strings.Split(strings.TrimSuffix(host, "."), ".")
	if len(parts) > 4 {
		return netip.Addr{}, false
	}
	var value uint64
	for i, part := range parts {
		n, ok := atonPart(part)
		last := i == len(parts)-1
		if !ok || !last && n > 0xff || last && n >= 1<<(8*(4-i)) {
			return netip.Addr{}, false
		}
		if last {
			value |= n
		} else {
			value |= n << (8 * (3 - i))
		}
	}
	return netip.AddrFrom4([4]byte{byte(value >> 24), byte(value >> 16), byte(value >> 8), byte(value)}), true
}

func atonPart(part string) (uint64, bool) {
	base := 10
	lower := strings.ToLower(part)
	switch {
	case strings.HasPrefix(lower, "0x"):
		if part, base = part[2:], 16; part == "" {
			return 0, true
		}
	case len(part) > 1 && part[0] == '0':
		base = 8
	}
	if part == "" || strings.ContainsAny(part, "+-_") {
		return 0, false
	}
	n, err := strconv.ParseUint(part, base, 64)
	return n, err == nil
}

// numeric reports whether a label is one that no top-level domain has.
func numeric(label string) bool {
	if label == "" {
		return false
	}
	if _, ok := atonPart(label); ok {
		return true
	}
	return strings.IndexFunc(label, func(r rune) bool { return r < '0' || r > '9' }) < 0
}

// privateAddress says why an address, and those that are written into it, is
// not one of the public Internet, and is "" where it is.
func privateAddress(m *mesh.Mesh, ip netip.Addr) string {
	for _, in := range embedded(ip) {
		if what := forbidden(in); what != "" {
			return what
		}
		if slices.ContainsFunc(notPublic, func(p netip.Prefix) bool { return p.Contains(in) }) || in.Is6() && !global.Contains(in) {
			return "an address inside the platform, or of nobody"
		}
		if who := serviceAddress(m, in); who != "" {
			return who
		}
	}
	return ""
}

// serviceAddress says that an address is one that the cluster has given out, or
// of the range that it has for Services, public as it may look.
func serviceAddress(m *mesh.Mesh, ip netip.Addr) string {
	for _, o := range m.AddressesIn(netip.PrefixFrom(ip, ip.BitLen())) {
		return "an address of the cluster, of a " + inWords(o)
	}
	for o := range m.All("ServiceCIDR") {
		m.Spend(1)
		for _, cidr := range o.(*mesh.ServiceCIDR).CIDRs {
			if p, err := netip.ParsePrefix(cidr); err == nil && p.Contains(ip) {
				return "an address of the cluster's Services"
			}
		}
	}
	return ""
}

// notPublic are the ranges that are not of the public Internet, beside those that
// [forbidden] names (IANA's special-purpose address registries).
var notPublic = prefixes(
	"0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "172.16.0.0/12", "192.0.0.0/24", "192.168.0.0/16", "198.18.0.0/15", "240.0.0.0/4",
	"2001:2::/48", "2001:10::/28", "2001:20::/28", "5f00::/16", "100::/64",
)

var global = netip.MustParsePrefix("2000::/3")

func prefixes(all ...string) []netip.Prefix {
	out := make([]netip.Prefix, len(all))
	for i, p := range all {
		out[i] = netip.MustParsePrefix(p)
	}
	return out
}

// embedded returns the addresses that traffic for one may reach: the IPv4
// address that is written into one of IPv6, where it is mapped, compatible,
// translated (NAT64), of 6to4, of Teredo or of ISATAP, and else itself.
func embedded(ip netip.Addr) []netip.Addr {
	ip = ip.Unmap()
	if ip.Is4() {
		return []netip.Addr{ip}
	}
	b := ip.As16()
	four := func(i int) netip.Addr { return netip.AddrFrom4([4]byte(b[i : i+4])) }
	zero := func(from, to int) bool {
		return !slices.ContainsFunc(b[from:to], func(c byte) bool { return c != 0 })
	}
	switch {
	case zero(0, 12) && !zero(12, 15): // compatible; ::1 and :: are themselves
		return []netip.Addr{four(12)}
	case zero(0, 8) && b[8] == 0xff && b[9] == 0xff && zero(10, 12): // translated: ::ffff:0:a.b.c.d
		return []netip.Addr{four(12)}
	case b[0] == 0 && b[1] == 0x64 && b[2] == 0xff && b[3] == 0x9b:
		if zero(4, 12) { // the well-known prefix of NAT64
			return []netip.Addr{four(12)}
		}
		return []netip.Addr{ip} // a network's own prefix of it: not global
	case b[0] == 0x20 && b[1] == 0x02: // 6to4
		return []netip.Addr{four(2)}
	case b[0] == 0x20 && b[1] == 0x01 && zero(2, 4): // Teredo: server, and the client's address turned over
		return []netip.Addr{four(4), netip.AddrFrom4([4]byte{^b[12], ^b[13], ^b[14], ^b[15]})}
	case b[10] == 0x5e && b[11] == 0xfe: // ISATAP
		return []netip.Addr{ip, four(12)}
	}
	return []netip.Addr{ip}
}
