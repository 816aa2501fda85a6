package main

import (
	"errors"
	"time"

	"github.com/sallyport-io/sallyport/internal/build"
	"github.com/sallyport-io/sallyport/internal/live"
	"github.com/sallyport-io/sallyport/internal/mesh"
	"github.com/sallyport-io/sallyport/internal/policysource"
	"github.com/sallyport-io/sallyport/internal/status"
)

// statusPath is where the status page is, beside the metrics.
const statusPath = "/status"

// reporter tells the state of the server when it is asked.
type reporter struct {
	store    *live.Store
	policies *policysource.Loader
	leader   *leader
	started  time.Time
}

// ready is nil while the server judges.
func (r reporter) ready() error {
	return errors.Join(r.store.Waiting(), r.store.Stale(), r.policies.Waiting())
}

func (r reporter) status() status.Status {
	s := status.Status{
		Build:   build.Read(),
		Time:    time.Now(),
		Started: r.started,
		Mesh: status.Mesh{
			Synced:      r.store.Synced(),
			Objects:     r.store.Sizes(),
			Hosts:       hosts(r.store.Mesh()),
			Undecodable: r.store.Skipped(),
		},
		Policies: r.policies.Status(),
	}
	s.Leader = r.leader.leading.Load()
	if err := r.ready(); err != nil {
		s.Waiting = err.Error()
	}
	return s
}

// hosts counts the hosts that ServiceEntries register.
func hosts(m *mesh.Mesh) int {
	seen := map[string]bool{}
	for o := range m.All("ServiceEntry") {
		for _, h := range o.(*mesh.ServiceEntry).Hosts {
			seen[mesh.CanonicalHost(h)] = true
		}
	}
	return len(seen)
}
