package review_test

import (
	"fmt"
	"maps"
	"slices"

	"github.com/sallyport-io/sallyport/internal/mesh"
	"github.com/sallyport-io/sallyport/rules"
)

// clientCause is a way to let traffic out that lies with a client alone.
type clientCause struct {
	name, object string
	stands       string // what is there before it, the object as it was among it
	said         string // the rule that says so, "" for none
	path         string // of what is said
	fix          []string
	mesh         func(*mesh.Settings)
}

// clientCauses are all that the model and the rules know; TestEveryClientCauseIsTried
// asks for those that are missing.
func clientCauses() []clientCause {
	causes := []clientCause{
		{
			name:   "a Sidecar that allows any host",
			object: `{"apiVersion":"networking.istio.io/v1","kind":"Sidecar","metadata":{"name":"open","namespace":"team"},"spec":{"outboundTrafficPolicy":{"mode":"ALLOW_ANY"}}}`,
			said:   "sidecar-outbound",
			fix:    []string{"namespace: team\n", "name: open\n", "mode: REGISTRY_ONLY"},
		},
		{
			name:   "a Sidecar that sends all to a proxy",
			object: `{"apiVersion":"networking.istio.io/v1","kind":"Sidecar","metadata":{"name":"open","namespace":"team"},"spec":{"outboundTrafficPolicy":{"egressProxy":{"host":"proxy.team.svc.cluster.local","port":{"number":80}}}}}`,
			said:   "sidecar-outbound",
			fix:    []string{"namespace: team\n", "name: open\n", "mode: REGISTRY_ONLY"},
		},
		{
			name:   "a Sidecar that imports nothing and allows any host",
			object: `{"apiVersion":"networking.istio.io/v1","kind":"Sidecar","metadata":{"name":"narrow","namespace":"team"},"spec":{"egress":[{"hosts":["./*"]}],"outboundTrafficPolicy":{"mode":"ALLOW_ANY"}}}`,
			said:   "sidecar-outbound",
			fix:    []string{"namespace: team\n", "name: narrow\n", "mode: REGISTRY_ONLY", "egress:"},
		},
		{
			name:   "a Sidecar for the whole mesh",
			object: `{"apiVersion":"networking.istio.io/v1","kind":"Sidecar","metadata":{"name":"default","namespace":"istio-system"},"spec":{"outboundTrafficPolicy":{"mode":"ALLOW_ANY"}}}`,
			said:   "sidecar-outbound",
			fix:    []string{"namespace: istio-system\n", "name: default\n", "mode: REGISTRY_ONLY"},
		},
		{
			name:   "a namespace in ambient mode",
			object: `{"apiVersion":"v1","kind":"Namespace","metadata":{"name":"team","labels":{"istio.io/dataplane-mode":"ambient"}}}`,
			said:   "direct-path",
			fix:    []string{"kubectl label namespace team "},
		},
		{
			name:   "a mesh that allows any host",
			object: `{"apiVersion":"v1","kind":"Namespace","metadata":{"name":"team","labels":{"istio-injection":"enabled"}}}`,
			mesh:   func(s *mesh.Settings) { s.AllowAny = true },
		},
		{
			name:   "a Sidecar with an explicit proxy",
			object: `{"apiVersion":"networking.istio.io/v1","kind":"Sidecar","metadata":{"name":"open","namespace":"team"},"spec":{"egress":[{"port":{"number":3128,"protocol":"HTTP_PROXY","name":"proxy"},"hosts":["*/*"]}]}}`,
			said:   "sidecar-outbound",
		},
		{
			name:   "a Sidecar that captures nothing",
			object: `{"apiVersion":"networking.istio.io/v1","kind":"Sidecar","metadata":{"name":"open","namespace":"team"},"spec":{"egress":[{"captureMode":"NONE","hosts":["*/*"]}]}}`,
			said:   "sidecar-outbound",
		},
		{
			name:   "an EnvoyFilter",
			object: `{"apiVersion":"networking.istio.io/v1alpha3","kind":"EnvoyFilter","metadata":{"name":"open","namespace":"team"},"spec":{"configPatches":[{"applyTo":"CLUSTER","patch":{"operation":"ADD","value":{}}}]}}`,
			said:   "envoy-filter",
		},
		{
			name:   "a WasmPlugin",
			object: `{"apiVersion":"extensions.istio.io/v1alpha1","kind":"WasmPlugin","metadata":{"name":"open","namespace":"team"},"spec":{"url":"oci://registry.example.com/plugin"}}`,
			said:   "proxy-extension",
		},
		{
			name:   "a ProxyConfig with variables",
			object: `{"apiVersion":"networking.istio.io/v1beta1","kind":"ProxyConfig","metadata":{"name":"open","namespace":"team"},"spec":{"environmentVariables":{"ISTIO_META_DNS_CAPTURE":"false"}}}`,
			said:   "proxy-config",
		},
		{
			name:   "a NetworkPolicy that opens the wall",
			stands: walled,
			object: `{"apiVersion":"networking.k8s.io/v1","kind":"NetworkPolicy","metadata":{"name":"open","namespace":"team"},"spec":{"podSelector":{},"policyTypes":["Egress"],"egress":[{}]}}`,
			said:   "wide-network-policy",
		},
		{
			name:   "a network plugin's policy that opens the wall",
			stands: walled,
			object: `{"apiVersion":"cilium.io/v2","kind":"CiliumNetworkPolicy","metadata":{"name":"open","namespace":"team"},"spec":{"endpointSelector":{},"egress":[{"toEntities":["world"]}]}}`,
			said:   "plugin-policy",
		},
		{
			name:   "a namespace outside the mesh",
			object: `{"apiVersion":"v1","kind":"Namespace","metadata":{"name":"team"}}`,
		},
		{
			name:   "a namespace that says no to sidecars",
			object: `{"apiVersion":"v1","kind":"Namespace","metadata":{"name":"team","labels":{"istio-injection":"disabled","istio.io/rev":"stable"}}}`,
		},
		{
			name:   "a namespace that leaves the mesh",
			stands: member,
			object: `{"apiVersion":"v1","kind":"Namespace","metadata":{"name":"team","labels":{"istio-injection":"disabled"}}}`,
			said:   "namespace-labels",
		},
		{
			name:   "a mesh without DNS capture",
			object: `{"apiVersion":"v1","kind":"Namespace","metadata":{"name":"team","labels":{"istio-injection":"enabled"}}}`,
			mesh:   func(s *mesh.Settings) { s.DNSCapture = false },
		},
		{
			name:   "a mesh configuration that allows any host",
			object: `{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"istio","namespace":"istio-system"},"data":{"mesh":"outboundTrafficPolicy: {mode: ALLOW_ANY}"}}`,
			said:   "mesh-config",
		},
		{
			name:   "a mesh configuration that resolves and allows any host",
			object: `{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"istio","namespace":"istio-system"},"data":{"mesh":"outboundTrafficPolicy: {mode: ALLOW_ANY_DYNAMIC_DNS}"}}`,
			said:   "mesh-config",
		},
		{
			name:   "a mesh configuration with an explicit proxy",
			object: `{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"istio","namespace":"istio-system"},"data":{"mesh":"outboundTrafficPolicy: {mode: REGISTRY_ONLY}\nproxyHttpPort: 3128"}}`,
			said:   "mesh-config",
		},
		{
			name:   "a pod on the node's network",
			stands: member,
			object: podWith(`"labels":{}`, `"hostNetwork":true,`),
			said:   "host-network",
		},
		{
			name:   "a pod that runs as the proxy's user",
			stands: member,
			object: podWith(`"labels":{}`, `"securityContext":{"runAsUser":1337},`),
			said:   "proxy-uid",
		},
		{
			name:   "a pod with a proxy of its own",
			stands: member,
			object: podWith(`"labels":{}`, `"initContainers":[{"name":"istio-init","image":"busybox"}],`),
			said:   "proxy-container",
		},
		{
			name:   "a pod that passes for the gateway",
			stands: member,
			object: podWith(`"labels":{"istio":"egressgateway"}`, ""),
			said:   "gateway-labels",
		},
	}
	for _, no := range []string{"false", "False", "FALSE", "no", "off", "0", "f", "disabled"} {
		causes = append(causes, clientCause{
			name:   fmt.Sprintf("a pod whose label asks for a sidecar with %q", no),
			stands: member,
			object: podWith(fmt.Sprintf(`"labels":{"sidecar.istio.io/inject":%q}`, no), ""),
			said:   "proxy-injection",
			path:   `metadata.labels["sidecar.istio.io/inject"]`,
		})
	}
	for _, key := range slices.Sorted(maps.Keys(rules.IstioKeys)) {
		value, ok := lettingOut[key]
		if !ok {
			continue
		}
		causes = append(causes, clientCause{
			name:   "a pod with " + key,
			stands: member,
			object: podWith(fmt.Sprintf(`"annotations":{%q:%q}`, key, value), ""),
			said:   saysOfPods(rules.IstioKeys[key].Rules),
			path:   fmt.Sprintf("metadata.annotations[%q]", key),
		})
	}
	return causes
}

