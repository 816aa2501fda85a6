package reconcile_test

import (
	"strings"
	"testing"

	"github.com/go-logr/logr/funcr"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/sallyport-io/sallyport/internal/mesh"
	"github.com/sallyport-io/sallyport/internal/reconcile"
)

// panics is an EventRecorder that cannot be called.
type panics struct{}

func (panics) Eventf(_, _ runtime.Object, _, _, _, _ string, _ ...any) { panic("no Events") }

// TestPanicIsAnError: what goes wrong over one host is tried again, and ends
// neither the process nor the work on others.
func TestPanicIsAnError(t *testing.T) {
	c := newCluster(t, "panics")
	c.run(func(o *reconcile.Options) {
		o.Workers = 1
		o.Events = panics{}
	})
	for _, name := range []string{"one", "two"} {
		c.create(held("panics", name, name+".panics.com", tls))
		c.opens("panics", name)
	}
}

// TestPanicOverAPolicyIsAnError: the same holds for namespaces and their
// NetworkPolicies.
func TestPanicOverAPolicyIsAnError(t *testing.T) {
	w := newWalls(t, func(_ *mesh.Settings, o *reconcile.PolicyOptions) {
		o.Log = funcr.New(func(_, args string) {
			if strings.Contains(args, "created a NetworkPolicy") {
				panic("no log")
			}
		}, funcr.Options{})
	})
	for _, name := range []string{"np-panic-one", "np-panic-two"} {
		w.namespace(name, confined)
		w.stands(name)
	}
}
