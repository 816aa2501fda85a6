package reconcile

import (
	"slices"
	"time"

	"github.com/sallyport-io/sallyport/internal/companion"
	"github.com/sallyport-io/sallyport/internal/mesh"
)

// flight is the time in which a write of ours is on its way, or several of one
// object are. What is seen of the object meanwhile may be what they do: the
// watch is often faster than the answer. So it is put aside until the answer
// tells what is ours and what is news.
type flight struct {
	writes int
	ours   []string // versions that they made
	news   bool     // they are news all the same: one has failed, or somebody waits
	aside  []change
}

// change is a change of the mesh, as the store tells of it.
type change struct{ old, new mesh.Object }

// depart notes that a write of an object is on its way.
func (k *known) depart(ref mesh.Ref) {
	f := k.flights[ref]
	if f == nil {
		f = &flight{}
		k.flights[ref] = f
	}
	f.writes++
}

// arrive notes that the answer is here, and returns the changes that were put
// aside and are news. version is what the write made; empty where it failed, or
// made something else than was sent.
func (k *known) arrive(ref mesh.Ref, version string) (news []change) {
	f := k.flights[ref]
	if version == "" {
		f.news = true
	} else {
		f.ours = append(f.ours, version)
	}
	if f.writes--; f.writes > 0 {
		return nil
	}
	delete(k.flights, ref)
	if f.news {
		return f.aside
	}
	return slices.DeleteFunc(f.aside, func(c change) bool { return slices.Contains(f.ours, c.new.Metadata().ResourceVersion) })
}

// await has the next version of an object count as news, though a write of ours
// makes it: somebody cannot go on without it. It is false where no write is
// known whose outcome is still to be seen.
func (k *known) await(ref mesh.Ref, now time.Time) bool {
	if f := k.flights[ref]; f != nil {
		f.news = true
		return true
	}
	e, ok := k.echoes[ref]
	if ok && e.awaited.IsZero() {
		e.awaited = now.Add(recheck)
		k.echoes[ref] = e
	}
	return ok
}

// fly makes a write of an object whose version is before, and notes what it
// made: to see that in the mesh is no news.
func (c *Companions) fly(ref mesh.Ref, before string, write func() (version string, err error)) error {
	c.mu.Lock()
	c.known.depart(ref)
	c.mu.Unlock()
	var version string
	var err error
	defer func() { c.land(ref, version, before) }() // after a panic, too
	version, err = write()
	return err
}

func (c *Companions) land(ref mesh.Ref, version, before string) {
	c.mu.Lock()
	if o := c.store.Mesh().Get(ref); version != "" && (o == nil || o.Metadata().ResourceVersion != version) {
		e := echo{version: version, before: before}
		if c.known.flights[ref].news {
			e.awaited = time.Now().Add(recheck)
		}
		c.known.echoes[ref] = e
	}
	news := c.known.arrive(ref, version)
	c.mu.Unlock()
	for _, change := range news {
		c.spread(change.old, change.new)
	}
}

// aside reports whether a change is to be no news now: it is what one of our
// own writes did, or may be what one does that is on its way.
func (c *Companions) aside(old, new mesh.Object) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	m := new.Metadata()
	if e, ok := c.known.echoes[m.Ref]; ok && e.version == m.ResourceVersion {
		return c.known.echoed(m.Ref, m.ResourceVersion)
	}
	f := c.known.flights[m.Ref]
	if f != nil {
		f.aside = append(f.aside, change{old, new})
	}
	return f != nil
}

// await has the hosts of companions looked at again once the mesh has what was
// written of them. Hosts of one entry are written at the same time, and none of
// them opens it before the mesh has the companions of all. m is what was looked
// at.
func (c *Companions) await(m *mesh.Mesh, unseen []mesh.Ref) {
	for _, ref := range unseen {
		c.mu.Lock()
		coming := c.known.await(ref, time.Now())
		c.mu.Unlock()
		if !coming && m.Get(ref) == nil && c.store.Mesh().Get(ref) != nil { // it has come since
			c.enqueue(companion.KeyOf(ref))
		}
	}
}
