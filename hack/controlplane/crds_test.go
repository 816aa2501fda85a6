package controlplane

import "testing"

// TestOnly: a kind is left with the one version, stored, and a kind that lacks
// it with its own.
func TestOnly(t *testing.T) {
	crds, err := IstioCRDs.Only("v1").read(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{"ServiceEntry": "v1", "EnvoyFilter": "v1alpha3"}
	for _, crd := range crds {
		version, ok := want[crd.Spec.Names.Kind]
		if !ok {
			continue
		}
		delete(want, crd.Spec.Names.Kind)
		if v := crd.Spec.Versions; len(v) != 1 || v[0].Name != version || !v[0].Storage || !v[0].Served {
			t.Errorf("%s has %d versions, the first is %s (stored: %t, served: %t); want %s alone", crd.Name, len(v), v[0].Name, v[0].Storage, v[0].Served, version)
		}
	}
	if len(want) > 0 {
		t.Errorf("not among Istio's kinds: %v", want)
	}
}
