package hostiletest

const ciliumEgress = openSpec + `"endpointSelector":{},"egress":[`

var ciliumShapes = []shape{
	{kind: "CiliumNetworkPolicy", name: "rules", before: ciliumEgress, item: with(`{"toEndpoints":[{"matchLabels":{"k8s:io.kubernetes.pod.namespace":"team-%"}}],"toPorts":[{"ports":[{"port":"%"}]}]}`), after: `]}}`},
	{kind: "CiliumNetworkPolicy", name: "specs", before: `},"specs":[`, item: with(`{"endpointSelector":{"matchLabels":{"reserved:init":"%"}},"egress":[{"toEntities":["world"]}]}`), after: `]}`},
	{kind: "CiliumNetworkPolicy", name: "peers", before: ciliumEgress + `{"toEndpoints":[`, item: with(`{"matchLabels":{"k8s:io.kubernetes.pod.namespace":"team-%","app":"a%"}}`), after: `]}]}}`},
	{kind: "CiliumNetworkPolicy", name: "namespaces", before: ciliumEgress + `{"toEndpoints":[{"matchExpressions":[{"key":"io.kubernetes.pod.namespace","operator":"In","values":[`, item: with(`"team-%"`), after: `]}]}]}]}}`},
	{kind: "CiliumNetworkPolicy", name: "labels", before: ciliumEgress + `{"toEndpoints":[{"matchLabels":{`, item: with(`"l%":"v"`), after: `}}]}]}}`},
	{kind: "CiliumNetworkPolicy", name: "ranges", before: ciliumEgress + `{"toCIDR":[`, item: address, after: `]}]}}`},
	{kind: "CiliumNetworkPolicy", name: "names", before: ciliumEgress + `{"toFQDNs":[`, item: with(`{"matchName":"h%.example.com"}`), after: `]}]}}`},
	{kind: "CiliumNetworkPolicy", name: "ports", before: ciliumEgress + `{"toEndpoints":[{"matchLabels":{"io.kubernetes.pod.namespace":"team-1"}}],"toPorts":[{"ports":[`, item: with(`{"port":"%"}`), after: `]}]}]}}`},
	{kind: "CiliumNetworkPolicy", name: "unknown fields", before: openSpec, item: with(`"f%":"x"`), after: `}}`},
	{kind: "CiliumClusterwideNetworkPolicy", name: "rules", before: ciliumEgress, item: with(`{"toEntities":["world"],"toPorts":[{"ports":[{"port":"%"}]}]}`), after: `]}}`},
	{kind: "CiliumClusterwideNetworkPolicy", name: "specs", before: `},"specs":[`, item: with(`{"endpointSelector":{"matchLabels":{"io.kubernetes.pod.namespace":"team-%"}},"egress":[{"toEntities":["world"]}]}`), after: `]}`},
	{kind: "CiliumLocalRedirectPolicy", name: "ports", before: openSpec + `"redirectFrontend":{"addressMatcher":{"ip":"192.0.2.1","toPorts":[`, item: with(`{"port":"%","protocol":"TCP"}`), after: `]}}}}`},
	{kind: "CiliumEnvoyConfig", name: "services", before: openSpec + `"services":[`, item: with(`{"name":"s%"}`), after: `]}}`},
	{kind: "CiliumClusterwideEnvoyConfig", name: "services", before: openSpec + `"services":[`, item: with(`{"name":"s%","namespace":"team-%"}`), after: `]}}`},
}

var calicoShapes = []shape{
	{kind: "NetworkPolicy", name: "Calico's rules", before: openSpec + `"egress":[`, item: with(`{"action":"Allow","destination":{"ports":[%]}}`), after: `]}}`},
	{kind: "NetworkPolicy", name: "Calico's selectors", before: openSpec + `"selector":"(all()","egress":[`, item: with(`{"action":"Allow","destination":{"selector":"a == 'b%'"}}`), after: `]}}`},
	{kind: "NetworkPolicy", name: "Calico's nets", before: openSpec + `"egress":[{"action":"Allow","destination":{"nets":[`, item: address, after: `]}}]}}`},
	{kind: "GlobalNetworkPolicy", name: "rules", before: openSpec + `"egress":[`, item: with(`{"action":"Pass","destination":{"ports":[%]}}`), after: `]}}`},
	{kind: "NetworkSet", name: "nets", before: openSpec + `"nets":[`, item: address, after: `]}}`},
}
