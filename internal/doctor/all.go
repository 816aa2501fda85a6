package doctor

// The groups.
const (
	groupMesh      = "mesh"
	groupGateway   = "gateway"
	groupWall      = "wall"
	groupServer    = "server"
	groupWorkloads = "workloads"
)

// The pages that ask for what is checked.
const (
	taskPage     = "https://istio.io/latest/docs/tasks/traffic-management/egress/egress-gateway/"
	controlPage  = "https://istio.io/latest/docs/tasks/traffic-management/egress/egress-control/"
	securityPage = "https://istio.io/latest/docs/ops/best-practices/security/"
	webhookPage  = "https://kubernetes.io/docs/concepts/cluster-administration/admission-webhooks-good-practices/"
	networkPage  = "https://kubernetes.io/docs/concepts/services-networking/network-policies/"
)

// All is every check, in the order in which a cluster is set up.
var All = []*Check{
	istioVersion,
	gatewayAPIVersion,
	knownFaults,
	meshConfiguration,
	outboundTrafficPolicy,
	sidecarOutbound,
	captureDefaults,
	egressPaths,
	companions,
	heldEntries,

	gatewayService,
	gatewayPods,
	gatewayReplicas,
	gatewayNodes,
	gatewayMutualTLS,
	gatewayIdentity,
	waypoint,

	networkPolicyEnforced,
	namespaceWalls,
	gatewayWalls,
	outsideNamespaces,
	clusterDNS,
	istiodPorts,

	webhookConfiguration,
	webhookScope,
	webhookCertificate,
	webhookServer,
	webhookAnswers,
	namespaceModes,
	keptObjects,

	podsSidecar,
	podsCapture,
	podsPrivileges,
}
