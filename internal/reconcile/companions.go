// Package reconcile writes what Sallyport keeps in a cluster. What that is,
// the pure packages compute; here it is compared with what the API server
// has, and made so. One replica writes: the leader.
package reconcile

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"runtime/debug"
	"slices"
	"sync"
	"time"

	certmanager "github.com/cert-manager/cert-manager/pkg/apis/certmanager/v1"
	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	networking "istio.io/client-go/pkg/apis/networking/v1"
	security "istio.io/client-go/pkg/apis/security/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/events"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sallyport-io/sallyport/internal/companion"
	"github.com/sallyport-io/sallyport/internal/live"
	"github.com/sallyport-io/sallyport/internal/mesh"
)

// FieldManager is Sallyport's name in managedFields. An object on which it
// does not stand is not Sallyport's, whatever its labels say.
const FieldManager = "sallyport"

// Options are the choices of a [Companions]. Zero values stand for defaults.
type Options struct {
	// Grace is how long a companion is no longer wanted before it is
	// deleted. Default: 10 seconds.
	Grace time.Duration
	// Resync is the time between two looks at every host, for changes that
	// no event told of. Default: 10 minutes.
	Resync time.Duration
	// Workers is how many hosts are worked on at once. Default: 8.
	Workers int
	// CertificatePoll is the time between two looks at the certificates that
	// cert-manager keeps. Default: 10 seconds.
	CertificatePoll time.Duration
	// Events tells the owners of ServiceEntries what happens. Default: nobody
	// is told.
	Events events.EventRecorder
	// Metrics takes what is counted. Default: nobody counts.
	Metrics prometheus.Registerer
	Log     logr.Logger
}

// Companions keeps the companions of every host: it writes those that are
// wanted, repairs those that were changed, opens the entries that were held
// until their paths were via, and deletes what nobody wants any more.
//
// It implements controller-runtime's Runnable and LeaderElectionRunnable.
type Companions struct {
	store   *live.Store
	client  client.Client
	writer  writer // of what is written most: companions, and fields of entries
	options Options
	metrics *companionMetrics

	queue queue // of companion.Key

	mu       sync.Mutex
	hosts    map[string]string                 // by companion.Key
	unwanted map[string]map[mesh.Ref]time.Time // by companion.Key: since when
	held     map[mesh.Ref]time.Time            // entries, since they were first seen to be held
	known    known

	credentials map[credentialKey]credentialState

	confirming sync.Mutex
	confirmed  time.Time // when the API server was last found to have no entry
}

// New returns a Companions that reads the mesh from the store, which must not
// have been started yet, and writes to the cluster behind cfg.
func New(cfg *rest.Config, store *live.Store, options Options) (*Companions, error) {
	if options.Grace == 0 {
		options.Grace = 10 * time.Second
	}
	if options.Resync == 0 {
		options.Resync = 10 * time.Minute
	}
	if options.CertificatePoll == 0 {
		options.CertificatePoll = 10 * time.Second
	}
	if options.Workers == 0 {
		options.Workers = 8
	}
	if options.Events == nil {
		options.Events = &events.FakeRecorder{}
	}
	scheme := runtime.NewScheme()
	if err := errors.Join(networking.AddToScheme(scheme), security.AddToScheme(scheme), certmanager.AddToScheme(scheme)); err != nil {
		return nil, fmt.Errorf("types to write: %w", err)
	}
	cfg = rest.CopyConfig(cfg)
	// The queue bounds what is in flight, and the API server's own fairness
	// does the rest; a limit here would only add delay.
	cfg.QPS = -1
	httpClient, err := rest.HTTPClientFor(cfg)
	if err != nil {
		return nil, fmt.Errorf("client for writing companions: %w", err)
	}
	typed, err := client.New(cfg, client.Options{Scheme: scheme, HTTPClient: httpClient})
	if err != nil {
		return nil, fmt.Errorf("client for writing companions: %w", err)
	}
	writer, err := newWriter(cfg, httpClient, scheme, typed.RESTMapper())
	if err != nil {
		return nil, fmt.Errorf("client for writing companions: %w", err)
	}
	metrics, err := newCompanionMetrics(options.Metrics, store.Mesh)
	if err != nil {
		return nil, fmt.Errorf("metrics of companions: %w", err)
	}
	c := &Companions{
		metrics: metrics,
		store:   store,
		client:  client.WithFieldValidation(client.WithFieldOwner(typed, FieldManager), metav1.FieldValidationIgnore),
		writer:  writer,
		options: options,
		queue:   queue{name: "companions"},
	}
	c.reset()
	store.Subscribe(c.changed)
	return c, nil
}

// NeedLeaderElection tells controller-runtime's manager that one replica
// writes.
func (c *Companions) NeedLeaderElection() bool { return true }

