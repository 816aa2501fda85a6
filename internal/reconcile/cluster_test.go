package reconcile_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	nethttp "net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/go-logr/logr/testr"
	networking "istio.io/client-go/pkg/apis/networking/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/events"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/sallyport-io/sallyport/hack/controlplane"
	"github.com/sallyport-io/sallyport/internal/companion"
	"github.com/sallyport-io/sallyport/internal/live"
	"github.com/sallyport-io/sallyport/internal/mesh"
	"github.com/sallyport-io/sallyport/internal/reconcile"
)

// plane is the control plane that all tests of the package share.
var plane *controlplane.ControlPlane

func TestMain(m *testing.M) {
	os.Exit(func() int {
		var err error
		plane, err = controlplane.Start(context.Background(), controlplane.Options{
			ControllerManager: true,
			CRDs:              []controlplane.CRDs{controlplane.IstioCRDs},
		})
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		if err := giveRights(context.Background(), plane); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		code := m.Run()
		if code == 0 && everything() {
			unused, err := used.unused()
			if err != nil || len(unused) > 0 {
				fmt.Fprintf(os.Stderr, "FAIL: manifests/rbac.yaml grants rights of which no test makes use (error %v):\n%s\n", err, strings.Join(unused, "\n"))
				code = 1
			}
		}
		if err := plane.Stop(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		return code
	}())
}

// everything reports whether all tests of the package are run.
func everything() bool {
	for _, name := range []string{"test.run", "test.skip", "test.list", "test.bench", "test.short"} {
		if v := flag.Lookup(name).Value.String(); v != "" && v != "false" {
			return false
		}
	}
	return true
}

// patience is how long a test waits for the reconciler, which needs some
// milliseconds on an idle machine.
const patience = 30 * time.Second

// cluster is one test's view of the control plane.
type cluster struct {
	client.Client
	plane    *controlplane.ControlPlane
	watcher  client.WithWatch
	patience time.Duration
	settings mesh.Settings
	t        testing.TB
	events   *events.FakeRecorder
	stop     func()
	seen     func() *mesh.Mesh // what the reconciler that was started last sees
	config   *rest.Config      // of the reconciler and its store
	// watch, where it is set, sees every request of the reconciler itself.
	watch func(*nethttp.Request)
	// news, where it is set, sees every change of the mesh.
	news func(old, new mesh.Object)
}

func newCluster(t testing.TB, namespaces ...string) *cluster {
	t.Helper()
	c := newClusterOn(t, plane, namespaces...)
	c.config = account
	return c
}

func newClusterOn(t testing.TB, plane *controlplane.ControlPlane, namespaces ...string) *cluster {
	t.Helper()
	scheme := runtime.NewScheme()
	if err := errors.Join(networking.AddToScheme(scheme), corev1.AddToScheme(scheme)); err != nil {
		t.Fatal(err)
	}
	c, err := client.NewWithWatch(plane.Config, client.Options{Scheme: scheme})
	if err != nil {
		t.Fatal(err)
	}
	cl := &cluster{plane: plane, config: plane.Config, Client: client.WithFieldOwner(c, "a-user"), watcher: c, patience: patience, settings: mesh.DefaultSettings(), t: t}
	for _, name := range append(namespaces, "istio-system") {
		err := c.Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}})
		if err != nil && !apierrors.IsAlreadyExists(err) {
			t.Fatal(err)
		}
	}
	return cl
}

// run starts a reconciler, which the end of the test or stop ends.
func (c *cluster) run(adjust ...func(*reconcile.Options)) {
	c.t.Helper()
	c.events = events.NewFakeRecorder(10_000) // blocks where it is full
	options := reconcile.Options{Grace: 200 * time.Millisecond, Events: c.events, Log: logr.Discard()}
	if t, ok := c.t.(*testing.T); ok {
		options.Log = testr.New(t)
	}
	for _, f := range adjust {
		f(&options)
	}
	store, err := live.New(c.config, c.settings, options.Log)
	if err != nil {
		c.t.Fatal(err)
	}
	c.seen = store.Mesh
	if c.news != nil {
		store.Subscribe(c.news)
	}
	config := rest.CopyConfig(c.config)
	config.Wrap(func(next nethttp.RoundTripper) nethttp.RoundTripper {
		return roundTripper(func(r *nethttp.Request) (*nethttp.Response, error) {
			if c.watch != nil {
				c.watch(r)
			}
			return next.RoundTrip(r)
		})
	})
	companions, err := reconcile.New(config, store, options)
	if err != nil {
		c.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 2)
	go func() { done <- store.Start(ctx) }()
	go func() { done <- companions.Start(ctx) }()
	stopped := false
	c.stop = func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		for range 2 {
			if err := <-done; err != nil {
				c.t.Errorf("stopping: %v", err)
			}
		}
	}
	c.t.Cleanup(c.stop)
}

type roundTripper func(*nethttp.Request) (*nethttp.Response, error)

func (f roundTripper) RoundTrip(r *nethttp.Request) (*nethttp.Response, error) { return f(r) }

// create creates objects from YAML, and deletes them when the test is over.
func (c *cluster) create(manifests ...string) {
	c.t.Helper()
	for _, manifest := range manifests {
		o, err := object(manifest)
		if err != nil {
			c.t.Fatal(err)
		}
		if err := c.Create(c.t.Context(), o); err != nil {
			c.t.Fatal(err)
		}
		c.t.Cleanup(func() {
			if err := c.Delete(context.Background(), o); client.IgnoreNotFound(err) != nil {
				c.t.Error(err)
			}
		})
	}
}

