// Package mesh is Sallyport's model of what Istio does with egress traffic.
//
// Objects are decoded once, from raw JSON, into the small types of this
// package. A [Mesh] is an immutable set of them; a change is an overlay
// ([Mesh.With], [Mesh.Without]) that shares everything it does not touch.
// [Mesh.Paths] answers where a client's traffic for an external host goes, in
// the way that Istio's control plane would program it.
//
// # What is being deleted
//
// An object with a deletionTimestamp is in force in Istio until its last
// finalizer is gone, and then it is not, without anybody having asked for that
// at the time. What it closes therefore counts as open already, and what it
// opens as open still: a path has the worse of the verdicts that it has with
// everything that is dying and without. An object of a namespace that is being
// deleted is dying with it.
//
// Of several dying objects some may go before others. Those states are judged
// when they come: what lets one of them go, a DELETE or the UPDATE that removes
// its last finalizer, is a write that is judged against the others as they are
// at that moment, and once more against none of them.
//
// The package knows no client, no clock, no log: everything is a function from
// values to values, and every value is safe for concurrent use.
package mesh

import (
	"time"

	"github.com/sallyport-io/sallyport/internal/told"
)

// Ref names one object. Kind is the bare kind ("ServiceEntry"), except for
// the Gateway API's Gateway, which is "K8sGateway" to keep it apart from
// Istio's own.
type Ref struct {
	Kind      string `json:"kind"`
	Namespace string `json:"namespace"`
	Name      string `json:"name"`
}

// String is "Kind/namespace/name", or "Kind/name" for cluster-scoped objects.
func (r Ref) String() string {
	if r.Namespace == "" {
		return r.Kind + "/" + r.Name
	}
	return r.Kind + "/" + r.Namespace + "/" + r.Name
}

// Tell names the object in a message.
func (r Ref) Tell() told.Arg { return told.Object(r.String()) }

// Meta is what the model keeps of an object's metadata.
type Meta struct {
	Ref
	Labels      map[string]string
	Annotations map[string]string
	// Created orders objects as Istio does: oldest first. The zero time
	// stands for "not created yet" and sorts after every real time.
	Created time.Time
	// Owners are the UIDs of the ownerReferences.
	Owners []string
	UID    string
	// ResourceVersion is the API server's, for writes that rest on what was
	// read; empty for an object that does not exist yet.
	ResourceVersion string
	// Fingerprint stands for what Sallyport has written of an object that a
	// cluster holds: the whole object under one of the reserved names, the
	// [StatusAnnotation] of a user's ServiceEntry. It is zero where Sallyport
	// has written nothing, and for what no [Pool] has decoded.
	Fingerprint uint64
	// Size is the bytes of the object's JSON that the model keeps: of its labels,
	// annotations and spec. It is zero for what was not decoded.
	Size int
	// Deleting is true once a deletionTimestamp is set. Such an object is
	// still in force in Istio, and may be gone at any moment; see
	// [Mesh.Survivors].
	Deleting bool
	// DeletingReason is why an object counts as being deleted that has no
	// deletionTimestamp; see [Terminating].
	DeletingReason string
}

// Object is one decoded object. The concrete types are those of this package.
type Object interface {
	// Metadata returns the object's metadata. It must not be changed.
	Metadata() *Meta
}

// Metadata implements [Object] for every type that embeds Meta.
func (m *Meta) Metadata() *Meta { return m }

// ServiceEntry is Istio's ServiceEntry
// (https://istio.io/latest/docs/reference/config/networking/service-entry/).
type ServiceEntry struct {
	Meta
	Hosts           []string          `json:"hosts"`
	Addresses       []string          `json:"addresses"`
	Ports           []ServicePort     `json:"ports"`
	Location        string            `json:"location"`   // MESH_EXTERNAL when absent
	Resolution      string            `json:"resolution"` // NONE when absent
	Endpoints       []Endpoint        `json:"endpoints"`
	WorkloadLabels  *WorkloadSelector `json:"workloadSelector"`
	ExportTo        []string          `json:"exportTo"` // nil when absent
	SubjectAltNames []string          `json:"subjectAltNames"`

	// Kept is true where Sallyport will go on holding the entry back, in a mesh
	// that is read as open too.
	Kept bool `json:"-"`
}

