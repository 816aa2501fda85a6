package meshconfig

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Revision is the mesh configuration of one revision of istiod.
type Revision struct {
	Name string // of the ConfigMap
	*Config
}

// Difference is a field in which revisions do not say the same.
type Difference struct {
	Field string
	// Said is what each of them says, and Counts which of it counts.
	Said, Counts string
}

// Worst is what counts where several revisions are in force, of which nobody
// knows which one a pod belongs to: in each field what lets the most traffic out,
// or keeps the fewest routes in sight. The revisions are in the order in which
// one goes before the other where none is worse; there is at least one.
func Worst(revisions []Revision) (*Config, []Difference) {
	c := *revisions[0].Config
	var differences []Difference
	differ := func(field string, says func(*Config) string, counts string) {
		said := map[string][]string{}
		for _, r := range revisions {
			said[says(r.Config)] = append(said[says(r.Config)], r.Name)
		}
		if len(said) < 2 {
			return
		}
		var each []string
		for _, value := range slices.Sorted(maps.Keys(said)) {
			each = append(each, fmt.Sprintf("%s in %s", value, strings.Join(said[value], ", ")))
		}
		differences = append(differences, Difference{field, strings.Join(each, "; "), counts})
	}
	var unknown []string
	for _, r := range revisions[1:] {
		c.Outbound = slices.MaxFunc([]string{c.Outbound, r.Outbound}, func(a, b string) int { return cmp.Compare(openness(a), openness(b)) })
		c.Exports.Services = widest(c.Exports.Services, r.Exports.Services)
		c.Exports.VirtualServices = narrowest(c.Exports.VirtualServices, r.Exports.VirtualServices)
		c.Exports.DestinationRules = narrowest(c.Exports.DestinationRules, r.Exports.DestinationRules)
		if len(c.Discovery) == 0 || len(r.Discovery) == 0 {
			c.Discovery = nil
		} else {
			c.Discovery = slices.Concat(c.Discovery, r.Discovery)
		}
		if c.Visibility == nil || r.Visibility == nil {
			c.Visibility = nil
		} else {
			v := *c.Visibility
			v.ToSidecars = v.ToSidecars && r.Visibility.ToSidecars
			v.others = append(slices.Clone(v.others), r.Visibility)
			c.Visibility = &v
		}
		c.DNSCapture = c.DNSCapture && r.DNSCapture
		c.AutoMTLS = c.AutoMTLS && r.AutoMTLS
		c.CapturesNothing = c.CapturesNothing || r.CapturesNothing
		c.ProxyHTTPPort = cmp.Or(c.ProxyHTTPPort, r.ProxyHTTPPort)
		c.ReadsElsewhere = c.ReadsElsewhere || r.ReadsElsewhere
	}
	for _, r := range revisions {
		unknown = append(unknown, r.Unknown...)
	}
	slices.Sort(unknown)
	c.Unknown = slices.Compact(unknown)

	differ("rootNamespace", func(c *Config) string { return c.RootNamespace }, c.RootNamespace)
	differ("trustDomain", func(c *Config) string { return c.TrustDomain }, c.TrustDomain)
	differ("outboundTrafficPolicy.mode", func(c *Config) string { return c.Outbound }, c.Outbound)
	exports := func(field string, of func(*Exports) []string) {
		says := func(c *Config) string { return fmt.Sprintf("%q", of(&c.Exports)) }
		differ(field, says, says(&c))
	}
	exports("defaultServiceExportTo", func(e *Exports) []string { return e.Services })
	exports("defaultVirtualServiceExportTo", func(e *Exports) []string { return e.VirtualServices })
	exports("defaultDestinationRuleExportTo", func(e *Exports) []string { return e.DestinationRules })
	differ("discoverySelectors", func(c *Config) string { return c.Discovery.String() }, "what any revision reads")
	differ("serviceEntryVisibility", func(c *Config) string { return c.Visibility.String() }, "the widest")
	differ("defaultConfig.proxyMetadata.ISTIO_META_DNS_CAPTURE", func(c *Config) string { return fmt.Sprint(c.DNSCapture) }, fmt.Sprint(c.DNSCapture))
	differ("proxyHttpPort", func(c *Config) string { return fmt.Sprint(c.ProxyHTTPPort) }, fmt.Sprint(c.ProxyHTTPPort))
	return &c, differences
}

// openness orders the modes of outboundTrafficPolicy. One that is not known is
// taken for the worst.
func openness(mode string) int {
	switch mode {
	case RegistryOnly:
		return 0
	case AllowAnyDynamicDNS:
		return 1
	default:
		return 2
	}
}

// widest is to whom either of two exportTo shows an object.
func widest(a, b []string) []string {
	out := slices.DeleteFunc(slices.Concat(a, b), func(s string) bool { return s == "~" })
	switch slices.Sort(out); {
	case slices.Contains(out, "*"):
		return []string{"*"}
	case len(out) == 0:
		return []string{"~"}
	default:
		return slices.Compact(out)
	}
}

// narrowest is to whom both of two exportTo show an object.
func narrowest(a, b []string) []string {
	switch {
	case slices.Contains(a, "*"):
		return b
	case slices.Contains(b, "*"):
		return a
	}
	out := slices.DeleteFunc(slices.Clone(a), func(s string) bool { return s == "~" || !slices.Contains(b, s) })
	if len(out) == 0 || slices.Contains(a, "~") || slices.Contains(b, "~") {
		return []string{"~"}
	}
	return out
}
