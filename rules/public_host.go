package rules

import (
	"net/netip"
	"net/url"
	"slices"
	"strings"

	"golang.org/x/net/idna"

	"github.com/sallyport-io/sallyport/internal/address"
	"github.com/sallyport-io/sallyport/internal/mesh"
	"github.com/sallyport-io/sallyport/internal/metadata"
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
	if ip, ok := address.Parse(host); ok {
		return privateAddress(m, ip)
	}
	if found, ok := metadata.Host(host); ok {
		return "a metadata service (" + found.Service.Cloud + ")"
	}
	last := host[strings.LastIndexByte(host, '.')+1:]
	if address.Numeric(last) || strings.ContainsAny(host, ":%[]/@") {
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

// privateAddress says why an address, and those that are written into it, is
// not one of the public Internet, and is "" where it is.
func privateAddress(m *mesh.Mesh, ip netip.Addr) string {
	for _, in := range address.Embedded(ip) {
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
