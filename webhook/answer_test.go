package webhook

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	admissionv1 "k8s.io/api/admission/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/sallyport-io/sallyport/internal/hostiletest"
	"github.com/sallyport-io/sallyport/internal/mesh"
	"github.com/sallyport-io/sallyport/internal/review"
	"github.com/sallyport-io/sallyport/rules"
)

// answerBytes is how large the answer to a review is.
func answerBytes(t *testing.T, o Options, path, review string) int {
	t.Helper()
	handler := NewValidator(o)
	if path == MutatePath {
		handler = NewMutator(o)
	}
	r := httptest.NewRequest(http.MethodPost, path, strings.NewReader(review))
	r.Header.Set("Content-Type", "application/json")
	w := httptest.NewRecorder()
	overHTTP(handler, newGates(false), o.Log).ServeHTTP(w, r)
	if w.Code != http.StatusOK || !json.Valid(bytes.TrimSpace(w.Body.Bytes())) {
		t.Fatalf("status %d, %.200s", w.Code, w.Body.String())
	}
	return w.Body.Len()
}

// TestAnswersAreBounded checks that no review gets an answer of more than MaxAnswer bytes, whatever it is about and
// whatever it says of itself: for the dearest object of every kind, in the operations of which an answer can tell,
// and for reviews in which everything that an answer repeats is far too long.
func TestAnswersAreBounded(t *testing.T) {
	walled := &mesh.Namespace{Meta: mesh.Meta{
		Ref:    mesh.Ref{Kind: "Namespace", Name: hostiletest.Namespace},
		Labels: map[string]string{"istio-injection": "enabled", mesh.NetworkPolicyLabel: "enabled"},
	}}
	objects := []mesh.Object{walled}
	for i := range 200 {
		objects = append(objects, &mesh.Namespace{Meta: mesh.Meta{
			Ref: mesh.Ref{Kind: "Namespace", Name: fmt.Sprintf("team-%d", i)}, Labels: map[string]string{"team": fmt.Sprint("t", i)},
		}})
	}
	o := options(t, objects...)
	o.Judge = func() *review.Judge { return &review.Judge{Rules: rules.All} }
	largest := map[string]int{}
	try := func(name, path string, object []byte, change func(*admissionv1.AdmissionRequest)) {
		size := answerBytes(t, o, path, body(t, "v1", request(string(object), change)))
		if size > MaxAnswer {
			t.Errorf("%s: an answer of %d bytes to %d, more than %d", name, size, len(object), MaxAnswer)
		}
		largest[path] = max(largest[path], size)
	}
	about := func(raw []byte) func(*admissionv1.AdmissionRequest) {
		o, err := mesh.Decode(raw)
		if err != nil {
			t.Fatal(err)
		}
		return func(r *admissionv1.AdmissionRequest) {
			ref := o.Metadata().Ref
			r.Kind.Kind, r.Namespace, r.Name = strings.TrimPrefix(ref.Kind, "K8s"), ref.Namespace, ref.Name
			if r.Kind.Kind != ref.Kind {
				r.Kind.Group = "gateway.networking.k8s.io"
			}
		}
	}
	for object := range hostiletest.Objects(40_000, true) {
		for _, path := range []string{ValidatePath, MutatePath} {
			try(object.Name(), path, object.JSON, about(object.JSON))
		}
	}
	if largest[ValidatePath] < 5_000 {
		t.Errorf("the largest answer has %d bytes: the test has lost its aim", largest[ValidatePath])
	}
	long := strings.Repeat("<\"\n", 300_000)
	lies := map[string]func(*admissionv1.AdmissionRequest){
		"uid":       func(r *admissionv1.AdmissionRequest) { r.UID = types.UID(long) },
		"kind":      func(r *admissionv1.AdmissionRequest) { r.Kind.Kind = long },
		"group":     func(r *admissionv1.AdmissionRequest) { r.Kind.Group = long },
		"name":      func(r *admissionv1.AdmissionRequest) { r.Name = long },
		"namespace": func(r *admissionv1.AdmissionRequest) { r.Namespace = long },
		"operation": func(r *admissionv1.AdmissionRequest) { r.Operation = admissionv1.Operation(long) },
		"user": func(r *admissionv1.AdmissionRequest) {
			r.UserInfo.Username, r.Kind.Kind, r.Namespace, r.Name = long, "NetworkPolicy", "shop", "sallyport-egress"
		},
	}
	for name, lie := range lies {
		for _, path := range []string{ValidatePath, MutatePath} {
			try(name, path, []byte(entry("api", "denied.example.com")), lie)
		}
	}
	unknown := fmt.Sprintf(`{"apiVersion":"v1","kind":%q,"metadata":{"name":"a"}}`, strings.Repeat("K", 900_000))
	try("a kind that nobody knows", ValidatePath, []byte(unknown), func(r *admissionv1.AdmissionRequest) { r.Kind.Kind = strings.Repeat("K", 900_000) })
	for _, raw := range []string{
		`{"apiVersion":"` + strings.Repeat("v", 1<<20) + `","kind":"AdmissionReview","request":{}}`,
		`{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","request":{"uid":"1","` + strings.Repeat("a", 1<<20) + `":`,
		`{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","request":"` + strings.Repeat("a", 1<<20) + `"}`,
	} {
		if size := answerBytes(t, o, ValidatePath, raw); size > MaxAnswer {
			t.Errorf("%.60s: an answer of %d bytes", raw, size)
		}
	}
}
