package live

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/watch"
)

// patience is how long the mesh may be out of date before nothing is judged in
// it any more. Long enough for an API server to be replaced, and for an alert
// on the metric to be heeded; what is written in that time is judged by a mesh
// that may lack what was written just before.
const patience = 5 * time.Minute

// state is how far the store got with one kind.
type state struct {
	done     bool      // read once, or known to be absent
	followed bool      // a watch is open, or the kind is known to be absent
	why      string    // what stands in the way while not done or not followed
	lost     time.Time // when it was last known to be current, while not followed
}

// settle records how far a kind got, and ends the first sync when it was the
// last one missing.
func (s *Store) settle(kind string, st state) {
	s.mu.Lock()
	defer s.mu.Unlock()
	current := s.states[kind]
	st.done = st.done || current.done
	if !st.followed && st.lost.IsZero() {
		if st.lost = current.lost; current.followed {
			st.lost = time.Now()
		}
	}
	if !current.followed && st.followed && s.Synced() && time.Since(current.lost) > s.patience {
		s.log.Info("following a kind again", "kind", kind, "lost", current.lost)
	}
	*current = st
	var oldest *time.Time
	for _, st := range s.states {
		if !st.followed && (oldest == nil || st.lost.Before(*oldest)) {
			oldest = new(st.lost)
		}
	}
	s.oldest.Store(oldest)
	if s.Synced() {
		return
	}
	for _, st := range s.states {
		if !st.done {
			return
		}
	}
	s.mesh.Store(s.newest)
	close(s.synced)
	s.log.Info("read the cluster", "objects", s.sizes)
}

// Waiting says what has not been read yet and why, one clause a kind. It is
// nil once the store is synced.
func (s *Store) Waiting() error {
	if s.Synced() {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	var waiting []string
	for _, kind := range slices.Sorted(maps.Keys(s.states)) {
		if st := s.states[kind]; !st.done {
			waiting = append(waiting, kind+": "+st.why)
		}
	}
	return errors.New("the cluster has not been read completely: " + strings.Join(waiting, "; "))
}

// Stale says which kinds have not been current for minutes and why, one clause
// a kind: what is judged by them may be judged wrongly. It is nil while the
// mesh is in step with the cluster, and before the first sync, of which
// [Store.Waiting] tells.
func (s *Store) Stale() error {
	// Every review asks, and must not wait for a kind that is being read.
	if oldest := s.oldest.Load(); !s.Synced() || oldest == nil || time.Since(*oldest) <= s.patience {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	var stale []string
	for _, kind := range slices.Sorted(maps.Keys(s.states)) {
		if st := s.states[kind]; !st.followed && time.Since(st.lost) > s.patience {
			stale = append(stale, fmt.Sprintf("%s, since %s: %s", kind, st.lost.UTC().Format(time.RFC3339), st.why))
		}
	}
	if stale == nil {
		return nil
	}
	return errors.New("the cluster can no longer be followed: " + strings.Join(stale, "; ") +
		"; see that the server reaches the API server, and that its account has what the ClusterRole sallyport-reader grants")
}

// Ages returns for each kind how long ago it was last known to be current: 0
// while the API server tells of its changes.
func (s *Store) Ages() map[string]time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	ages := make(map[string]time.Duration, len(s.states))
	for kind, st := range s.states {
		ages[kind] = 0
		if !st.followed {
			ages[kind] = time.Since(st.lost)
		}
	}
	return ages
}

// followed is an open watch that says when it ends: the reflector stops every
// watch, those that the API server ended too.
type followed struct {
	watch.Interface
	once  sync.Once
	ended func()
}

// Stop implements [watch.Interface].
func (f *followed) Stop() {
	f.once.Do(f.ended) // a second call may come when the next watch is open
	f.Interface.Stop()
}
