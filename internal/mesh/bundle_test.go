package mesh

import "testing"

func TestBundleVersion(t *testing.T) {
	for text, want := range map[string]BundleVersion{
		"1.5": {1, 5}, "v1.5.1": {1, 5}, "v1.6.0-rc.1": {1, 6}, "v0.8.0": {0, 8},
		"": {}, "1": {}, "1.x": {}, "1.-1": {}, "1.5.0.0": {}, "v": {}, "0.0": {},
	} {
		if got, err := ParseBundleVersion(text); got != want || (err == nil) != (want != BundleVersion{}) {
			t.Errorf("%q is %v, %v; want %v", text, got, err, want)
		}
	}
}

// TestBundle: the configuration goes before a definition, one without a version is
// not read, and the minimum is that of the control plane's release.
func TestBundle(t *testing.T) {
	definition := func(kind string, annotations map[string]string) *Definition {
		return &Definition{Meta: Meta{Ref: Ref{Kind: "CustomResourceDefinition", Name: kind + ".gateway.networking.k8s.io"}, Annotations: annotations}}
	}
	old := map[string]string{bundleAnnotation: "v1.4.0"}
	for _, test := range []struct {
		name    string
		istio   IstioVersion
		api     BundleVersion
		objects []Object
		kind    string
		old     bool
		named   bool
	}{
		{"nobody says", IstioVersion{}, BundleVersion{}, nil, "TLSRoute", false, false},
		{"the configuration", IstioVersion{}, BundleVersion{1, 4}, nil, "TLSRoute", true, true},
		{"the configuration, which the definition contradicts", IstioVersion{}, BundleVersion{1, 6}, []Object{definition("tlsroutes", old)}, "TLSRoute", false, true},
		{"the definition", IstioVersion{}, BundleVersion{}, []Object{definition("tlsroutes", old)}, "TLSRoute", true, true},
		{"no version", IstioVersion{}, BundleVersion{}, []Object{definition("tlsroutes", nil)}, "TLSRoute", true, true},
		{"another kind's", IstioVersion{}, BundleVersion{}, []Object{definition("tlsroutes", old)}, "GRPCRoute", false, false},
		{"recent enough", IstioVersion{}, BundleVersion{}, []Object{definition("grpcroutes", old)}, "GRPCRoute", false, true},
		{"TCPRoute, 1.31", IstioVersion{31, 0}, BundleVersion{1, 5}, nil, "TCPRoute", true, true},
		{"TCPRoute, 1.30", IstioVersion{30, 0}, BundleVersion{1, 5}, nil, "TCPRoute", false, false},
		{"HTTPRoute", IstioVersion{}, BundleVersion{0, 8}, nil, "HTTPRoute", false, false},
	} {
		s := DefaultSettings()
		s.Istio, s.GatewayAPI = test.istio, test.api
		if b := New(s, test.objects...).Bundle(test.kind); b.TooOld() != test.old || (b.Named != "") != test.named {
			t.Errorf("%s: %+v", test.name, b)
		}
	}
}
