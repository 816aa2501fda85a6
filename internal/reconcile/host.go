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
	m := c.standing(key)
	host := c.host(key)
	set := companion.Set{Host: host}
	if host != "" {
		set = companion.For(m, host)
	}
	set, wait := due(set, time.Now())
	written, taken, err := c.write(ctx, m, set)
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
	if len(set.Objects) == 0 && after == 0 {
		c.forget(key, host)
	}
	m = seen(c.standing(key), written)
	for _, entry := range users(m, host) {
		switch err := c.tend(ctx, m, entry, taken); {
		case apierrors.IsConflict(err): // another host of the entry may have been first, and its write is no news
			if after == 0 || after > recheck {
				after = recheck
			}
		case err != nil:
			return 0, err
		}
	}
	return after, nil
}

// recheck is the time until a host is looked at again for which something was
// left undone because the mesh is behind: news of it should come before.
const recheck = time.Second

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
		if !entry.Held() || entry.Deleting {
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

// forget forgets a host that nobody registers. Whoever registers it from now
// on is announced after this has looked, and names it again.
func (c *Companions) forget(key, host string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(users(c.store.Mesh(), host)) == 0 {
		delete(c.hosts, key)
	}
}

// writing is a write that the API server has confirmed.
type writing struct {
	object mesh.Object // what was written, with its new version
	before string      // the version it took the place of; empty where it is new
}

// seen returns the mesh with the writes that it does not hold yet.
func seen(m *mesh.Mesh, written []writing) *mesh.Mesh {
	var news []mesh.Object
	for _, w := range written {
		version := ""
		if o := m.Get(w.object.Metadata().Ref); o != nil {
			version = o.Metadata().ResourceVersion
		}
		if version == w.before {
			news = append(news, w.object)
		}
	}
	return m.With(news...)
}

// write makes the companions of the set exist as they are wanted, stage by
// stage. It returns what it has written, and those whose name somebody else's
// object has; where that is one of the gateway's side, the mesh hop stays as it
// is, for it would lead nowhere.
func (c *Companions) write(ctx context.Context, m *mesh.Mesh, set companion.Set) (written []writing, taken []mesh.Ref, err error) {
	objects, bridged := bridge(m, set.Objects)
	if bridged {
		c.queue.addAfter(companion.Key(set.Host), recheck) // then the bridge goes
	}
	for _, stage := range stages(objects, unseen(m, set.Host)) {
		if len(taken) > 0 {
			break
		}
		var wg sync.WaitGroup
		done, ok, errs := make([]*writing, len(stage)), make([]bool, len(stage)), make([]error, len(stage))
		for i, o := range stage {
			wg.Go(func() { done[i], ok[i], errs[i] = c.ensure(ctx, m, set.Host, o) })
		}
		wg.Wait()
		if err := errors.Join(errs...); err != nil {
			return nil, nil, err
		}
		for i, o := range stage {
			if done[i] != nil {
				written = append(written, *done[i])
			}
			if !ok[i] {
				ref := o.Metadata().Ref
				taken = append(taken, ref)
				c.options.Log.Info("left alone an object that has a companion's name but was not written by Sallyport", "object", ref, "host", set.Host)
			}
		}
	}
	return written, taken, nil
}

// bridge has the gateway's route serve both forms of a port of which the
// registration, which is written after it, changes the form.
func bridge(m *mesh.Mesh, objects []mesh.Object) (out []mesh.Object, bridged bool) {
	out = objects
	for _, o := range objects {
		registration, ok := o.(*mesh.ServiceEntry)
		if !ok {
			continue
		}
		for i, o := range objects {
			vs, ok := o.(*mesh.VirtualService)
			if !ok || companion.MeshHop(vs.Ref) || vs.Namespace != registration.Namespace {
				continue
			}
			if both := companion.Bridge(m, vs, registration); both != nil {
				if !bridged {
					out, bridged = slices.Clone(objects), true
				}
				out[i] = both
			}
		}
	}
	return out, bridged
}

// unseen reports whether no sidecar sees the host: everybody who registers it
// is held, and the gateway's own registration is not there either.
func unseen(m *mesh.Mesh, host string) bool {
	for _, entry := range m.EntriesFor(host) {
		if companion.Is(entry.Ref) || !entry.Held() {
			return false
		}
	}
	return true
}

// stages splits a set into parts of which each is to stand before the next is
// written, and whose own order does not matter: what the gateway's routes rest
// on, the routes, the registration that lets sidecars see the host, and the
// mesh hops. Of a host that nobody sees the routes need not wait, nor the mesh
// hops for the registration.
func stages(objects []mesh.Object, unseen bool) [][]mesh.Object {
	out := make([][]mesh.Object, 4)
	for _, o := range objects {
		stage := 0
		switch ref := o.Metadata().Ref; {
		case ref.Kind == "ServiceEntry", companion.MeshHop(ref) && unseen:
			stage = 2
		case companion.MeshHop(ref):
			stage = 3
		case ref.Kind == "VirtualService" && !unseen:
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
func (c *Companions) ensure(ctx context.Context, m *mesh.Mesh, host string, o mesh.Object) (w *writing, ok bool, err error) {
	want, err := companion.Render(o)
	if err != nil {
		return nil, true, err
	}
	want.SetOwnerReferences(owners(m, host, o.Metadata()))
	w, ok, err = c.put(ctx, o, want)
	if apierrors.HasStatusCause(err, corev1.NamespaceTerminatingCause) {
		return nil, true, nil // its entries are about to go as well
	}
	if err != nil {
		return nil, true, fmt.Errorf("%s: %w", o.Metadata().Ref, err)
	}
	return w, ok, nil
}

// put asks the API server for nothing where the mesh says that there is
// nothing, or exactly what is wanted.
func (c *Companions) put(ctx context.Context, o mesh.Object, want client.Object) (w *writing, ok bool, err error) {
	ref := o.Metadata().Ref
	body, err := explicit(want)
	if err != nil {
		return nil, true, err
	}
	print, err := mesh.Fingerprint(body)
	if err != nil {
		return nil, true, err
	}
	seen := c.standing(companion.KeyOf(ref)).Get(ref)
	version := ""
	if seen != nil {
		version = seen.Metadata().ResourceVersion
	}
	if c.outdated(ref, version) {
		c.queue.addAfter(companion.KeyOf(ref), recheck)
		return nil, true, nil
	}
	if seen == nil {
		w, err := c.deliver(o, print, "", func() (*answer, error) {
			return c.writer.create(ctx, want.GetObjectKind().GroupVersionKind(), ref.Namespace, body)
		})
		if err == nil {
			c.metrics.wrote("create", ref.Kind)
			c.options.Log.V(1).Info("created", "object", ref)
			return w, true, nil
		}
		if !apierrors.IsAlreadyExists(err) {
			return nil, true, err
		}
	} else if have := seen.Metadata(); have.Fingerprint == 0 {
		return nil, false, nil
	} else if !have.Deleting && (have.Fingerprint == print || c.alike(ref, have.Fingerprint, print)) {
		return nil, true, nil
	}
	return c.repair(ctx, o, want, print)
}

// repair makes an object that differs from what is wanted, or that the mesh
// does not hold yet, what it should be.
func (c *Companions) repair(ctx context.Context, o mesh.Object, want client.Object, print uint64) (w *writing, ok bool, err error) {
	ref := o.Metadata().Ref
	have := emptyOf(ref.Kind)
	switch err := c.client.Get(ctx, client.ObjectKeyFromObject(want), have); {
	case apierrors.IsNotFound(err):
		return nil, true, errors.New("it was deleted a moment ago")
	case err != nil:
		return nil, true, err
	case !ours(have):
		return nil, false, nil
	case have.GetDeletionTimestamp() != nil:
		return nil, true, fmt.Errorf("it is being deleted and waits for finalizers %v", have.GetFinalizers())
	case asWanted(have, want):
		if seen := c.store.Mesh().Get(ref); seen != nil && seen.Metadata().ResourceVersion == have.GetResourceVersion() {
			c.foundAlike(ref, seen.Metadata().Fingerprint, print)
		}
		return nil, true, nil
	}
	body, err := explicit(repaired(have, want))
	if err != nil {
		return nil, true, err
	}
	w, err = c.deliver(o, print, have.GetResourceVersion(), func() (*answer, error) {
		return c.writer.update(ctx, want.GetObjectKind().GroupVersionKind(), ref, body)
	})
	if err != nil {
		return nil, true, err
	}
	c.metrics.wrote("repair", ref.Kind)
	c.options.Log.Info("repaired", "object", ref)
	return w, true, nil
}

// deliver makes a write in place of the version before. Where admission has
// made something else of the object than was sent, it returns nil: that is to
// be looked at once it is seen.
func (c *Companions) deliver(o mesh.Object, print uint64, before string, write func() (*answer, error)) (w *writing, err error) {
	m := o.Metadata()
	err = c.fly(m.Ref, before, func() (string, error) {
		got, err := write()
		if err != nil || got.print != print {
			return "", err
		}
		m.Created = got.created
		m.ResourceVersion, m.Fingerprint = got.version, print
		w = &writing{object: o, before: before}
		return got.version, nil
	})
	return w, err
}
