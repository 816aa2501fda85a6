// Package config reads Sallyport's configuration file. README.md beside it
// describes every field; it is generated from the comments in this file.
package config

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strings"

	"github.com/sallyport-io/sallyport/internal/mesh"
	"github.com/sallyport-io/sallyport/internal/meshconfig"
	"github.com/sallyport-io/sallyport/internal/readfile"
)

// The file's apiVersion and kind.
const (
	APIVersion = "sallyport.io/v1alpha1"
	Kind       = "Config"
)

// Config is the whole file. Server and command line read the same one.
type Config struct {
	// APIVersion is sallyport.io/v1alpha1.
	APIVersion string `json:"apiVersion"`
	// Kind is Config.
	Kind string `json:"kind"`
	// Gateways are the egress gateways through which traffic may leave the
	// mesh. The first one serves every namespace that does not name another in
	// its label sallyport.io/gateway.
	//
	// Default: istio-egressgateway in istio-system, as Istio installs it.
	Gateways []Gateway `json:"gateways,omitempty"`
	// PlatformNamespaces belong to those who run the mesh: what is written
	// there may serve everybody, bind to an egress gateway and select its pods.
	// Anyone who may write to one of them is trusted.
	//
	// Default: the namespaces of the gateways and of ambient.waypoints,
	// istioNamespace, the mesh's root namespace, kube-system, cert-manager and the
	// namespace of serviceAccount.
	PlatformNamespaces []string `json:"platformNamespaces,omitempty"`
	// Injection is for which ServiceEntries Sallyport keeps companions in
	// namespaces that do not say so themselves by the label
	// sallyport.io/injection: enabled (for all) or disabled (for none). Where it is
	// new, it does so for those that are created while Sallyport is there, which
	// admission marks with the annotation sallyport.io/injection: enabled, and for
	// older ones on which somebody writes that; all others are left as they are.
	// Platform namespaces always need the label.
	//
	// Default: new.
	Injection Injection `json:"injection,omitempty"`
	// NetworkPolicy is whether Sallyport confines namespaces of the mesh that do
	// not say so themselves by the label sallyport.io/network-policy to DNS,
	// istiod, the mesh and the egress gateways. Where it is staged, nothing is
	// written, and metrics, log and "sallyport netpol" show what would be.
	// Platform namespaces always need the label.
	//
	// Default: disabled.
	NetworkPolicy Confinement `json:"networkPolicy,omitempty"`
	// Walls are how namespaces are confined and gateways surrounded.
	//
	// Default: see there.
	Walls Walls `json:"walls,omitzero"`
	// Authorization is whether the egress gateways admit to a host only the
	// namespaces that registered it: Sallyport keeps an AuthorizationPolicy for
	// each host. It needs mutual TLS between sidecars and every gateway, and
	// makes the gateway's configuration grow with the square of the number of
	// hosts; docs/authorization.md has the numbers.
	//
	// Default: disabled.
	Authorization Switch `json:"authorization,omitempty"`
	// IstioNamespace is where istiod runs. Its mesh configuration is read there and
	// followed, from the ConfigMaps istio and istio-REVISION, and the cluster
	// domain from that of the sidecar injector. Where several revisions are in
	// force, the worst of each field counts.
	//
	// Default: rootNamespace where that is given, else istio-system.
	IstioNamespace string `json:"istioNamespace,omitempty"`
	// SharedMeshConfig is the ConfigMap in istioNamespace that istiod is told to
	// read below that of its revision (SHARED_MESH_CONFIG in its environment).
	//
	// Default: none.
	SharedMeshConfig string `json:"sharedMeshConfig,omitempty"`
	// RootNamespace overrides rootNamespace of Istio's mesh configuration: a
	// Sidecar or DestinationRule there holds for every namespace.
	//
	// An override is for an istiod whose configuration is not in the cluster, and
	// what it says goes before what the cluster says. Where the two differ, log,
	// "sallyport doctor" and the metric sallyport_mesh_config_notes say so. The
	// same holds for the six fields that follow.
	//
	// Default: as the mesh configuration says; istio-system where there is none.
	RootNamespace string `json:"rootNamespace,omitempty"`
	// ClusterDomain overrides the DNS suffix of Kubernetes Services.
	//
	// Default: as the sidecar injector's values say; cluster.local where there are
	// none.
	ClusterDomain string `json:"clusterDomain,omitempty"`
	// OutboundTrafficPolicy overrides outboundTrafficPolicy.mode of the mesh
	// configuration: REGISTRY_ONLY, ALLOW_ANY or ALLOW_ANY_DYNAMIC_DNS. Under the
	// latter two every host that nobody registered is reached directly, and
	// Sallyport can only say so.
	//
	// Default: as the mesh configuration says; REGISTRY_ONLY where there is none.
	OutboundTrafficPolicy string `json:"outboundTrafficPolicy,omitempty"`
	// DefaultServiceExportTo overrides the field of the same name in the mesh
	// configuration: to whom ServiceEntries and Services are exported that do not
	// say so themselves.
	//
	// Default: as the mesh configuration says; every namespace where there is none.
	DefaultServiceExportTo []string `json:"defaultServiceExportTo,omitempty"`
	// DefaultVirtualServiceExportTo is the same for VirtualServices.
	//
	// Default: as the mesh configuration says; every namespace where there is none.
	DefaultVirtualServiceExportTo []string `json:"defaultVirtualServiceExportTo,omitempty"`
	// DefaultDestinationRuleExportTo is the same for DestinationRules.
	//
	// Default: as the mesh configuration says; every namespace where there is none.
	DefaultDestinationRuleExportTo []string `json:"defaultDestinationRuleExportTo,omitempty"`
	// DNSCapture overrides whether the sidecars of the mesh answer DNS queries
	// themselves (ISTIO_META_DNS_CAPTURE in proxyMetadata of the mesh
	// configuration's defaultConfig): enabled or disabled. Two TCP hosts without
	// addresses on one port can then be told apart; otherwise the second one is
	// refused.
	//
	// Default: as the mesh configuration says; disabled where there is none.
	DNSCapture Switch `json:"dnsCapture,omitempty"`
	// ServiceAccount is the account that the server runs as, NAMESPACE/NAME.
	// It alone may write companions.
	//
	// Default: sallyport-system/sallyport-webhook.
	ServiceAccount string `json:"serviceAccount,omitempty"`
	// Credentials are the client certificates that the egress gateways may
	// present to external hosts where they originate TLS. An entry asks for one
	// by name, in its annotation sallyport.io/client-certificate, and gets it
	// only where its namespace and its host are listed.
	//
	// Default: none.
	Credentials []Credential `json:"credentials,omitempty"`
	// Issuers are the cert-manager issuers from which Sallyport may ask client
	// certificates for the egress gateways. An entry names one in its annotation
	// sallyport.io/issuer, and where its namespace and its host are listed here,
	// Sallyport keeps a Certificate for the host in the gateway's namespace, and
	// holds the entry until it is issued. The right to is in
	// manifests/issuers.yaml, which is applied where an issuer is named.
	//
	// Default: none.
	Issuers []Grant `json:"issuers,omitempty"`
	// Ambient is about ambient mode.
	//
	// Default: see there.
	Ambient Ambient `json:"ambient,omitzero"`
	// Ownership says whose the external hosts are.
	//
	// Default: a host belongs to whoever registers it first.
	Ownership Ownership `json:"ownership,omitzero"`
	// InMesh is what belongs to the mesh where addresses and names do not tell.
	//
	// Default: see there.
	InMesh InMesh `json:"inMesh,omitzero"`
	// MetadataExceptions let namespaces reach a cloud's metadata service by an
	// entry of the mesh, which is refused otherwise: it hands out the credentials of
	// the machine that asks. Such traffic goes straight there; through a shared
	// egress gateway it never leads.
	//
	// Default: none.
	MetadataExceptions []MetadataException `json:"metadataExceptions,omitempty"`
	// Versions are those of what the cluster runs, where they decide.
	//
	// Default: see there.
	Versions Versions `json:"versions,omitzero"`
	// Limits bound what tenants may have Sallyport keep: it holds the objects of
	// the mesh in memory, and would be ended by the system otherwise.
	//
	// Default: see there.
	Limits Limits `json:"limits,omitzero"`
	// Policies are the organisation's own rules, written in Rego.
	//
	// Default: none.
	Policies Policies `json:"policies,omitzero"`
	// Server is what concerns the server alone.
	//
	// Default: see there.
	Server Server `json:"server,omitzero"`
}

