package reconcile_test

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	networking "istio.io/client-go/pkg/apis/networking/v1"
	security "istio.io/client-go/pkg/apis/security/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/watch"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sallyport-io/sallyport/internal/companion"
	"github.com/sallyport-io/sallyport/internal/mesh"
)

// history is every version of the objects that make paths, in the order in
// which the API server made them: the resourceVersions of one etcd are in the
// order of the writes.
type history struct {
	mu      sync.Mutex
	changes []change
	start   *mesh.Mesh // what there was before all changes
}

type change struct {
	version int
	at      time.Time // when the change was seen
	ref     mesh.Ref
	object  mesh.Object // nil where it was deleted
}

// record follows the kinds of companions until the test is over.
func record(t testing.TB, c client.WithWatch) *history {
	t.Helper()
	h := &history{start: mesh.New(mesh.DefaultSettings())}
	for _, kind := range companion.Kinds {
		gv := networking.SchemeGroupVersion
		if kind == "AuthorizationPolicy" {
			gv = security.SchemeGroupVersion
		}
		h.follow(t, c, gv.WithKind(kind), kind)
	}
	return h
}

// follow follows a kind, by the model's name of it, until the test is over.
func (h *history) follow(t testing.TB, c client.WithWatch, gvk schema.GroupVersionKind, kind string) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	t.Cleanup(func() { cancel(); wg.Wait() })
	var list unstructured.UnstructuredList
	list.SetGroupVersionKind(gvk.GroupVersion().WithKind(gvk.Kind + "List"))
	w, err := c.Watch(ctx, &list)
	if err != nil {
		t.Fatal(err)
	}
	wg.Go(func() {
		defer w.Stop()
		for event := range w.ResultChan() {
			if ctx.Err() != nil {
				return
			}
			h.add(t, kind, event)
		}
	})
}

func (h *history) add(t testing.TB, kind string, event watch.Event) {
	o, ok := event.Object.(*unstructured.Unstructured)
	if !ok {
		t.Errorf("watch of %s: %v", kind, event.Object)
		return
	}
	version, err := strconv.Atoi(o.GetResourceVersion())
	if err != nil {
		t.Error(err)
		return
	}
	ch := change{version: version, at: time.Now(), ref: mesh.Ref{Kind: kind, Namespace: o.GetNamespace(), Name: o.GetName()}}
	if event.Type != watch.Deleted {
		raw, err := o.MarshalJSON()
		if err == nil {
			ch.object, err = mesh.Decode(raw)
		}
		if err != nil {
			t.Error(err)
			return
		}
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.changes = append(h.changes, ch)
}

// entries takes changes of the entries of a namespace from a store: a watch of
// its own would cost the cores that are measured.
func (h *history) entries(namespace string) func(old, new mesh.Object) {
	return func(_, o mesh.Object) {
		entry, ok := o.(*mesh.ServiceEntry)
		if !ok || entry.Namespace != namespace {
			return
		}
		h.mu.Lock()
		defer h.mu.Unlock()
		h.changes = append(h.changes, change{at: time.Now(), ref: entry.Ref, object: entry})
	}
}

// replay yields the mesh after every change, with the change.
func (h *history) replay(yield func(*mesh.Mesh, change) bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	slices.SortFunc(h.changes, func(a, b change) int { return a.version - b.version })
	m := h.start
	for _, ch := range h.changes {
		if ch.object == nil {
			m = m.Without(ch.ref)
		} else {
			m = m.With(ch.object)
		}
		if !yield(m, ch) {
			return
		}
	}
}

// neverDirect fails the test where at any version of the cluster some client
// reached one of the namespace's hosts directly.
func (h *history) neverDirect(t testing.TB, namespace string) {
	t.Helper()
	versions := 0
	for m, ch := range h.replay {
		for o := range m.In("ServiceEntry", namespace) {
			// Only what concerns the entry's host can have changed its paths.
			entry := o.(*mesh.ServiceEntry)
			for _, host := range entry.Hosts {
				users := ch.ref.Kind == "VirtualService" && !companion.Is(ch.ref) && ch.ref.Namespace == namespace
				if ch.ref != entry.Ref && !(companion.Is(ch.ref) && companion.KeyOf(ch.ref) == companion.Key(host)) && !users {
					continue
				}
				versions++
				for _, port := range entry.Ports {
					for _, client := range []string{namespace, "istio-system", mesh.AnyClient} {
						if path := m.Paths(client, host, port.Number); path.Verdict == mesh.Direct {
							t.Errorf("at version %d, after a write of %s, %s reached %s:%d directly: %+v", ch.version, ch.ref, client, host, port.Number, path.Because)
						}
					}
				}
			}
		}
	}
	if versions == 0 {
		t.Error("no version of the cluster was looked at")
	}
}

func (h *history) len() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.changes)
}

