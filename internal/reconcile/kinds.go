package reconcile

import (
	"context"
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"

	"github.com/sallyport-io/sallyport/internal/companion"
)

// kindPoll is the time between two looks for kinds that are not served.
const kindPoll = 2 * time.Second

// waitForKinds waits until the API server serves the kinds of companions, in
// the versions in which they are written. Istio may come after Sallyport, and
// a program that ends for it would take admission along.
func (c *Companions) waitForKinds(ctx context.Context) error {
	for told := false; ; {
		err := c.served()
		if err == nil || ctx.Err() != nil {
			return ctx.Err()
		}
		if !told {
			told = true
			c.options.Log.Error(err, "waiting for Istio")
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(kindPoll):
		}
	}
}

func (c *Companions) served() error {
	for _, kind := range companion.Kinds {
		gvk, err := c.client.GroupVersionKindFor(emptyOf(kind))
		if err != nil {
			return err
		}
		switch _, err := c.client.RESTMapper().RESTMapping(gvk.GroupKind(), gvk.Version); {
		case meta.IsNoMatchError(err):
			return fmt.Errorf("the cluster does not serve all of %s (%v); install Istio's CustomResourceDefinitions, "+
				"for example with the Helm chart istio/base: until then no companions are written", gvk.GroupVersion(), companion.Kinds)
		case err != nil:
			return fmt.Errorf("looking for %s: %w", gvk.GroupVersion(), err)
		}
	}
	return nil
}
