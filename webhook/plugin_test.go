package webhook

import (
	"fmt"
	"strings"
	"testing"

	admissionv1 "k8s.io/api/admission/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/sallyport-io/sallyport/internal/mesh"
	"github.com/sallyport-io/sallyport/internal/review"
	"github.com/sallyport-io/sallyport/rules"
)

// TestPluginPolicies: the policies of network plugins are judged as what the API
// server says they are, whatever other kind has the same name.
func TestPluginPolicies(t *testing.T) {
	o := options(t, &mesh.Namespace{Meta: mesh.Meta{
		Ref: mesh.Ref{Kind: "Namespace", Name: "shop"}, Labels: map[string]string{mesh.NetworkPolicyLabel: "enabled"},
	}})
	o.Judge = func() *review.Judge { return &review.Judge{Rules: rules.All} }
	for _, test := range []struct {
		group, version, kind, resource, opens, closes string
	}{
		{"cilium.io", "v2", "CiliumNetworkPolicy", "ciliumnetworkpolicies", `{"toEntities":["world"]}`, `{"toEndpoints":[{}]}`},
		{"projectcalico.org", "v3", "NetworkPolicy", "networkpolicies", `{"action":"Allow"}`, `{"action":"Deny"}`},
		{"crd.projectcalico.org", "v1", "NetworkPolicy", "networkpolicies", `{"action":"Pass"}`, `{"action":"Log"}`},
	} {
		ask := func(rule string) *admissionv1.AdmissionResponse {
			object := fmt.Sprintf(`{"apiVersion":"%s/%s","kind":%q,"metadata":{"name":"api","namespace":"shop"},"spec":{"endpointSelector":{},"egress":[%s]}}`,
				test.group, test.version, test.kind, rule)
			return post(t, o, ValidatePath, body(t, "v1", request(object, func(r *admissionv1.AdmissionRequest) {
				r.Kind = metav1.GroupVersionKind{Group: test.group, Version: test.version, Kind: test.kind}
				r.Resource = metav1.GroupVersionResource{Group: test.group, Version: test.version, Resource: test.resource}
			}))).Response
		}
		if answer := ask(test.opens); answer.Allowed || !strings.Contains(answer.Result.Message, "plugin-policy") {
			t.Errorf("%s of %s that opens the wall: %+v", test.kind, test.group, answer)
		}
		if answer := ask(test.closes); !answer.Allowed {
			t.Errorf("%s of %s that does not: %+v", test.kind, test.group, answer.Result)
		}
	}
}
