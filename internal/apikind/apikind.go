// Package apikind is the one table of the kinds of objects that Sallyport reads or
// judges: where an API server serves them, and under which name the rest of Sallyport
// knows them. What else lists kinds (the model, what is followed and what the doctor
// reads, the schemas, manifests/webhooks.yaml) is made from it or compared with it.
package apikind

import "slices"

// The API groups of more than one kind.
const (
	Istio      = "networking.istio.io"
	Security   = "security.istio.io"
	Extensions = "extensions.istio.io"
	GatewayAPI = "gateway.networking.k8s.io"
	// GatewayAPIX is where the Gateway API tries out what is new.
	GatewayAPIX = "gateway.networking.x-k8s.io"
	Admission   = "admissionregistration.k8s.io"
	Cilium      = "cilium.io"
	// Calico's kinds are served by its own API server, which keeps them in the
	// second group, or by definitions in either.
	Calico     = "projectcalico.org"
	CalicoKept = "crd.projectcalico.org"
)

// Kind is a kind of object, in one API group.
type Kind struct {
	// Name is Sallyport's name of the kind, which [mesh.Ref] and rules have: the API's
	// own unless two APIs have kinds of that name.
	Name string
	// API is the API's own name of the kind.
	API string
	// Group is empty for the core group.
	Group string
	// Versions are those in which it may be served, in order of preference.
	Versions []string
	// Resource is its plural name, as in a URL.
	Resource string
	// Cluster is true where its objects are in no namespace.
	Cluster bool
}

// Of returns the kind that an API calls by that name.
func Of(group, api string) (Kind, bool) {
	i := slices.IndexFunc(All, func(k Kind) bool { return k.API == api && k.Group == group })
	if i < 0 {
		return Kind{}, false
	}
	return All[i], true
}

// Named returns the kind of that name, and the zero Kind where there is none; of
// Calico's, which two groups have, that of its own API server.
func Named(name string) Kind {
	i := slices.IndexFunc(All, func(k Kind) bool { return k.Name == name })
	if i < 0 {
		return Kind{}
	}
	return All[i]
}
