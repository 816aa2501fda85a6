package doctor

import (
	admissionv1 "k8s.io/api/admissionregistration/v1"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
)

// source is how a kind is read, and what becomes of its objects.
type source struct {
	partly bool // read in single namespaces, or by name, only
	recent bool // built into newer API servers only
	add    func(*Facts, []byte) error
}

// sources are the kinds that are read, by name.
var sources = map[string]source{
	"ConfigMap":     {partly: true, add: both(take(func(f *Facts) *[]corev1.ConfigMap { return &f.configMaps }), model)},
	"Secret":        {partly: true, add: take(func(f *Facts) *[]corev1.Secret { return &f.secrets })},
	"Node":          {add: both(model, take(func(f *Facts) *[]corev1.Node { return &f.nodes }))},
	"Pod":           {add: addPod},
	"Namespace":     {add: model},
	"Service":       {add: both(model, take(func(f *Facts) *[]corev1.Service { return &f.services }))},
	"EndpointSlice": {add: both(model, take(func(f *Facts) *[]discoveryv1.EndpointSlice { return &f.slices }))},
	"NetworkPolicy": {add: both(model, take(func(f *Facts) *[]networkingv1.NetworkPolicy { return &f.netpols }))},
	"ServiceCIDR":   {recent: true, add: model},
	"DaemonSet":     {add: take(func(f *Facts) *[]appsv1.DaemonSet { return &f.daemonSets })},
	"PodDisruptionBudget": {
		add: take(func(f *Facts) *[]policyv1.PodDisruptionBudget { return &f.budgets }),
	},
	"MutatingWebhookConfiguration": {
		add: take(func(f *Facts) *[]admissionv1.MutatingWebhookConfiguration { return &f.mutating }),
	},
	"ValidatingWebhookConfiguration": {
		add: take(func(f *Facts) *[]admissionv1.ValidatingWebhookConfiguration { return &f.validating }),
	},
	"Certificate": {
		partly: true,
		add:    take(func(f *Facts) *[]certificate { return &f.certificates }),
	},
	"CustomResourceDefinition": {partly: true, add: model},
	"PeerAuthentication": {
		add: take(func(f *Facts) *[]peerAuthentication { return &f.peers }),
	},

	"ServiceEntry":    {add: model},
	"VirtualService":  {add: model},
	"Gateway":         {add: model},
	"DestinationRule": {add: model},
	"Sidecar":         {add: model},
	"WorkloadEntry":   {add: model},
	"EnvoyFilter":     {add: model},

	"AuthorizationPolicy": {add: model},

	"K8sGateway": {add: model},
	"HTTPRoute":  {add: model},
	"GRPCRoute":  {add: model},
	"TLSRoute":   {add: model},
	"TCPRoute":   {add: model},

	"BackendTLSPolicy": {add: model},
	"XBackend":         {add: model},
}

// walls are the kinds on which the NetworkPolicies depend that Sallyport keeps.
var walls = kinds("Namespace", "NetworkPolicy", "Service", "ServiceEntry", "Node", "ServiceCIDR")

// paths are the kinds on which the paths of traffic depend.
var paths = kinds("Namespace", "Service", "EndpointSlice", "ServiceEntry", "VirtualService", "Gateway", "DestinationRule", "Sidecar",
	"WorkloadEntry", "EnvoyFilter", "K8sGateway", "HTTPRoute", "GRPCRoute", "TLSRoute", "TCPRoute", "BackendTLSPolicy", "XBackend")
