package sample

import (
	"context"
	"strings"
	"testing"

	"github.com/sallyport-io/sallyport/internal/mesh"
	"github.com/sallyport-io/sallyport/internal/review"
	"github.com/sallyport-io/sallyport/rules"
)

// TestPair checks that a sample fails where OPA's optimisations make a difference.
func TestPair(t *testing.T) {
	saying := func(messages ...string) *review.Judge {
		return &review.Judge{Rules: []*rules.Rule{{Name: "x", Severity: rules.Deny, Check: func(_ context.Context, p *rules.Pass) error {
			for _, m := range messages {
				p.Reportf("spec", "%s", m)
			}
			return nil
		}}}}
	}
	w := review.Write{
		Request: rules.Request{Operation: "CREATE"},
		Object:  []byte(`{"apiVersion": "networking.istio.io/v1", "kind": "ServiceEntry", "metadata": {"name": "a", "namespace": "shop"}, "spec": {"hosts": ["a.example.com"]}}`),
	}
	for _, tt := range []struct {
		name            string
		fast, reference *review.Judge
		fails           bool
	}{
		{"the same", saying("a", "b"), saying("b", "a"), false},
		{"less", saying("a"), saying("a", "b"), true},
		{"more", saying("a"), saying(), true},
		{"another", saying("a"), saying("b"), true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := pair{tt.fast, tt.reference}.review(t.Context(), mesh.New(mesh.DefaultSettings()), w)
			if tt.fails != (err != nil && strings.Contains(err.Error(), "without rule indexing and early exit")) {
				t.Errorf("error %v", err)
			}
		})
	}
}
