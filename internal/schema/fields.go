package schema

// FieldName names a field of a type.
type FieldName struct {
	Type string // as in [Node.Type]
	Name string // in JSON; "*" stands for all fields of the type without a class of their own
}

// Class says what the judge makes of a field that the model does not read.
type Class struct {
	// Harmless is why the field opens no way out, nor takes traffic anywhere.
	Harmless string
	// Undetermined is what it does that nobody judges: a finding says so.
	Undetermined string
	// Judged is how it is judged without being decoded.
	Judged string
}

func (c Class) undetermined() string { return c.Undetermined }

func harmless(why string) Class { return Class{Harmless: why} }

func undetermined(what string) Class { return Class{Undetermined: what} }

func judged(how string) Class { return Class{Judged: how} }

var (
	pool        = harmless("How many connections and requests there are at a time.")
	balancing   = harmless("Which of the host's own endpoints is taken.")
	outliers    = harmless("Which of the host's own endpoints is left out for a time.")
	answered    = harmless("What the client is answered, or when it is: nothing is sent elsewhere.")
	retried     = harmless("When a request is given up or sent again, to the destination that is judged.")
	serverTLS   = harmless("How a gateway identifies itself to its clients, and they to it.")
	serverWords = harmless("Which of TLS a gateway speaks with its clients.")
	revocation  = harmless("Refuses certificates that would pass otherwise.")
	wholly      = "What is in it nobody judges: that it exists, and where it applies, is judged."
	extension   = judged(wholly + " Rule proxy-extension.")
	who         = harmless("Narrows whom the policy is about. It is judged as if it were about all.")
	listing     = harmless("A name for people, or the name of another field.")
	header      = harmless("Takes a header away, or is about answers.")
	share       = harmless("How many of the requests are copied. They are judged as if all were.")
	sticky      = harmless("Which of a Service's own endpoints a client stays with.")
	notRead     = harmless("Istio does not read it.")
)

