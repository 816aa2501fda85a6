package live

import (
	"context"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-logr/logr/testr"
	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/util/wait"

	"github.com/sallyport-io/sallyport/internal/mesh"
)

const (
	namespaces = "api/v1/namespaces"
	services   = "api/v1/services"
	entries    = "apis/networking.istio.io/v1/serviceentries"
	oldEntries = "apis/networking.istio.io/v1beta1/serviceentries"
	gateways   = "apis/gateway.networking.k8s.io/v1/gateways"
)

// builtins are what every cluster of these tests serves.
func builtins() map[string]string {
	return map[string]string{
		namespaces: "Namespace",
		services:   "Service",
		"apis/discovery.k8s.io/v1/endpointslices":   "EndpointSlice",
		"apis/networking.k8s.io/v1/networkpolicies": "NetworkPolicy",
		entries: "ServiceEntry",
	}
}

func entrySpec(host string) any {
	return map[string]any{
		"hosts": []string{host}, "resolution": "DNS",
		"ports": []any{map[string]any{"number": 443, "name": "tls", "protocol": "TLS"}},
	}
}

// start runs a store until the test ends; patience is that of the store, where
// it is given.
func start(t *testing.T, c *cluster, patience ...time.Duration) *Store {
	t.Helper()
	s, err := New(c.start(), mesh.DefaultSettings(), testr.New(t))
	if err != nil {
		t.Fatal(err)
	}
	s.retry = 20 * time.Millisecond
	for _, p := range patience {
		s.patience = p
	}
	s.backoff = &wait.Backoff{Duration: 10 * time.Millisecond, Cap: 50 * time.Millisecond, Steps: 3, Factor: 2}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := s.Start(ctx); err != nil {
			t.Errorf("Start: %v", err)
		}
	}()
	t.Cleanup(func() {
		cancel()
		<-done
	})
	return s
}

func waitForSync(t *testing.T, s *Store) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if err := s.WaitForSync(ctx); err != nil {
		t.Fatal(err)
	}
}

// eventually waits for a condition that a watch has to bring about.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for range 1000 {
		if ok() {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatalf("never happened: %s", what)
}

func refs(m *mesh.Mesh, kind string) []string {
	var out []string
	for o := range m.All(kind) {
		out = append(out, o.Metadata().Ref.String())
	}
	return out
}

func host(m *mesh.Mesh, ref mesh.Ref) string {
	se, ok := m.Get(ref).(*mesh.ServiceEntry)
	if !ok {
		return ""
	}
	return strings.Join(se.Hosts, ",")
}

// TestStoreFollowsTheCluster covers the first read, then every kind of change.
func TestStoreFollowsTheCluster(t *testing.T) {
	c := newCluster(t, builtins())
	c.put(namespaces, "", "shop", nil)
	c.put(services, "shop", "cart", map[string]any{"clusterIP": "10.0.0.1"})
	c.put(entries, "shop", "api", entrySpec("api.example.com"))

	s := start(t, c)
	var mu sync.Mutex
	var changes []string
	s.Subscribe(func(old, new mesh.Object) {
		mu.Lock()
		defer mu.Unlock()
		switch {
		case old == nil:
			changes = append(changes, "new "+new.Metadata().String())
		case new == nil:
			changes = append(changes, "gone "+old.Metadata().String())
		default:
			changes = append(changes, "changed "+new.Metadata().String())
		}
		ref := func() mesh.Ref {
			if new != nil {
				return new.Metadata().Ref
			}
			return old.Metadata().Ref
		}()
		if got := s.Mesh().Get(ref); got != new {
			t.Errorf("the mesh holds %v when %v is announced", got, new)
		}
	})
	waitForSync(t, s)

	want := []string{"Namespace/shop", "Service/shop/cart", "ServiceEntry/shop/api"}
	got := slices.Concat(refs(s.Mesh(), "Namespace"), refs(s.Mesh(), "Service"), refs(s.Mesh(), "ServiceEntry"))
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("first snapshot (-want +got):\n%s", d)
	}

	before := s.Mesh()
	api := mesh.Ref{Kind: "ServiceEntry", Namespace: "shop", Name: "api"}
	c.put(entries, "shop", "web", entrySpec("web.example.com"))
	eventually(t, "the new entry is in the mesh", func() bool {
		return s.Mesh().Get(mesh.Ref{Kind: "ServiceEntry", Namespace: "shop", Name: "web"}) != nil
	})
	c.put(entries, "shop", "api", entrySpec("changed.example.com"))
	eventually(t, "the entry has its new host", func() bool { return host(s.Mesh(), api) == "changed.example.com" })
	c.remove(entries, "shop", "api")
	eventually(t, "the entry is gone", func() bool { return s.Mesh().Get(api) == nil })

	if got := host(before, api); got != "api.example.com" {
		t.Errorf("an older snapshot changed: host %q", got)
	}
	mu.Lock()
	defer mu.Unlock()
	wantChanges := []string{"new ServiceEntry/shop/web", "changed ServiceEntry/shop/api", "gone ServiceEntry/shop/api"}
	if d := cmp.Diff(wantChanges, changes); d != "" {
		t.Errorf("announced (-want +got):\n%s", d)
	}
	if d := cmp.Diff(map[string]int{"Namespace": 1, "Service": 1, "ServiceEntry": 1}, nonZero(s.Sizes())); d != "" {
		t.Errorf("sizes (-want +got):\n%s", d)
	}
}

