// Package live keeps a [mesh.Mesh] in step with a cluster: one reflector for
// each kind that the model reads, decoding from the wire straight into the
// model, so that no second copy of the cluster is held.
//
// A kind that the cluster does not serve (the Gateway API, say) holds nothing
// up: it is looked for again from time to time, and read once it appears.
package live

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-logr/logr"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/rest"

	"github.com/sallyport-io/sallyport/internal/mesh"
)

// absentRetry is the time between two looks for a kind that is not served.
const absentRetry = 10 * time.Second

// Store holds the mesh as the cluster's API server last told it. Make one
// with [New], register subscribers, then call [Store.Start].
type Store struct {
	log       logr.Logger
	wire      wire
	discovery discovery.DiscoveryInterface
	retry     time.Duration
	patience  time.Duration
	backoff   *wait.Backoff // of failing reflectors; nil for client-go's own

	mesh   atomic.Pointer[mesh.Mesh]
	synced chan struct{}             // closed once every kind has been read or is known to be absent
	oldest atomic.Pointer[time.Time] // the first time at which a kind was lost that is not followed; nil where all are

	mu          sync.Mutex // guards what follows, and every write to mesh
	newest      *mesh.Mesh // published from the first sync on
	states      map[string]*state
	subscribers []func(old, new mesh.Object)
	noted       []mesh.Note // what the log has
	sizes       map[string]int
	skipped     int
}

// New returns a store that will read the cluster behind cfg. Nothing is read
// before [Store.Start].
func New(cfg *rest.Config, settings mesh.Settings, log logr.Logger) (*Store, error) {
	wire, err := newWire(cfg)
	if err != nil {
		return nil, fmt.Errorf("client for reading the cluster: %w", err)
	}
	disco, err := discovery.NewDiscoveryClientForConfigAndClient(wire.config, wire.client)
	if err != nil {
		return nil, fmt.Errorf("client for discovery: %w", err)
	}
	s := &Store{
		log:       log,
		wire:      wire,
		discovery: disco,
		retry:     absentRetry,
		patience:  patience,
		synced:    make(chan struct{}),
		newest:    mesh.New(settings),
		states:    make(map[string]*state),
		sizes:     make(map[string]int),
	}
	for _, r := range resources {
		s.states[r.Name] = &state{why: "not asked for yet", lost: time.Now()}
	}
	s.mesh.Store(s.newest)
	return s, nil
}

// Mesh returns the newest snapshot. It holds nothing before [Store.Synced].
func (s *Store) Mesh() *mesh.Mesh { return s.mesh.Load() }

// Synced reports whether every kind has been read once. It never goes back.
func (s *Store) Synced() bool {
	select {
	case <-s.synced:
		return true
	default:
		return false
	}
}

// WaitForSync blocks until the store is synced or the context ends.
func (s *Store) WaitForSync(ctx context.Context) error {
	select {
	case <-s.synced:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("%w: %w", s.Waiting(), context.Cause(ctx))
	}
}

// Sizes returns the number of objects of each kind in the snapshot.
func (s *Store) Sizes() map[string]int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return maps.Clone(s.sizes)
}

// Skipped returns how many times an object was left out of the snapshot
// because the model could not decode it.
func (s *Store) Skipped() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.skipped
}

// Subscribe has f called for every change after the first sync: old is nil
// for an object that is new, and new is nil for one that is gone. Calls come
// one at a time, in the order of the changes, when [Store.Mesh] already
// returns the mesh with the change. What the first sync brings is not
// announced: a subscriber looks at the whole mesh when it starts. f must not
// block and must not call the store, other than Mesh.
func (s *Store) Subscribe(f func(old, new mesh.Object)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.subscribers = append(s.subscribers, f)
}

// NeedLeaderElection tells controller-runtime's manager that every replica
// runs the store.
func (s *Store) NeedLeaderElection() bool { return false }

// Start reads and follows the cluster until the context ends.
func (s *Store) Start(ctx context.Context) error {
	var wg sync.WaitGroup
	for _, r := range resources {
		wg.Go(func() { s.follow(ctx, r) })
	}
	wg.Wait()
	return nil
}

// reader is a reader of what the model reads of a resource.
func (s *Store) reader(r resource, gv schema.GroupVersion) (*reader, error) {
	namespace := ""
	if r.istiod {
		namespace = s.Mesh().Settings().IstioNamespace
	}
	return s.wire.reader(r, gv, namespace)
}

// note logs what is to be said about Istio's mesh configurations and about
// versions, once. It is called with mu held, after a change of the kind.
func (s *Store) note(kind string) {
	if !slices.ContainsFunc(resources, func(r resource) bool { return r.Name == kind && (r.istiod || r.metadata) }) {
		return
	}
	notes := s.newest.Notes()
	for _, n := range notes {
		if !slices.Contains(s.noted, n) {
			s.log.Info("mesh: "+n.Message, "note", n.Kind, "field", n.Field, "object", n.Ref.String())
		}
	}
	s.noted = notes
}

// upsert puts one object into the mesh.
func (s *Store) upsert(o mesh.Object) {
	s.mu.Lock()
	defer s.mu.Unlock()
	ref := o.Metadata().Ref
	old := s.newest.Get(ref)
	if old == nil {
		s.sizes[ref.Kind]++
	}
	s.publish(s.newest.With(o))
	s.note(ref.Kind)
	s.announce(old, o)
}

// remove takes one object out of the mesh.
func (s *Store) remove(ref mesh.Ref) {
	s.mu.Lock()
	defer s.mu.Unlock()
	old := s.newest.Get(ref)
	if old == nil {
		return
	}
	s.sizes[ref.Kind]--
	s.publish(s.newest.Without(ref))
	s.note(ref.Kind)
	s.announce(old, nil)
}

// replace makes the objects all that the mesh holds of one kind, in one
// snapshot.
func (s *Store) replace(kind string, objects []mesh.Object) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sizes[kind] = len(objects)
	gone := make(map[mesh.Ref]mesh.Object)
	for o := range s.newest.All(kind) {
		gone[o.Metadata().Ref] = o
	}
	olds := make([]mesh.Object, len(objects))
	for i, o := range objects {
		ref := o.Metadata().Ref
		olds[i] = gone[ref]
		delete(gone, ref)
	}
	s.publish(s.newest.Without(slices.Collect(maps.Keys(gone))...).With(objects...))
	s.note(kind)
	for i, o := range objects {
		s.announce(olds[i], o)
	}
	for _, o := range gone {
		s.announce(o, nil)
	}
}

// publish makes m the newest snapshot. It is called with mu held.
func (s *Store) publish(m *mesh.Mesh) {
	s.newest = m
	if s.Synced() {
		s.mesh.Store(m)
	}
}

// announce is called with mu held. A nil old or new must be the nil
// interface.
func (s *Store) announce(old, new mesh.Object) {
	if !s.Synced() {
		return
	}
	for _, f := range s.subscribers {
		f(old, new)
	}
}

// skip counts an object that the model could not decode.
func (s *Store) skip(ref string, err error) {
	s.mu.Lock()
	s.skipped++
	s.mu.Unlock()
	s.log.Error(err, "object left out of the mesh: its paths are judged as if it did not exist", "object", ref)
}
