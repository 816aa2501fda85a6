package schema_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sallyport-io/sallyport/internal/schema"
)

func TestStrays(t *testing.T) {
	for name, test := range map[string]struct {
		apiVersion, kind, object string
		want                     []schema.Stray
	}{
		"nothing":         {"networking.istio.io/v1", "ServiceEntry", `{"spec":{"hosts":["a"],"ports":[{"number":80}]},"status":{"x":1}}`, nil},
		"top of the spec": {"networking.istio.io/v1beta1", "ServiceEntry", `{"spec":{"futureKnob":1}}`, []schema.Stray{{Path: "spec.futureKnob"}}},
		"in a list and a map": {
			"networking.istio.io/v1", "VirtualService",
			`{"spec":{"http":[{},{"match":[{"headers":{"a":{"exact":"x","near":"y"}}}],"futureKnob":{}}]}}`,
			[]schema.Stray{{Path: `spec.http[1].match[0].headers["a"].near`}, {Path: "spec.http[1].futureKnob"}},
		},
		"absent":        {"networking.istio.io/v1", "ServiceEntry", `{"spec":{"futureKnob":null}}`, nil},
		"anything goes": {"networking.istio.io/v1alpha3", "EnvoyFilter", `{"spec":{"configPatches":[{"patch":{"value":{"a":{"b":1}}}}]}}`, nil},
		"known, unjudged": {
			"gateway.networking.k8s.io/v1", "HTTPRoute", `{"spec":{"rules":[{"filters":[{"type":"ExtensionRef","extensionRef":{"name":"x"}}]}]}}`,
			[]schema.Stray{{Path: "spec.rules[0].filters[0].extensionRef", Why: "filters requests by an object of another kind"}},
		},
		"of Kubernetes":  {"v1", "Pod", `{"spec":{"containers":[{"name":"a","futureKnob":1,"resources":{"limits":{"cpu":"1"}}}]}}`, []schema.Stray{{Path: "spec.containers[0].futureKnob"}}},
		"without a spec": {"discovery.k8s.io/v1", "EndpointSlice", `{"metadata":{"futureKnob":1},"endpoints":[{"futureKnob":1}]}`, []schema.Stray{{Path: "endpoints[0].futureKnob"}}},
		"bounded":        {"networking.istio.io/v1", "ServiceEntry", `{"spec":{"a1":1,"a2":1,"a3":1,"a4":1}}`, []schema.Stray{{Path: "spec.a1"}, {Path: "spec.a2"}, {Path: "spec.a3"}}},
		"malformed":      {"networking.istio.io/v1", "ServiceEntry", `{"spec":{"hosts":`, nil},
	} {
		k, ok := schema.Find(test.apiVersion, test.kind)
		if !ok {
			t.Fatalf("%s: no schema", name)
		}
		if d := cmp.Diff(test.want, k.Strays([]byte(test.object), 3)); d != "" {
			t.Errorf("%s (-want +got):\n%s", name, d)
		}
	}
}

func TestWhere(t *testing.T) {
	k, _ := schema.Find("networking.istio.io/v1", "DestinationRule")
	for name, want := range map[string]string{"tls": "spec.trafficPolicy", "sni": "spec.trafficPolicy.tls", "host": "spec", "futureKnob": ""} {
		if got := k.Where(name); got != want {
			t.Errorf("%s is at %q, want %q", name, got, want)
		}
	}
	k, _ = schema.Find("gateway.networking.k8s.io/v1", "HTTPRoute")
	if got, want := k.Where("backendRefs"), "spec.rules[]"; got != want {
		t.Errorf("backendRefs is at %q, want %q", got, want)
	}
	if k.At("spec.rules[0].matches[1]")["path"] == nil || k.At("spec.nothing") != nil {
		t.Error("At finds what is not there, or misses what is")
	}
}
