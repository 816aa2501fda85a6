package config

// Gateway is one egress gateway.
type Gateway struct {
	// Name is how namespaces and messages call the gateway. A DNS label,
	// unique in the file.
	Name string `json:"name"`
	// Service is the gateway's Kubernetes Service, NAMESPACE/NAME.
	Service string `json:"service"`
	// Selector is the label set of the gateway's pods, as an Istio Gateway
	// selects them.
	Selector map[string]string `json:"selector"`
	// MutualTLS is whether sidecars speak mutual TLS (ISTIO_MUTUAL) to the
	// gateway.
	//
	// Default: true.
	MutualTLS *bool `json:"mutualTLS,omitempty"`
	// Wildcards are the hosts by pattern that the gateway serves, each with the
	// one server that answers for every name under it. A gateway dials no name
	// that a client has asked for: any other wildcard is refused.
	//
	// Default: none.
	Wildcards []Wildcard `json:"wildcards,omitempty"`
}

// Wildcard is a domain all of whose names one server answers for.
type Wildcard struct {
	// Host is the pattern as entries register it: "*." and a domain.
	Host string `json:"host"`
	// Server is the name that the gateway dials, for example that of the domain's
	// load balancer.
	Server string `json:"server"`
}

// Credential is one client certificate.
type Credential struct {
	// Name is how entries call the certificate. A DNS label, unique in the file.
	Name string `json:"name"`
	// Hosts are the external hosts to which it may be presented, without
	// wildcards.
	Hosts []string `json:"hosts"`
	// Namespaces are those whose entries may ask for it.
	Namespaces []string `json:"namespaces"`
	// Secret is the name of the Secret with tls.crt, tls.key and ca.crt, the
	// authority that signed the server's certificate. It is in the gateway's
	// namespace. An authority of its own may be in a Secret of the same name
	// with -cacert at its end.
	Secret string `json:"secret"`
	// Issuer has cert-manager keep the Secret: Sallyport keeps a Certificate of
	// the same name while some entry uses it.
	//
	// Default: somebody else keeps the Secret.
	Issuer *Issuer `json:"issuer,omitempty"`
}

// Grant is a cert-manager issuer, and who may have a certificate of it.
type Grant struct {
	// Kind is Issuer, in the gateway's namespace, or ClusterIssuer.
	Kind string `json:"kind"`
	// Name is the issuer's name, by which entries ask for it. Unique in the file.
	Name string `json:"name"`
	// CommonName is that of the certificates, by which the external hosts know us.
	CommonName string `json:"commonName"`
	// Hosts are the external hosts for which there may be a certificate, without
	// wildcards. Each has one of its own.
	Hosts []string `json:"hosts"`
	// Namespaces are those whose entries may ask for it.
	Namespaces []string `json:"namespaces"`
}

// Issuer is a cert-manager issuer, and what it is asked for.
type Issuer struct {
	// Kind is Issuer, in the gateway's namespace, or ClusterIssuer.
	Kind string `json:"kind"`
	// Name is the issuer's name.
	Name string `json:"name"`
	// CommonName is the certificate's, by which the external host knows us.
	CommonName string `json:"commonName"`
}
