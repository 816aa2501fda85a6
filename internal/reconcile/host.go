package reconcile

import (
	"context"
	"fmt"
	"slices"
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
	taken, err := c.write(ctx, m, set)
	if err != nil {
		return 0, err
	}
	after, err = c.collect(ctx, m, key, set)
	if err != nil {
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

// users are the entries for a host that are not Sallyport's own.
func users(m *mesh.Mesh, host string) []*mesh.ServiceEntry {
	return slices.DeleteFunc(m.EntriesFor(host), func(e *mesh.ServiceEntry) bool { return companion.Is(e.Ref) })
}

func (c *Companions) forget(key string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.hosts, key)
}

// write makes the companions of the set exist as they are wanted, in their
// order. It returns those whose name somebody else's object has; where that
// is one of the gateway's side, the mesh hop stays as it is, for it would lead
// nowhere.
func (c *Companions) write(ctx context.Context, m *mesh.Mesh, set companion.Set) (taken []mesh.Ref, err error) {
	for _, o := range set.Objects {
		ref := o.Metadata().Ref
		if len(taken) > 0 && companion.MeshHop(ref) {
			break
		}
		want, err := companion.Render(o)
		if err != nil {
			return nil, err
		}
		want.SetOwnerReferences(owners(m, set.Host, o.Metadata()))
		ok, err := c.ensure(ctx, ref, want)
		switch {
		case apierrors.HasStatusCause(err, corev1.NamespaceTerminatingCause):
			// Its entries are about to go as well.
		case err != nil:
			return nil, fmt.Errorf("%s: %w", ref, err)
		case !ok:
			taken = append(taken, ref)
			c.options.Log.Info("left alone an object that has a companion's name but was not written by Sallyport", "object", ref, "host", set.Host)
		}
	}
	return taken, nil
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
func (c *Companions) ensure(ctx context.Context, ref mesh.Ref, want client.Object) (ok bool, err error) {
	have := emptyOf(ref.Kind)
	err = c.written.Get(ctx, client.ObjectKeyFromObject(want), have)
	if apierrors.IsNotFound(err) {
		created := want.DeepCopyObject().(client.Object)
		if c.store.Mesh().Get(ref) == nil {
			err = c.client.Create(ctx, created)
			if err == nil {
				c.options.Log.V(1).Info("created", "object", ref)
			}
			if !apierrors.IsAlreadyExists(err) {
				return true, err
			}
		}
		err = c.client.Get(ctx, client.ObjectKeyFromObject(want), have)
		if apierrors.IsNotFound(err) {
			return true, fmt.Errorf("it was deleted a moment ago")
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
	if err := c.client.Update(ctx, repaired(have, want)); err != nil {
		return true, err
	}
	c.options.Log.Info("repaired", "object", ref)
	return true, nil
}
