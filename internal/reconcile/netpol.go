package reconcile

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	networkingclient "k8s.io/client-go/kubernetes/typed/networking/v1"
	"k8s.io/client-go/rest"

	"github.com/sallyport-io/sallyport/internal/live"
	"github.com/sallyport-io/sallyport/internal/mesh"
	"github.com/sallyport-io/sallyport/internal/netpol"
)

// NetworkPolicies keeps the policies that package netpol computes: it writes
// those that are wanted, repairs those that were changed, and deletes those
// that nobody wants any more.
//
// It implements controller-runtime's Runnable and LeaderElectionRunnable.
type NetworkPolicies struct {
	store  *live.Store
	client networkingclient.NetworkPoliciesGetter
	resync time.Duration
	log    logr.Logger
	writes *prometheus.CounterVec

	queue  queue             // of namespaces
	staged map[string]string // by namespace: what was last told of; the worker's own
}

// PolicyOptions are the choices of a [NetworkPolicies]. Zero values stand for
// defaults.
type PolicyOptions struct {
	// Resync is the time between two looks at every namespace, for changes
	// that no event told of. Default: 10 minutes.
	Resync time.Duration
	// Metrics takes what is counted. Default: nobody counts.
	Metrics prometheus.Registerer
	Log     logr.Logger
}

// settleTime is how long a change of the mesh that concerns every namespace
// is left to be joined by others: an installation changes many at once.
const settleTime = 100 * time.Millisecond

// NewNetworkPolicies returns a NetworkPolicies that reads the mesh from the
// store, which must not have been started yet, and writes to the cluster
// behind cfg.
func NewNetworkPolicies(cfg *rest.Config, store *live.Store, options PolicyOptions) (*NetworkPolicies, error) {
	if options.Resync == 0 {
		options.Resync = 10 * time.Minute
	}
	writes, err := newPolicyMetrics(options.Metrics, store)
	if err != nil {
		return nil, fmt.Errorf("metrics of NetworkPolicies: %w", err)
	}
	cfg = rest.CopyConfig(cfg)
	cfg.QPS = -1 // one worker bounds what is in flight
	client, err := networkingclient.NewForConfig(cfg)
	if err != nil {
		return nil, fmt.Errorf("client for writing NetworkPolicies: %w", err)
	}
	n := &NetworkPolicies{
		store:  store,
		client: client,
		resync: options.Resync,
		log:    options.Log,
		writes: writes,
		staged: make(map[string]string),
		queue:  queue{name: "networkpolicies"},
	}
	store.Subscribe(n.changed)
	return n, nil
}

// NeedLeaderElection tells controller-runtime's manager that one replica
// writes.
func (n *NetworkPolicies) NeedLeaderElection() bool { return true }

// Start works until the context ends. It writes nothing before it has seen
// the whole cluster: a wall without its doors would stop the mesh. It may be
// started again after it has returned.
func (n *NetworkPolicies) Start(ctx context.Context) error {
	if n.store.WaitForSync(ctx) != nil {
		return nil // the context has ended
	}
	end := n.queue.begin()
	done := make(chan struct{})
	go func() {
		defer close(done)
		n.work(ctx)
	}()
	defer func() {
		end()
		<-done
	}()
	ticker := time.NewTicker(n.resync)
	defer ticker.Stop()
	for {
		n.enqueueAll()
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
	}
}

// changed is told of every change of the mesh.
func (n *NetworkPolicies) changed(old, new mesh.Object) {
	if !n.queue.leads() {
		return
	}
	o := new
	if o == nil {
		o = old
	}
	ref := o.Metadata().Ref
	settings := n.store.Mesh().Settings()
	switch ref.Kind {
	case "NetworkPolicy":
		if netpol.Is(ref) {
			n.queue.add(ref.Namespace)
		}
	case "Namespace":
		n.queue.add(ref.Name)
		if old == nil || new == nil || !maps.Equal(old.Metadata().Labels, new.Metadata().Labels) {
			n.enqueueAll() // it may have become, or no longer be, a neighbour
		}
	case "Service", "ServiceEntry":
		// DNS, istiod, the gateways, and what the platform lets gateways reach.
		if settings.Platform(ref.Namespace) || netpolConcerns(settings, ref.Namespace) {
			n.enqueueAll()
			return
		}
		if !slices.Equal(clusterIPs(old), clusterIPs(new)) {
			n.enqueueGateways(settings)
		}
	case "Node":
		a, _ := old.(*mesh.Node)
		b, _ := new.(*mesh.Node)
		if a == nil || b == nil || !slices.Equal(a.PodCIDRs, b.PodCIDRs) || !slices.Equal(a.Addresses, b.Addresses) {
			n.enqueueGateways(settings)
		}
	case "ServiceCIDR":
		n.enqueueGateways(settings)
	case mesh.IstioConfigKind:
		n.enqueueAll()
	}
}

// clusterIPs are the addresses of a Service; what is none has none.
func clusterIPs(o mesh.Object) []string {
	if s, ok := o.(*mesh.Service); ok {
		return s.ClusterIPs
	}
	return nil
}

// enqueueGateways puts the gateways' namespaces on the queue: what lies inside
// the cluster has changed, and they are to stay out of it.
func (n *NetworkPolicies) enqueueGateways(s mesh.Settings) {
	for _, g := range s.Gateways {
		n.queue.addAfter(g.Namespace, settleTime)
	}
}

// netpolConcerns reports whether a Service of the namespace can be one that
// policies are derived from, platform or not.
func netpolConcerns(s mesh.Settings, namespace string) bool {
	return namespace == s.RootNamespace || namespace == s.IstioNamespace || netpol.ServesDNS(s, namespace) ||
		slices.ContainsFunc(s.Gateways, func(g mesh.EgressGateway) bool { return g.Namespace == namespace })
}

