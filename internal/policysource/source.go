// Package policysource brings policies from where an organisation keeps them
// (folders, labelled ConfigMaps, OPA bundles) to the judge in force.
//
// A [Source] yields a [Snapshot]. The [Loader] takes the snapshots of all
// sources, compiles them as one set, runs the set's own tests, judges what is
// in the cluster by it, and only then puts it in force as a whole. Whatever
// fails on the way leaves the set before it in force, and is said in log,
// metrics and [Status].
package policysource

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io/fs"
	"maps"
	"math/rand/v2"
	"slices"
	"testing/fstest"
	"time"
)

// Source is a place where policies come from. Fetch and Wait are called one at
// a time; what the others return does not change.
type Source interface {
	// Name is how log, metrics and status page call the source, and what
	// stands in front of its files' names. It holds no secret.
	Name() string
	// Remote reports whether the source is elsewhere: it may be away when the
	// server starts, which then waits for it. What is amiss with the others
	// keeps the server from starting.
	Remote() bool
	// Fetch returns what the source holds now. An error means that this could
	// not be had, or not be trusted.
	Fetch(ctx context.Context) (Snapshot, error)
	// Wait returns when it is time to fetch again, or the context ends.
	// failures is the number of failed fetches since the last good one.
	Wait(ctx context.Context, failures int)
}

// Snapshot is what a source held at one moment. It does not change.
type Snapshot struct {
	// Revision is what the source calls this state.
	Revision string
	// FS has the files, as [policies.Source] wants them.
	FS fs.FS
	// Stale says why the snapshot is not what the source holds now; nil where
	// it is.
	Stale error

	digest [sha256.Size]byte
	keep   func() error             // called once the snapshot is in force; nil where nothing is kept
	kept   func() (Snapshot, error) // what was in force in an earlier run; nil where nothing is kept
}

// newSnapshot returns the snapshot of some files by name. Where the source has
// no name for the state, revision is empty and a digest of the files serves.
func newSnapshot(revision string, files map[string][]byte) Snapshot {
	h := sha256.New()
	// The standard library has one file system in memory, made for tests and
	// fit for this: it is read as often as there are loads.
	memory := fstest.MapFS{}
	for _, name := range slices.Sorted(maps.Keys(files)) {
		fmt.Fprintf(h, "%q %d\n", name, len(files[name]))
		h.Write(files[name])
		memory[name] = &fstest.MapFile{Data: files[name], Mode: 0o444}
	}
	s := Snapshot{Revision: revision, FS: memory, digest: [sha256.Size]byte(h.Sum(nil))}
	if s.Revision == "" {
		s.Revision = hex.EncodeToString(s.digest[:8])
	}
	return s
}

// same reports whether two snapshots hold the same.
func (s *Snapshot) same(other *Snapshot) bool {
	return s != nil && other != nil && s.digest == other.digest && s.Revision == other.Revision
}

// maxSize bounds what a source may hold, unpacked: policies are text, and the
// compiler needs many times their size.
const maxSize = 16 << 20

var errTooLarge = fmt.Errorf("it holds more than %d MiB; leave out what is neither policy nor data of one", maxSize>>20)

// The time between two looks at something local. The kubelet takes about a
// minute to bring a ConfigMap's change to a pod.
const localPoll = 10 * time.Second

// The shortest and the longest time between two tries after a failure.
const (
	minBackoff = time.Second
	maxBackoff = 5 * time.Minute
)

// pause waits for a time, or less where the context ends.
func pause(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

// jitter spreads a time by a tenth to both sides, so that replicas that began
// together do not ask together for ever.
func jitter(d time.Duration) time.Duration {
	return d + time.Duration((rand.Float64()-0.5)/5*float64(d))
}

// backoff is the time before the next try after some failures in a row: twice
// as long each time, and never at the same moment as another replica.
func backoff(failures int) time.Duration {
	d := maxBackoff
	if failures < 10 {
		d = min(d, minBackoff<<max(failures-1, 0))
	}
	return d/2 + rand.N(d/2)
}