func nonZero(sizes map[string]int) map[string]int {
	for k, v := range sizes {
		if v == 0 {
			delete(sizes, k)
		}
	}
	return sizes
}

func TestStoreReadsTheNewestServedVersion(t *testing.T) {
	served := builtins()
	delete(served, entries)
	served[oldEntries] = "ServiceEntry"
	c := newCluster(t, served)
	c.put(oldEntries, "shop", "api", entrySpec("api.example.com"))
	s := start(t, c)
	waitForSync(t, s)
	if d := cmp.Diff([]string{"ServiceEntry/shop/api"}, refs(s.Mesh(), "ServiceEntry")); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
}

// TestKindsComeAndGo installs and removes a CustomResourceDefinition while
// the store runs: neither needs a restart.
func TestKindsComeAndGo(t *testing.T) {
	c := newCluster(t, builtins())
	s := start(t, c)
	waitForSync(t, s)

	c.serve(gateways, "Gateway")
	c.put(gateways, "shop", "waypoint", map[string]any{"gatewayClassName": "istio-waypoint"})
	waypoint := mesh.Ref{Kind: "K8sGateway", Namespace: "shop", Name: "waypoint"}
	eventually(t, "the late kind is read", func() bool { return s.Mesh().Get(waypoint) != nil })

	c.stop(gateways)
	eventually(t, "the objects of the removed kind are gone", func() bool { return s.Mesh().Get(waypoint) == nil })

	c.serve(gateways, "Gateway")
	c.put(gateways, "shop", "waypoint", map[string]any{"gatewayClassName": "istio-waypoint"})
	eventually(t, "the kind is read again", func() bool { return s.Mesh().Get(waypoint) != nil })
}

// TestForbiddenKindHoldsReadinessUp checks that an unreadable kind is told
// from an absent one, and that the reason reaches the administrator.
func TestForbiddenKindHoldsReadinessUp(t *testing.T) {
	c := newCluster(t, builtins())
	const message = `serviceentries.networking.istio.io is forbidden: User "sallyport" cannot list`
	c.forbid(entries, message)
	s := start(t, c)
	eventually(t, "Waiting names the kind and the reason", func() bool {
		err := s.Waiting()
		return err != nil && strings.Contains(err.Error(), "ServiceEntry: ") && strings.Contains(err.Error(), message) &&
			!strings.Contains(err.Error(), "Namespace")
	})
	if s.Synced() {
		t.Error("synced without the ServiceEntries")
	}
	c.allow(entries)
	waitForSync(t, s)
	if err := s.Waiting(); err != nil {
		t.Errorf("Waiting after the sync: %v", err)
	}
}

