package doctor

import (
	admissionv1 "k8s.io/api/admissionregistration/v1"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
)

const (
	groupIstio       = "networking.istio.io"
	groupIstioSec    = "security.istio.io"
	groupGatewayAPI  = "gateway.networking.k8s.io"
	groupGatewayX    = "gateway.networking.x-k8s.io"
	groupCertManager = "cert-manager.io"
	groupAdmission   = "admissionregistration.k8s.io"
)

// source is where an API server serves a kind, and what becomes of its
// objects.
type source struct {
	group    string
	versions []string
	resource string
	partly   bool // read in single namespaces, or by name, only
	recent   bool // built into newer API servers only
	add      func(*Facts, []byte) error
}

func (s source) builtIn() bool {
	if s.recent {
		return false
	}
	switch s.group {
	case groupIstio, groupIstioSec, groupGatewayAPI, groupGatewayX, groupCertManager:
		return false
	}
	return true
}

// kind is the API's name of a kind of the model.
func (s source) kind(name string) string {
	if name == "K8sGateway" {
		return "Gateway"
	}
	return name
}

var (
	v1            = []string{"v1"}
	istioVersions = []string{"v1", "v1beta1", "v1alpha3"}
)

// sources are the kinds that are read, by name.
var sources = map[string]source{
	"ConfigMap":     {versions: v1, resource: "configmaps", partly: true, add: both(take(func(f *Facts) *[]corev1.ConfigMap { return &f.configMaps }), model)},
	"Secret":        {versions: v1, resource: "secrets", partly: true, add: take(func(f *Facts) *[]corev1.Secret { return &f.secrets })},
	"Node":          {versions: v1, resource: "nodes", add: both(model, take(func(f *Facts) *[]corev1.Node { return &f.nodes }))},
	"Pod":           {versions: v1, resource: "pods", add: addPod},
	"Namespace":     {versions: v1, resource: "namespaces", add: model},
	"Service":       {versions: v1, resource: "services", add: both(model, take(func(f *Facts) *[]corev1.Service { return &f.services }))},
	"EndpointSlice": {group: "discovery.k8s.io", versions: v1, resource: "endpointslices", add: both(model, take(func(f *Facts) *[]discoveryv1.EndpointSlice { return &f.slices }))},
	"NetworkPolicy": {group: "networking.k8s.io", versions: v1, resource: "networkpolicies", add: both(model, take(func(f *Facts) *[]networkingv1.NetworkPolicy { return &f.netpols }))},
	"ServiceCIDR":   {group: "networking.k8s.io", versions: []string{"v1", "v1beta1"}, resource: "servicecidrs", recent: true, add: model},
	"DaemonSet":     {group: "apps", versions: v1, resource: "daemonsets", add: take(func(f *Facts) *[]appsv1.DaemonSet { return &f.daemonSets })},
	"PodDisruptionBudget": {
		group: "policy", versions: v1, resource: "poddisruptionbudgets",
		add: take(func(f *Facts) *[]policyv1.PodDisruptionBudget { return &f.budgets }),
	},
	"MutatingWebhookConfiguration": {
		group: groupAdmission, versions: v1, resource: "mutatingwebhookconfigurations",
		add: take(func(f *Facts) *[]admissionv1.MutatingWebhookConfiguration { return &f.mutating }),
	},
	"ValidatingWebhookConfiguration": {
		group: groupAdmission, versions: v1, resource: "validatingwebhookconfigurations",
		add: take(func(f *Facts) *[]admissionv1.ValidatingWebhookConfiguration { return &f.validating }),
	},
	"Certificate": {
		group: groupCertManager, versions: v1, resource: "certificates", partly: true,
		add: take(func(f *Facts) *[]certificate { return &f.certificates }),
	},
	"CustomResourceDefinition": {group: "apiextensions.k8s.io", versions: v1, resource: "customresourcedefinitions", partly: true, add: model},
	"PeerAuthentication": {
		group: groupIstioSec, versions: []string{"v1", "v1beta1"}, resource: "peerauthentications",
		add: take(func(f *Facts) *[]peerAuthentication { return &f.peers }),
	},

	"ServiceEntry":    {group: groupIstio, versions: istioVersions, resource: "serviceentries", add: model},
	"VirtualService":  {group: groupIstio, versions: istioVersions, resource: "virtualservices", add: model},
	"Gateway":         {group: groupIstio, versions: istioVersions, resource: "gateways", add: model},
	"DestinationRule": {group: groupIstio, versions: istioVersions, resource: "destinationrules", add: model},
	"Sidecar":         {group: groupIstio, versions: istioVersions, resource: "sidecars", add: model},
	"WorkloadEntry":   {group: groupIstio, versions: istioVersions, resource: "workloadentries", add: model},
	"EnvoyFilter":     {group: groupIstio, versions: []string{"v1alpha3"}, resource: "envoyfilters", add: model},

	"AuthorizationPolicy": {group: groupIstioSec, versions: []string{"v1", "v1beta1"}, resource: "authorizationpolicies", add: model},

	"K8sGateway": {group: groupGatewayAPI, versions: []string{"v1", "v1beta1"}, resource: "gateways", add: model},
	"HTTPRoute":  {group: groupGatewayAPI, versions: []string{"v1", "v1beta1"}, resource: "httproutes", add: model},
	"GRPCRoute":  {group: groupGatewayAPI, versions: v1, resource: "grpcroutes", add: model},
	"TLSRoute":   {group: groupGatewayAPI, versions: []string{"v1", "v1alpha3", "v1alpha2"}, resource: "tlsroutes", add: model},
	"TCPRoute":   {group: groupGatewayAPI, versions: []string{"v1", "v1alpha2"}, resource: "tcproutes", add: model},

	"BackendTLSPolicy": {group: groupGatewayAPI, versions: []string{"v1", "v1alpha3"}, resource: "backendtlspolicies", add: model},
	"XBackend":         {group: groupGatewayX, versions: []string{"v1alpha1"}, resource: "xbackends", add: model},
}

// walls are the kinds on which the NetworkPolicies depend that Sallyport keeps.
var walls = kinds("Namespace", "NetworkPolicy", "Service", "ServiceEntry", "Node", "ServiceCIDR")

// paths are the kinds on which the paths of traffic depend.
var paths = kinds("Namespace", "Service", "EndpointSlice", "ServiceEntry", "VirtualService", "Gateway", "DestinationRule", "Sidecar",
	"WorkloadEntry", "EnvoyFilter", "K8sGateway", "HTTPRoute", "GRPCRoute", "TLSRoute", "TCPRoute", "BackendTLSPolicy", "XBackend")
