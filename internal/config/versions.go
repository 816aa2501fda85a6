package config

import "github.com/sallyport-io/sallyport/internal/mesh"

// Versions are the releases by which the cluster's objects are read, in the place
// of those that the cluster itself names.
type Versions struct {
	// Istio is the version of Istio's control plane, such as "1.31.2". What 1.30,
	// 1.31 and 1.32 do differently is judged by it.
	//
	// Default: that of istiod's pods, which the server reads in istioNamespace and
	// follows, and the command line takes from the objects and from --state; of
	// several what is the worse counts. Where there is none, the newest that
	// Sallyport knows, 1.32. Log, doctor and the metric sallyport_mesh_config_notes
	// tell where the field says something else than the cluster.
	Istio string `json:"istio,omitempty"`
	// GatewayAPI is the release of the Gateway API whose definitions are installed,
	// such as "1.6": Istio passes over kinds whose definition is too old.
	//
	// Default: what the annotation gateway.networking.k8s.io/bundle-version of each
	// CustomResourceDefinition says, which the server follows and the command line
	// takes from the objects and from --state; recent enough for Istio where there
	// is none. Log, doctor and the metric sallyport_mesh_config_notes tell where the
	// field says something else than the cluster.
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
