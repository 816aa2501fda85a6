package meshconfig_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sallyport-io/sallyport/internal/meshconfig"
)

func parse(t *testing.T, text string, below ...string) *meshconfig.Config {
	t.Helper()
	c, err := meshconfig.Parse(text, below...)
	if err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return c
}

// TestDefaults: what a text does not say is what istiod takes without it.
func TestDefaults(t *testing.T) {
	for _, text := range []string{"", "{}", "# nothing\n", "outboundTrafficPolicy:\nrootNamespace: \"\"\n", "defaultServiceExportTo: []"} {
		if d := cmp.Diff(meshconfig.Default(), parse(t, text)); d != "" {
			t.Errorf("%q (-default +got):\n%s", text, d)
		}
	}
}

func TestOutbound(t *testing.T) {
	for text, want := range map[string]string{
		"outboundTrafficPolicy: {mode: REGISTRY_ONLY}":         meshconfig.RegistryOnly,
		"outboundTrafficPolicy: {mode: 0}":                     meshconfig.RegistryOnly,
		"outboundTrafficPolicy: {}":                            meshconfig.RegistryOnly,
		"outbound_traffic_policy: {mode: REGISTRY_ONLY}":       meshconfig.RegistryOnly,
		"outboundTrafficPolicy: {mode: ALLOW_ANY}":             meshconfig.AllowAny,
		"outboundTrafficPolicy: {mode: ALLOW_ANY_DYNAMIC_DNS}": meshconfig.AllowAnyDynamicDNS,
		"outboundTrafficPolicy: {mode: 7}":                     "7", // a newer Istio's; it is not REGISTRY_ONLY
		"accessLogFile: /dev/stdout":                           meshconfig.AllowAny,
	} {
		if got := parse(t, text).Outbound; got != want {
			t.Errorf("%s: %s, want %s", text, got, want)
		}
	}
}

// TestMalformed has what istiod takes nothing of.
func TestMalformed(t *testing.T) {
	for text, want := range map[string]string{
		"a: [":   "not YAML",
		"[]":     "not a mapping",
		"true":   "not a mapping",
		"a text": "not a mapping",
		"outboundTrafficPolicy: {mode: REGISTRY}": "REGISTRY",
		"rootNamespace: [a]":                      "rootNamespace",
		"accessLogFile: {}":                       "accessLogFile",
		"discoverySelectors: [{matchExpressions: [{key: a, operator: in, values: [b]}]}]":                                                             `"in" is no operator`,
		"discoverySelectors: [{matchExpressions: [{key: a, operator: In}]}]":                                                                          "In needs values",
		"discoverySelectors: [{matchLabels: {a b: c}}]":                                                                                               `"a b" is not the key`,
		"serviceEntryVisibility: {policies: [{matchingRules: [{namespaceSelector: {matchLabels: {a: b c}}}]}]}":                                       `"b c" is not the value`,
		"serviceEntryVisibility: {defaultVisibility: PRIVATE}":                                                                                        "PRIVATE",
		"serviceEntryVisibility: {policies: [{matchingRules: [{namespaceSelector: {matchExpressions: [{key: a, operator: Exists, values: [b]}]}}]}]}": "takes no values",
	} {
		if _, err := meshconfig.Parse(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %v, want one with %q", text, err, want)
		}
	}
}

// TestUnknown: fields of another version are passed over, at any depth, and said.
func TestUnknown(t *testing.T) {
	c := parse(t, `
newThing: {a: 1}
outboundTrafficPolicy: {mode: REGISTRY_ONLY, newer: true}
serviceEntryVisibility: {policies: [{visibility: PUBLIC, matchingRules: [{hostSuffix: .example}]}]}
defaultConfig: {proxyMetadata: {ANYTHING: x}, newest: 3}
`)
	want := []string{"defaultConfig.newest", "newThing", "outboundTrafficPolicy.newer", "serviceEntryVisibility.policies[0].matchingRules[0].hostSuffix"}
	if d := cmp.Diff(want, c.Unknown); d != "" {
		t.Errorf("unknown fields (-want +got):\n%s", d)
	}
	if c.Outbound != meshconfig.RegistryOnly {
		t.Errorf("mode %s beside an unknown field", c.Outbound)
	}
}

