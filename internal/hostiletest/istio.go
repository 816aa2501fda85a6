package hostiletest

import "fmt"

const istio = "networking.istio.io/v1"

// The bounds of the schemas that Istio's CustomResourceDefinitions have.
const (
	mostHosts     = 256
	mostPorts     = 256
	mostEndpoints = 4096
)

const (
	gatewayService = `"istio-egressgateway.istio-system.svc.cluster.local"`
	onePort        = `"ports":[{"number":443,"name":"tls","protocol":"TLS"}],"resolution":"DNS"`
	toGateway      = `"route":[{"destination":{"host":` + gatewayService + `,"port":{"number":80}}}]`
	straight       = `"route":[{"destination":{"host":"api1.partner1.example"}}]`
	rewrite        = `,"annotations":{"sallyport.io/rewrite":"true"}`
	openSpec       = `},"spec":{`
)

// fourPorts are ports of the classes of protocol.
func fourPorts() string {
	return list(4, func(i int) string {
		protocol := []string{"HTTP", "TLS", "TCP"}[i%3]
		return fmt.Sprintf(`{"number":%d,"name":"p%d","protocol":%q}`, 1000+i%60_000, i, protocol)
	})
}

func port(protocol string) func(int) string {
	return func(i int) string {
		return fmt.Sprintf(`{"number":%d,"name":"p%d","protocol":%q}`, 1+i%65_000, i, protocol)
	}
}

// manyHosts are as many hosts as the schema takes, one of them registered.
var manyHosts = `"hosts":["api1.partner1.example",` + list(mostHosts-2, with(`"h%.example.com"`)) + `]`

// manyKnown are as many registered hosts.
var manyKnown = `"hosts":[` + list(mostHosts-1, known) + `]`

var entryShapes = []shape{
	{name: "hosts", before: openSpec + onePort + `,"hosts":[`, item: with(`"h%.example.com"`), most: mostHosts, after: `]}}`},
	{name: "hosts of others", before: openSpec + onePort + `,"hosts":[`, item: known, most: mostHosts, after: `]}}`},
	{name: "spellings of a host", before: openSpec + onePort + `,"hosts":[`, item: spelling, most: mostHosts, after: `]}}`},
	{name: "long hosts", before: openSpec + onePort + `,"hosts":[`, item: with(`"` + long(60) + `.` + long(60) + `.` + long(60) + `.h%.example"`), most: mostHosts, after: `]}}`},
	{name: "international hosts", before: openSpec + onePort + `,"hosts":[`, item: with(`"ü%.` + `üüüüüüüüüüüüüüüüüüüü.example"`), most: mostHosts, after: `]}}`},
	{name: "hosts times ports", before: openSpec + `"resolution":"DNS","ports":[` + fourPorts() + `],"hosts":[`, item: with(`"h%.example.com"`), most: 255, after: `]}}`},
	{name: "hosts times TCP ports", before: openSpec + `"resolution":"DNS","exportTo":["*"],"ports":[` + list(10, port("TCP")) + `],"hosts":[`, item: with(`"h%.example.com"`), most: 100, after: `]}}`},
	{name: "HTTP ports", before: openSpec + `"hosts":["a.example.com"],"resolution":"DNS","ports":[`, item: port("HTTP"), most: mostPorts, after: `]}}`},
	{name: "TLS ports", before: openSpec + `"hosts":["a.example.com","b.example.com","c.example.com"],"resolution":"DNS","ports":[`, item: port("TLS"), most: mostPorts, after: `]}}`},
	{name: "TCP ports", before: openSpec + `"hosts":["a.example.com"],"addresses":["192.0.2.1"],"resolution":"DNS","ports":[`, item: port("TCP"), most: mostPorts, after: `]}}`},
	{name: "ports without protocol", before: openSpec + `"hosts":["a.example.com"],"resolution":"DNS","ports":[`, item: port(""), most: mostPorts, after: `]}}`},
	{name: "wildcard", before: openSpec + `"hosts":["*.example"],"resolution":"NONE","ports":[`, item: port("TLS"), most: mostPorts, after: `]}}`},
	{name: "endpoints", before: openSpec + `"hosts":["a.example.com"],` + onePort + `,"endpoints":[`, item: endpoint, most: mostEndpoints, after: `]}}`},
	{name: "endpoints of hosts times ports", before: openSpec + manyHosts + `,"ports":[` + fourPorts() + `],"resolution":"STATIC","endpoints":[`, item: endpoint, most: mostEndpoints, after: `]}}`},
	{name: "gateway endpoints", before: openSpec + manyHosts + `,"ports":[` + fourPorts() + `],"resolution":"DNS","endpoints":[`, item: with(`{"address":` + gatewayService + `}`), most: mostEndpoints, after: `]}}`},
	{name: "endpoint labels", before: openSpec + `"hosts":["a.example.com"],` + onePort + `,"endpoints":[{"address":"192.0.2.1","labels":{`, item: with(`"l%":"v"`), most: 256, after: `}}]}}`},
	{name: "addresses", before: openSpec + manyHosts + `,"ports":[` + list(4, port("TCP")) + `],"resolution":"NONE","addresses":[`, item: address, most: mostHosts, after: `]}}`},
	{name: "exportTo", before: openSpec + `"hosts":["a.example.com","api1.partner1.example"],` + onePort + `,"exportTo":[`, item: with(`"team-%"`), after: `]}}`},
	{name: "exportTo of hosts", before: openSpec + manyHosts + `,` + onePort + `,"exportTo":[`, item: with(`"team-%"`), after: `]}}`},
	{name: "subjectAltNames", before: openSpec + manyHosts + `,` + onePort + `,"subjectAltNames":[`, item: with(`"h%.example.com"`), after: `]}}`},
	{name: "workloadSelector", before: openSpec + manyHosts + `,"location":"MESH_INTERNAL","ports":[` + fourPorts() + `],"resolution":"STATIC","workloadSelector":{"labels":{`, item: with(`"l%":"v"`), most: 256, after: `}}}}`},
	{name: "service accounts", meta: `,"annotations":{"sallyport.io/service-accounts":"`, before: `a`, item: with(`sa-%`), most: 25_000, after: `"}` + openSpec + manyHosts + `,` + onePort + `}}`},
	{name: "labels", meta: `,"labels":{`, item: with(`"l%":"v"`), after: `}` + openSpec + manyHosts + `,` + onePort + `}}`},
}

