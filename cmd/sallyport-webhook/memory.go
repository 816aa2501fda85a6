package main

import (
	"context"
	"os"
	"runtime/debug"

	"github.com/sallyport-io/sallyport/internal/live"
)

// gcPercent takes the place of Go's own 100, where the environment has no
// GOGC. Nearly all of the heap is the mesh, which stays; a review leaves little
// behind. To let as much garbage pile up as the mesh is large would double the
// memory of every replica, to save a collection that is rarely due.
const gcPercent = 50

func tuneCollector() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(gcPercent)
	}
}

// trimmer gives back, once, what the first read of the cluster has left
// behind: the API server sends many times what the mesh keeps.
type trimmer struct{ store *live.Store }

func (t trimmer) Start(ctx context.Context) error {
	if t.store.WaitForSync(ctx) == nil {
		debug.FreeOSMemory()
	}
	return nil
}

// NeedLeaderElection tells controller-runtime's manager that every replica
// trims.
func (trimmer) NeedLeaderElection() bool { return false }
