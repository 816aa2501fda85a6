package webhook

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	admissionv1 "k8s.io/api/admission/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/sallyport-io/sallyport/internal/companion"
	"github.com/sallyport-io/sallyport/internal/mesh"
	"github.com/sallyport-io/sallyport/internal/review"
	"github.com/sallyport-io/sallyport/rules"
)

// largeMesh has that many hosts in a fifth as many namespaces, with their
// companions.
func largeMesh(b *testing.B, hosts int) *mesh.Mesh {
	b.Helper()
	objects := []mesh.Object{&mesh.Service{
		Meta:     mesh.Meta{Ref: mesh.Ref{Kind: "Service", Namespace: "istio-system", Name: "istio-egressgateway"}},
		Selector: map[string]string{"istio": "egressgateway"},
		Ports:    []mesh.K8sServicePort{{Name: "http2", Port: 80, TargetPort: "8080"}, {Name: "https", Port: 443, TargetPort: "8443"}},
	}}
	names := make([]string, hosts)
	for i := range hosts {
		ns := fmt.Sprintf("team-%d", i/5)
		if i%5 == 0 {
			objects = append(objects, &mesh.Namespace{Meta: mesh.Meta{Ref: mesh.Ref{Kind: "Namespace", Name: ns}}})
		}
		names[i] = fmt.Sprintf("api-%d.example.com", i)
		o, err := mesh.Decode(fmt.Appendf(nil, `{"apiVersion":"networking.istio.io/v1","kind":"ServiceEntry",
			"metadata":{"namespace":%q,"name":"e-%d","annotations":{"sallyport.io/export-to":"."}},
			"spec":{"hosts":[%q],"exportTo":["."],"resolution":"DNS","ports":[{"number":80,"name":"http","protocol":"HTTP"},{"number":443,"name":"tls","protocol":"TLS"}]}}`,
			ns, i, names[i]))
		if err != nil {
			b.Fatal(err)
		}
		objects = append(objects, o)
	}
	m, _ := companion.Apply(mesh.New(mesh.DefaultSettings(), objects...), names...)
	return m
}

// BenchmarkValidate measures one review from its JSON to the JSON of the
// answer, without the network, beside a review that no rule judges.
func BenchmarkValidate(b *testing.B) {
	for _, hosts := range []int{100, 10000} {
		m := largeMesh(b, hosts)
		o := options(b)
		o.Mesh = func() *mesh.Mesh { return m }
		judge := &review.Judge{Rules: rules.All}
		o.Judge = func() *review.Judge { return judge }
		for _, tt := range []struct{ name, kind, object string }{
			{"ServiceEntry", "ServiceEntry", `{"apiVersion":"networking.istio.io/v1","kind":"ServiceEntry","metadata":{"namespace":"team-3","name":"api"},
				"spec":{"hosts":["new.example.com"],"resolution":"DNS","ports":[{"number":80,"name":"http","protocol":"HTTP"},{"number":443,"name":"tls","protocol":"TLS"}]}}`},
			{"VirtualService", "VirtualService", fmt.Sprintf(`{"apiVersion":"networking.istio.io/v1","kind":"VirtualService","metadata":{"namespace":"team-0","name":"api"},
				"spec":{"hosts":["api-1.example.com"],"exportTo":["."],"http":[{"timeout":"30s","route":[{"destination":{"host":"istio-egressgateway.istio-system.svc.cluster.local","port":{"number":443},"subset":%q}}]}]}}`,
				companion.Key("api-1.example.com"))},
			{"unknown", "Secret", `{"apiVersion":"v1","kind":"Secret","metadata":{"namespace":"team-0","name":"api"}}`},
		} {
			b.Run(fmt.Sprintf("%s/hosts=%d", tt.name, hosts), func(b *testing.B) {
				in := body(b, "v1", request(tt.object, func(r *admissionv1.AdmissionRequest) {
					r.Kind = metav1.GroupVersionKind{Group: "networking.istio.io", Version: "v1", Kind: tt.kind}
					r.Namespace = "team-3"
					if tt.kind == "VirtualService" {
						r.Namespace = "team-0"
					}
				}))
				h := timed(overHTTP(NewValidator(o), newGates(false), o.Log))
				b.ReportAllocs()
				for b.Loop() {
					req := httptest.NewRequest(http.MethodPost, ValidatePath, strings.NewReader(in))
					req.Header.Set("Content-Type", "application/json")
					rec := httptest.NewRecorder()
					h.ServeHTTP(rec, req)
					if rec.Code != http.StatusOK {
						b.Fatal(rec.Body)
					}
				}
			})
		}
	}
}
