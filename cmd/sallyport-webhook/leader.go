package main

import (
	"context"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-logr/logr"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/uuid"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/leaderelection"
	"k8s.io/client-go/tools/leaderelection/resourcelock"
	"sigs.k8s.io/controller-runtime/pkg/manager"
)

// leaseName is the Lease, in the server's own namespace, that says who leads.
const leaseName = "sallyport-webhook"

// How soon somebody else leads where the leader is gone, and for how long a
// leader that cannot reach the API server goes on: those of Kubernetes' own
// controllers.
const (
	leaseDuration = 15 * time.Second
	renewDeadline = 10 * time.Second
	retryPeriod   = 2 * time.Second
)

// leader runs what one replica alone may do, while this one is it. A replica
// that loses the lead ends that, stands for election again and goes on
// answering reviews: controller-runtime's manager would end the whole process.
type leader struct {
	// run is what the leader does, until the context ends; each is started anew
	// for every term.
	run []manager.Runnable
	// lock is what the election is about; nil where there is nobody else.
	lock    resourcelock.Interface
	log     logr.Logger
	leading atomic.Bool
}

// newLeader returns a leader that stands for election in a namespace; where that
// is empty, it leads without.
func newLeader(cluster *rest.Config, namespace string, log logr.Logger, run ...manager.Runnable) (*leader, error) {
	if namespace == "" {
		return &leader{run: run, log: log}, nil
	}
	host, err := os.Hostname()
	if err != nil {
		return nil, fmt.Errorf("name for leader election: %w", err)
	}
	lock, err := resourcelock.NewFromKubeconfig(resourcelock.LeasesResourceLock, namespace, leaseName,
		resourcelock.ResourceLockConfig{Identity: host + "_" + string(uuid.NewUUID())}, cluster, renewDeadline)
	if err != nil {
		return nil, fmt.Errorf("leader election: %w", err)
	}
	return &leader{run: run, lock: lock, log: log}, nil
}

// NeedLeaderElection tells the manager that every replica stands for election.
func (*leader) NeedLeaderElection() bool { return false }

// Start stands for election, again and again, until the context ends.
func (l *leader) Start(ctx context.Context) error {
	for {
		if err := l.stand(ctx); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(retryPeriod):
		}
	}
}

// stand waits to be elected, and returns when a term is over and everything
// that was done in it has ended.
func (l *leader) stand(ctx context.Context) error {
	if l.lock == nil {
		l.lead(ctx)
		return nil
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	term := new(term)
	elector, err := leaderelection.NewLeaderElector(leaderelection.LeaderElectionConfig{
		Lock:          l.lock,
		LeaseDuration: leaseDuration,
		RenewDeadline: renewDeadline,
		RetryPeriod:   retryPeriod,
		Name:          leaseName,
		Callbacks: leaderelection.LeaderCallbacks{
			OnStartedLeading: func(ctx context.Context) {
				defer cancel() // where what the leader does has ended by itself, others may try
				term.run(func() { l.lead(ctx) })
			},
			OnStoppedLeading: func() {},
		},
	})
	if err != nil {
		return fmt.Errorf("leader election: %w", err)
	}
	elector.Run(ctx)
	term.end()
	if ctx.Err() != nil {
		l.release()
	}
	return nil
}

// release gives the lead away, if this replica has it, so that nobody waits for
// it to run out. Nothing that the leader does goes on any more.
func (l *leader) release() {
	ctx, cancel := context.WithTimeout(context.Background(), renewDeadline/2)
	defer cancel()
	record, _, err := l.lock.Get(ctx)
	if err != nil || record.HolderIdentity != l.lock.Identity() {
		return // it runs out by itself, or is another's
	}
	now := metav1.Now()
	if err := l.lock.Update(ctx, resourcelock.LeaderElectionRecord{
		LeaderTransitions: record.LeaderTransitions, LeaseDurationSeconds: 1, RenewTime: now, AcquireTime: now,
	}); err != nil {
		l.log.Error(err, "giving the lead away; it runs out by itself")
	}
}

// lead does what the leader does, until the context ends or some of it does.
func (l *leader) lead(ctx context.Context) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	l.log.Info("leading")
	l.leading.Store(true)
	defer l.leading.Store(false)
	var wg sync.WaitGroup
	for _, r := range l.run {
		wg.Go(func() {
			defer cancel()
			if err := r.Start(ctx); err != nil {
				l.log.Error(err, "what the leader does has ended; this replica stands for election again")
			}
		})
	}
	wg.Wait()
	l.log.Info("no longer leading")
}

// term is what is done while this replica leads. The election may be over before
// it has begun.
type term struct {
	mu   sync.Mutex
	over bool
	done chan struct{} // closed when what was begun has ended
}

func (t *term) run(f func()) {
	done := make(chan struct{})
	defer close(done)
	t.mu.Lock()
	over := t.over
	t.done = done
	t.mu.Unlock()
	if !over {
		f()
	}
}

// end waits for the end of what was begun, and lets nothing begin.
func (t *term) end() {
	t.mu.Lock()
	t.over = true
	done := t.done
	t.mu.Unlock()
	if done != nil {
		<-done
	}
}
