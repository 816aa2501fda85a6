package hostiletest

import (
	"fmt"
	"slices"
)

const gatewayAPI = "gateway.networking.k8s.io/v1"

var gatewayAPIShapes = []shape{
	{kind: "Gateway", name: "listeners", before: openSpec + `"gatewayClassName":"istio-waypoint","listeners":[`, item: with(`{"name":"l%","port":%,"protocol":"HTTP","hostname":"h%.example.com"}`), most: 64, after: `]}}`},
	{kind: "HTTPRoute", name: "rules", before: openSpec + `"parentRefs":[{"group":"networking.istio.io","kind":"ServiceEntry","namespace":"team-1","name":"api-1"}],"rules":[`, item: with(`{"matches":[{"path":{"type":"PathPrefix","value":"/%"}}],"backendRefs":[{"group":"networking.istio.io","kind":"Hostname","name":"h%.example.com","port":80}]}`), most: 16, after: `]}}`},
	{kind: "HTTPRoute", name: "backendRefs", before: openSpec + `"parentRefs":[{"group":"networking.istio.io","kind":"ServiceEntry","namespace":"team-1","name":"api-1"}],"rules":[{"backendRefs":[`, item: with(`{"group":"networking.istio.io","kind":"Hostname","name":"h%.example.com","port":80}`), most: 16, after: `]}]}}`},
	{kind: "HTTPRoute", name: "filters", before: openSpec + `"parentRefs":[{"group":"networking.istio.io","kind":"ServiceEntry","namespace":"team-1","name":"api-1"}],"rules":[{"filters":[{"type":"RequestHeaderModifier","requestHeaderModifier":{"set":[`, item: with(`{"name":"host","value":"h%.example.com"}`), most: 16, after: `]}}]}]}}`},
	{kind: "HTTPRoute", name: "parentRefs", before: openSpec + `"rules":[{"backendRefs":[{"name":"s","port":80}]}],"parentRefs":[`, item: func(i int) string {
		return fmt.Sprintf(`{"group":"networking.istio.io","kind":"ServiceEntry","namespace":"team-%d","name":"api-%d","port":%d}`, i%namespaces, i%hosts, 1+i%60_000)
	}, most: 32, after: `]}}`},
	{kind: "GRPCRoute", name: "hostnames", before: openSpec + `"parentRefs":[{"name":"g","namespace":"istio-system"}],"hostnames":[`, item: with(`"h%.example.com"`), most: 16, after: `]}}`},
	{apiVersion: "gateway.networking.k8s.io/v1alpha2", kind: "TLSRoute", name: "hostnames", before: openSpec + `"parentRefs":[{"group":"networking.istio.io","kind":"ServiceEntry","namespace":"team-1","name":"api-1"}],"rules":[{"backendRefs":[{"name":"s","port":80}]}],"hostnames":[`, item: known, most: 16, after: `]}}`},
	{apiVersion: "gateway.networking.k8s.io/v1alpha2", kind: "TCPRoute", name: "backendRefs", before: openSpec + `"parentRefs":[{"group":"networking.istio.io","kind":"ServiceEntry","namespace":"team-1","name":"api-1"}],"rules":[{"backendRefs":[`, item: with(`{"name":"s%","port":80}`), most: 16, after: `]}]}}`},
	{kind: "HTTPRoute", name: "XBackends", before: openSpec + `"parentRefs":[{"group":"networking.istio.io","kind":"ServiceEntry","namespace":"team-1","name":"api-1"}],"rules":[{"backendRefs":[`, item: with(`{"group":"gateway.networking.x-k8s.io","kind":"XBackend","name":"b%"}`), most: 16, after: `]}]}}`},
	{kind: "BackendTLSPolicy", name: "targetRefs", before: openSpec + `"validation":{"hostname":"h.example.com","wellKnownCACertificates":"System"},"targetRefs":[`, item: with(`{"group":"networking.istio.io","kind":"ServiceEntry","name":"api-%"}`), most: 16, after: `]}}`},
	{kind: "BackendTLSPolicy", name: "Services", before: openSpec + `"validation":{"hostname":"h.example.com","wellKnownCACertificates":"System"},"targetRefs":[`, item: with(`{"group":"","kind":"Service","name":"s%"}`), most: 16, after: `]}}`},
	{kind: "BackendTLSPolicy", name: "subjectAltNames", before: openSpec + `"targetRefs":[{"group":"networking.istio.io","kind":"ServiceEntry","name":"api-1"}],"validation":{"hostname":"h.example.com","wellKnownCACertificates":"System","subjectAltNames":[`, item: with(`{"type":"Hostname","hostname":"h%.example.com"}`), most: 5, after: `]}}}`},
	{apiVersion: "gateway.networking.x-k8s.io/v1alpha1", kind: "XBackend", name: "metadata", meta: `,"labels":{`, item: with(`"l%":"v"`), after: `}` + openSpec + `"type":"ExternalHostname","externalHostname":{"hostname":"api1.partner1.example"},"port":{"port":443}}}`},
	{kind: "ListenerSet", name: "listeners", before: openSpec + `"parentRef":{"name":"g"},"listeners":[`, item: with(`{"name":"l%","port":%,"protocol":"HTTP"}`), most: 64, after: `]}}`},
	{apiVersion: "gateway.networking.x-k8s.io/v1alpha1", kind: "XListenerSet", name: "listeners", before: openSpec + `"parentRef":{"name":"g"},"listeners":[`, item: with(`{"name":"l%","port":%,"protocol":"HTTP"}`), most: 64, after: `]}}`},
	{apiVersion: "gateway.networking.k8s.io/v1beta1", kind: "ReferenceGrant", name: "from", before: openSpec + `"to":[{"group":"","kind":"Service"}],"from":[`, item: with(`{"group":"gateway.networking.k8s.io","kind":"HTTPRoute","namespace":"team-%"}`), most: 16, after: `]}}`},
}

