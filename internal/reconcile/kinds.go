package reconcile

import (
	"context"
	"fmt"
	"time"

	networking "istio.io/client-go/pkg/apis/networking/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sallyport-io/sallyport/internal/companion"
	"github.com/sallyport-io/sallyport/internal/mesh"
)

// kindPoll is the time between two looks for kinds that are not served.
const kindPoll = 2 * time.Second

// open waits until the API server serves the kinds of companions, and returns
// a cache of what Sallyport has written. Istio may come after Sallyport, and a
// program that ends for it would take admission along.
func open(ctx context.Context, cfg *rest.Config, scheme *runtime.Scheme, waits func(error)) (cache.Cache, error) {
	ours := labels.SelectorFromSet(labels.Set{mesh.ManagedByLabel: mesh.ManagedBy})
	byObject := make(map[client.Object]cache.ByObject)
	for _, o := range kinds() {
		byObject[o] = cache.ByObject{Label: ours, Transform: keepManagers}
	}
	for told := false; ; {
		// What discovery has found out stays in a cache: each look takes a new one.
		written, err := cache.New(cfg, cache.Options{Scheme: scheme, ByObject: byObject, ReaderFailOnMissingInformer: true})
		if err == nil {
			return written, nil
		}
		if !meta.IsNoMatchError(err) {
			return nil, fmt.Errorf("cache of companions: %w", err)
		}
		if !told {
			told = true
			waits(fmt.Errorf("the cluster does not serve all of %s (%v); install Istio's CustomResourceDefinitions, "+
				"for example with the Helm chart istio/base: until then no companions are written",
				networking.SchemeGroupVersion, companion.Kinds))
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(kindPoll):
		}
	}
}
