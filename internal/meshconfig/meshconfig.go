// Package meshconfig reads Istio's mesh configuration: as much of it as bears
// on where traffic for hosts outside the mesh goes, by Istio's own defaults
// where it says nothing. It is pure.
package meshconfig

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"google.golang.org/protobuf/encoding/protojson"
	meshapi "istio.io/api/mesh/v1alpha1"
	"sigs.k8s.io/yaml"
)

// The modes of outboundTrafficPolicy. Only under RegistryOnly does a sidecar
// drop what is for a host that nobody registered.
const (
	RegistryOnly       = "REGISTRY_ONLY"
	AllowAny           = "ALLOW_ANY"
	AllowAnyDynamicDNS = "ALLOW_ANY_DYNAMIC_DNS" // the proxy resolves the name that the client asks for; since Istio 1.31
)

// Config is what a mesh configuration says, with Istio's defaults in place
// (DefaultMeshConfig in Istio's pkg/config/mesh). It must not be changed.
type Config struct {
	RootNamespace string
	TrustDomain   string
	// Outbound is outboundTrafficPolicy.mode; it is Istio's default where it is unset.
	Outbound      string
	OutboundUnset bool
	// Exports are to whom what does not say so itself is exported.
	Exports Exports
	// Discovery are the discoverySelectors: of the namespaces that none of them
	// matches Istio reads nothing. There is none where it reads all.
	Discovery Discovery
	// Visibility is serviceEntryVisibility; nil where it is not set.
	Visibility *Visibility
	// DNSCapture is whether sidecars answer DNS queries themselves.
	DNSCapture bool
	// AutoMTLS is whether sidecars choose mutual TLS by themselves.
	AutoMTLS bool
	// CapturesNothing is true where sidecars capture no traffic by default.
	CapturesNothing bool
	// ProxyHTTPPort is the port at which every sidecar is an HTTP proxy for its
	// pod; 0 for none.
	ProxyHTTPPort int
	// ReadsElsewhere is true where istiod takes its objects from other places
	// than the cluster's API server (configSources).
	ReadsElsewhere bool
	// Unknown are the paths of fields that this program's version of Istio's API
	// does not have; sorted. Nothing is known of what they do.
	Unknown []string
}

// Exports are the three default exportTo. Each has at least one element.
type Exports struct {
	Services, VirtualServices, DestinationRules []string
}

// Default is the configuration of an istiod that finds none.
func Default() *Config {
	public := []string{"*"}
	return &Config{
		RootNamespace: "istio-system",
		TrustDomain:   "cluster.local",
		Outbound:      AllowAny,
		OutboundUnset: true,
		Exports:       Exports{public, public, public},
		AutoMTLS:      true,
	}
}

// Parse reads the value of the key "mesh" of Istio's ConfigMap. What istiod
// does not take is an error: it goes on with the last configuration that it
// took, and after a restart with [Default]. Fields that are not known are
// passed over, as istiod passes them over, and listed in Unknown.
//
// Below may hold the values of other ConfigMaps that the text overrides, the
// lowest first (SHARED_MESH_CONFIG).
func Parse(text string, below ...string) (*Config, error) {
	fields := map[string]any{}
	for _, text := range append(slices.Clone(below), text) {
		layer, err := read(text)
		if err != nil {
			return nil, err
		}
		override(fields, layer)
	}
	c := Default()
	m := &meshapi.MeshConfig{}
	c.Unknown = prune("", fields, m.ProtoReflect().Descriptor())
	slices.Sort(c.Unknown)
	known, err := json.Marshal(fields)
	if err != nil {
		return nil, err
	}
	if err := protojson.Unmarshal(known, m); err != nil {
		// Package protobuf varies the blanks of its messages from build to build.
		return nil, errors.New(strings.TrimPrefix(strings.ReplaceAll(err.Error(), "\u00a0", " "), "proto: "))
	}
	return c, c.fill(m)
}

// read reads a mapping in YAML. The empty text is an empty one.
func read(text string) (map[string]any, error) {
	raw, err := yaml.YAMLToJSON([]byte(text))
	if err != nil {
		return nil, fmt.Errorf("it is not YAML: %w", err)
	}
	var fields map[string]any
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	if err := d.Decode(&fields); err != nil {
		return nil, errors.New("it is not a mapping of fields to values")
	}
	return fields, nil
}

// override puts the fields of one text over those of another: whole fields, but
// for those of the proxies' configuration, which are merged (ApplyMeshConfig in
// Istio's pkg/config/mesh).
func override(fields, layer map[string]any) {
	for name, value := range layer {
		under, _ := fields[name].(map[string]any)
		over, ok := value.(map[string]any)
		switch {
		case value == nil: // as if absent
		case ok && under != nil && slices.Contains([]string{"defaultConfig", "proxyMetadata"}, name):
			override(under, over)
		default:
			fields[name] = value
		}
	}
}

// fill takes over what the message says.
func (c *Config) fill(m *meshapi.MeshConfig) error {
	if m.GetRootNamespace() != "" {
		c.RootNamespace = m.GetRootNamespace()
	}
	if m.GetTrustDomain() != "" {
		c.TrustDomain = m.GetTrustDomain()
	}
	if p := m.GetOutboundTrafficPolicy(); p != nil {
		c.Outbound, c.OutboundUnset = p.GetMode().String(), false
	}
	for to, from := range map[*[]string][]string{
		&c.Exports.Services:         m.GetDefaultServiceExportTo(),
		&c.Exports.VirtualServices:  m.GetDefaultVirtualServiceExportTo(),
		&c.Exports.DestinationRules: m.GetDefaultDestinationRuleExportTo(),
	} {
		if len(from) > 0 {
			*to = from
		}
	}
	proxy := m.GetDefaultConfig()
	c.DNSCapture = isTrue(proxy.GetProxyMetadata()["ISTIO_META_DNS_CAPTURE"])
	c.CapturesNothing = proxy.GetInterceptionMode() == meshapi.ProxyConfig_NONE
	if v := m.GetEnableAutoMtls(); v != nil {
		c.AutoMTLS = v.GetValue()
	}
	c.ProxyHTTPPort = int(m.GetProxyHttpPort())
	c.ReadsElsewhere = len(m.GetConfigSources()) > 0
	for i, s := range m.GetDiscoverySelectors() {
		selector, err := selectorOf(s)
		if err != nil {
			return fmt.Errorf("discoverySelectors[%d]: %w; Istio heeds none of the selectors then", i, err)
		}
		c.Discovery = append(c.Discovery, selector)
	}
	var err error
	c.Visibility, err = visibilityOf(m.GetServiceEntryVisibility())
	return err
}

// isTrue reads a value of proxyMetadata as a proxy reads its own (StringBool in
// Istio's pkg/model).
func isTrue(s string) bool {
	b, err := strconv.ParseBool(s)
	return err == nil && b
}