func spelling(i int) string {
	host := []byte("partner.very.long.example.com")
	for j := range host {
		if i>>j&1 == 1 && host[j] >= 'a' {
			host[j] -= 'a' - 'A'
		}
	}
	return `"` + string(host) + `"`
}

func endpoint(i int) string {
	return fmt.Sprintf(`{"address":"10.%d.%d.%d","labels":{"app":"a%d"},"ports":{"tls":%d}}`, i>>16&255, i>>8&255, i&255, i, 1+i%60_000)
}

func address(i int) string { return fmt.Sprintf(`"10.%d.%d.%d"`, i>>16&255, i>>8&255, i&255) }

var routeShapes = []shape{
	{name: "rules", before: openSpec + `"hosts":["api1.partner1.example"],"http":[`, item: with(`{"match":[{"uri":{"prefix":"/%"}}],` + straight + `}`), after: `]}}`},
	{name: "rules for many hosts", before: openSpec + manyHosts + `,"http":[`, item: with(`{"match":[{"uri":{"prefix":"/%"}}],` + toGateway + `}`), after: `]}}`},
	{name: "rules for many registered hosts", before: openSpec + manyKnown + `,"http":[`, item: with(`{"match":[{"uri":{"prefix":"/%"}}],` + toGateway + `}`), after: `]}}`},
	{name: "rules to many hosts", before: openSpec + manyKnown + `,"http":[`, item: func(i int) string {
		return fmt.Sprintf(`{"match":[{"uri":{"prefix":"/%d"}}],"route":[{"destination":{"host":%s}}]}`, i, known(i))
	}, after: `]}}`},
	{name: "everything", before: openSpec + `"hosts":["*"],"http":[`, item: with(`{"match":[{"uri":{"prefix":"/%"}}],` + toGateway + `}`), after: `]}}`},
	{name: "matches", before: openSpec + manyKnown + `,"http":[{` + toGateway + `,"match":[`, item: with(`{"uri":{"prefix":"/%"},"port":%}`), after: `]}]}}`},
	{name: "matches by label", before: openSpec + manyKnown + `,"http":[{` + toGateway + `,"match":[`, item: with(`{"sourceLabels":{"app":"a%"}}`), after: `]}]}}`},
	{name: "matches by namespace", before: openSpec + manyKnown + `,"http":[{` + toGateway + `,"match":[`, item: with(`{"sourceNamespace":"team-%"}`), after: `]}]}}`},
	{name: "headers of a match", before: openSpec + manyKnown + `,"http":[{` + toGateway + `,"match":[{"headers":{`, item: with(`"h%":{"exact":"v"}`), after: `}}]}]}}`},
	{name: "headers of a route", before: openSpec + manyKnown + `,"http":[{` + toGateway + `,"headers":{"request":{"set":{`, item: with(`"h%":"v"`), after: `}}}}]}}`},
	{name: "regexes", before: openSpec + `"hosts":["api1.partner1.example"],"http":[`, item: with(`{"match":[{"uri":{"regex":"(a|b)*%(a|b)*"}}],` + toGateway + `}`), after: `]}}`},
	{name: "destinations", before: openSpec + manyKnown + `,"http":[{"route":[`, item: with(`{"weight":1,"destination":{"host":"api1.partner1.example","port":{"number":80}}}`), after: `]}]}}`},
	{name: "destinations by subset", before: openSpec + manyKnown + `,"http":[{"route":[`, item: with(`{"weight":1,"destination":{"host":` + gatewayService + `,"subset":"s%","port":{"number":80}}}`), after: `]}]}}`},
	{name: "mirrors", before: openSpec + manyKnown + `,"http":[{` + toGateway + `,"mirrors":[`, item: with(`{"destination":{"host":"h%.example.com"}}`), after: `]}]}}`},
	{name: "hosts", before: openSpec + `"http":[{` + toGateway + `}],"hosts":[`, item: with(`"h%.example.com"`), after: `]}}`},
	{name: "registered hosts", before: openSpec + `"exportTo":["."],"http":[{` + toGateway + `}],"hosts":[`, item: known, after: `]}}`},
	{name: "wildcards", before: openSpec + `"http":[{` + toGateway + `}],"hosts":[`, item: with(`"*.partner%.example"`), after: `]}}`},
	{name: "tls rules", before: openSpec + `"hosts":["api1.partner1.example"],"tls":[`, item: with(`{"match":[{"port":443,"sniHosts":["h%.example.com"]}],` + toGateway + `}`), after: `]}}`},
	{name: "tls rules for many hosts", before: openSpec + manyKnown + `,"tls":[`, item: func(i int) string {
		return fmt.Sprintf(`{"match":[{"port":443,"sniHosts":[%s]}],%s}`, known(i), toGateway)
	}, after: `]}}`},
	{name: "tls matches", before: openSpec + manyKnown + `,"tls":[{` + toGateway + `,"match":[`, item: func(i int) string { return fmt.Sprintf(`{"port":443,"sniHosts":[%s]}`, known(i)) }, after: `]}]}}`},
	{name: "sniHosts", before: openSpec + manyKnown + `,"tls":[{` + toGateway + `,"match":[{"port":443,"sniHosts":[`, item: known, after: `]}]}]}}`},
	{name: "tcp rules", before: openSpec + manyKnown + `,"tcp":[`, item: with(`{"match":[{"port":443,"destinationSubnets":["10.0.0.0/8"]}],` + toGateway + `}`), after: `]}}`},
	{name: "destinationSubnets", before: openSpec + manyKnown + `,"tcp":[{` + toGateway + `,"match":[{"port":443,"destinationSubnets":[`, item: address, after: `]}]}]}}`},
	{name: "delegates", before: openSpec + manyKnown + `,"http":[`, item: with(`{"match":[{"uri":{"prefix":"/%"}}],"delegate":{"name":"d%"}}`), after: `]}}`},
	{name: "gateways", before: openSpec + manyKnown + `,"http":[{` + toGateway + `}],"gateways":["mesh",`, item: with(`"istio-system/g%"`), after: `]}}`},
	{name: "gateways of a match", before: openSpec + manyKnown + `,"http":[{` + toGateway + `,"match":[{"gateways":["mesh",`, item: with(`"istio-system/g%"`), after: `]}]}]}}`},
	{name: "exportTo", before: openSpec + `"hosts":["api1.partner1.example"],"http":[{` + toGateway + `}],"exportTo":[`, item: with(`"team-%"`), after: `]}}`},
	{name: "rewrites", meta: rewrite, before: openSpec + `"hosts":["api1.partner1.example"],"http":[`, item: with(`{"match":[{"uri":{"prefix":"/%"}}],` + straight + `}`), after: `]}}`},
	{name: "rewrites to many hosts", meta: rewrite, before: openSpec + manyKnown + `,"http":[`, item: func(i int) string {
		return fmt.Sprintf(`{"match":[{"uri":{"prefix":"/%d"}}],"route":[{"destination":{"host":%s,"port":{"number":80}}}]}`, i, known(i))
	}, after: `]}}`},
	{name: "short names", before: openSpec + manyKnown + `,"http":[`, item: with(`{"route":[{"destination":{"host":"s%"}}]}`), after: `]}}`},
	{name: "a long text", before: openSpec + manyKnown + `,"http":[{` + toGateway + `,"name":"`, item: func(int) string { return long(1000) }, after: `"}]}}`},
}

