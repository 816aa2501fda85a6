package rules

// Row is one row of the bypass matrix: a way past the egress gateway that is
// known from Istio's and Kubernetes' source, documentation or advisories, or
// was observed on Istio's own control plane.
type Row struct {
	ID   string
	What string
	// Elsewhere says what becomes of a row that no rule decides, or what
	// comes to a rule's help; empty where rules decide it by themselves.
	Elsewhere Elsewhere
	Reason    string
}

// Elsewhere is where a row is decided that is not decided by a rule.
type Elsewhere string

// The places.
const (
	NetworkPolicy Elsewhere = "not decidable at admission: contained by NetworkPolicy"
	OutOfReach    Elsewhere = "out of reach"
	NoBypass      Elsewhere = "no way past the gateway"
	Product       Elsewhere = "decided by the server and the reconcilers"
)

// Rows is the bypass matrix. Every row is decided by a rule that lists it, or
// says here where else.
var Rows = []Row{
	{ID: "S-1", What: "ServiceEntry without a route through the gateway"},
	{ID: "S-2", What: "a port of the ServiceEntry that no route covers"},
	{ID: "S-3", What: "port without protocol, or of a protocol that the rules are not for"},
	{ID: "S-4", What: "MESH_INTERNAL with endpoints outside"},
	{ID: "S-5", What: "endpoints with public addresses, names or unix sockets"},
	{ID: "S-6", What: "endpoints at the metadata service, the loopback, a kubelet or the API server"},
	{
		ID: "S-7", What: "a host whose public DNS answers an internal address", Elsewhere: NetworkPolicy,
		Reason: "the answer changes after admission; the gateway's own policy keeps it from internal ranges",
	},
	{ID: "S-8", What: "addresses that capture other destinations"},
	{ID: "S-9", What: "workloadSelector and a WorkloadEntry with a public address"},
	{ID: "S-10", What: "resolution NONE"},
	{ID: "S-11", What: "wildcard hosts"},
	{ID: "S-12", What: "resolution DYNAMIC_DNS"},
	{ID: "S-13", What: "a ServiceEntry with the gateway's or another Service's name"},
	{ID: "S-14", What: "a ServiceEntry for the platform's host in a tenant's namespace"},
	{ID: "S-15", What: "a ServiceEntry exported to the gateway's or a victim's namespace"},
	{ID: "S-16", What: "a public ServiceEntry that is the oldest of its host"},
	{ID: "S-17", What: "host in capitals or with a trailing dot"},
	{ID: "S-18", What: "an external host that is a forward proxy"},
	{
		ID: "S-19", What: "domain fronting, shared content networks", Elsewhere: OutOfReach,
		Reason: "what is behind an approved host shows in requests only; TLS origination with policy on the requests at the gateway tells them apart",
	},
	{ID: "S-20", What: "subjectAltNames that let another server answer"},
	{ID: "S-21", What: "leaving or replacing the waypoint"},
	{ID: "S-22", What: "no address of its own for a TCP host"},
	{ID: "S-23", What: "endpoints in another network"},

	{ID: "V-1", What: "mesh route straight to the external host"},
	{ID: "V-2", What: "private VirtualService for the platform's host"},
	{ID: "V-3", What: "VirtualService exported to a victim's namespace"},
	{ID: "V-4", What: "wildcard VirtualService that overlaps an owned host"},
	{ID: "V-5", What: "narrower destinationSubnets for an owned host"},
	{ID: "V-6", What: "gateways without mesh"},
	{ID: "V-7", What: "build-time predicates that leave gaps"},
	{ID: "V-8", What: "a second rule that goes straight out"},
	{ID: "V-9", What: "a share of the weight that goes straight out"},
	{ID: "V-10", What: "mirrors"},
	{ID: "V-11", What: "redirects"},
	{ID: "V-12", What: "rewritten authority on the way to the gateway"},
	{ID: "V-13", What: "headers that policies at the gateway trust"},
	{ID: "V-14", What: "delegates, missing ones included"},
	{ID: "V-15", What: "the gateway with a wrong port or subset"},
	{ID: "V-16", What: "a destination that is an ExternalName Service"},
	{ID: "V-17", What: "a destination that is a relay inside the mesh"},
	{ID: "V-18", What: "external destinations at other gateways"},
	{ID: "V-19", What: "more hosts on the gateway's servers"},
	{ID: "V-20", What: "an older VirtualService for a host at the gateway"},
	{ID: "V-21", What: "any VirtualService for a Service of others"},
	{ID: "V-22", What: "annotations for Istio's own use"},
	{
		ID: "V-23", What: "fault, corsPolicy, retries, timeout", Elsewhere: NoBypass,
		Reason: "they delay or fail the requests of hosts that are routed as before",
	},
	{ID: "V-24", What: "routes of the Gateway API with a ServiceEntry or Service for parent"},
	{ID: "V-25", What: "a tenant's own gateways and listeners"},
	{ID: "V-26", What: "deletion of the route while the entry stays"},
	{ID: "V-27", What: "a route to an XBackend, which describes an external host"},

	{ID: "B-G1", What: "a tenant's Gateway on the egress gateway's pods"},
	{ID: "B-G2", What: "a Gateway without selector"},
	{ID: "B-G3", What: "an older Gateway for the same TLS host"},
	{ID: "B-G4", What: "AUTO_PASSTHROUGH at the egress gateway"},
	{ID: "B-G5", What: "bind, side listeners"},
	{
		ID: "B-G6", What: "servers that do not tell who connects", Elsewhere: NetworkPolicy,
		Reason: "the gateway's ingress policy admits pods of the mesh only; an AuthorizationPolicy at the gateway tells them apart",
	},
	{ID: "B-D1", What: "a DestinationRule for the gateway in the client's namespace"},
	{ID: "B-D2", What: "a DestinationRule that weakens TLS to the host"},
	{ID: "B-D3", What: "trafficPolicy.tunnel"},
	{
		ID: "B-D4", What: "proxyProtocol, localityLbSetting", Elsewhere: NoBypass,
		Reason: "they choose among the endpoints that a host has",
	},
	{ID: "B-D5", What: "a DestinationRule with workloadSelector"},
	{ID: "B-D6", What: "a BackendTLSPolicy that takes the certificate of another host"},
	{ID: "B-S1", What: "Sidecar with ALLOW_ANY"},
	{ID: "B-S2", What: "Sidecar with egressProxy"},
	{ID: "B-S3", What: "Sidecar that does not import the route"},
	{ID: "B-S4", What: "Sidecar with an explicit proxy listener"},
	{ID: "B-S5", What: "Sidecar for the whole mesh"},
	{ID: "B-E1", What: "EnvoyFilter"},
	{ID: "B-E2", What: "WasmPlugin, TrafficExtension"},
	{ID: "B-E3", What: "ProxyConfig and the proxy.istio.io/config annotation"},
	{
		ID: "B-E4", What: "PeerAuthentication", Elsewhere: NoBypass,
		Reason: "it is about what a workload accepts; gateways take their TLS from their servers",
	},
	{
		ID: "B-E5", What: "AuthorizationPolicy", Elsewhere: NoBypass,
		Reason: "a tenant's own is about its own workloads; Kubernetes' RBAC keeps tenants out of the gateway's namespace",
	},
	{ID: "B-E6", What: "RequestAuthentication with a jwksUri"},
	{
		ID: "B-E7", What: "Telemetry", Elsewhere: NoBypass,
		Reason: "providers are part of the mesh configuration; a Telemetry chooses among them",
	},
	{ID: "W-1", What: "WorkloadEntry behind a plain Service"},
	{ID: "W-2", What: "WorkloadGroup with auto-registration"},
	{ID: "W-3", What: "Ingress with a backend outside"},

	{ID: "K-1", What: "annotations that exclude traffic from capture"},
	{ID: "K-2", What: "no sidecar, or another one"},
	{ID: "K-3", What: "containers as user or group 1337"},
	{ID: "K-4", What: "hostNetwork"},
	{
		ID: "K-5", What: "NET_ADMIN, privileged containers, traffic before redirection", Elsewhere: NetworkPolicy,
		Reason: "sidecar and application share a pod and no boundary lies between them; Pod Security (restricted) and istio-cni take the means away",
	},
	{
		ID: "K-6", What: "UDP, QUIC, ICMP, SCTP", Elsewhere: NetworkPolicy,
		Reason: "Istio captures TCP only; the policy allows no other protocol but DNS",
	},
	{
		ID: "K-7", What: "tunnels through DNS", Elsewhere: OutOfReach,
		Reason: "every pod needs the resolver; restrict what the cluster's resolver forwards",
	},
	{ID: "K-8", What: "IPv6 beside rules for IPv4"},
	{ID: "K-9", What: "Service of type ExternalName"},
	{ID: "K-10", What: "EndpointSlice with addresses outside"},
	{ID: "K-11", What: "Service with externalIPs"},
	{ID: "K-12", What: "a second NetworkPolicy that allows more"},
	{ID: "K-13", What: "pods with the egress gateway's labels"},
	{ID: "K-14", What: "changed labels of a namespace"},
	{ID: "K-15", What: "pods that opt out of ambient mode"},
	{
		ID: "K-16", What: "pod to gateway with a forged SNI or Host", Elsewhere: NetworkPolicy,
		Reason: "no object shows it; ISTIO_MUTUAL servers, which companions use, and the gateway's ingress policy keep strangers out",
	},
	{
		ID: "K-17", What: "relays: namespaces without policy, port-forward, node proxies", Elsewhere: NetworkPolicy,
		Reason: "each relay is a pod whose own namespace has to be confined; rights to proxy and port-forward are RBAC's",
	},
	{
		ID: "K-18", What: "a network that ignores NetworkPolicy", Elsewhere: OutOfReach,
		Reason: "the API does not say whether anybody enforces a policy; test it when the cluster is installed",
	},
	{
		ID: "K-19", What: "objects that nobody judged: older than the webhook, excluded, other versions", Elsewhere: Product,
		Reason: "the webhook fails closed, matches every served version and excludes only Sallyport itself; sallyport review judges what is there already",
	},
	{ID: "K-20", What: "the moment between entry and route"},
}