var kubernetesShapes = []shape{
	{apiVersion: "apiextensions.k8s.io/v1", kind: "CustomResourceDefinition", name: "shortNames", before: openSpec + `"group":"networking.istio.io","scope":"Namespaced","names":{"kind":"VirtualService","plural":"virtualservices","shortNames":[`, item: with(`"s%"`), after: `]}}}`},
	{apiVersion: "v1", kind: "ConfigMap", name: "mesh", before: `},"data":{"mesh":"discoverySelectors: [`, item: with(`{matchLabels: {team: a%}}`), after: `]"}}`},
	{apiVersion: "v1", kind: "Service", name: "ownerReferences", meta: `,"ownerReferences":[`, item: with(`{"apiVersion":"networking.istio.io/v1","kind":"ServiceEntry","name":"a%","uid":"u%"}`), after: `]` + openSpec + `"ports":[{"port":80}]}}`},
	{apiVersion: "v1", kind: "Namespace", name: "labels", meta: `,"labels":{"istio.io/dataplane-mode":"ambient",`, item: with(`"l%":"v"`), after: `}}}`},
	{apiVersion: "v1", kind: "Node", name: "addresses", before: `},"status":{"addresses":[`, item: func(i int) string { return `{"type":"InternalIP","address":` + address(i) + `}` }, after: `]}}`},
	{apiVersion: "networking.k8s.io/v1", kind: "ServiceCIDR", name: "cidrs", before: openSpec + `"cidrs":[`, item: address, most: 2, after: `]}}`},
	{apiVersion: "v1", kind: "Service", name: "ports", before: openSpec + `"selector":{"app":"a"},"ports":[`, item: with(`{"name":"http-%","port":%,"targetPort":"http"}`), after: `]}}`},
	{apiVersion: "v1", kind: "Service", name: "externalIPs", before: openSpec + `"ports":[{"port":80}],"externalIPs":[`, item: address, after: `]}}`},
	{apiVersion: "v1", kind: "Service", name: "selector", before: openSpec + `"ports":[{"port":80}],"selector":{`, item: with(`"l%":"v"`), after: `}}}`},
	{apiVersion: "v1", kind: "Service", name: "exportTo", meta: `,"annotations":{"networking.istio.io/exportTo":"a`, item: with(`team-%`), most: 25_000, after: `"}` + openSpec + `"type":"ExternalName","externalName":"api1.partner1.example","ports":[{"port":80}]}}`},
	{apiVersion: "v1", kind: "Endpoints", name: "addresses", before: `},"subsets":[{"ports":[{"port":80}],"addresses":[`, item: func(i int) string { return `{"ip":` + address(i) + `}` }, after: `]}]}`},
	{apiVersion: "discovery.k8s.io/v1", kind: "EndpointSlice", name: "endpoints", meta: `,"labels":{"kubernetes.io/service-name":"a"}`, before: `},"addressType":"IPv4","endpoints":[`, item: func(i int) string { return `{"addresses":[` + address(i) + `]}` }, most: 1000, after: `]}`},
	{apiVersion: "discovery.k8s.io/v1", kind: "EndpointSlice", name: "addresses", meta: `,"labels":{"kubernetes.io/service-name":"a"}`, before: `},"addressType":"IPv4","endpoints":[{"addresses":[`, item: address, most: 100, after: `]}]}`},
	{apiVersion: "networking.k8s.io/v1", kind: "NetworkPolicy", name: "peers", before: openSpec + `"podSelector":{},"policyTypes":["Egress"],"egress":[{"to":[`, item: with(`{"namespaceSelector":{"matchExpressions":[{"key":"team","operator":"NotIn","values":["t%"]}]}}`), after: `]}]}}`},
	{apiVersion: "networking.k8s.io/v1", kind: "NetworkPolicy", name: "rules", before: openSpec + `"podSelector":{},"policyTypes":["Egress"],"egress":[`, item: with(`{"to":[{"namespaceSelector":{"matchLabels":{"kubernetes.io/metadata.name":"team-%"}}}],"ports":[{"port":%,"protocol":"TCP"}]}`), after: `]}}`},
	{apiVersion: "networking.k8s.io/v1", kind: "NetworkPolicy", name: "values", before: openSpec + `"podSelector":{},"policyTypes":["Egress"],"egress":[{"to":[{"namespaceSelector":{"matchExpressions":[{"key":"team","operator":"NotIn","values":[`, item: with(`"t%"`), after: `]}]}}]}]}}`},
	{apiVersion: "networking.k8s.io/v1", kind: "NetworkPolicy", name: "blocks", before: openSpec + `"podSelector":{},"policyTypes":["Egress"],"egress":[{"to":[`, item: func(i int) string {
		return fmt.Sprintf(`{"ipBlock":{"cidr":"10.%d.%d.%d/32"}}`, i>>16&255, i>>8&255, i&255)
	}, after: `]}]}}`},
	{apiVersion: "networking.k8s.io/v1", kind: "NetworkPolicy", name: "exceptions", before: openSpec + `"podSelector":{},"policyTypes":["Egress"],"egress":[{"to":[{"ipBlock":{"cidr":"0.0.0.0/0","except":[`, item: func(i int) string { return fmt.Sprintf(`"%d.%d.%d.0/24"`, 1+i>>16&127, i>>8&255, i&255) }, after: `]}}]}]}}`},
	{apiVersion: "networking.k8s.io/v1", kind: "NetworkPolicy", name: "ports", before: openSpec + `"podSelector":{},"policyTypes":["Egress"],"egress":[{"to":[{"namespaceSelector":{}}],"ports":[`, item: with(`{"port":%,"protocol":"TCP"}`), after: `]}]}}`},
	{apiVersion: "networking.k8s.io/v1", kind: "Ingress", name: "rules", before: openSpec + `"rules":[`, item: with(`{"host":"h%.example.com","http":{"paths":[{"path":"/","pathType":"Prefix","backend":{"service":{"name":"a","port":{"number":80}}}}]}}`), after: `]}}`},
	{apiVersion: "v1", kind: "Pod", name: "containers", before: openSpec + `"containers":[`, item: container, after: `]}}`},
	{apiVersion: "v1", kind: "Pod", name: "labels", meta: `,"labels":{`, item: with(`"l%":"v"`), after: `}` + openSpec + `"containers":[` + container(0) + `]}}`},
	{apiVersion: "v1", kind: "Pod", name: "annotations", meta: `,"annotations":{`, item: with(`"l%":"v"`), most: 20_000, after: `}` + openSpec + `"containers":[` + container(0) + `]}}`},
	{apiVersion: "v1", kind: "Pod", name: "excluded ports", meta: `,"annotations":{"traffic.sidecar.istio.io/excludeOutboundPorts":"0`, item: with(`%`), most: 40_000, after: `"}` + openSpec + `"containers":[` + container(0) + `]}}`},
	{apiVersion: "v1", kind: "ReplicationController", name: "containers", before: template, item: container, after: `]}}}}`},
	{apiVersion: "apps/v1", kind: "Deployment", name: "containers", before: template, item: container, after: `]}}}}`},
	{apiVersion: "apps/v1", kind: "StatefulSet", name: "containers", before: template, item: container, after: `]}}}}`},
	{apiVersion: "apps/v1", kind: "DaemonSet", name: "containers", before: template, item: container, after: `]}}}}`},
	{apiVersion: "apps/v1", kind: "ReplicaSet", name: "containers", before: template, item: container, after: `]}}}}`},
	{apiVersion: "batch/v1", kind: "Job", name: "containers", before: template, item: container, after: `]}}}}`},
	{apiVersion: "v1", kind: "PodTemplate", name: "containers", before: `},"template":{"spec":{"containers":[`, item: container, after: `]}}}`},
	{apiVersion: "v1", kind: "Binding", name: "annotations", meta: `,"annotations":{`, item: with(`"l%":"v"`), most: 20_000, after: `}},"target":{"kind":"Node","name":"n"}}`},
	{apiVersion: "v1", kind: "Binding", name: "labels", meta: `,"labels":{`, item: with(`"l%":"v"`), after: `}},"target":{"kind":"Node","name":"n"}}`},
	{apiVersion: "apps/v1", kind: "ControllerRevision", name: "containers", before: `},"revision":1,"data":{"spec":{"template":{"$patch":"replace","spec":{"containers":[`, item: container, after: `]}}}}}`},
	{apiVersion: "apps/v1", kind: "ControllerRevision", name: "data", before: `},"revision":1,"data":{`, item: with(`"l%":"v"`), after: `}}`},
	{apiVersion: "v1", kind: "Service", name: "status", before: `},"status":{"loadBalancer":{"ingress":[`, item: with(`{"ip":"203.0.113.%"}`), after: `]}}}`},
	{apiVersion: istio, kind: "ServiceEntry", name: "status", before: openSpec + `"hosts":["status.example.com"],` + onePort + `},"status":{"addresses":[`, item: with(`{"value":"203.0.113.%"}`), after: `]}}`},
	{apiVersion: "batch/v1", kind: "CronJob", name: "containers", before: `},"spec":{"schedule":"* * * * *","jobTemplate":{"spec":{"template":{"spec":{"restartPolicy":"Never","containers":[`, item: container, after: `]}}}}}}`},
}