// latencies are, for the entries of a namespace, the times from the first
// version of each to the one that is open.
func (h *history) latencies(namespace string) []time.Duration {
	created := make(map[mesh.Ref]time.Time)
	var out []time.Duration
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, ch := range h.changes { // in the order in which they were seen, which for one kind is that of the writes
		entry, ok := ch.object.(*mesh.ServiceEntry)
		if !ok || entry.Namespace != namespace || companion.Is(entry.Ref) {
			continue
		}
		at, seen := created[entry.Ref]
		switch {
		case !seen:
			created[entry.Ref] = ch.at
		case !at.IsZero() && slices.Equal(entry.ExportTo, []string{"."}):
			out = append(out, ch.at.Sub(at))
			created[entry.Ref] = time.Time{}
		}
	}
	slices.Sort(out)
	return out
}

// load creates n entries of one host each, pace apart, and waits until all
// are open.
func load(t testing.TB, c *cluster, h *history, namespace string, n int, pace time.Duration) []time.Duration {
	t.Helper()
	c.create(held(namespace, "first", "first."+namespace+".com", tls))
	c.opens(namespace, "first") // the reconciler has started
	entries := make([]client.Object, n)
	for i := range entries {
		name := fmt.Sprintf("host-%d", i)
		o, err := object(held(namespace, name, name+"."+namespace+".com", tls))
		if err != nil {
			t.Fatal(err)
		}
		entries[i] = o
	}
	ticker := time.NewTicker(max(pace, time.Microsecond))
	defer ticker.Stop()
	var wg sync.WaitGroup
	limit := make(chan struct{}, 16)
	for _, o := range entries {
		<-ticker.C
		limit <- struct{}{}
		wg.Go(func() {
			defer func() { <-limit }()
			if err := c.Create(t.Context(), o); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	var out []time.Duration
	c.eventually(fmt.Sprintf("%d entries to be opened", n), func() error {
		if seen := h.len(); seen < 2*n { // far from it: to count costs the cores as well
			return fmt.Errorf("%d changes have been seen", seen)
		}
		if out = h.latencies(namespace); len(out) != n+1 {
			return fmt.Errorf("%d are open", len(out))
		}
		return nil
	})
	return out
}

// TestNeverDirect: at no version of the cluster is there a direct path to a
// host whose entry was created, changed, and deleted.
func TestNeverDirect(t *testing.T) {
	c := newCluster(t, "early")
	c.settings.Injection = mesh.InjectNew
	h := record(t, c.watcher)
	c.run()
	latencies := load(t, c, h, "early", 40, 20*time.Millisecond)
	t.Logf("time to path: p50 %s, p99 %s", latencies[len(latencies)/2], latencies[len(latencies)*99/100])

	// Drift: somebody takes a companion away that holds a path.
	key := companion.Key("host-0.early.com")
	var gateway networking.Gateway
	if err := c.Get(t.Context(), client.ObjectKey{Namespace: "istio-system", Name: key}, &gateway); err != nil {
		t.Fatal(err)
	}
	if err := c.Delete(t.Context(), &gateway); err != nil {
		t.Fatal(err)
	}
	c.eventually("the Gateway to be back", func() error {
		return c.Get(t.Context(), client.ObjectKey{Namespace: "istio-system", Name: key}, &gateway)
	})
	for i := range 40 {
		entry := c.entry("early", fmt.Sprintf("host-%d", i))
		if err := c.Delete(t.Context(), entry); err != nil {
			t.Fatal(err)
		}
	}
	for i := range 40 {
		c.gone(fmt.Sprintf("host-%d.early.com", i))
	}
	h.neverDirect(t, "early")
}

// TestEntryReplaced: an entry that takes the place of another one for the same
// host is not opened before the mesh hop is its own as well, for what it does
// not own goes with the other.
func TestEntryReplaced(t *testing.T) {
	c := newCluster(t, "replaced")
	h := record(t, c.watcher)
	c.run()
	c.create(held("replaced", "old", "replaced.partner.com", tls))
	old := c.opens("replaced", "old")
	c.create(held("replaced", "new", "replaced.partner.com", tls))
	entry := c.opens("replaced", "new")
	hop := mesh.Ref{Kind: "VirtualService", Namespace: "replaced", Name: companion.Key("replaced.partner.com") + "-mesh"}
	if owners := c.companions("replaced.partner.com")[hop].GetOwnerReferences(); len(owners) != 2 {
		t.Errorf("the mesh hop of two entries is owned by %v", owners)
	}
	if err := c.Delete(t.Context(), old); err != nil {
		t.Fatal(err)
	}
	c.eventually("the mesh hop to be the new entry's alone", func() error {
		o := c.companions("replaced.partner.com")[hop]
		if o == nil || len(o.GetOwnerReferences()) != 1 || o.GetOwnerReferences()[0].UID != entry.UID {
			return fmt.Errorf("found %v", o)
		}
		return nil
	})
	h.neverDirect(t, "replaced")
}
