package reconcile

import (
	"slices"
	"time"

	"github.com/sallyport-io/sallyport/internal/companion"
	"github.com/sallyport-io/sallyport/internal/mesh"
)

// known is what is remembered of the objects that Sallyport writes, beside
// what the mesh holds of them. The lock of the [Companions] guards it.
type known struct {
	// refs are the objects under the reserved names that the cluster has, by
	// companion.Key.
	refs map[string][]mesh.Ref
	// echoes are the versions of our own writes that are still to be seen.
	echoes map[mesh.Ref]echo
	// flights are those of our writes that have no answer yet.
	flights map[mesh.Ref]*flight
	// deleted are the versions that we have deleted and that the mesh may
	// still hold.
	deleted map[mesh.Ref]string
	// alike are pairs of fingerprints, of what the cluster has and of what is
	// wanted, that differ in nothing but form.
	alike map[mesh.Ref][2]uint64
}

// echo is a version that a write of ours made, and the one it took the place
// of. Where a look at the object has to wait for the new version, awaited is
// when the wait ends: zero, where nobody waits.
type echo struct {
	version, before string
	awaited         time.Time
}

func newKnown() known {
	return known{
		refs:    make(map[string][]mesh.Ref),
		echoes:  make(map[mesh.Ref]echo),
		flights: make(map[mesh.Ref]*flight),
		deleted: make(map[mesh.Ref]string),
		alike:   make(map[mesh.Ref][2]uint64),
	}
}

// companion notes that an object under a reserved name is there, or is gone.
func (k *known) companion(ref mesh.Ref, there bool) {
	key := companion.KeyOf(ref)
	i := slices.Index(k.refs[key], ref)
	switch {
	case there && i < 0:
		k.refs[key] = append(k.refs[key], ref)
	case !there:
		if i >= 0 {
			k.refs[key] = slices.Delete(k.refs[key], i, i+1)
		}
		if len(k.refs[key]) == 0 {
			delete(k.refs, key)
		}
		delete(k.echoes, ref)
		delete(k.deleted, ref)
		delete(k.alike, ref)
	}
}

// echoed reports whether a version that the mesh now has was made by a write
// of ours that nobody waits for.
func (k *known) echoed(ref mesh.Ref, version string) bool {
	e, ok := k.echoes[ref]
	if !ok || e.version != version {
		return false
	}
	delete(k.echoes, ref)
	return e.awaited.IsZero()
}

// outdated reports whether a write of ours took the place of this version of an
// object, however often that is asked; but no longer than [recheck], for a
// version that was replaced or deleted at once may never be seen.
func (k *known) outdated(ref mesh.Ref, version string, now time.Time) bool {
	e, ok := k.echoes[ref]
	if !ok || e.before != version {
		return false
	}
	switch {
	case e.awaited.IsZero():
		e.awaited = now.Add(recheck)
		k.echoes[ref] = e
	case !now.Before(e.awaited):
		delete(k.echoes, ref)
		return false
	}
	return true
}

// look reads the companions that the mesh holds. It is called while [changed]
// already tells of news: what is not in the mesh yet once the lock is held,
// changed adds afterwards.
func (c *Companions) look() {
	c.mu.Lock()
	defer c.mu.Unlock()
	m := c.store.Mesh()
	c.known = newKnown()
	for _, kind := range companion.Kinds {
		for o := range m.All(kind) {
			if ref := o.Metadata().Ref; companion.Is(ref) {
				c.known.companion(ref, true)
			}
		}
	}
}

// standing returns the mesh without the companions of a key that we have
// deleted and that it still holds.
func (c *Companions) standing(key string) *mesh.Mesh {
	m := c.store.Mesh()
	c.mu.Lock()
	defer c.mu.Unlock()
	var gone []mesh.Ref
	for _, ref := range c.known.refs[key] {
		if o := m.Get(ref); o != nil && o.Metadata().ResourceVersion == c.known.deleted[ref] {
			gone = append(gone, ref)
		}
	}
	if len(gone) == 0 {
		return m
	}
	return m.Without(gone...)
}

// deleted notes that a version of an object was deleted.
func (c *Companions) deleted(m *mesh.Meta) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if o := c.store.Mesh().Get(m.Ref); o != nil {
		c.known.deleted[m.Ref] = m.ResourceVersion
	}
}

// there returns the objects under the names of a host that the cluster has.
func (c *Companions) there(m *mesh.Mesh, key string) []mesh.Object {
	c.mu.Lock()
	refs := slices.Clone(c.known.refs[key])
	c.mu.Unlock()
	var out []mesh.Object
	for _, ref := range refs {
		if o := m.Get(ref); o != nil {
			out = append(out, o)
		}
	}
	return out
}

// outdated reports whether the mesh still has the version of an object that a
// write of ours took the place of: none, for one that we created. What there is
// to do waits for the new version, which then is news after all.
func (c *Companions) outdated(ref mesh.Ref, version string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.known.outdated(ref, version, time.Now())
}

// gone forgets what is remembered of a user's entry.
func (c *Companions) gone(entry mesh.Ref) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.held, entry)
	delete(c.known.echoes, entry)
}

// alike reports whether an object in the cluster was found to be as wanted
// although its fingerprint is another.
func (c *Companions) alike(ref mesh.Ref, have, want uint64) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.known.alike[ref] == [2]uint64{have, want}
}

func (c *Companions) foundAlike(ref mesh.Ref, have, want uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.known.alike[ref] = [2]uint64{have, want}
}