// ServicePort is one port of a ServiceEntry.
type ServicePort struct {
	Number     int    `json:"number"`
	Protocol   string `json:"protocol"` // as written; see [ParseProtocol]
	Name       string `json:"name"`
	TargetPort int    `json:"targetPort"`
}

// Endpoint is an inline endpoint of a ServiceEntry or the body of a
// WorkloadEntry.
type Endpoint struct {
	Address        string            `json:"address"`
	Ports          map[string]int    `json:"ports"`
	Labels         map[string]string `json:"labels"`
	Network        string            `json:"network"`
	Locality       string            `json:"locality"`
	Weight         int               `json:"weight"`
	ServiceAccount string            `json:"serviceAccount"`
}

// WorkloadSelector selects workloads by label. The field has two names in
// Istio's API: "labels" (ServiceEntry, Sidecar) and "matchLabels"
// (DestinationRule); decoding accepts the one that belongs to the kind.
type WorkloadSelector struct {
	Labels      map[string]string `json:"labels"`
	MatchLabels map[string]string `json:"matchLabels"`
}

// VirtualService is Istio's VirtualService
// (https://istio.io/latest/docs/reference/config/networking/virtual-service/).
type VirtualService struct {
	Meta
	Hosts    []string    `json:"hosts"`
	Gateways []string    `json:"gateways"` // ["mesh"] when absent, as written otherwise
	HTTP     []HTTPRoute `json:"http"`
	TLS      []TLSRoute  `json:"tls"`
	TCP      []TCPRoute  `json:"tcp"`
	ExportTo []string    `json:"exportTo"`
}

// HTTPRoute is one http rule of a VirtualService.
type HTTPRoute struct {
	Name           string              `json:"name"`
	Match          []HTTPMatch         `json:"match"`
	Route          []RouteDestination  `json:"route"`
	Redirect       *HTTPRedirect       `json:"redirect"`
	DirectResponse *HTTPDirectResponse `json:"directResponse"`
	Delegate       *Delegate           `json:"delegate"`
	Rewrite        *HTTPRewrite        `json:"rewrite"`
	Mirror         *Destination        `json:"mirror"`
	MirrorPercent  *int                `json:"mirrorPercent"`
	MirrorPercents *Percent            `json:"mirrorPercentage"`
	Mirrors        []HTTPMirror        `json:"mirrors"`
	Headers        *Headers            `json:"headers"`
}

// HTTPMatch is one match block of an http rule. Only the presence and value
// of a run-time predicate matter here, never how it is evaluated.
type HTTPMatch struct {
	Name            string                 `json:"name"`
	Port            int                    `json:"port"`
	Gateways        []string               `json:"gateways"`
	SourceLabels    map[string]string      `json:"sourceLabels"`
	SourceNamespace string                 `json:"sourceNamespace"`
	URI             *StringMatch           `json:"uri"`
	Scheme          *StringMatch           `json:"scheme"`
	Method          *StringMatch           `json:"method"`
	Authority       *StringMatch           `json:"authority"`
	Headers         map[string]StringMatch `json:"headers"`
	WithoutHeaders  map[string]StringMatch `json:"withoutHeaders"`
	QueryParams     map[string]StringMatch `json:"queryParams"`
	IgnoreURICase   bool                   `json:"ignoreUriCase"`
	StatPrefix      string                 `json:"statPrefix"`
}

// StringMatch is Istio's string predicate.
type StringMatch struct {
	Exact  *string `json:"exact"`
	Prefix *string `json:"prefix"`
	Regex  *string `json:"regex"`
}

// RouteDestination is a weighted destination.
type RouteDestination struct {
	Destination Destination `json:"destination"`
	Weight      int         `json:"weight"`
	Headers     *Headers    `json:"headers"`
}

