package config

// Policies says where Rego modules are and what they are given. The shipped
// library is always there; its policies sleep until parameters has them.
type Policies struct {
	// Directories hold Rego modules of your own. In the server's pod each is a
	// mounted ConfigMap. The flag --policies adds to them.
	//
	// Default: none.
	Directories []string `json:"directories,omitempty"`
	// ConfigMaps is whether policies come from ConfigMaps too: those in the
	// server's own namespace, never another, with the label
	// sallyport.io/policy: "true". Their keys are names of files. Enabled or
	// disabled.
	//
	// Default: disabled.
	ConfigMaps Switch `json:"configMaps,omitempty"`
	// Bundles are OPA bundles with Rego modules of your own.
	//
	// Default: none.
	Bundles []Bundle `json:"bundles,omitempty"`
	// MaxNewDenials refuses to change policies while the server runs where the
	// new ones would deny more than that many objects in the cluster which the
	// policies in force would not. What exists stays, and may still be edited
	// where it is no worse than before: a denial more is no outage.
	//
	// Default: no limit; they are counted in log, metrics and status page.
	MaxNewDenials *int `json:"maxNewDenials,omitempty"`
	// Parameters has, by the name of a policy, what the policy reads as
	// data.sallyport.NAME: allow-lists, limits, and for every policy severity,
	// severityOverrides and exceptions. A policy of the shipped library is in
	// force only where it has an entry here; {} will do where every parameter
	// has a default.
	// policies/README.md lists them all.
	//
	// Default: empty.
	Parameters map[string]any `json:"parameters,omitempty"`
}

// Bundle is one OPA bundle, as "opa build" makes it: modules, their tests and
// data files in a tar.gz file. Wasm and delta bundles are refused.
type Bundle struct {
	// Name is how log, metrics and status page call the bundle. A DNS label,
	// unique in the file.
	Name string `json:"name"`
	// File is the bundle's file, which is looked at every ten seconds.
	//
	// Default: none; then url is required.
	File string `json:"file,omitempty"`
	// URL is where the bundle is fetched, by HTTPS. Nothing in it is secret: it
	// stands in the log.
	//
	// Default: none; then file is required.
	URL string `json:"url,omitempty"`
	// Interval is the time between two fetches of url, which cost next to
	// nothing where the server sends an ETag. At least 10s.
	//
	// Default: 1m.
	Interval string `json:"interval,omitempty"`
	// Key is the file with the public key, or certificate, that the bundle's
	// signature is verified with, in PEM.
	//
	// Default: none; then unsigned is required.
	Key string `json:"key,omitempty"`
	// KeyID is the name of the key in the bundle's signature: what was given to
	// "opa sign" as --verification-key-id. A bundle signed under another name is
	// refused.
	//
	// Default: default, as with opa sign.
	KeyID string `json:"keyID,omitempty"`
	// Algorithm is the one of the signature: RS256, RS384, RS512, PS256, PS384,
	// PS512, ES256, ES384 or ES512.
	//
	// Default: RS256.
	Algorithm string `json:"algorithm,omitempty"`
	// Scope is what the claim scope of the signature must be.
	//
	// Default: empty, as with opa sign.
	Scope string `json:"scope,omitempty"`
	// Unsigned takes the bundle without looking at signatures: whoever can write
	// to the place that it comes from makes your policies.
	//
	// Default: false.
	Unsigned bool `json:"unsigned,omitempty"`
	// TokenFile is a file with the bearer token for url. It is read for each
	// fetch.
	//
	// Default: none.
	TokenFile string `json:"tokenFile,omitempty"`
	// CAFile is a file with the authorities that may have signed the certificate
	// of url, in PEM. It is read for each fetch.
	//
	// Default: those of the system.
	CAFile string `json:"caFile,omitempty"`
	// Cache is a folder that keeps what was in force last, in a pod an emptyDir,
	// for a start while url is away or what it has is refused. It is verified
	// like what comes from url.
	//
	// Default: none; a server that starts while url is away is not ready.
	Cache string `json:"cache,omitempty"`
}