func TestDiscovery(t *testing.T) {
	for _, tt := range []struct {
		selectors string
		labels    map[string]string
		want      bool
	}{
		{"[]", nil, true},
		{"[{}]", nil, true},
		{"[{matchLabels: {a: b}}]", map[string]string{"a": "b"}, true},
		{"[{matchLabels: {a: b}}]", map[string]string{"a": "c"}, false},
		{"[{matchLabels: {a: b, c: d}}]", map[string]string{"a": "b"}, false},
		{"[{matchLabels: {a: b}}, {matchLabels: {c: d}}]", map[string]string{"c": "d"}, true},
		{"[{matchExpressions: [{key: a, operator: Exists}]}]", map[string]string{"a": ""}, true},
		{"[{matchExpressions: [{key: a, operator: Exists}]}]", nil, false},
		{"[{matchExpressions: [{key: a, operator: DoesNotExist}]}]", nil, true},
		{"[{matchExpressions: [{key: a, operator: NotIn, values: [b]}]}]", nil, true},
		{"[{matchExpressions: [{key: a, operator: NotIn, values: [b]}]}]", map[string]string{"a": "b"}, false},
		{"[{matchExpressions: [{key: a, operator: In, values: [b, c]}]}]", map[string]string{"a": "c"}, true},
	} {
		if got := parse(t, "discoverySelectors: "+tt.selectors).Discovery.Reads(tt.labels); got != tt.want {
			t.Errorf("%s of %v: %t, want %t", tt.selectors, tt.labels, got, tt.want)
		}
	}
}

func TestVisibility(t *testing.T) {
	c := parse(t, `
serviceEntryVisibility:
  defaultVisibility: NAMESPACE
  applyToSidecars: true
  policies:
  - {visibility: NONE, matchingRules: [{namespaceSelector: {matchLabels: {sealed: "true"}}}, {namespaceSelector: {matchLabels: {team: a}}}]}
  - {visibility: PUBLIC, matchingRules: [{namespaceSelector: {matchLabels: {team: a}}}]}
  - {visibility: PUBLIC, matchingRules: [{}]}
`)
	for _, tt := range []struct {
		labels map[string]string
		want   meshconfig.Level
	}{
		{nil, meshconfig.OwnNamespace},
		{map[string]string{"team": "a"}, meshconfig.Everybody},
		{map[string]string{"team": "a", "sealed": "true"}, meshconfig.Nobody},
		{map[string]string{"sealed": "true"}, meshconfig.OwnNamespace},
	} {
		if got := c.Visibility.Of(tt.labels); got != tt.want {
			t.Errorf("%v: %s, want %s", tt.labels, got, tt.want)
		}
	}
	if got := parse(t, "{}").Visibility.Of(nil); got != meshconfig.Everybody {
		t.Errorf("not set: %s", got)
	}
	if got := parse(t, "serviceEntryVisibility: {policies: [{visibility: NONE}]}").Visibility.Of(nil); got != meshconfig.Nobody {
		t.Errorf("a policy without rules: %s", got)
	}
}

// TestShared: whole fields go over those of the shared ConfigMap, and the proxies'
// configuration is merged.
func TestShared(t *testing.T) {
	c := parse(t, "defaultServiceExportTo: [a]\ndefaultConfig: {proxyMetadata: {OTHER: x}}", `
outboundTrafficPolicy: {mode: REGISTRY_ONLY}
defaultServiceExportTo: [".", b]
defaultConfig: {interceptionMode: NONE, proxyMetadata: {ISTIO_META_DNS_CAPTURE: "true"}}
`)
	if c.Outbound != meshconfig.RegistryOnly || !slices.Equal(c.Exports.Services, []string{"a"}) || !c.DNSCapture || !c.CapturesNothing {
		t.Errorf("merged: %+v", c)
	}
}