var gatewayShapes = []shape{
	{name: "hosts", before: openSpec + `"selector":{"istio":"egressgateway"},"servers":[{"port":{"number":443,"name":"tls","protocol":"TLS"},"tls":{"mode":"PASSTHROUGH"},"hosts":[`, item: with(`"h%.example.com"`), after: `]}]}}`},
	{name: "registered hosts", before: openSpec + `"selector":{"istio":"egressgateway"},"servers":[{"port":{"number":443,"name":"tls","protocol":"TLS"},"tls":{"mode":"ISTIO_MUTUAL"},"hosts":[`, item: known, after: `]}]}}`},
	{name: "hosts of an ingress", before: openSpec + `"selector":{"istio":"ingressgateway"},"servers":[{"port":{"number":80,"name":"http","protocol":"HTTP"},"hosts":[`, item: with(`"h%.example.com"`), after: `]}]}}`},
	{name: "hosts by namespace", before: openSpec + `"selector":{"istio":"egressgateway"},"servers":[{"port":{"number":80,"name":"http","protocol":"HTTP"},"hosts":[`, item: with(`"team-%/*"`), after: `]}]}}`},
	{name: "servers", before: openSpec + `"selector":{"istio":"egressgateway"},"servers":[`, item: func(i int) string {
		return fmt.Sprintf(`{"port":{"number":%d,"name":"p%d","protocol":"HTTP"},"hosts":[%s]}`, 1+i%65_000, i, known(i))
	}, after: `]}}`},
	{name: "servers for everything", before: openSpec + `"selector":{"istio":"egressgateway"},"servers":[`, item: with(`{"port":{"number":443,"name":"p%","protocol":"HTTPS"},"tls":{"mode":"ISTIO_MUTUAL"},"hosts":["*"]}`), after: `]}}`},
	{name: "selector", before: openSpec + `"servers":[{"port":{"number":80,"name":"http","protocol":"HTTP"},"hosts":["*"]}],"selector":{"istio":"egressgateway",`, item: with(`"l%":"v"`), after: `}}}`},
	{name: "subjectAltNames", before: openSpec + `"selector":{"istio":"egressgateway"},"servers":[{"port":{"number":443,"name":"tls","protocol":"HTTPS"},"hosts":["*"],"tls":{"mode":"MUTUAL","credentialName":"c","subjectAltNames":[`, item: with(`"h%.example.com"`), after: `]}}]}}`},
}

