package mesh

import (
	"slices"
	"strings"

	"github.com/sallyport-io/sallyport/internal/meshconfig"
)

// Injection is for which ServiceEntries of a namespace Sallyport keeps companions.
type Injection string

// All entries, those that ask ([ServiceEntry.Asks]), or none.
const (
	InjectAll  Injection = "enabled"
	InjectNew  Injection = "new"
	InjectNone Injection = "disabled"
)

// Settings are the facts about an installation that no object of the mesh
// tells: they come from the administrator's configuration.
type Settings struct {
	// Gateways are the approved egress gateways. The first one serves every
	// namespace that does not choose another by label.
	Gateways []EgressGateway
	// PlatformNamespaces may register hosts for everybody, bind to egress
	// gateways and select them.
	PlatformNamespaces []string
	// IstioNamespace is where istiod runs, and its ConfigMaps are.
	IstioNamespace string
	// SharedMeshConfig is the name of the ConfigMap whose mesh configuration those
	// of all revisions override; empty for none.
	SharedMeshConfig string
	// Overrides go before what Istio's mesh configuration says.
	Overrides Overrides
	// RootNamespace is meshConfig.rootNamespace. It and the other fields named for
	// one of the mesh configuration are what counts where the mesh holds none; see
	// [Mesh.Settings].
	RootNamespace string
	// TrustDomain is meshConfig.trustDomain.
	TrustDomain string
	// ClusterDomain is the DNS suffix of Kubernetes Services.
	ClusterDomain string
	// Injection is for which entries Sallyport keeps companions in namespaces
	// without [InjectionLabel]. Platform namespaces always need the label.
	Injection Injection
	// InjectionOverride, where not nil, takes precedence over label and
	// default in every namespace that is not the platform's.
	InjectionOverride *bool
	// NetworkPolicy is whether namespaces without [NetworkPolicyLabel] get a
	// NetworkPolicy.
	NetworkPolicy bool
	// Walls are how namespaces are confined and gateways surrounded.
	Walls Walls
	// Authorization is whether the gateway admits to a host only those
	// namespaces that registered it.
	Authorization bool
	// AllowAny is true where meshConfig.outboundTrafficPolicy.mode is not
	// REGISTRY_ONLY, which Sallyport requires.
	AllowAny bool
	// Outbound is that mode; empty for ALLOW_ANY or REGISTRY_ONLY, as AllowAny says.
	Outbound string
	// Discovery are meshConfig.discoverySelectors.
	Discovery meshconfig.Discovery
	// Visibility is meshConfig.serviceEntryVisibility.
	Visibility *meshconfig.Visibility
	// ProxyHTTPPort is meshConfig.proxyHttpPort.
	ProxyHTTPPort int
	// MeshConfig is the ConfigMap that these were read from, the first of several;
	// the zero Ref where the mesh holds none.
	MeshConfig Ref
	// DNSCapture is whether sidecars answer DNS queries themselves, with an
	// address of Istio's for every host that has none.
	DNSCapture bool
	// DefaultExports are what Istio's mesh configuration says of objects that
	// do not say themselves to whom they are exported.
	DefaultExports DefaultExports
	// Limits bound what is kept of what tenants write.
	Limits Limits
	// Istio is the version of the control plane, the oldest of several. Where it is
	// given, it goes before the versions of the mesh's istiods.
	Istio IstioVersion
	// LaterIstios are the versions of other control planes, the oldest first.
	LaterIstios []IstioVersion
	// GatewayAPI is the release of the Gateway API, where it goes before what the
	// definitions among the objects say.
	GatewayAPI BundleVersion
	// Credentials are the client certificates that egress gateways may
	// present to external hosts.
	Credentials []Credential
	// Grants are the cert-manager issuers that entries may ask for a client
	// certificate.
	Grants []Grant
	// Ambient is what is said of ambient mode.
	Ambient Ambient
	// Ownership says whose the external hosts are; nil where nobody says so.
	Ownership *Ownership
	// InMesh is what belongs to the mesh although its address looks otherwise.
	InMesh InMesh
	// MetadataExceptions let some clients reach a cloud's metadata service.
	MetadataExceptions []MetadataException
}

// Limits are the bytes of JSON ([Meta.Size]) that tenants may have the model keep;
// zero stands for the default.
type Limits struct{ Object, Namespace int }

// The limits where the configuration names none.
const (
	DefaultObjectLimit    = 256 << 10
	DefaultNamespaceLimit = 4 << 20
)

// OfObject is how large one object may be.
func (l Limits) OfObject() int {
	if l.Object == 0 {
		return DefaultObjectLimit
	}
	return l.Object
}