// TestWorst: in each field what lets the most out counts, and that they differ is
// said; in any order.
func TestWorst(t *testing.T) {
	good := parse(t, `
outboundTrafficPolicy: {mode: REGISTRY_ONLY}
defaultConfig: {proxyMetadata: {ISTIO_META_DNS_CAPTURE: "true"}}
discoverySelectors: [{matchLabels: {mesh: a}}]
defaultServiceExportTo: ["."]
serviceEntryVisibility: {defaultVisibility: NONE, applyToSidecars: true}
`)
	other := parse(t, `
outboundTrafficPolicy: {mode: ALLOW_ANY_DYNAMIC_DNS}
defaultConfig: {proxyMetadata: {ISTIO_META_DNS_CAPTURE: "false"}}
discoverySelectors: [{matchLabels: {mesh: b}}]
defaultVirtualServiceExportTo: ["."]
defaultDestinationRuleExportTo: ["."]
serviceEntryVisibility: {defaultVisibility: NAMESPACE}
proxyHttpPort: 3128
`)
	for _, order := range [][]meshconfig.Revision{{{"istio", good}, {"istio-new", other}}, {{"istio-new", other}, {"istio", good}}} {
		c, differences := meshconfig.Worst(order)
		if c.Outbound != meshconfig.AllowAnyDynamicDNS || c.DNSCapture || c.ProxyHTTPPort != 3128 {
			t.Errorf("worst: %+v", c)
		}
		if !c.Discovery.Reads(map[string]string{"mesh": "a"}) || !c.Discovery.Reads(map[string]string{"mesh": "b"}) || c.Discovery.Reads(nil) {
			t.Errorf("discovery: %s", c.Discovery)
		}
		want := meshconfig.Exports{Services: []string{"*"}, VirtualServices: []string{"."}, DestinationRules: []string{"."}}
		if d := cmp.Diff(want, c.Exports); d != "" {
			t.Errorf("exports (-want +got):\n%s", d)
		}
		if c.Visibility.Of(nil) != meshconfig.OwnNamespace || c.Visibility.ToSidecars {
			t.Errorf("visibility: %s", c.Visibility)
		}
		if len(differences) != 8 {
			t.Errorf("%d differences: %+v", len(differences), differences)
		}
	}
	if c, differences := meshconfig.Worst([]meshconfig.Revision{{"istio", good}, {"istio-new", good}}); len(differences) > 0 || c.Outbound != meshconfig.RegistryOnly {
		t.Errorf("two of a kind differ: %+v", differences)
	}
	if c, _ := meshconfig.Worst([]meshconfig.Revision{{"istio", good}, {"istio-new", parse(t, "{}")}}); c.Discovery != nil || c.Visibility != nil || c.Outbound != meshconfig.AllowAny {
		t.Errorf("beside Istio's defaults: %+v", c)
	}
	for _, tt := range []struct{ a, b, want []string }{
		{[]string{"a", "b"}, []string{"b", "c"}, []string{"b"}},
		{[]string{"a"}, []string{"c"}, []string{"~"}},
		{[]string{"~"}, []string{"."}, []string{"~"}},
	} {
		a, b := parse(t, "{}"), parse(t, "{}")
		a.Exports.VirtualServices, b.Exports.VirtualServices = tt.a, tt.b
		if c, _ := meshconfig.Worst([]meshconfig.Revision{{"istio", a}, {"istio-b", b}}); !slices.Equal(c.Exports.VirtualServices, tt.want) {
			t.Errorf("%v and %v: %v, want %v", tt.a, tt.b, c.Exports.VirtualServices, tt.want)
		}
	}
}

// FuzzParse: no text makes it panic, and what it takes is complete.
func FuzzParse(f *testing.F) {
	f.Add("outboundTrafficPolicy: {mode: REGISTRY_ONLY}")
	f.Add("discoverySelectors: [null, {matchExpressions: [{}]}]")
	f.Add("serviceEntryVisibility: {policies: [null, {matchingRules: [null]}]}")
	f.Add("defaultConfig: {proxyMetadata: [a]}")
	f.Add("&a [*a]")
	f.Fuzz(func(t *testing.T, text string) {
		c, err := meshconfig.Parse(text)
		if err != nil {
			return
		}
		if c.RootNamespace == "" || c.TrustDomain == "" || c.Outbound == "" || len(c.Exports.Services) == 0 {
			t.Errorf("%q: %+v", text, c)
		}
		c.Discovery.Reads(nil)
		c.Visibility.Of(nil)
	})
}