// Limits are in bytes of the JSON of objects: their labels, annotations and
// specs. Objects of kinds that Sallyport does not keep, pods and their templates,
// do not count.
type Limits struct {
	// ObjectBytes is how large one object of a tenant may be. Of a larger one
	// only a change that makes it smaller is admitted. Platform namespaces are
	// warned.
	//
	// Default: 262144 (256 KiB).
	ObjectBytes int `json:"objectBytes,omitempty"`
	// NamespaceBytes is how large all objects of one tenant's namespace may be
	// together, Sallyport's companions and those that controllers write among
	// them; the memory that they take is some four times as much.
	//
	// Default: 4194304 (4 MiB).
	NamespaceBytes int `json:"namespaceBytes,omitempty"`
}

// Switch is enabled or disabled.
type Switch string

// The two positions of a switch.
const (
	Enabled  Switch = "enabled"
	Disabled Switch = "disabled"
)

// Injection is enabled, new or disabled.
type Injection string

// The values of [Injection], which are the model's.
const (
	InjectAll  = Injection(mesh.InjectAll)
	InjectNew  = Injection(mesh.InjectNew)
	InjectNone = Injection(mesh.InjectNone)
)

// Default returns the configuration that an absent file stands for, with
// every default spelt out.
func Default() *Config {
	c := &Config{APIVersion: APIVersion, Kind: Kind}
	c.setDefaults()
	return c
}