var policyShapes = []shape{
	{name: "subsets", before: openSpec + `"host":"api1.partner1.example","subsets":[`, item: with(`{"name":"s%","labels":{"v":"%"}}`), after: `]}}`},
	{name: "subsets of the gateway", before: openSpec + `"host":` + gatewayService + `,"subsets":[`, item: with(`{"name":"s%","trafficPolicy":{"portLevelSettings":[{"port":{"number":80},"tls":{"mode":"ISTIO_MUTUAL","sni":"h%.example.com"}}]}}`), after: `]}}`},
	{name: "subsets of everything", before: openSpec + `"host":"*","subsets":[`, item: with(`{"name":"s%"}`), after: `]}}`},
	{name: "subset labels", before: openSpec + `"host":` + gatewayService + `,"subsets":[{"name":"s","labels":{`, item: with(`"l%":"v"`), after: `}}]}}`},
	{name: "ports", before: openSpec + `"host":"*.example","trafficPolicy":{"portLevelSettings":[`, item: with(`{"port":{"number":%},"tls":{"mode":"SIMPLE","sni":"h%.example.com"}}`), most: 4096, after: `]}}}`},
	{name: "subjectAltNames", before: openSpec + `"host":"*.example","trafficPolicy":{"tls":{"mode":"SIMPLE","subjectAltNames":[`, item: with(`"h%.example.com"`), after: `]}}}}`},
	{name: "exportTo", before: openSpec + `"host":` + gatewayService + `,"exportTo":[`, item: with(`"team-%"`), after: `]}}`},
	{name: "workloadSelector", before: openSpec + `"host":` + gatewayService + `,"workloadSelector":{"matchLabels":{`, item: with(`"l%":"v"`), most: 4096, after: `}}}}`},
}

