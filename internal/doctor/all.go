package doctor

// All is every check, in the order in which a cluster is set up.
var All = []*Check{
	istioVersion,
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

	networkPolicyEnforced,
	namespaceWalls,
	gatewayWalls,
	outsideNamespaces,

	webhookConfiguration,
	webhookScope,
	webhookCertificate,
	webhookServer,
	webhookAnswers,
	namespaceModes,

	podsSidecar,
	podsCapture,
	podsPrivileges,
}