// Load reads the file with that name, and returns [Default] where the name is
// empty.
func Load(name string) (*Config, error) {
	if name == "" {
		return Default(), nil
	}
	data, err := readfile.Read(name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("configuration: %w; name an existing file with --config, or leave the flag out to use the defaults", err)
	case errors.Is(err, fs.ErrPermission):
		return nil, fmt.Errorf("configuration: %w; let the user who runs this program read the file", err)
	case err != nil:
		return nil, fmt.Errorf("configuration: %w", err)
	}
	return Parse(name, data)
}

// Parse decodes a configuration strictly: an unknown or repeated field, a
// value of the wrong type or an impossible value is an error that names the
// file, the line, the field and the remedy. All errors are reported, not only
// the first. name is the file's name, for messages.
func Parse(name string, data []byte) (*Config, error) {
	doc, err := parseDocument(name, data)
	if err != nil {
		return nil, err
	}
	c := &Config{}
	if err := doc.decode(c); err != nil {
		return nil, err
	}
	if err := doc.check(c); err != nil {
		return nil, err
	}
	c.setDefaults()
	return c, nil
}

func (c *Config) setDefaults() {
	def := mesh.DefaultSettings()
	if len(c.Gateways) == 0 {
		for _, g := range def.Gateways {
			c.Gateways = append(c.Gateways, Gateway{
				Name:      g.Name,
				Service:   g.Namespace + "/" + g.Service,
				Selector:  maps.Clone(g.Selector),
				MutualTLS: new(g.MutualTLS),
			})
		}
	}
	for i, g := range c.Gateways {
		if g.MutualTLS == nil {
			c.Gateways[i].MutualTLS = new(true)
		}
	}
	setDefault(&c.Injection, InjectNew)
	setDefault(&c.Ambient.WildcardTLS, Disabled)
	setDefault(&c.NetworkPolicy, Unconfined)
	setDefault(&c.Authorization, Disabled)
	c.Walls.setDefaults(def.Walls)
	if c.Ownership.LabelGroups == nil {
		c.Ownership.LabelGroups = []string{"system:masters"}
	}
	setDefault(&c.Policies.ConfigMaps, Disabled)
	for i := range c.Policies.Bundles {
		b := &c.Policies.Bundles[i]
		setDefault(&b.KeyID, "default")
		setDefault(&b.Algorithm, "RS256")
		setDefault(&b.Interval, "1m")
	}
	setDefault(&c.IstioNamespace, cmp.Or(c.RootNamespace, def.IstioNamespace))
	setDefault(&c.ServiceAccount, "sallyport-system/sallyport-webhook")
	if c.PlatformNamespaces == nil {
		for _, g := range c.Gateways {
			ns, _, _ := strings.Cut(g.Service, "/")
			c.PlatformNamespaces = append(c.PlatformNamespaces, ns)
		}
		for _, w := range c.Ambient.Waypoints {
			ns, _, _ := strings.Cut(w, "/")
			c.PlatformNamespaces = append(c.PlatformNamespaces, ns)
		}
		own, _ := c.Account()
		c.PlatformNamespaces = append(c.PlatformNamespaces, c.IstioNamespace, cmp.Or(c.RootNamespace, c.IstioNamespace), "kube-system", "cert-manager", own)
		slices.Sort(c.PlatformNamespaces)
		c.PlatformNamespaces = slices.Compact(c.PlatformNamespaces)
	}
}