var sidecarShapes = []shape{
	{name: "imports", before: openSpec + `"egress":[{"hosts":[`, item: func(i int) string { return `"*/` + host(i%hosts) + `"` }, after: `]}]}}`},
	{name: "imports of one's own", before: openSpec + `"egress":[{"hosts":[`, item: with(`"./h%.example.com"`), after: `]}]}}`},
	{name: "imports of namespaces", before: openSpec + `"egress":[{"hosts":[`, item: with(`"team-%/*"`), after: `]}]}}`},
	{name: "imports of wildcards", before: openSpec + `"egress":[{"hosts":[`, item: with(`"*/*.partner%.example"`), after: `]}]}}`},
	{name: "imports of everything", before: openSpec + `"egress":[{"hosts":[`, item: func(int) string { return `"*/*"` }, after: `]}]}}`},
	{name: "exclusions", before: openSpec + `"egress":[{"hosts":["*/*",`, item: with(`"~team-%/api%.partner%.example"`), after: `]}]}}`},
	{name: "listeners", before: openSpec + `"egress":[`, item: with(`{"port":{"number":%,"protocol":"HTTP","name":"p%"},"hosts":["*/*.example"]}`), after: `]}}`},
	{name: "proxy listeners", before: openSpec + `"egress":[`, item: with(`{"port":{"number":%,"protocol":"HTTP_PROXY","name":"p%"},"hosts":["*/*.example"]}`), after: `]}}`},
	{name: "workloadSelector", before: openSpec + `"egress":[{"hosts":["*/*"]}],"workloadSelector":{"labels":{`, item: with(`"l%":"v"`), most: 256, after: `}}}}`},
}

var otherIstioShapes = []shape{
	{kind: "WorkloadEntry", name: "labels", before: openSpec + `"address":"203.0.113.9","labels":{`, item: with(`"l%":"v"`), most: 256, after: `}}}`},
	{kind: "WorkloadEntry", name: "ports", before: openSpec + `"address":"203.0.113.9","ports":{`, item: with(`"p%":80`), most: 128, after: `}}}`},
	{kind: "WorkloadEntry", name: "metadata", meta: `,"labels":{`, item: with(`"l%":"v"`), after: `}` + openSpec + `"address":"203.0.113.9"}}`},
	{apiVersion: "networking.istio.io/v1alpha3", kind: "EnvoyFilter", name: "patches", before: openSpec + `"configPatches":[`, item: with(`{"applyTo":"CLUSTER","match":{"context":"SIDECAR_OUTBOUND","cluster":{"name":"c%"}},"patch":{"operation":"REMOVE"}}`), after: `]}}`},
	{apiVersion: "networking.istio.io/v1alpha3", kind: "EnvoyFilter", name: "workloadSelector", before: openSpec + `"workloadSelector":{"labels":{`, item: with(`"l%":"v"`), most: 256, after: `}}}}`},
	{kind: "WorkloadGroup", name: "labels", before: openSpec + `"template":{},"metadata":{"labels":{`, item: with(`"l%":"v"`), most: 256, after: `}}}}`},
	{apiVersion: "networking.istio.io/v1beta1", kind: "ProxyConfig", name: "environment", before: openSpec + `"environmentVariables":{`, item: with(`"L%":"v"`), after: `}}}`},
	{apiVersion: "extensions.istio.io/v1alpha1", kind: "WasmPlugin", name: "configuration", before: openSpec + `"url":"oci://example.com/a","pluginConfig":{`, item: with(`"l%":"v"`), after: `}}}`},
	{apiVersion: "extensions.istio.io/v1alpha1", kind: "TrafficExtension", name: "configuration", before: openSpec + `"config":{`, item: with(`"l%":"v"`), after: `}}}`},
	{apiVersion: "telemetry.istio.io/v1", kind: "Telemetry", name: "metrics", before: openSpec + `"metrics":[`, item: with(`{"providers":[{"name":"p%"}]}`), after: `]}}`},
	{apiVersion: "security.istio.io/v1", kind: "AuthorizationPolicy", name: "rules", before: openSpec + `"action":"ALLOW","rules":[`, item: with(`{"from":[{"source":{"namespaces":["team-%"]}}],"when":[{"key":"connection.sni","values":["h%.example.com"]}]}`), after: `]}}`},
	{apiVersion: "security.istio.io/v1", kind: "PeerAuthentication", name: "ports", before: openSpec + `"portLevelMtls":{`, item: with(`"%":{"mode":"STRICT"}`), after: `}}}`},
	{apiVersion: "security.istio.io/v1", kind: "RequestAuthentication", name: "jwtRules", before: openSpec + `"jwtRules":[`, item: with(`{"issuer":"https://i%.example.com","jwksUri":"https://h%.example.com/jwks"}`), most: 4096, after: `]}}`},
}
