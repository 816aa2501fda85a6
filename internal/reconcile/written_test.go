package reconcile_test

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
	networking "istio.io/client-go/pkg/apis/networking/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sallyport-io/sallyport/internal/companion"
)

// TestPassthroughIsWritten: what Istio's types leave out is in the object that
// people read, after the first write and after a repair.
func TestPassthroughIsWritten(t *testing.T) {
	c := newCluster(t, "plain")
	c.settings.Gateways[0].MutualTLS = false
	c.run()
	c.create(held("plain", "api", "plain.partner.com", tls))
	c.opens("plain", "api")
	key := client.ObjectKey{Namespace: "istio-system", Name: companion.Key("plain.partner.com")}
	mode := func() (any, error) {
		var o unstructured.Unstructured
		o.SetGroupVersionKind(networking.SchemeGroupVersion.WithKind("Gateway"))
		if err := c.Get(t.Context(), key, &o); err != nil {
			return nil, err
		}
		servers, _, err := unstructured.NestedSlice(o.Object, "spec", "servers")
		if err != nil {
			return nil, err
		}
		return servers[0].(map[string]any)["tls"], nil
	}
	want := any(map[string]any{"mode": "PASSTHROUGH"})
	if got, err := mode(); err != nil || !cmp.Equal(want, got) {
		t.Errorf("the Gateway has tls %v (%v), want %v", got, err, want)
	}

	var gateway networking.Gateway
	if err := c.Get(t.Context(), key, &gateway); err != nil {
		t.Fatal(err)
	}
	gateway.Spec.Servers[0].Tls.Mode = 1 // SIMPLE
	if err := c.Update(t.Context(), &gateway); err != nil {
		t.Fatal(err)
	}
	c.eventually("the repair", func() error {
		got, err := mode()
		if err == nil && !cmp.Equal(want, got) {
			return fmt.Errorf("(-want +got)\n%s", cmp.Diff(want, got))
		}
		return err
	})
}