// member is a namespace of the mesh.
const member = `{"apiVersion":"v1","kind":"Namespace","metadata":{"name":"team","labels":{"istio-injection":"enabled"}}}`

// walled is a namespace of the mesh that Sallyport keeps a wall around.
const walled = `{"apiVersion":"v1","kind":"Namespace","metadata":{"name":"team","labels":{"istio-injection":"enabled","sallyport.io/network-policy":"enabled"}}}`

// podWith is a pod of the mesh, with members of its metadata and of its spec.
func podWith(metadata, spec string) string {
	return fmt.Sprintf(`{"apiVersion":"v1","kind":"Pod","metadata":{"name":"open","namespace":"team","uid":"1",%s},"spec":{%s"containers":[{"name":"app","image":"app"}]}}`, metadata, spec)
}

// lettingOut are values of annotations with which a pod's traffic goes past its proxy,
// or another proxy than the platform's takes it.
var lettingOut = map[string]string{
	"ambient.istio.io/bypass-inbound-capture":          "true",
	"ambient.istio.io/dns-capture":                     "false",
	"ambient.istio.io/redirection":                     "disabled",
	"inject.istio.io/templates":                        "mine",
	"istio.io/dataplane-mode":                          "none",
	"istio.io/reroute-virtual-interfaces":              "eth1",
	"proxy.istio.io/config":                            "interceptionMode: NONE",
	"proxy.istio.io/overrides":                         `{"containers":[{"name":"istio-proxy","command":["sh"]}]}`,
	"sidecar.istio.io/bootstrapOverride":               "mine",
	"sidecar.istio.io/discoveryAddress":                "istiod.team.svc:15012",
	"sidecar.istio.io/inject":                          "false",
	"sidecar.istio.io/interceptionMode":                "NONE",
	"sidecar.istio.io/nativeSidecar":                   "false",
	"sidecar.istio.io/proxyImage":                      "mine",
	"sidecar.istio.io/proxyImageType":                  "mine",
	"sidecar.istio.io/status":                          "{}\n{}",
	"sidecar.istio.io/userVolume":                      "{}",
	"sidecar.istio.io/userVolumeMount":                 "{}",
	"traffic.sidecar.istio.io/excludeInterfaces":       "eth1",
	"traffic.sidecar.istio.io/excludeOutboundIPRanges": "0.0.0.0/0",
	"traffic.sidecar.istio.io/excludeOutboundPorts":    "443",
	"traffic.sidecar.istio.io/includeOutboundIPRanges": "10.0.0.0/8",
	"traffic.sidecar.istio.io/includeOutboundPorts":    "80",
	"traffic.sidecar.istio.io/kubevirtInterfaces":      "k6t-eth0",
}

// saysOfPods is the rule that judges pods, of those that judge an annotation.
func saysOfPods(names []string) string {
	for _, r := range rules.All {
		if slices.Contains(names, r.Name) && slices.Contains(r.Kinds, "Pod") {
			return r.Name
		}
	}
	return ""
}
