package schema

import (
	"iter"
	"maps"
	"slices"
	"strings"

	"google.golang.org/protobuf/proto"
	extensions "istio.io/api/extensions/v1alpha1"
	networking "istio.io/api/networking/v1alpha3"
	networkingv1beta1 "istio.io/api/networking/v1beta1"
	security "istio.io/api/security/v1beta1"
	telemetry "istio.io/api/telemetry/v1alpha1"
	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	networkingv1 "k8s.io/api/networking/v1"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"
	gatewayx "sigs.k8s.io/gateway-api/apisx/v1alpha1"

	"github.com/sallyport-io/sallyport/internal/apikind"
)

// istioKinds are the kinds whose spec is a protobuf message. Istio's versions
// of a kind share one message.
var istioKinds = map[string]map[string]proto.Message{
	"networking.istio.io": {
		"DestinationRule": (*networking.DestinationRule)(nil),
		"EnvoyFilter":     (*networking.EnvoyFilter)(nil),
		"Gateway":         (*networking.Gateway)(nil),
		"ProxyConfig":     (*networkingv1beta1.ProxyConfig)(nil),
		"ServiceEntry":    (*networking.ServiceEntry)(nil),
		"Sidecar":         (*networking.Sidecar)(nil),
		"VirtualService":  (*networking.VirtualService)(nil),
		"WorkloadEntry":   (*networking.WorkloadEntry)(nil),
		"WorkloadGroup":   (*networking.WorkloadGroup)(nil),
	},
	"security.istio.io": {
		"AuthorizationPolicy":   (*security.AuthorizationPolicy)(nil),
		"PeerAuthentication":    (*security.PeerAuthentication)(nil),
		"RequestAuthentication": (*security.RequestAuthentication)(nil),
	},
	"telemetry.istio.io": {
		"Telemetry": (*telemetry.Telemetry)(nil),
	},
	"extensions.istio.io": {
		"TrafficExtension": (*extensions.TrafficExtension)(nil),
		"WasmPlugin":       (*extensions.WasmPlugin)(nil),
	},
}

// IstioGroup reports whether an API group is one of Istio's.
func IstioGroup(group string) bool { return istioKinds[group] != nil }

// IstioGroups yields Istio's API groups, in no order.
func IstioGroups() iter.Seq[string] { return maps.Keys(istioKinds) }

// IstioKinds yields the kinds of one of Istio's groups, in no order.
func IstioKinds(group string) iter.Seq[string] { return maps.Keys(istioKinds[group]) }

// Istio returns the message that the spec of one of Istio's kinds is.
func Istio(group, kind string) (proto.Message, bool) {
	m, ok := istioKinds[group][kind]
	return m, ok
}

// IstioVersions returns the versions in which one of Istio's kinds is served, the newest
// first.
func IstioVersions(group, kind string) []string {
	k, _ := apikind.Of(group, kind)
	return k.Versions
}

// goKind is a kind that has a Go type.
type goKind struct {
	versions []string // those whose fields are those of the type
	object   func() any
}

// goKinds are the kinds beside Istio's that the model reads, by group and kind.
// Of other kinds and versions the fields are not known here.
var goKinds = map[[2]string]goKind{
	{"", "Binding"}:               {v1, func() any { return new(corev1.Binding) }},
	{"", "Endpoints"}:             {v1, func() any { return new(corev1.Endpoints) }}, //nolint:staticcheck // deprecated, and served
	{"", "Namespace"}:             {v1, func() any { return new(corev1.Namespace) }},
	{"", "Node"}:                  {v1, func() any { return new(corev1.Node) }},
	{"", "Pod"}:                   {v1, func() any { return new(corev1.Pod) }},
	{"", "PodTemplate"}:           {v1, func() any { return new(corev1.PodTemplate) }},
	{"", "ReplicationController"}: {v1, func() any { return new(corev1.ReplicationController) }},
	{"", "Service"}:               {v1, func() any { return new(corev1.Service) }},

	{"apps", "ControllerRevision"}:         {v1, func() any { return new(appsv1.ControllerRevision) }},
	{"apps", "DaemonSet"}:                  {v1, func() any { return new(appsv1.DaemonSet) }},
	{"apps", "Deployment"}:                 {v1, func() any { return new(appsv1.Deployment) }},
	{"apps", "ReplicaSet"}:                 {v1, func() any { return new(appsv1.ReplicaSet) }},
	{"apps", "StatefulSet"}:                {v1, func() any { return new(appsv1.StatefulSet) }},
	{"batch", "CronJob"}:                   {v1, func() any { return new(batchv1.CronJob) }},
	{"batch", "Job"}:                       {v1, func() any { return new(batchv1.Job) }},
	{"discovery.k8s.io", "EndpointSlice"}:  {v1, func() any { return new(discoveryv1.EndpointSlice) }},
	{"networking.k8s.io", "Ingress"}:       {v1, func() any { return new(networkingv1.Ingress) }},
	{"networking.k8s.io", "NetworkPolicy"}: {v1, func() any { return new(networkingv1.NetworkPolicy) }},
	{"networking.k8s.io", "ServiceCIDR"}:   {v1, func() any { return new(networkingv1.ServiceCIDR) }},
	{gatewayGroup, "BackendTLSPolicy"}:     {v1, func() any { return new(gatewayv1.BackendTLSPolicy) }},
	{gatewayGroup, "Gateway"}:              {v1, func() any { return new(gatewayv1.Gateway) }},
	{gatewayGroup, "GatewayClass"}:         {v1, func() any { return new(gatewayv1.GatewayClass) }},
	{gatewayGroup, "GRPCRoute"}:            {v1, func() any { return new(gatewayv1.GRPCRoute) }},
	{gatewayGroup, "HTTPRoute"}:            {v1, func() any { return new(gatewayv1.HTTPRoute) }},
	{gatewayGroup, "ListenerSet"}:          {v1, func() any { return new(gatewayv1.ListenerSet) }},
	{gatewayGroup, "ReferenceGrant"}:       {[]string{"v1", "v1beta1"}, func() any { return new(gatewayv1.ReferenceGrant) }},
	{gatewayGroup, "TCPRoute"}:             {[]string{"v1", "v1alpha2"}, func() any { return new(gatewayv1.TCPRoute) }},
	{gatewayGroup, "TLSRoute"}:             {v1, func() any { return new(gatewayv1.TLSRoute) }},
	{gatewayXGroup, "XBackend"}:            {v1alpha1, func() any { return new(gatewayx.XBackend) }},
}

const (
	gatewayGroup  = apikind.GatewayAPI
	gatewayXGroup = apikind.GatewayAPIX
)

var (
	v1       = []string{"v1"}
	v1alpha1 = []string{"v1alpha1"}
)

// Go returns a new value of the Go type of a kind that is not Istio's.
func Go(apiVersion, kind string) (any, bool) {
	group, version, found := strings.Cut(apiVersion, "/")
	if !found {
		group, version = "", apiVersion
	}
	k, ok := goKinds[[2]string{group, kind}]
	if !ok || !slices.Contains(k.versions, version) {
		return nil, false
	}
	return k.object(), true
}