const template = `},"spec":{"selector":{"matchLabels":{"app":"a"}},"template":{"metadata":{"labels":{"app":"a"},"annotations":{"sidecar.istio.io/inject":"true"}},"spec":{"containers":[`

func container(i int) string {
	return fmt.Sprintf(`{"name":"c%d","image":"example.com/a","securityContext":{"runAsUser":1000},"env":[{"name":"A","value":"b"}]}`, i)
}

// shapes are all shapes of all kinds.
var shapes = slices.Concat(
	of(istio, "ServiceEntry", entryShapes),
	of(istio, "VirtualService", routeShapes),
	of(istio, "Gateway", gatewayShapes),
	of(istio, "DestinationRule", policyShapes),
	of(istio, "Sidecar", sidecarShapes),
	of(istio, "", otherIstioShapes),
	of(gatewayAPI, "", gatewayAPIShapes),
	of("", "", kubernetesShapes),
	of("cilium.io/v2", "", ciliumShapes),
	of("projectcalico.org/v3", "", calicoShapes),
)

// of gives shapes the version and the kind that they do not have of their own.
func of(apiVersion, kind string, shapes []shape) []shape {
	for i := range shapes {
		if shapes[i].apiVersion == "" {
			shapes[i].apiVersion = apiVersion
		}
		if shapes[i].kind == "" {
			shapes[i].kind = kind
		}
	}
	return shapes
}