func object(manifest string) (*unstructured.Unstructured, error) {
	var o unstructured.Unstructured
	return &o, yaml.Unmarshal([]byte(manifest), &o.Object)
}

// clear deletes the entries of a namespace and waits until their companions
// are gone.
func (c *cluster) clear(namespace string) {
	c.t.Helper()
	if err := c.DeleteAllOf(c.t.Context(), &networking.ServiceEntry{}, client.InNamespace(namespace)); err != nil {
		c.t.Fatal(err)
	}
	c.eventually("the companions to be gone", func() error {
		for _, list := range companionLists() {
			if err := c.List(c.t.Context(), list, client.MatchingLabels{mesh.ManagedByLabel: mesh.ManagedBy}); err != nil {
				return err
			}
			if n := apimeta.LenList(list); n > 0 {
				return fmt.Errorf("%d companions are left in a %T", n, list)
			}
		}
		return nil
	})
	c.stop()
}

// eventually waits until f returns nil.
func (c *cluster) eventually(what string, f func() error) {
	c.t.Helper()
	deadline := time.Now().Add(c.patience)
	for {
		err := f()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			c.t.Fatalf("waited %s for %s: %v", c.patience, what, err)
		}
		time.Sleep(50 * time.Millisecond)
	}
}

func (c *cluster) entry(namespace, name string) *networking.ServiceEntry {
	c.t.Helper()
	var se networking.ServiceEntry
	if err := c.Get(c.t.Context(), client.ObjectKey{Namespace: namespace, Name: name}, &se); err != nil {
		c.t.Fatal(err)
	}
	return &se
}

// opens waits until an entry is exported to its own namespace.
func (c *cluster) opens(namespace, name string) *networking.ServiceEntry {
	c.t.Helper()
	c.eventually(namespace+"/"+name+" to be opened", func() error {
		se := c.entry(namespace, name)
		if len(se.Spec.ExportTo) != 1 || se.Spec.ExportTo[0] != "." {
			return fmt.Errorf("exportTo %v, %s=%q", se.Spec.ExportTo, mesh.StatusAnnotation, se.Annotations[mesh.StatusAnnotation])
		}
		return nil
	})
	return c.entry(namespace, name)
}

// companionLists are empty lists of the kinds that companions have.
func companionLists() []client.ObjectList {
	return []client.ObjectList{
		&networking.ServiceEntryList{}, &networking.GatewayList{}, &networking.DestinationRuleList{}, &networking.VirtualServiceList{},
	}
}

// companions returns the objects under the reserved names for a host, by Ref.
func (c *cluster) companions(host string) map[mesh.Ref]client.Object {
	c.t.Helper()
	out := make(map[mesh.Ref]client.Object)
	for _, list := range companionLists() {
		if err := c.List(c.t.Context(), list); err != nil {
			c.t.Fatal(err)
		}
		err := apimeta.EachListItem(list, func(o runtime.Object) error {
			gvk, err := c.GroupVersionKindFor(o)
			if err != nil {
				return err
			}
			item := o.(client.Object)
			ref := mesh.Ref{Kind: gvk.Kind, Namespace: item.GetNamespace(), Name: item.GetName()}
			if companion.Is(ref) && companion.KeyOf(ref) == companion.Key(host) {
				out[ref] = item
			}
			return nil
		})
		if err != nil {
			c.t.Fatal(err)
		}
	}
	return out
}

// gone waits until a host has no companions.
func (c *cluster) gone(host string) {
	c.t.Helper()
	c.eventually("the companions of "+host+" to be gone", func() error {
		if left := c.companions(host); len(left) > 0 {
			return fmt.Errorf("%d are left: %v", len(left), left)
		}
		return nil
	})
}

// versions are the resourceVersions of a host's companions.
func (c *cluster) versions(host string) map[string]string {
	c.t.Helper()
	out := make(map[string]string)
	for ref, o := range c.companions(host) {
		out[ref.String()] = o.GetResourceVersion()
	}
	return out
}

// held is a ServiceEntry as admission leaves it: not visible to anybody.
func held(namespace, name, host, ports string) string {
	return fmt.Sprintf(`
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: %s, namespace: %s, annotations: {sallyport.io/export-to: "."}}
spec: {hosts: [%s], ports: [%s], resolution: DNS, exportTo: ["~"]}
`, name, namespace, host, ports)
}

const (
	http = `{number: 80, name: http, protocol: HTTP}`
	tls  = `{number: 443, name: tls, protocol: TLS}`
)

var zeroTime metav1.Time

func toYAML(o client.Object) string {
	out, err := yaml.Marshal(o)
	if err != nil {
		return err.Error()
	}
	return string(out)
}

// label labels a namespace.
func (c *cluster) label(namespace, key, value string) {
	c.t.Helper()
	patch := fmt.Appendf(nil, `{"metadata":{"labels":{%q:%q}}}`, key, value)
	ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace}}
	if err := c.Patch(c.t.Context(), ns, client.RawPatch(types.MergePatchType, patch)); err != nil {
		c.t.Fatal(err)
	}
}