// Fields classes what the model does not read. A test fails for a field of the
// types that is in no class, and for a class that is of no field.
var Fields = map[FieldName]Class{
	{"TrafficPolicy", "connectionPool"}:                     pool,
	{"ConnectionPoolSettings", "tcp"}:                       pool,
	{"ConnectionPoolSettings.HTTPSettings", "*"}:            pool,
	{"TrafficPolicy", "loadBalancer"}:                       balancing,
	{"TrafficPolicy.PortTrafficPolicy", "loadBalancer"}:     balancing,
	{"TrafficPolicy", "outlierDetection"}:                   outliers,
	{"TrafficPolicy.PortTrafficPolicy", "outlierDetection"}: outliers,
	{"TrafficPolicy", "proxyProtocol"}:                      harmless("Puts the client's address before what is sent."),
	{"TrafficPolicy", "retryBudget"}:                        retried,
	{"ClientTLSSettings", "caCrl"}:                          revocation,
	{"HTTPRoute", "corsPolicy"}:                             answered,
	{"HTTPRoute", "fault"}:                                  answered,
	{"HTTPRoute", "retries"}:                                retried,
	{"HTTPRoute", "timeout"}:                                retried,
	{"HTTPDirectResponse", "body"}:                          answered,
	{"HTTPRedirect", "*"}:                                   answered,
	{"HTTPRewrite", "uriRegexRewrite"}:                      harmless("The path of a request. Where it goes has been decided."),
	{"Sidecar", "ingress"}:                                  harmless("What comes in: a proxy hands it to its own pod, by loopback address or socket."),
	{"Sidecar", "inboundConnectionPool"}:                    pool,
	{"Server", "defaultEndpoint"}:                           harmless("Istio does not read it of a Gateway."),
	{"ServerTLSSettings", "alpnProtocols"}:                  serverWords,
	{"ServerTLSSettings", "cipherSuites"}:                   serverWords,
	{"ServerTLSSettings", "ecdhCurves"}:                     serverWords,
	{"ServerTLSSettings", "maxProtocolVersion"}:             serverWords,
	{"ServerTLSSettings", "minProtocolVersion"}:             serverWords,
	{"ServerTLSSettings", "caCertCredentialName"}:           serverTLS,
	{"ServerTLSSettings", "credentialNames"}:                serverTLS,
	{"ServerTLSSettings", "insecureSkipVerify"}:             serverTLS,
	{"ServerTLSSettings", "tlsCertificates"}:                serverTLS,
	{"ServerTLSSettings", "verifyCertificateHash"}:          serverTLS,
	{"ServerTLSSettings", "verifyCertificateSpki"}:          serverTLS,
	{"ServerTLSSettings", "caCrl"}:                          revocation,
	{"EnvoyFilter", "configPatches"}:                        judged(wholly + " Rule envoy-filter; the paths of the proxies that it applies to are undetermined."),
	{"EnvoyFilter", "priority"}:                             harmless("Which of several comes first."),
	{"EnvoyFilter", "targetRefs"}:                           who,
	{"ProxyConfig", "*"}:                                    judged(wholly + " Rule proxy-config."),
	{"WorkloadGroup", "*"}:                                  judged("Rule workload-group reads the whole spec."),
	{"TrafficExtension", "*"}:                               extension,
	{"WasmPlugin", "*"}:                                     extension,
	{"RequestAuthentication", "jwtRules"}:                   judged("Rule jwks-uri reads where keys are fetched from; the rest is about what comes in."),
	{"RequestAuthentication", "selector"}:                   who,
	{"RequestAuthentication", "targetRef"}:                  who,
	{"RequestAuthentication", "targetRefs"}:                 who,
	{"AuthorizationPolicy", "provider"}:                     harmless("A provider of the platform's mesh configuration, which is asked."),
	{"AuthorizationPolicy", "targetRef"}:                    who,
	{"Source", "*"}:                                         who,
	{"Operation", "*"}:                                      who,
	{"PolicyTargetReference", "namespace"}:                  who,
	{"Condition", "notValues"}:                              who,
	{"GatewaySpec", "allowedListeners"}:                     harmless("Which ListenerSets may add to the Gateway. A tenant's are judged: rule tenant-gateway."),
	{"GatewaySpec", "defaultScope"}:                         notRead,
	{"GatewaySpec", "infrastructure"}:                       harmless("Labels and parameters of what is deployed. A tenant's Gateway is denied by rule tenant-gateway whatever they are."),
	{"GatewaySpec", "tls"}:                                  serverTLS,
	{"GatewaySpecAddress", "type"}:                          harmless("What kind of address it is: all are read as both, an address and a name."),
	{"AllowedRoutes", "kinds"}:                              harmless("Narrows which routes may bind. A route is judged as if it could."),
	{"ListenerTLSConfig", "certificateRefs"}:                serverTLS,
	{"ListenerTLSConfig", "options"}:                        serverWords,
	{"ParentReference", "sectionName"}:                      harmless("Narrows the route to one listener. It is judged as if it bound to all."),
	{"GRPCRouteFilter", "extensionRef"}:                     undetermined("filters requests by an object of another kind"),
	{"HTTPRouteFilter", "extensionRef"}:                     undetermined("filters requests by an object of another kind"),
	{"HTTPRouteFilter", "externalAuth"}:                     undetermined("has every request shown to another backend"),
	{"HTTPRouteFilter", "cors"}:                             answered,
	{"HTTPRouteFilter", "requestRedirect"}:                  answered,
	{"HTTPRouteFilter", "responseHeaderModifier"}:           header,
	{"GRPCRouteFilter", "responseHeaderModifier"}:           header,
	{"HTTPHeaderFilter", "remove"}:                          header,
	{"HTTPRouteFilter", "type"}:                             listing,
	{"GRPCRouteFilter", "type"}:                             listing,
	{"HTTPRequestMirrorFilter", "fraction"}:                 share,
	{"HTTPRequestMirrorFilter", "percent"}:                  share,
	{"HTTPURLRewriteFilter", "path"}:                        harmless("The path of a request. Where it goes has been decided."),
	{"GRPCRouteRule", "name"}:                               listing,
	{"HTTPRouteRule", "name"}:                               listing,
	{"TCPRouteRule", "name"}:                                listing,
	{"TLSRouteRule", "name"}:                                listing,
	{"GRPCRouteRule", "sessionPersistence"}:                 sticky,
	{"HTTPRouteRule", "sessionPersistence"}:                 sticky,
	{"HTTPRouteRule", "retry"}:                              retried,
	{"HTTPRouteRule", "timeouts"}:                           retried,
	{"GRPCRouteSpec", "useDefaultGateways"}:                 notRead,
	{"HTTPRouteSpec", "useDefaultGateways"}:                 notRead,
	{"TCPRouteSpec", "useDefaultGateways"}:                  notRead,
	{"TLSRouteSpec", "useDefaultGateways"}:                  notRead,
	{"BackendTLSPolicySpec", "options"}:                     notRead,
	{"BackendSpec", "protocol"}:                             harmless("What is spoken with the host, not where it is."),
	{"BackendSpec", "tls"}:                                  undetermined("says with which TLS, and by whose certificate, the host is spoken to"),
	{"BackendPort", "name"}:                                 listing,
	{"ListenerSetSpec", "*"}:                                judged("A tenant's is denied whatever it says: rule tenant-gateway."),
}
