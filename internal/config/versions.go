package config

import "github.com/sallyport-io/sallyport/internal/mesh"

// Versions are the releases by which the cluster's objects are read.
type Versions struct {
	// Istio is the version of Istio's control plane, such as "1.31.2". What 1.30,
	// 1.31 and 1.32 do differently is judged by it.
	//
	// Default: the newest that Sallyport knows, 1.32.
	Istio string `json:"istio,omitempty"`
	// GatewayAPI is the release of the Gateway API whose definitions are installed,
	// such as "1.6", as their annotation gateway.networking.k8s.io/bundle-version has
	// it: Istio passes over kinds whose definition is too old. A definition that is
	// among the objects goes before it.
	//
	// Default: recent enough for Istio.
	GatewayAPI string `json:"gatewayAPI,omitempty"`
}

func (v Versions) check(fail failure) {
	if v.Istio != "" {
		if _, err := mesh.ParseIstioVersion(v.Istio); err != nil {
			fail("versions.istio", "%s", err)
		}
	}
	if v.GatewayAPI != "" {
		if _, err := mesh.ParseBundleVersion(v.GatewayAPI); err != nil {
			fail("versions.gatewayAPI", "%s", err)
		}
	}
}