// reset leaves nothing of what was learnt while this replica led before: what
// others have written since it did not see.
func (c *Companions) reset() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.hosts = make(map[string]string)
	c.unwanted = make(map[string]map[mesh.Ref]time.Time)
	c.held = make(map[mesh.Ref]time.Time)
	c.known = newKnown()
	c.credentials = make(map[credentialKey]credentialState)
}

// Start works until the context ends. It writes nothing before it has seen
// the whole cluster, and waits where that does not serve Istio's kinds yet. It
// may be started again after it has returned.
func (c *Companions) Start(ctx context.Context) error {
	if c.waitForKinds(ctx) != nil || c.store.WaitForSync(ctx) != nil {
		return nil // the context has ended
	}
	var wg sync.WaitGroup
	defer wg.Wait()
	c.reset()
	defer c.queue.begin()()
	c.look()
	wg.Go(func() { c.certify(ctx) })
	for range c.options.Workers {
		wg.Go(func() { c.work(ctx) })
	}
	ticker := time.NewTicker(c.options.Resync)
	defer ticker.Stop()
	for {
		c.enqueueAll()
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
	}
}

// work takes hosts off the queue, one at a time.
func (c *Companions) work(ctx context.Context) {
	for {
		key, over := c.queue.get()
		if over {
			return
		}
		var after time.Duration
		err := guarded(func() (err error) {
			after, err = c.reconcile(ctx, key)
			return err
		})
		switch {
		case ctx.Err() != nil:
			c.queue.done(key)
		case err != nil:
			c.options.Log.Error(err, "companions are not as they should be; trying again", "host", c.host(key))
			c.queue.again(key)
		default:
			if after > 0 {
				c.queue.addAfter(key, after)
			}
			c.queue.done(key)
		}
	}
}

// guarded keeps a panic over one key of a queue from ending the process, which
// admission needs.
func guarded(work func() error) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = fmt.Errorf("panic: %v\n%s", v, debug.Stack())
		}
	}()
	return work()
}

// enqueueAll puts every host on the queue that a ServiceEntry registers or a
// companion is for.
func (c *Companions) enqueueAll() {
	c.enqueueEntries("")
	c.mu.Lock()
	keys := slices.Collect(maps.Keys(c.known.refs))
	c.mu.Unlock()
	for _, key := range keys {
		c.enqueue(key)
	}
}

func (c *Companions) enqueue(key string) { c.queue.add(key) }

// enqueueHost puts a host on the queue, and remembers its name.
func (c *Companions) enqueueHost(host string) {
	key := companion.Key(host)
	c.mu.Lock()
	c.hosts[key] = host
	c.mu.Unlock()
	c.enqueue(key)
}

// enqueueEntries puts the hosts of a namespace's entries on the queue, or of
// all entries where the namespace is empty.
func (c *Companions) enqueueEntries(namespace string) {
	m := c.store.Mesh()
	entries := m.All("ServiceEntry")
	if namespace != "" {
		entries = m.In("ServiceEntry", namespace)
	}
	for o := range entries {
		if !companion.Is(o.Metadata().Ref) {
			c.enqueueEntry(o.(*mesh.ServiceEntry))
		}
	}
}

func (c *Companions) enqueueEntry(entry *mesh.ServiceEntry) {
	for _, h := range entry.Hosts {
		c.enqueueHost(mesh.CanonicalHost(h))
	}
}

func (c *Companions) host(key string) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.hosts[key]
}

// changed is told of every change of the mesh.
func (c *Companions) changed(old, new mesh.Object) {
	if !c.queue.leads() {
		return
	}
	o := new
	if o == nil {
		o = old
	}
	ref := o.Metadata().Ref
	if companion.Is(ref) {
		c.mu.Lock()
		c.known.companion(ref, new != nil)
		c.mu.Unlock()
	}
	if new != nil && c.aside(old, new) {
		return
	}
	c.spread(old, new)
}

