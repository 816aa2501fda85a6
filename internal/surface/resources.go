package surface

// Reasons that several resources share.
const (
	owner     = "Whoever may write this owns the cluster: only its administrator may, and Kubernetes itself."
	apiserver = owner + " The API server asks no webhook about it."
	question  = "A question to the API server: nothing is stored."
	inbound   = "It is about what comes in, not about what goes out."
	scale     = "A number of replicas. The template that they are made from was judged."
	custom    = "With the status of a custom resource the API server lets nothing else through, and nobody leads traffic by this one."
	gone      = "Pods that are gone send nothing."
	connect   = "Nothing is stored. What a process does in a container that runs already is for the NetworkPolicy to hold: any that runs as root can become user 1337, whose traffic Istio does not capture."
	allows    = "Without it no more is allowed: the wall is a policy by itself."
	plugin    = owner + " By itself it allows nothing: a policy has to name it, which a tenant's may not."
	staged    = "Nobody enforces it: it shows what a policy would do."
	certs     = "cert-manager's. It leads no traffic, and Sallyport reads the certificates in the gateways' namespaces alone. Whom cert-manager itself may call is for a NetworkPolicy around it."
)

// Resources are all that are accounted for, by group and name.
var Resources = []Resource{
	{Name: "bindings", Kind: "Binding"},
	{Name: "configmaps", Kind: "ConfigMap", Partly: true, Harmless: "Of these, Istio's mesh configurations and what its sidecar injectors fill templates with are judged; other ConfigMaps are not sent. Files and variables of pods. Sallyport's own configuration and its policies stand in its own namespace. Whom a namespace's proxies trust as istiod istiod itself writes back. The rest steers a proxy by an annotation that names it, and that is denied (proxy-injection), or a gateway that istiod deploys, and its Deployment and Service are judged."},
	{Name: "endpoints", Kind: "Endpoints", Harmless: "Without endpoints nothing is dialled."},
	{Name: "events", Harmless: "Nobody acts on them."},
	{Name: "limitranges", Harmless: "Limits on what may be created; defaults of resources alone."},
	{Name: "namespaces", Kind: "Namespace"},
	{Name: "namespaces/finalize", Kind: "Namespace"},
	{Name: "namespaces/status", Kind: "Namespace"},
	{Name: "nodes", Harmless: owner},
	{Name: "nodes/proxy", Harmless: owner},
	{Name: "nodes/status", Harmless: owner + " A kubelet may write that of its own node, whose pods are its own anyway."},
	{Name: "persistentvolumeclaims", Harmless: "Asks for a volume of a class, or a volume, that the administrator provides. What a driver dials is up to the class."},
	{Name: "persistentvolumeclaims/status", Harmless: "A report; with it labels and annotations, which storage drivers read."},
	{Name: "persistentvolumes", Harmless: owner},
	{Name: "persistentvolumes/status", Harmless: owner},
	{Name: "pods", Kind: "Pod", Harmless: gone},
	{Name: "pods/attach", Harmless: connect},
	{Name: "pods/binding", Kind: "Binding"},
	{Name: "pods/ephemeralcontainers", Kind: "Pod"},
	{Name: "pods/eviction", Harmless: gone},
	{Name: "pods/exec", Harmless: connect},
	{Name: "pods/portforward", Harmless: connect + " " + inbound},
	{Name: "pods/proxy", Harmless: inbound},
	{Name: "pods/resize", Harmless: "The API server lets nothing through with it but the resources of containers."},
	{Name: "pods/status", Kind: "Pod"},
	{Name: "podtemplates", Kind: "PodTemplate", Harmless: "Nothing is made of what is gone."},
	{Name: "replicationcontrollers", Kind: "ReplicationController", Harmless: gone},
	{Name: "replicationcontrollers/scale", Harmless: scale},
	{Name: "replicationcontrollers/status", Kind: "ReplicationController"},
	{Name: "resourcequotas", Harmless: "Limits on what may be created. A namespace whose quota leaves no room for companions keeps its entries held back."},
	{Name: "resourcequotas/status", Harmless: "A report, of what is used of a quota."},
	{Name: "secrets", Harmless: "Files and variables of pods. Credentials of gateways stand in the gateways' namespaces, and those of other clusters and of istiod in Istio's."},
	{Name: "serviceaccounts", Harmless: "An identity of a workload. Who may do what as one is up to RBAC and AuthorizationPolicies, which are judged."},
	{Name: "serviceaccounts/token", Harmless: "A token for an identity of the namespace: whoever has it is judged as that user."},
	{Name: "services", Kind: "Service"},
	{Name: "services/proxy", Harmless: "The API server dials the Service's endpoints, which are judged. " + inbound},
	{Name: "services/status", Kind: "Service"},

	{Group: "acme.cert-manager.io", Name: "challenges", Harmless: certs},
	{Group: "acme.cert-manager.io", Name: "challenges/status", Harmless: certs},
	{Group: "acme.cert-manager.io", Name: "orders", Harmless: certs},
	{Group: "acme.cert-manager.io", Name: "orders/status", Harmless: certs},

	{Group: "admissionregistration.k8s.io", Name: "mutatingadmissionpolicies", Harmless: apiserver},
	{Group: "admissionregistration.k8s.io", Name: "mutatingadmissionpolicybindings", Harmless: apiserver},
	{Group: "admissionregistration.k8s.io", Name: "mutatingwebhookconfigurations", Harmless: apiserver + " The doctor looks for webhooks that come after Sallyport's."},
	{Group: "admissionregistration.k8s.io", Name: "validatingadmissionpolicies", Harmless: apiserver},
	{Group: "admissionregistration.k8s.io", Name: "validatingadmissionpolicies/status", Harmless: apiserver},
	{Group: "admissionregistration.k8s.io", Name: "validatingadmissionpolicybindings", Harmless: apiserver},
	{Group: "admissionregistration.k8s.io", Name: "validatingwebhookconfigurations", Harmless: apiserver + " The doctor looks at Sallyport's own."},

	{Group: "apiextensions.k8s.io", Name: "customresourcedefinitions", Kind: "CustomResourceDefinition", Harmless: owner},
	{Group: "apiextensions.k8s.io", Name: "customresourcedefinitions/status", Harmless: owner},

	{Group: "apiregistration.k8s.io", Name: "apiservices", Harmless: owner},
	{Group: "apiregistration.k8s.io", Name: "apiservices/status", Harmless: owner},

	{Group: "apps", Name: "controllerrevisions", Kind: "ControllerRevision", Harmless: "The controller writes another, of the template that was judged."},
	{Group: "apps", Name: "daemonsets", Kind: "DaemonSet", Harmless: gone},
	{Group: "apps", Name: "daemonsets/status", Kind: "DaemonSet"},
	{Group: "apps", Name: "deployments", Kind: "Deployment", Harmless: gone},
	{Group: "apps", Name: "deployments/scale", Harmless: scale},
	{Group: "apps", Name: "deployments/status", Kind: "Deployment"},
	{Group: "apps", Name: "replicasets", Kind: "ReplicaSet", Harmless: gone},
	{Group: "apps", Name: "replicasets/scale", Harmless: scale},
	{Group: "apps", Name: "replicasets/status", Kind: "ReplicaSet"},
	{Group: "apps", Name: "statefulsets", Kind: "StatefulSet", Harmless: gone},
	{Group: "apps", Name: "statefulsets/scale", Harmless: scale},
	{Group: "apps", Name: "statefulsets/status", Kind: "StatefulSet"},

	{Group: "authentication.k8s.io", Name: "selfsubjectreviews", Harmless: question},
	{Group: "authentication.k8s.io", Name: "tokenreviews", Harmless: question},

	{Group: "authorization.k8s.io", Name: "localsubjectaccessreviews", Harmless: question},
	{Group: "authorization.k8s.io", Name: "selfsubjectaccessreviews", Harmless: question},
	{Group: "authorization.k8s.io", Name: "selfsubjectrulesreviews", Harmless: question},
	{Group: "authorization.k8s.io", Name: "subjectaccessreviews", Harmless: question},

	{Group: "autoscaling", Name: "horizontalpodautoscalers", Harmless: scale},
	{Group: "autoscaling", Name: "horizontalpodautoscalers/status", Harmless: scale},

	{Group: "batch", Name: "cronjobs", Kind: "CronJob", Harmless: gone},
	{Group: "batch", Name: "cronjobs/status", Kind: "CronJob"},
	{Group: "batch", Name: "jobs", Kind: "Job", Harmless: gone},
	{Group: "batch", Name: "jobs/status", Kind: "Job"},

	{Group: "cert-manager.io", Name: "certificaterequests", Harmless: certs},
	{Group: "cert-manager.io", Name: "certificaterequests/status", Harmless: certs},
	{Group: "cert-manager.io", Name: "certificates", Harmless: certs},
	{Group: "cert-manager.io", Name: "certificates/status", Harmless: certs},
	{Group: "cert-manager.io", Name: "clusterissuers", Harmless: owner},
	{Group: "cert-manager.io", Name: "clusterissuers/status", Harmless: owner},
	{Group: "cert-manager.io", Name: "issuers", Harmless: certs},
	{Group: "cert-manager.io", Name: "issuers/status", Harmless: certs},

	{Group: "certificates.k8s.io", Name: "certificatesigningrequests", Harmless: "Asks for a certificate. Whoever approves it owns the cluster."},
	{Group: "certificates.k8s.io", Name: "certificatesigningrequests/approval", Harmless: owner},
	{Group: "certificates.k8s.io", Name: "certificatesigningrequests/status", Harmless: owner},

	{Group: "cilium.io", Name: "ciliumcidrgroups", Harmless: plugin, Optional: true},
	{Group: "cilium.io", Name: "ciliumclusterwideenvoyconfigs", Kind: "CiliumClusterwideEnvoyConfig", Harmless: "Without it traffic goes where it went before.", Optional: true},
	{Group: "cilium.io", Name: "ciliumclusterwidenetworkpolicies", Kind: "CiliumClusterwideNetworkPolicy", Harmless: allows, Optional: true},
	{Group: "cilium.io", Name: "ciliumclusterwidenetworkpolicies/status", Harmless: custom, Optional: true},
	{Group: "cilium.io", Name: "ciliumegressgatewaypolicies", Harmless: owner + " It chooses by which node goes out what is allowed already.", Optional: true},
	{Group: "cilium.io", Name: "ciliumenvoyconfigs", Kind: "CiliumEnvoyConfig", Harmless: "Without it traffic goes where it went before.", Optional: true},
	{Group: "cilium.io", Name: "ciliumlocalredirectpolicies", Kind: "CiliumLocalRedirectPolicy", Harmless: "Without it traffic goes where it went before.", Optional: true},
	{Group: "cilium.io", Name: "ciliumlocalredirectpolicies/status", Harmless: custom, Optional: true},
	{Group: "cilium.io", Name: "ciliumnetworkpolicies", Kind: "CiliumNetworkPolicy", Harmless: allows, Optional: true},
	{Group: "cilium.io", Name: "ciliumnetworkpolicies/status", Harmless: custom, Optional: true},

	{Group: "coordination.k8s.io", Name: "leases", Harmless: "A lock. Those of istiod and of Sallyport are in platform namespaces."},

	{Group: "crd.projectcalico.org", Name: "globalnetworkpolicies", Kind: "GlobalNetworkPolicy", Harmless: allows, Optional: true},
	{Group: "crd.projectcalico.org", Name: "globalnetworksets", Harmless: plugin, Optional: true},
	{Group: "crd.projectcalico.org", Name: "networkpolicies", Kind: "CalicoNetworkPolicy", Harmless: allows, Optional: true},
	{Group: "crd.projectcalico.org", Name: "networksets", Kind: "NetworkSet", Harmless: "With it go addresses that policies allow.", Optional: true},
	{Group: "crd.projectcalico.org", Name: "stagedglobalnetworkpolicies", Harmless: staged, Optional: true},
	{Group: "crd.projectcalico.org", Name: "stagedkubernetesnetworkpolicies", Harmless: staged, Optional: true},
	{Group: "crd.projectcalico.org", Name: "stagednetworkpolicies", Harmless: staged, Optional: true},

	{Group: "discovery.k8s.io", Name: "endpointslices", Kind: "EndpointSlice", Harmless: "Without endpoints nothing is dialled."},

	{Group: "events.k8s.io", Name: "events", Harmless: "Nobody acts on them."},

	{Group: "extensions.istio.io", Name: "trafficextensions", Kind: "TrafficExtension", Harmless: "What an extension did to a proxy it does no longer."},
	{Group: "extensions.istio.io", Name: "trafficextensions/status", Harmless: custom},
	{Group: "extensions.istio.io", Name: "wasmplugins", Kind: "WasmPlugin", Harmless: "What an extension did to a proxy it does no longer."},
	{Group: "extensions.istio.io", Name: "wasmplugins/status", Harmless: custom},

	{Group: "flowcontrol.apiserver.k8s.io", Name: "flowschemas", Harmless: owner},
	{Group: "flowcontrol.apiserver.k8s.io", Name: "flowschemas/status", Harmless: owner},
	{Group: "flowcontrol.apiserver.k8s.io", Name: "prioritylevelconfigurations", Harmless: owner},
	{Group: "flowcontrol.apiserver.k8s.io", Name: "prioritylevelconfigurations/status", Harmless: owner},

	{Group: "gateway.networking.k8s.io", Name: "backendtlspolicies", Kind: "BackendTLSPolicy"},
	{Group: "gateway.networking.k8s.io", Name: "backendtlspolicies/status", Harmless: custom},
	{Group: "gateway.networking.k8s.io", Name: "gatewayclasses", Harmless: owner},
	{Group: "gateway.networking.k8s.io", Name: "gatewayclasses/status", Harmless: owner},
	{Group: "gateway.networking.k8s.io", Name: "gateways", Kind: "K8sGateway"},
	{Group: "gateway.networking.k8s.io", Name: "gateways/status", Kind: "K8sGateway"},
	{Group: "gateway.networking.k8s.io", Name: "grpcroutes", Kind: "GRPCRoute"},
	{Group: "gateway.networking.k8s.io", Name: "grpcroutes/status", Harmless: custom},
	{Group: "gateway.networking.k8s.io", Name: "httproutes", Kind: "HTTPRoute"},
	{Group: "gateway.networking.k8s.io", Name: "httproutes/status", Harmless: custom},
	{Group: "gateway.networking.k8s.io", Name: "listenersets", Kind: "ListenerSet", Harmless: "What listened at a gateway listens no longer."},
	{Group: "gateway.networking.k8s.io", Name: "listenersets/status", Harmless: custom},
	{Group: "gateway.networking.k8s.io", Name: "referencegrants", Harmless: "Lets routes of other namespaces name Services of this one. Those routes are judged as if it stood already."},
	{Group: "gateway.networking.k8s.io", Name: "tcproutes", Kind: "TCPRoute"},
	{Group: "gateway.networking.k8s.io", Name: "tcproutes/status", Harmless: custom},
	{Group: "gateway.networking.k8s.io", Name: "tlsroutes", Kind: "TLSRoute"},
	{Group: "gateway.networking.k8s.io", Name: "tlsroutes/status", Harmless: custom},
	{Group: "gateway.networking.k8s.io", Name: "udproutes", Harmless: "Istio does not read them."},
	{Group: "gateway.networking.k8s.io", Name: "udproutes/status", Harmless: "Istio does not read them."},

	{Group: "gateway.networking.x-k8s.io", Name: "xbackends", Kind: "XBackend", Optional: true},
	{Group: "gateway.networking.x-k8s.io", Name: "xbackends/status", Harmless: custom, Optional: true},
	{Group: "gateway.networking.x-k8s.io", Name: "xbackendtrafficpolicies", Harmless: "How often requests are sent again to a Service, and which of its endpoints a session keeps to.", Optional: true},
	{Group: "gateway.networking.x-k8s.io", Name: "xbackendtrafficpolicies/status", Harmless: custom, Optional: true},
	{Group: "gateway.networking.x-k8s.io", Name: "xlistenersets", Kind: "XListenerSet", Harmless: "What listened at a gateway listens no longer.", Optional: true},

	{Group: "networking.istio.io", Name: "destinationrules", Kind: "DestinationRule"},
	{Group: "networking.istio.io", Name: "destinationrules/status", Harmless: custom},
	{Group: "networking.istio.io", Name: "envoyfilters", Kind: "EnvoyFilter"},
	{Group: "networking.istio.io", Name: "envoyfilters/status", Harmless: custom},
	{Group: "networking.istio.io", Name: "gateways", Kind: "Gateway"},
	{Group: "networking.istio.io", Name: "gateways/status", Harmless: custom},
	{Group: "networking.istio.io", Name: "proxyconfigs", Kind: "ProxyConfig", Harmless: "Proxies go back to what the platform says of them."},
	{Group: "networking.istio.io", Name: "proxyconfigs/status", Harmless: custom},
	{Group: "networking.istio.io", Name: "serviceentries", Kind: "ServiceEntry"},
	{Group: "networking.istio.io", Name: "serviceentries/status", Kind: "ServiceEntry"},
	{Group: "networking.istio.io", Name: "sidecars", Kind: "Sidecar"},
	{Group: "networking.istio.io", Name: "sidecars/status", Harmless: custom},
	{Group: "networking.istio.io", Name: "virtualservices", Kind: "VirtualService"},
	{Group: "networking.istio.io", Name: "virtualservices/status", Harmless: custom},
	{Group: "networking.istio.io", Name: "workloadentries", Kind: "WorkloadEntry"},
	{Group: "networking.istio.io", Name: "workloadentries/status", Harmless: "With the status of a custom resource the API server lets nothing else through. By its conditions Istio takes a machine out of those that are dialled, or back; its address stands in the spec, which is judged."},
	{Group: "networking.istio.io", Name: "workloadgroups", Kind: "WorkloadGroup", Harmless: "No other machine joins by it."},
	{Group: "networking.istio.io", Name: "workloadgroups/status", Harmless: custom},

	{Group: "networking.k8s.io", Name: "ingressclasses", Harmless: owner},
	{Group: "networking.k8s.io", Name: "ingresses", Kind: "Ingress", Harmless: "What listened at a gateway listens no longer."},
	{Group: "networking.k8s.io", Name: "ingresses/status", Kind: "Ingress"},
	{Group: "networking.k8s.io", Name: "ipaddresses", Harmless: owner},
	{Group: "networking.k8s.io", Name: "networkpolicies", Kind: "NetworkPolicy"},
	{Group: "networking.k8s.io", Name: "servicecidrs", Harmless: owner},
	{Group: "networking.k8s.io", Name: "servicecidrs/status", Harmless: owner},

	{Group: "node.k8s.io", Name: "runtimeclasses", Harmless: owner},

	{Group: "policy", Name: "poddisruptionbudgets", Harmless: "How many pods may go at a time."},
	{Group: "policy", Name: "poddisruptionbudgets/status", Harmless: "How many pods may go at a time."},

	{Group: "projectcalico.org", Name: "globalnetworkpolicies", Kind: "GlobalNetworkPolicy", Harmless: allows, Optional: true},
	{Group: "projectcalico.org", Name: "globalnetworksets", Harmless: plugin, Optional: true},
	{Group: "projectcalico.org", Name: "networkpolicies", Kind: "CalicoNetworkPolicy", Harmless: allows, Optional: true},
	{Group: "projectcalico.org", Name: "networksets", Kind: "NetworkSet", Harmless: "With it go addresses that policies allow.", Optional: true},
	{Group: "projectcalico.org", Name: "stagedglobalnetworkpolicies", Harmless: staged, Optional: true},
	{Group: "projectcalico.org", Name: "stagedkubernetesnetworkpolicies", Harmless: staged, Optional: true},
	{Group: "projectcalico.org", Name: "stagednetworkpolicies", Harmless: staged, Optional: true},

	{Group: "rbac.authorization.k8s.io", Name: "clusterrolebindings", Harmless: owner},
	{Group: "rbac.authorization.k8s.io", Name: "clusterroles", Harmless: owner},
	{Group: "rbac.authorization.k8s.io", Name: "rolebindings", Harmless: "Nobody can give away more rights than they have, and what is written with them is judged, whoever writes."},
	{Group: "rbac.authorization.k8s.io", Name: "roles", Harmless: "Nobody can give away more rights than they have, and what is written with them is judged, whoever writes."},

	{Group: "resource.k8s.io", Name: "deviceclasses", Harmless: owner},
	{Group: "resource.k8s.io", Name: "resourceclaims", Harmless: "Asks for a device of a class that the administrator provides. One that is a network interface is outside of Istio's hands and of NetworkPolicies: keep its class from tenants."},
	{Group: "resource.k8s.io", Name: "resourceclaims/status", Harmless: "A report of the scheduler and of a device's driver, of a device that the administrator provides."},
	{Group: "resource.k8s.io", Name: "resourceclaimtemplates", Harmless: "Asks for a device of a class that the administrator provides. One that is a network interface is outside of Istio's hands and of NetworkPolicies: keep its class from tenants."},
	{Group: "resource.k8s.io", Name: "resourceslices", Harmless: owner},

	{Group: "scheduling.k8s.io", Name: "priorityclasses", Harmless: owner},

	{Group: "security.istio.io", Name: "authorizationpolicies", Kind: "AuthorizationPolicy"},
	{Group: "security.istio.io", Name: "authorizationpolicies/status", Harmless: custom},
	{Group: "security.istio.io", Name: "peerauthentications", Harmless: inbound + " That of the gateways is in their namespaces."},
	{Group: "security.istio.io", Name: "peerauthentications/status", Harmless: custom},
	{Group: "security.istio.io", Name: "requestauthentications", Kind: "RequestAuthentication", Harmless: inbound},
	{Group: "security.istio.io", Name: "requestauthentications/status", Harmless: custom},

	{Group: "storage.k8s.io", Name: "csidrivers", Harmless: owner},
	{Group: "storage.k8s.io", Name: "csinodes", Harmless: owner},
	{Group: "storage.k8s.io", Name: "csistoragecapacities", Harmless: "A report of a storage driver, which the scheduler reads."},
	{Group: "storage.k8s.io", Name: "storageclasses", Harmless: owner},
	{Group: "storage.k8s.io", Name: "volumeattachments", Harmless: owner},
	{Group: "storage.k8s.io", Name: "volumeattachments/status", Harmless: owner},
	{Group: "storage.k8s.io", Name: "volumeattributesclasses", Harmless: owner},

	{Group: "telemetry.istio.io", Name: "telemetries", Harmless: "What proxies of its namespace report, by providers of the mesh configuration. What the gateways report is decided in their namespaces."},
	{Group: "telemetry.istio.io", Name: "telemetries/status", Harmless: custom},
}
