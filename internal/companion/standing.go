package companion

import "github.com/sallyport-io/sallyport/internal/mesh"

// Standing returns the mesh with those mesh hops of an entry's hosts alone that
// an entry which is written now may rest on: those that are wanted in the mesh
// before the write, as they are wanted there. A rule that exists and that nobody
// wants any more may be gone before the write is seen, and so may what goes with
// another entry. What is wanted and does not exist yet does not count either,
// but a hop that lacks a rule counts as if it had it: look at the mesh itself
// as well.
func Standing(before, live *mesh.Mesh, entry *mesh.ServiceEntry) *mesh.Mesh {
	e := *entry
	if old, ok := before.Get(entry.Ref).(*mesh.ServiceEntry); ok && e.UID == "" {
		e.UID = old.UID // a file does not have it
	}
	live = Lasting(live, &e)
	for _, h := range entry.Hosts {
		host := mesh.CanonicalHost(h)
		wanted := make(map[mesh.Ref]mesh.Object)
		for _, o := range For(before, host).Objects {
			wanted[o.Metadata().Ref] = o
		}
		for _, ref := range existing(live, host, Key(host)) {
			if ref.Kind != "VirtualService" || !MeshHop(ref) {
				continue
			}
			live = live.Without(ref)
			if o := wanted[ref]; o != nil {
				live = live.With(o)
			}
		}
	}
	return live
}