// Destination names a service, and perhaps a subset and a port of it.
type Destination struct {
	Host   string        `json:"host"`
	Subset string        `json:"subset"`
	Port   *PortSelector `json:"port"`
}

// PortSelector selects a port by number.
type PortSelector struct {
	Number int `json:"number"`
}

// HTTPMirror is one entry of an http rule's mirrors.
type HTTPMirror struct {
	Destination *Destination `json:"destination"`
	Percentage  *Percent     `json:"percentage"`
}

// Percent is a percentage between 0 and 100.
type Percent struct {
	Value float64 `json:"value"`
}

// Delegate names the VirtualService that holds a rule's routes.
type Delegate struct {
	Name      string `json:"name"`
	Namespace string `json:"namespace"`
}

// HTTPRedirect sends the client elsewhere.
type HTTPRedirect struct {
	URI       string `json:"uri"`
	Authority string `json:"authority"`
	Scheme    string `json:"scheme"`
}

// HTTPDirectResponse answers without an upstream.
type HTTPDirectResponse struct {
	Status int `json:"status"`
}

// HTTPRewrite changes a request before it is forwarded.
type HTTPRewrite struct {
	URI       string `json:"uri"`
	Authority string `json:"authority"`
}

// Headers are the header operations of a rule or destination.
type Headers struct {
	Request  *HeaderOperations `json:"request"`
	Response *HeaderOperations `json:"response"`
}

// HeaderOperations sets, adds and removes headers.
type HeaderOperations struct {
	Set    map[string]string `json:"set"`
	Add    map[string]string `json:"add"`
	Remove []string          `json:"remove"`
}

// TLSRoute is one tls rule of a VirtualService.
type TLSRoute struct {
	Match []TLSMatch         `json:"match"`
	Route []RouteDestination `json:"route"`
}

// TLSMatch is one match block of a tls rule.
type TLSMatch struct {
	SNIHosts           []string          `json:"sniHosts"`
	DestinationSubnets []string          `json:"destinationSubnets"`
	Port               int               `json:"port"`
	SourceLabels       map[string]string `json:"sourceLabels"`
	SourceNamespace    string            `json:"sourceNamespace"`
	Gateways           []string          `json:"gateways"`
}

// TCPRoute is one tcp rule of a VirtualService.
type TCPRoute struct {
	Match []TCPMatch         `json:"match"`
	Route []RouteDestination `json:"route"`
}

// TCPMatch is one match block of a tcp rule.
type TCPMatch struct {
	DestinationSubnets []string          `json:"destinationSubnets"`
	Port               int               `json:"port"`
	SourceSubnet       string            `json:"sourceSubnet"`
	SourceLabels       map[string]string `json:"sourceLabels"`
	SourceNamespace    string            `json:"sourceNamespace"`
	Gateways           []string          `json:"gateways"`
}

// Gateway is Istio's Gateway
// (https://istio.io/latest/docs/reference/config/networking/gateway/).
type Gateway struct {
	Meta
	Selector map[string]string `json:"selector"`
	Servers  []Server          `json:"servers"`
}

// Server is one server of a Gateway.
type Server struct {
	Name  string     `json:"name"`
	Bind  string     `json:"bind"`
	Port  ServerPort `json:"port"`
	Hosts []string   `json:"hosts"` // "host", "./host", "namespace/host" or "*/host"
	TLS   *ServerTLS `json:"tls"`
}

// ServerPort is the port a server listens on.
type ServerPort struct {
	Number     int    `json:"number"`
	Protocol   string `json:"protocol"`
	Name       string `json:"name"`
	TargetPort int    `json:"targetPort"`
}

// ServerTLS is a server's TLS settings. Mode is PASSTHROUGH when absent,
// which is the API's zero value.
type ServerTLS struct {
	Mode              string   `json:"mode"`
	HTTPSRedirect     bool     `json:"httpsRedirect"`
	CredentialName    string   `json:"credentialName"`
	ServerCertificate string   `json:"serverCertificate"`
	PrivateKey        string   `json:"privateKey"`
	CACertificates    string   `json:"caCertificates"`
	SubjectAltNames   []string `json:"subjectAltNames"`
}

