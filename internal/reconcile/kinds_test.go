package reconcile_test

import (
	"errors"
	"strings"
	"sync"
	"testing"

	"github.com/go-logr/logr/funcr"

	"github.com/sallyport-io/sallyport/hack/controlplane"
	"github.com/sallyport-io/sallyport/hack/controlplane/controlplanetest"
	"github.com/sallyport-io/sallyport/internal/reconcile"
)

// TestIstioComesLater: on a cluster without Istio's kinds the reconciler waits,
// says for what, and works once they are there.
func TestIstioComesLater(t *testing.T) {
	bare := controlplanetest.Start(t, controlplane.Options{})
	var mu sync.Mutex
	var said []string
	c := newClusterOn(t, bare, "late")
	c.run(func(o *reconcile.Options) {
		o.Log = funcr.New(func(_, args string) {
			mu.Lock()
			defer mu.Unlock()
			said = append(said, args)
		}, funcr.Options{})
	})
	c.eventually("a word on what is missing", func() error {
		mu.Lock()
		defer mu.Unlock()
		for _, line := range said {
			if strings.Contains(line, "does not serve all of networking.istio.io/v1 (") && strings.Contains(line, "install Istio's CustomResourceDefinitions") {
				return nil
			}
		}
		return errors.New("nothing is said")
	})
	if err := bare.InstallCRDs(t.Context(), controlplane.IstioCRDs); err != nil {
		t.Fatal(err)
	}
	c.create(held("late", "api", "late.partner.com", tls))
	c.opens("late", "api")
}