func setDefault[T ~string](field *T, value T) {
	if *field == "" {
		*field = value
	}
}

// Settings returns the model's view of the configuration.
func (c *Config) Settings() mesh.Settings {
	exports := mesh.DefaultExports{
		Services:         c.DefaultServiceExportTo,
		VirtualServices:  c.DefaultVirtualServiceExportTo,
		DestinationRules: c.DefaultDestinationRuleExportTo,
	}
	def := mesh.DefaultSettings()
	s := mesh.Settings{
		PlatformNamespaces: c.PlatformNamespaces,
		IstioNamespace:     c.IstioNamespace,
		SharedMeshConfig:   c.SharedMeshConfig,
		Overrides: mesh.Overrides{
			RootNamespace: c.RootNamespace,
			ClusterDomain: c.ClusterDomain,
			Outbound:      c.OutboundTrafficPolicy,
			Exports:       exports,
		},
		RootNamespace:  cmp.Or(c.RootNamespace, c.IstioNamespace),
		TrustDomain:    def.TrustDomain,
		ClusterDomain:  cmp.Or(c.ClusterDomain, def.ClusterDomain),
		Injection:      mesh.Injection(c.Injection),
		NetworkPolicy:  c.NetworkPolicy == Confined,
		Walls:          c.Walls.settings(c.NetworkPolicy == Staged),
		Authorization:  c.Authorization == Enabled,
		AllowAny:       c.OutboundTrafficPolicy != "" && c.OutboundTrafficPolicy != meshconfig.RegistryOnly,
		Outbound:       c.OutboundTrafficPolicy,
		DNSCapture:     c.DNSCapture == Enabled,
		Limits:         mesh.Limits{Object: c.Limits.ObjectBytes, Namespace: c.Limits.NamespaceBytes},
		DefaultExports: exports,
	}
	if c.DNSCapture != "" {
		s.Overrides.DNSCapture = new(c.DNSCapture == Enabled)
	}
	s.Istio, _ = mesh.ParseIstioVersion(c.Versions.Istio)            // checked
	s.GatewayAPI, _ = mesh.ParseBundleVersion(c.Versions.GatewayAPI) // checked
	s.Ambient = c.Ambient.settings()
	s.Ownership = c.Ownership.settings()
	s.InMesh = c.InMesh.settings()
	for _, e := range c.MetadataExceptions {
		s.MetadataExceptions = append(s.MetadataExceptions, e.settings())
	}
	for _, cr := range c.Credentials {
		credential := mesh.Credential{Name: cr.Name, Namespaces: cr.Namespaces, Secret: cr.Secret}
		if i := cr.Issuer; i != nil {
			credential.Issuer = mesh.Issuer{Kind: i.Kind, Name: i.Name, CommonName: i.CommonName}
		}
		for _, h := range cr.Hosts {
			credential.Hosts = append(credential.Hosts, mesh.CanonicalHost(h))
		}
		s.Credentials = append(s.Credentials, credential)
	}
	for _, i := range c.Issuers {
		grant := mesh.Grant{Issuer: mesh.Issuer{Kind: i.Kind, Name: i.Name, CommonName: i.CommonName}, Namespaces: i.Namespaces}
		for _, h := range i.Hosts {
			grant.Hosts = append(grant.Hosts, mesh.CanonicalHost(h))
		}
		s.Grants = append(s.Grants, grant)
	}
	for _, g := range c.Gateways {
		ns, service, _ := strings.Cut(g.Service, "/")
		var wildcards []mesh.Wildcard
		for _, w := range g.Wildcards {
			wildcards = append(wildcards, mesh.Wildcard{Host: mesh.CanonicalHost(w.Host), Server: mesh.CanonicalHost(w.Server)})
		}
		s.Gateways = append(s.Gateways, mesh.EgressGateway{
			Name:      g.Name,
			Namespace: ns,
			Service:   service,
			Selector:  g.Selector,
			MutualTLS: *g.MutualTLS,
			Wildcards: wildcards,
		})
	}
	return s
}

// Account returns the namespace and name of the server's service account.
func (c *Config) Account() (namespace, name string) {
	namespace, name, _ = strings.Cut(c.ServiceAccount, "/")
	return namespace, name
}

// User is the user name by which the API server knows the server's service
// account.
func (c *Config) User() string {
	namespace, name := c.Account()
	return "system:serviceaccount:" + namespace + ":" + name
}