// DestinationRule is Istio's DestinationRule
// (https://istio.io/latest/docs/reference/config/networking/destination-rule/).
type DestinationRule struct {
	Meta
	Host             string            `json:"host"`
	TrafficPolicy    *TrafficPolicy    `json:"trafficPolicy"`
	Subsets          []Subset          `json:"subsets"`
	ExportTo         []string          `json:"exportTo"`
	WorkloadSelector *WorkloadSelector `json:"workloadSelector"`
}

// Subset is a named subset of a destination.
type Subset struct {
	Name          string            `json:"name"`
	Labels        map[string]string `json:"labels"`
	TrafficPolicy *TrafficPolicy    `json:"trafficPolicy"`
}

// TrafficPolicy keeps the parts of a traffic policy that steer or protect
// traffic.
type TrafficPolicy struct {
	TLS               *ClientTLS      `json:"tls"`
	PortLevelSettings []PortPolicy    `json:"portLevelSettings"`
	Tunnel            *TunnelSettings `json:"tunnel"`
}

// PortPolicy replaces the destination-level policy for one port.
type PortPolicy struct {
	Port           PortSelector    `json:"port"`
	TLS            *ClientTLS      `json:"tls"`
	ConnectionPool *ConnectionPool `json:"connectionPool"`
}

// ConnectionPool keeps the part of a connection pool's settings that
// companions use.
type ConnectionPool struct {
	HTTP *HTTPPool `json:"http"`
}

// HTTPPool says how requests travel. H2UpgradePolicy is DEFAULT when absent.
type HTTPPool struct {
	H2UpgradePolicy string `json:"h2UpgradePolicy"`
}

// ClientTLS is the TLS that a client uses to a destination. Mode is DISABLE
// when absent, which is the API's zero value.
type ClientTLS struct {
	Mode               string   `json:"mode"`
	SNI                string   `json:"sni"`
	SubjectAltNames    []string `json:"subjectAltNames"`
	CredentialName     string   `json:"credentialName"`
	ClientCertificate  string   `json:"clientCertificate"`
	PrivateKey         string   `json:"privateKey"`
	CACertificates     string   `json:"caCertificates"`
	InsecureSkipVerify *bool    `json:"insecureSkipVerify"`
	// CACertCredentialName is a Secret with the authorities by which the
	// server is verified, since Istio 1.32.
	CACertCredentialName string `json:"caCertCredentialName"`
}

// TunnelSettings sends traffic through an HTTP CONNECT or POST tunnel.
type TunnelSettings struct {
	Protocol   string `json:"protocol"`
	TargetHost string `json:"targetHost"`
	TargetPort int    `json:"targetPort"`
}

// Sidecar is Istio's Sidecar
// (https://istio.io/latest/docs/reference/config/networking/sidecar/).
type Sidecar struct {
	Meta
	WorkloadSelector      *WorkloadSelector      `json:"workloadSelector"`
	Egress                []EgressListener       `json:"egress"`
	OutboundTrafficPolicy *OutboundTrafficPolicy `json:"outboundTrafficPolicy"`
}

// EgressListener is one egress listener of a Sidecar.
type EgressListener struct {
	Port        *ServerPort `json:"port"`
	Bind        string      `json:"bind"`
	CaptureMode string      `json:"captureMode"`
	Hosts       []string    `json:"hosts"` // "namespace/host"
}

// OutboundTrafficPolicy says what happens to traffic for unknown hosts. Mode
// is REGISTRY_ONLY when absent, which is the API's zero value.
type OutboundTrafficPolicy struct {
	Mode        string       `json:"mode"`
	EgressProxy *Destination `json:"egressProxy"`
}

// WorkloadEntry is Istio's WorkloadEntry.
type WorkloadEntry struct {
	Meta
	Endpoint
}

// EnvoyFilter is kept only for its existence and its reach: what it does to a
// proxy is beyond any model.
type EnvoyFilter struct {
	Meta
	WorkloadSelector *WorkloadSelector `json:"workloadSelector"`
}

