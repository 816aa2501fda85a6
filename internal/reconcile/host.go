package reconcile

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	networking "istio.io/client-go/pkg/apis/networking/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sallyport-io/sallyport/internal/companion"
	"github.com/sallyport-io/sallyport/internal/mesh"
)

// reconcile makes the companions of one host what they should be. after is
// when to look again, where that is known.
func (c *Companions) reconcile(ctx context.Context, key string) (after time.Duration, err error) {
	m := c.store.Mesh()
	host := c.host(key)
	set := companion.Set{Host: host}
	if host != "" {
		set = companion.For(m, host)
	}
	set, wait := due(set, time.Now())
	taken, err := c.write(ctx, m, set)
	if err != nil {
		return 0, errors.Join(err, c.explain(ctx, m, host, err))
	}
	if wait > 0 {
		after = wait // until the spares stand, nothing goes that they are to stand in for
	} else if after, err = c.collect(ctx, m, key, set); err != nil {
		return 0, err
	}
	if host == "" {
		return after, nil
	}
	entries := users(m, host)
	if len(entries) == 0 && len(set.Objects) == 0 && after == 0 {
		c.forget(key)
	}
	for _, entry := range entries {
		if err := c.tend(ctx, m, entry, taken); err != nil {
			return 0, err
		}
	}
	return after, nil
}

// maxWait bounds the time that a spare is waited for: what is to be later has
// another clock, and by that it is young enough already.
const maxWait = 2 * time.Second

// due returns the set without the spares that it is too early for, and the
// time until they are due.
func due(set companion.Set, now time.Time) (companion.Set, time.Duration) {
	wait := set.SparesAfter.Sub(now)
	if wait <= 0 || wait > maxWait {
		return set, 0
	}
	set.Objects = slices.DeleteFunc(slices.Clone(set.Objects), func(o mesh.Object) bool { return companion.Spare(o.Metadata().Ref) })
	return set, wait
}

// explain tells the owners of held entries why their companions cannot be
// written, where trying again will not help.
func (c *Companions) explain(ctx context.Context, m *mesh.Mesh, host string, why error) error {
	if !apierrors.IsForbidden(why) && !apierrors.IsInvalid(why) && !apierrors.IsNotFound(why) {
		return nil
	}
	for _, entry := range users(m, host) {
		if !held(entry) || entry.Deleting {
			continue
		}
		if err := c.tell(ctx, entry, status{text: clip("held: " + why.Error())}); err != nil && !apierrors.IsConflict(err) {
			return err
		}
	}
	return nil
}

// users are the entries for a host that are not Sallyport's own.
func users(m *mesh.Mesh, host string) []*mesh.ServiceEntry {
	return slices.DeleteFunc(m.EntriesFor(host), func(e *mesh.ServiceEntry) bool { return companion.Is(e.Ref) })
}

func (c *Companions) forget(key string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.hosts, key)
}

// write makes the companions of the set exist as they are wanted, stage by
// stage. It returns those whose name somebody else's object has; where that
// is one of the gateway's side, the mesh hop stays as it is, for it would lead
// nowhere.
func (c *Companions) write(ctx context.Context, m *mesh.Mesh, set companion.Set) (taken []mesh.Ref, err error) {
	for _, stage := range stages(set.Objects) {
		if len(taken) > 0 {
			break
		}
		var wg sync.WaitGroup
		ok, errs := make([]bool, len(stage)), make([]error, len(stage))
		for i, o := range stage {
			wg.Go(func() { ok[i], errs[i] = c.ensure(ctx, m, set.Host, o) })
		}
		wg.Wait()
		if err := errors.Join(errs...); err != nil {
			return nil, err
		}
		for i, o := range stage {
			if !ok[i] {
				ref := o.Metadata().Ref
				taken = append(taken, ref)
				c.options.Log.Info("left alone an object that has a companion's name but was not written by Sallyport", "object", ref, "host", set.Host)
			}
		}
	}
	return taken, nil
}

// stages splits a set into parts of which each is to stand before the next is
// written, and whose own order does not matter: what the gateway's routes rest
// on, the routes, the registration that lets sidecars see the host, and the
// mesh hops.
func stages(objects []mesh.Object) [][]mesh.Object {
	out := make([][]mesh.Object, 4)
	for _, o := range objects {
		stage := 0
		switch ref := o.Metadata().Ref; {
		case companion.MeshHop(ref):
			stage = 3
		case ref.Kind == "ServiceEntry":
			stage = 2
		case ref.Kind == "VirtualService":
			stage = 1
		}
		out[stage] = append(out[stage], o)
	}
	return out
}

// owners are the ServiceEntries in a companion's own namespace that it exists
// for.
func owners(m *mesh.Mesh, host string, meta *mesh.Meta) []metav1.OwnerReference {
	var out []metav1.OwnerReference
	for _, entry := range m.EntriesFor(host) {
		if entry.Namespace == meta.Namespace && entry.UID != "" && slices.Contains(meta.Owners, entry.UID) {
			out = append(out, metav1.OwnerReference{
				APIVersion: networking.SchemeGroupVersion.String(),
				Kind:       "ServiceEntry",
				Name:       entry.Name,
				UID:        uid(entry),
			})
		}
	}
	return out
}

// ensure makes one object exist as wanted. It is false where the name belongs
// to an object that Sallyport has not written.
//
// Objects are created and updated rather than applied: only a create fails
// where somebody else's object has the name, only an update takes away the
// fields that others have added, and both tell a stale view from a fresh one.
func (c *Companions) ensure(ctx context.Context, m *mesh.Mesh, host string, o mesh.Object) (ok bool, err error) {
	ref := o.Metadata().Ref
	want, err := companion.Render(o)
	if err != nil {
		return true, err
	}
	want.SetOwnerReferences(owners(m, host, o.Metadata()))
	ok, err = c.put(ctx, ref, want)
	if apierrors.HasStatusCause(err, corev1.NamespaceTerminatingCause) {
		return true, nil // its entries are about to go as well
	}
	if err != nil {
		return true, fmt.Errorf("%s: %w", ref, err)
	}
	return ok, nil
}

func (c *Companions) put(ctx context.Context, ref mesh.Ref, want client.Object) (ok bool, err error) {
	have := emptyOf(ref.Kind)
	err = c.written.Get(ctx, client.ObjectKeyFromObject(want), have)
	if apierrors.IsNotFound(err) {
		if c.store.Mesh().Get(ref) == nil {
			body, err := explicit(want)
			if err != nil {
				return true, err
			}
			err = c.client.Create(ctx, body)
			if err == nil {
				c.metrics.wrote("create", ref.Kind)
				c.options.Log.V(1).Info("created", "object", ref)
			}
			if !apierrors.IsAlreadyExists(err) {
				return true, err
			}
		}
		err = c.client.Get(ctx, client.ObjectKeyFromObject(want), have)
		if apierrors.IsNotFound(err) {
			return true, errors.New("it was deleted a moment ago")
		}
	}
	switch {
	case err != nil:
		return true, err
	case !ours(have):
		return false, nil
	case have.GetDeletionTimestamp() != nil:
		return true, fmt.Errorf("it is being deleted and waits for finalizers %v", have.GetFinalizers())
	case asWanted(have, want):
		return true, nil
	}
	body, err := explicit(repaired(have, want))
	if err != nil {
		return true, err
	}
	if err := c.client.Update(ctx, body); err != nil {
		return true, err
	}
	c.metrics.wrote("repair", ref.Kind)
	c.options.Log.Info("repaired", "object", ref)
	return true, nil
}
