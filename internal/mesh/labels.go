package mesh

// Labels and annotations by which namespaces and objects speak to Sallyport.
const (
	ModeLabel          = "sallyport.io/mode"           // namespace: enforce (default), warn, off
	InjectionLabel     = "sallyport.io/injection"      // namespace: enabled, disabled
	NetworkPolicyLabel = "sallyport.io/network-policy" // namespace: enabled, staged, disabled (default)
	GatewayLabel       = "sallyport.io/gateway"        // namespace: name of a configured gateway

	// ManagedByLabel marks what Sallyport writes. It is a convenience for
	// people and for list calls, never a proof: anybody can set it.
	ManagedByLabel = "app.kubernetes.io/managed-by"
	ManagedBy      = "sallyport"

	// RevisionLabel on an object of Istio's says which of its control planes
	// look at it. The others pass it over.
	RevisionLabel = "istio.io/rev"

	// ExportAnnotation on a ServiceEntry says that Sallyport manages its
	// exportTo, and what it is to be once every path is via: "." or "*".
	// Until then exportTo is ["~"], which no sidecar sees.
	ExportAnnotation = "sallyport.io/export-to"
	// OriginateTLSAnnotation on a ServiceEntry: "true" makes the gateway
	// speak TLS to the host on its HTTP ports.
	OriginateTLSAnnotation = "sallyport.io/originate-tls"
	// ClientCertificateAnnotation on a ServiceEntry names the configured
	// credential that the gateway presents where it originates TLS.
	ClientCertificateAnnotation = "sallyport.io/client-certificate"
	// PeersAnnotation on a Namespace lists, with commas, the namespaces of the
	// mesh that its pods may talk to behind the wall, beside their own.
	PeersAnnotation = "sallyport.io/network-peers"
	// ServiceAccountsAnnotation on a ServiceEntry lists, with commas, the
	// service accounts of its namespace that may use its hosts.
	ServiceAccountsAnnotation = "sallyport.io/service-accounts"
	// IssuerAnnotation on a ServiceEntry names the configured cert-manager
	// issuer of the client certificate that the gateway presents.
	IssuerAnnotation = "sallyport.io/issuer"
	// SpareAnnotation on a ServiceEntry: "true" has the companions written
	// behind the user's own route to the gateway, so that this can be deleted.
	SpareAnnotation = "sallyport.io/spare"
	// StatusAnnotation on a ServiceEntry tells its owner what Sallyport makes
	// of it: "ready", "not ready" (it is open, and something does not lead
	// through the gateway, or the gateway is not reached), "held" or "refused",
	// and why.
	StatusAnnotation = "sallyport.io/status"
	// InjectionAnnotation on a ServiceEntry: "enabled" asks for companions where
	// they are kept for new entries only ([InjectNew]). Admission puts it on each
	// that is created; whoever may write the entry may put it on an older one.
	InjectionAnnotation = InjectionLabel
	// HostAnnotation on a companion names the host it serves.
	HostAnnotation = "sallyport.io/host"
	// RewriteAnnotation on a VirtualService: "true" asks for the two-hop form.
	RewriteAnnotation = "sallyport.io/rewrite"
)