// TestLostKindIsReported takes the right to read a kind away after the first
// sync: the mesh grows old, and must not do so in silence.
func TestLostKindIsReported(t *testing.T) {
	c := newCluster(t, builtins())
	s := start(t, c, 200*time.Millisecond)
	waitForSync(t, s)
	current := func() bool {
		for _, age := range s.Ages() {
			if age != 0 {
				return false
			}
		}
		return true
	}
	eventually(t, "all kinds are followed", current)

	c.hangUp(entries)
	eventually(t, "the watch is opened again", func() bool {
		c.mu.Lock()
		defer c.mu.Unlock()
		return len(c.watchers[entries]) > 0
	})
	eventually(t, "all kinds are followed again", current)
	if err := s.Stale(); err != nil {
		t.Errorf("stale after a watch that was opened again: %v", err)
	}

	const message = `serviceentries.networking.istio.io is forbidden: User "sallyport" cannot list`
	c.forbid(entries, message)
	c.hangUp(entries)
	eventually(t, "the kind grows old", func() bool { return s.Ages()["ServiceEntry"] > 0 })
	if err := s.Stale(); err != nil {
		t.Errorf("stale at once: %v", err)
	}
	eventually(t, "Stale names the kind and the reason", func() bool {
		err := s.Stale()
		return err != nil && strings.Contains(err.Error(), "ServiceEntry, since ") && strings.Contains(err.Error(), message) &&
			!strings.Contains(err.Error(), "Namespace")
	})
	if got := s.Ages()["ServiceEntry"]; got < 200*time.Millisecond {
		t.Errorf("the kind was current %v ago, and is stale", got)
	}

	c.allow(entries)
	eventually(t, "all kinds are followed once more", current)
	if err := s.Stale(); err != nil {
		t.Errorf("stale after the kind is read again: %v", err)
	}
}

// TestStaleDoesNotWait: every review asks whether the mesh is stale, and none
// may wait for a large kind that is being put into it.
func TestStaleDoesNotWait(t *testing.T) {
	s := start(t, newCluster(t, builtins()))
	waitForSync(t, s)
	s.mu.Lock()
	defer s.mu.Unlock()
	answered := make(chan error, 1)
	go func() { answered <- s.Stale() }()
	select {
	case err := <-answered:
		if err != nil {
			t.Errorf("stale: %v", err)
		}
	case <-time.After(10 * time.Second):
		t.Error("Stale waits for the lock of the mesh")
	}
}

// TestAbsentKindIsCurrent waits for longer than the mesh may be old: that a
// kind is not served is something the store knows.
func TestAbsentKindIsCurrent(t *testing.T) {
	s := start(t, newCluster(t, builtins()), 100*time.Millisecond)
	waitForSync(t, s)
	time.Sleep(200 * time.Millisecond)
	if err := s.Stale(); err != nil {
		t.Errorf("stale: %v", err)
	}
	if got, ok := s.Ages()["TCPRoute"]; !ok || got != 0 {
		t.Errorf("a kind that is not served is %v old (%v)", got, ok)
	}
}

// TestUndecodableObjectIsLeftOut has one object that the model cannot read
// among others: they are read, and a good version of it is read later.
func TestUndecodableObjectIsLeftOut(t *testing.T) {
	c := newCluster(t, builtins())
	c.put(entries, "shop", "bad", map[string]any{"hosts": 7})
	c.put(entries, "shop", "good", entrySpec("api.example.com"))
	s := start(t, c)
	waitForSync(t, s)
	if d := cmp.Diff([]string{"ServiceEntry/shop/good"}, refs(s.Mesh(), "ServiceEntry")); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
	if got := s.Skipped(); got != 1 {
		t.Errorf("Skipped() = %d, want 1", got)
	}
	c.put(entries, "shop", "bad", entrySpec("mended.example.com"))
	eventually(t, "the mended entry is in the mesh", func() bool { return len(refs(s.Mesh(), "ServiceEntry")) == 2 })
	c.put(entries, "shop", "bad", map[string]any{"hosts": 7})
	eventually(t, "the broken entry leaves the mesh", func() bool { return len(refs(s.Mesh(), "ServiceEntry")) == 1 })
}