// Definition is a CustomResourceDefinition: the end of it is the end of every
// object of its kind.
type Definition struct {
	Meta
	Group, Kind string
}

// Namespace is a Kubernetes namespace.
type Namespace struct{ Meta }

// Service is a Kubernetes Service.
type Service struct {
	Meta
	Type         string            `json:"type"`
	ExternalName string            `json:"externalName"`
	ClusterIPs   []string          `json:"clusterIPs"` // one of each family, or "None"
	ExternalIPs  []string          `json:"externalIPs"`
	Selector     map[string]string `json:"selector"`
	Ports        []K8sServicePort  `json:"ports"`
	ExportTo     []string          `json:"-"` // the annotation networking.istio.io/exportTo
}

// K8sServicePort is one port of a Kubernetes Service. TargetPort is a number
// or a name, as written; it is empty when absent, which means Port.
type K8sServicePort struct {
	Name        string `json:"name"`
	Port        int    `json:"port"`
	TargetPort  string `json:"-"`
	Protocol    string `json:"protocol"`
	AppProtocol string `json:"appProtocol"`
}

// EndpointSlice is a Kubernetes EndpointSlice: the addresses behind a
// Service. It matters for Services without selector, whose addresses may lie
// anywhere.
type EndpointSlice struct {
	Meta
	Addresses []string
	Ready     int    // how many of its endpoints take traffic
	Service   string // the kubernetes.io/service-name label
	Ports     []EndpointPort
}

// EndpointPort is a port of the pods behind a Service: what its targetPort is
// for them, where that is a name.
type EndpointPort struct {
	Name     string `json:"name"` // of the Service's port
	Protocol string `json:"protocol"`
	Port     int    `json:"port"`
}

// Route is a Gateway API HTTPRoute, GRPCRoute, TLSRoute or TCPRoute.
type Route struct {
	Meta
	Hostnames  []string    `json:"hostnames"`
	ParentRefs []ParentRef `json:"parentRefs"`
	Rules      []RouteRule `json:"rules"`
}

// ParentRef names what a Route is attached to.
type ParentRef struct {
	Group     string `json:"group"`
	Kind      string `json:"kind"`
	Namespace string `json:"namespace"`
	Name      string `json:"name"`
	Port      int    `json:"port"`
}

// RouteRule keeps a rule's backends; HasMatches tells whether the rule is
// restricted to some requests.
type RouteRule struct {
	BackendRefs []BackendRef `json:"backendRefs"`
	Mirrors     []BackendRef `json:"-"` // requestMirror filters
	Authorities []string     `json:"-"` // what filters, of the rule or of a backend, make of the Host header
	HasMatches  bool         `json:"-"`
}

// BackendRef is a weighted backend. Weight is 1 when absent.
type BackendRef struct {
	Group     string `json:"group"`
	Kind      string `json:"kind"`
	Namespace string `json:"namespace"`
	Name      string `json:"name"`
	Port      int    `json:"port"`
	Weight    *int   `json:"weight"`
}

// K8sGateway is a Gateway API Gateway: an automatically deployed gateway or,
// with class istio-waypoint, a waypoint.
type K8sGateway struct {
	Meta
	GatewayClassName string        `json:"gatewayClassName"`
	Listeners        []K8sListener `json:"listeners"`
	Addresses        []string      `json:"-"` // that it asks for, and that it has
	// Unready is true where the status says that no pod of it runs yet. One without
	// a status is a manifest, and is taken to come true.
	Unready bool `json:"-"`
}

// K8sListener is a listener of a Gateway API Gateway.
type K8sListener struct {
	Name     string     `json:"name"`
	Hostname string     `json:"hostname"`
	Port     int        `json:"port"`
	Protocol string     `json:"protocol"`
	TLSMode  string     `json:"-"`
	Routes   RoutesFrom `json:"-"`
}

// NetworkPolicy is a Kubernetes NetworkPolicy; Raw is its JSON, for package
// netpol.
type NetworkPolicy struct {
	Meta
	Raw []byte
}