// enqueueAll puts every namespace on the queue that is to have policies, or
// has one that it perhaps should not have.
func (n *NetworkPolicies) enqueueAll() {
	m := n.store.Mesh()
	for _, stage := range []netpol.Stage{netpol.Enforced, netpol.Staged} {
		for _, namespace := range netpol.Namespaces(m, stage) {
			n.queue.addAfter(namespace, settleTime)
		}
	}
	for o := range m.All("NetworkPolicy") {
		if ref := o.Metadata().Ref; netpol.Is(ref) {
			n.queue.addAfter(ref.Namespace, settleTime)
		}
	}
}

func (n *NetworkPolicies) work(ctx context.Context) {
	for {
		namespace, over := n.queue.get()
		if over {
			return
		}
		switch err := guarded(func() error { return n.reconcile(ctx, namespace) }); {
		case err != nil && ctx.Err() == nil:
			n.log.Error(err, "NetworkPolicies are not as they should be; trying again", "namespace", namespace)
			n.queue.again(namespace)
		default:
			n.queue.done(namespace)
		}
	}
}

// reconcile makes the policies of one namespace those that the mesh wants.
func (n *NetworkPolicies) reconcile(ctx context.Context, namespace string) error {
	m := n.store.Mesh()
	ns := m.Namespace(namespace)
	if ns == nil || ns.Deleting {
		return nil // the API server takes the policies away with it
	}
	if err := n.tell(m, namespace); err != nil {
		return err
	}
	wanted := map[string]bool{}
	// What stands in the way of one policy must not keep the others from being
	// what they should be.
	var problems []error
	for _, policy := range netpol.For(m, namespace) {
		wanted[policy.Name] = true
		have, err := n.have(m, namespace, policy.Name)
		if err == nil {
			err = n.write(ctx, have, policy)
		}
		problems = append(problems, err)
	}
	for o := range m.In("NetworkPolicy", namespace) {
		ref := o.Metadata().Ref
		if !netpol.Is(ref) || wanted[ref.Name] || o.Metadata().Deleting {
			continue
		}
		have, err := n.have(m, namespace, ref.Name)
		if err == nil {
			err = n.delete(ctx, have)
		}
		problems = append(problems, err)
	}
	return errors.Join(problems...)
}

// have returns a policy as the store last saw it, or nil.
func (n *NetworkPolicies) have(m *mesh.Mesh, namespace, name string) (*networkingv1.NetworkPolicy, error) {
	ref := mesh.Ref{Kind: "NetworkPolicy", Namespace: namespace, Name: name}
	o, ok := m.Get(ref).(*mesh.NetworkPolicy)
	if !ok {
		return nil, nil
	}
	policy := &networkingv1.NetworkPolicy{}
	if err := json.Unmarshal(o.Raw, policy); err != nil {
		return nil, fmt.Errorf("reading %s: %w", ref, err)
	}
	return policy, nil
}

// write creates or repairs a policy. What somebody else has put under one of
// our names stays: it would be taken over silently, and given back never.
func (n *NetworkPolicies) write(ctx context.Context, have, want *networkingv1.NetworkPolicy) error {
	ref := mesh.Ref{Kind: "NetworkPolicy", Namespace: want.Namespace, Name: want.Name}
	policies := n.client.NetworkPolicies(want.Namespace)
	operation, done := "create", "created a NetworkPolicy"
	var err error
	switch {
	case have == nil:
		_, err = policies.Create(ctx, want, metav1.CreateOptions{FieldManager: FieldManager})
	case !ours(have):
		return fmt.Errorf("%s is not Sallyport's, and its name is reserved: delete or rename it", ref)
	case have.DeletionTimestamp != nil:
		return nil
	case equality.Semantic.DeepEqual(have.Spec, want.Spec) && holds(have.Labels, want.Labels):
		return nil
	default:
		operation, done = "repair", "repaired a NetworkPolicy"
		// In place of the whole spec: what somebody else has added to it, an
		// apply would leave to its owner. At the version that was looked at:
		// whoever was faster is looked at again.
		repaired := have.DeepCopy()
		repaired.Spec, repaired.Labels = want.Spec, merged(have.Labels, want.Labels)
		_, err = policies.Update(ctx, repaired, metav1.UpdateOptions{FieldManager: FieldManager})
	}
	switch {
	case apierrors.IsConflict(err), have == nil && apierrors.IsAlreadyExists(err), have != nil && apierrors.IsNotFound(err):
		return nil // the store will tell of it
	case err != nil:
		return fmt.Errorf("writing %s: %w", ref, err)
	}
	n.writes.WithLabelValues(operation).Inc()
	n.log.Info(done, "object", ref)
	return nil
}

// delete deletes exactly the policy that was looked at.
func (n *NetworkPolicies) delete(ctx context.Context, have *networkingv1.NetworkPolicy) error {
	if have == nil || !ours(have) {
		return nil
	}
	ref := mesh.Ref{Kind: "NetworkPolicy", Namespace: have.Namespace, Name: have.Name}
	err := n.client.NetworkPolicies(have.Namespace).Delete(ctx, have.Name, metav1.DeleteOptions{
		Preconditions: &metav1.Preconditions{UID: &have.UID, ResourceVersion: &have.ResourceVersion},
	})
	switch {
	case apierrors.IsNotFound(err), apierrors.IsConflict(err):
		return nil // the store will tell of it
	case err != nil:
		return fmt.Errorf("deleting %s: %w", ref, err)
	}
	n.writes.WithLabelValues("delete").Inc()
	n.log.Info("deleted a NetworkPolicy that nobody wants any more", "object", ref)
	return nil
}
