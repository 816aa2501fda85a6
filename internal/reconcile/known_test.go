package reconcile

import (
	"testing"
	"time"

	"github.com/sallyport-io/sallyport/internal/mesh"
)

// TestOutdated: however often a host is looked at before the mesh has the
// version that our write made, the write is not made again; and the version is
// news to whoever waited for it.
func TestOutdated(t *testing.T) {
	ref := mesh.Ref{Kind: "ServiceEntry", Namespace: "shop", Name: "api"}
	now := time.Now()
	k := newKnown()
	wrote := func() { k.echoes[ref] = echo{version: "2", before: "1"} }

	wrote()
	if !k.echoed(ref, "2") || k.echoed(ref, "2") {
		t.Error("a write that nobody waits for is news, or no news twice")
	}

	wrote()
	for i := range 3 {
		if !k.outdated(ref, "1", now) {
			t.Errorf("look %d at the version before the write would write again", i+1)
		}
	}
	if k.outdated(ref, "3", now) {
		t.Error("a version that is not ours counts as the one before our write")
	}
	if k.echoed(ref, "2") {
		t.Error("the version that was waited for is no news")
	}

	wrote()
	k.outdated(ref, "1", now)
	if k.outdated(ref, "1", now.Add(recheck)) || k.outdated(ref, "1", now) {
		t.Error("a version that never comes is waited for longer than promised")
	}
}