// OfNamespace is how large all objects of a namespace may be together.
func (l Limits) OfNamespace() int {
	if l.Namespace == 0 {
		return DefaultNamespaceLimit
	}
	return l.Namespace
}

// DefaultExports are meshConfig.defaultServiceExportTo,
// defaultVirtualServiceExportTo and defaultDestinationRuleExportTo. Nil stands
// for every namespace.
type DefaultExports struct {
	Services         []string // Kubernetes Services and ServiceEntries
	VirtualServices  []string
	DestinationRules []string // of which Istio honours "." and "*" only
}

// Credential is a client certificate, and who may have it presented to whom.
type Credential struct {
	Name       string   // by which an entry asks for it: [ClientCertificateAnnotation]
	Hosts      []string // canonical
	Namespaces []string
	Secret     string // in the gateway's namespace
	// Issuer keeps the Secret; the zero Issuer stands for people who do.
	Issuer Issuer
}

// Grant lets the entries of some namespaces have a client certificate of an
// issuer for some hosts. They ask for it by the issuer's name:
// [IssuerAnnotation].
type Grant struct {
	Issuer     Issuer
	Hosts      []string // canonical
	Namespaces []string
}

// Issuer is a cert-manager issuer, and what it is asked for.
type Issuer struct {
	Kind       string // Issuer, in the gateway's namespace, or ClusterIssuer
	Name       string
	CommonName string // of the certificate
}

// EgressGateway is one approved egress gateway.
type EgressGateway struct {
	Name      string
	Namespace string            // of the Service and of the pods
	Service   string            // name of the Service
	Selector  map[string]string // labels of the gateway's pods
	// MutualTLS is true where sidecars speak ISTIO_MUTUAL to the gateway.
	MutualTLS bool
	// Wildcards are the hosts by pattern that the gateway can serve.
	Wildcards []Wildcard
}

// Wildcard is a host by pattern, and the one server that answers for every
// name of it.
type Wildcard struct {
	Host   string // canonical: "*.wikipedia.org"
	Server string // canonical: "www.wikipedia.org"
}

// GatewayNamespace reports whether an egress gateway runs in the namespace.
func (s Settings) GatewayNamespace(name string) bool {
	return slices.ContainsFunc(s.Gateways, func(g EgressGateway) bool { return g.Namespace == name })
}

// Serves reports whether some gateway serves a canonical host by pattern.
func (s Settings) Serves(wildcard string) bool {
	return slices.ContainsFunc(s.Gateways, func(g EgressGateway) bool {
		return slices.ContainsFunc(g.Wildcards, func(w Wildcard) bool { return w.Host == wildcard })
	})
}

// Host is the fully qualified name of the gateway's Service.
func (g EgressGateway) Host(clusterDomain string) string {
	return g.Service + "." + g.Namespace + ".svc." + clusterDomain
}

// DefaultSettings describe Istio's own default installation.
func DefaultSettings() Settings {
	return Settings{
		Gateways: []EgressGateway{{
			Name:      "istio-egressgateway",
			Namespace: "istio-system",
			Service:   "istio-egressgateway",
			Selector:  map[string]string{"istio": "egressgateway"},
			MutualTLS: true,
		}},
		PlatformNamespaces: []string{"istio-system", "kube-system", "cert-manager", "sallyport-system"},
		IstioNamespace:     "istio-system",
		RootNamespace:      "istio-system",
		TrustDomain:        "cluster.local",
		Injection:          InjectAll,
		ClusterDomain:      "cluster.local",
		Walls:              Walls{NodeLocalDNS: []string{"169.254.20.10"}},
	}
}

// Platform reports whether the namespace belongs to the platform.
func (s Settings) Platform(namespace string) bool {
	return slices.Contains(s.PlatformNamespaces, namespace)
}

// serviceAccounts is what the user names of service accounts begin with.
const serviceAccounts = "system:serviceaccount:"

// ServiceAccountNamespace returns the namespace of the service account that a
// user name is, and false for every other user.
func ServiceAccountNamespace(user string) (string, bool) {
	rest, ok := strings.CutPrefix(user, serviceAccounts)
	if !ok {
		return "", false
	}
	namespace, _, ok := strings.Cut(rest, ":")
	return namespace, ok
}

// Operates reports whether a user is part of the cluster's own machinery: a
// controller of Kubernetes or of the cloud, or a service account of a platform
// namespace, as istiod's is.
func (s Settings) Operates(user string) bool {
	switch user {
	case "system:kube-controller-manager", "system:kube-scheduler", "system:cloud-controller-manager", "k3s-cloud-controller-manager":
		return true
	}
	namespace, ok := ServiceAccountNamespace(user)
	return ok && (namespace == "kube-system" || s.Platform(namespace))
}