// spread puts the hosts on the queue that a change concerns.
func (c *Companions) spread(old, new mesh.Object) {
	o := new
	if o == nil {
		o = old
	}
	if ref := o.Metadata().Ref; companion.Is(ref) {
		c.enqueue(companion.KeyOf(ref))
		return
	}
	for _, o := range []mesh.Object{old, new} {
		if o == nil {
			continue
		}
		switch o := o.(type) {
		case *mesh.ServiceEntry:
			if new == nil {
				c.gone(o.Ref)
			}
			c.enqueueEntry(o)
			if slices.ContainsFunc(o.Ports, func(p mesh.ServicePort) bool { return mesh.ClassOf(p.Protocol) == mesh.TCPLike }) {
				c.enqueueEntries(o.Namespace) // of hosts that a sidecar cannot tell apart, the oldest counts
			}
		case *mesh.Namespace:
			if old == nil || new == nil || relabelled(c.store.Mesh().Settings(), old, new) {
				c.enqueueEntries(o.Name)
			}
			if o.Name == c.store.Mesh().EgressWaypoint().Namespace {
				c.enqueueEntries("") // whom the waypoint admits, and what ztunnel is shown beside it
			}
		case *mesh.K8sGateway:
			if m := c.store.Mesh(); m.Settings().LeadsOut(o.Ref) && m.AnyAmbient() {
				c.enqueueEntries("")
				return
			}
			c.enqueueAffected(o)
		case *mesh.Gateway:
			if takes(c.store.Mesh().Settings(), old, new) {
				c.enqueueEntries("") // what it takes of the gateway's ports concerns every host
				return
			}
			c.enqueueAffected(o)
		case *mesh.DestinationRule:
			if c.shadows(o) {
				c.enqueueEntries(o.Namespace)
			}
			c.enqueueAffected(o)
		case *mesh.Service:
			if c.isGateway(o.Ref) {
				c.enqueueEntries("")
			}
		case *mesh.EndpointSlice:
			if c.arrives(old, new) {
				c.enqueueEntries("")
				return
			}
			c.enqueueAffected(o)
		case *mesh.NetworkPolicy:
			c.enqueueEntries(o.Namespace)
		case *mesh.IstioConfig: // what holds for the whole mesh
			c.enqueueEntries("")
			return
		case *mesh.Workload, *mesh.Definition: // which versions there are
			if !sameVersion(old, new) {
				c.enqueueEntries("")
			}
			return
		case *mesh.EnvoyFilter: // what it does to the proxies on the way cannot be told
			if s := c.store.Mesh().Settings(); o.Namespace != s.RootNamespace && !s.GatewayNamespace(o.Namespace) {
				c.enqueueEntries(o.Namespace)
			} else {
				c.enqueueEntries("")
			}
		default:
			c.enqueueAffected(o)
		}
	}
}

// sameVersion reports whether a change of a pod of istiod's, or of a definition,
// leaves the version as it is.
func sameVersion(old, new mesh.Object) bool {
	switch old := old.(type) {
	case *mesh.Workload:
		new, ok := new.(*mesh.Workload)
		return ok && old.Istiod != nil && new.Istiod != nil && *old.Istiod == *new.Istiod
	case *mesh.Definition:
		new, ok := new.(*mesh.Definition)
		return ok && old.Bundle() == new.Bundle()
	default:
		return false
	}
}

// enqueueAffected puts the hosts on the queue whose paths an object bears on.
func (c *Companions) enqueueAffected(o mesh.Object) {
	for _, point := range c.store.Mesh().Affected(o) {
		c.enqueueHost(point.Host)
	}
}

// shadows reports whether a DestinationRule is for a gateway's Service: it hides
// the subsets of the gateway's namespace from the sidecars of its own, whether
// it has subsets itself or not.
func (c *Companions) shadows(dr *mesh.DestinationRule) bool {
	s := c.store.Mesh().Settings()
	host := mesh.ResolveHost(dr.Host, dr.Namespace, s.ClusterDomain)
	return slices.ContainsFunc(s.Gateways, func(g mesh.EgressGateway) bool { return mesh.HostCovers(host, g.Host(s.ClusterDomain)) })
}

// takes reports whether a change of a Gateway may change what Gateways take of
// an approved gateway's ports. A tenant's Gateway takes nothing, and must not
// be able to keep the leader busy with every host of the mesh.
func takes(s mesh.Settings, old, new mesh.Object) bool {
	a, _ := old.(*mesh.Gateway)
	b, _ := new.(*mesh.Gateway)
	if a != nil && b != nil && maps.Equal(a.Selector, b.Selector) && reflect.DeepEqual(a.Servers, b.Servers) {
		return false
	}
	return slices.ContainsFunc([]*mesh.Gateway{a, b}, func(g *mesh.Gateway) bool {
		return g != nil && slices.ContainsFunc(s.Gateways, func(e mesh.EgressGateway) bool { return e.SelectedBy(g.Selector) })
	})
}

// relabelled reports whether a namespace changed what it asks of Sallyport, which
// hosts it owns, or which mode of the mesh it is in.
func relabelled(s mesh.Settings, old, new mesh.Object) bool {
	was, is := old.(*mesh.Namespace), new.(*mesh.Namespace)
	a, b := was.Labels, is.Labels
	return turns(s, was, is) || a[mesh.InjectionLabel] != b[mesh.InjectionLabel] || a[mesh.GatewayLabel] != b[mesh.GatewayLabel] ||
		len(s.Ownership.Bestowed(a, b)) > 0 || len(s.Ownership.Bestowed(b, a)) > 0
}

func (c *Companions) isGateway(service mesh.Ref) bool {
	for _, g := range c.store.Mesh().Settings().Gateways {
		if g.Namespace == service.Namespace && g.Service == service.Name {
			return true
		}
	}
	return false
}
