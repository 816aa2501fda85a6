package main

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/sallyport-io/sallyport/internal/config"
	"github.com/sallyport-io/sallyport/internal/review"
	"github.com/sallyport-io/sallyport/policies"
	"github.com/sallyport-io/sallyport/rules"
)

// policyPoll is the time between two looks at the policies' directories. The
// kubelet takes about a minute to bring a ConfigMap's change to a pod.
const policyPoll = 10 * time.Second

// judges keeps the judge in force: the rules in Go, and the policies of some
// directories, which may change while the server runs. New policies are
// compiled and their own tests run before they replace the old ones as a
// whole; bad ones leave the old in force.
type judges struct {
	parameters map[string]any
	dirs       []string
	log        logr.Logger
	inForce    atomic.Pointer[review.Judge]
	seen       [sha256.Size]byte // of the files looked at last, good or bad
	loads      *prometheus.CounterVec
}

// newJudges loads the policies for the first time. Here bad ones are an
// error: there are no old ones to fall back on.
func newJudges(ctx context.Context, cfg config.Policies, dirs []string, reg prometheus.Registerer, log logr.Logger) (*judges, error) {
	j := &judges{
		parameters: cfg.Parameters,
		dirs:       slices.Concat(cfg.Directories, dirs),
		log:        log,
		loads: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "sallyport_policy_loads_total",
			Help: "Loads of the policies' directories, by result (ok, error). After an error the policies before it stay in force.",
		}, []string{"result"}),
	}
	if err := reg.Register(j.loads); err != nil {
		return nil, err
	}
	var err error
	if j.seen, err = fingerprint(j.dirs); err != nil {
		return nil, err
	}
	if err := j.load(ctx); err != nil {
		return nil, err
	}
	return j, nil
}

// Judge returns the judge in force.
func (j *judges) Judge() *review.Judge { return j.inForce.Load() }

// NeedLeaderElection tells the manager that every replica judges.
func (j *judges) NeedLeaderElection() bool { return false }

// Start follows the directories until the context ends.
func (j *judges) Start(ctx context.Context) error {
	if len(j.dirs) == 0 {
		return nil
	}
	tick := time.NewTicker(policyPoll)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			j.refresh(ctx)
		}
	}
}

// refresh loads the policies again where a file changed.
func (j *judges) refresh(ctx context.Context) {
	sum, err := fingerprint(j.dirs)
	if err == nil {
		if sum == j.seen {
			return
		}
		j.seen = sum
		err = j.load(ctx)
	}
	if err != nil && ctx.Err() == nil {
		j.loads.WithLabelValues("error").Inc()
		j.log.Error(err, "policies not loaded: the ones before stay in force", "directories", j.dirs)
	}
}

// load compiles and tests the policies, and puts them in force.
func (j *judges) load(ctx context.Context) error {
	sources := []policies.Source{policies.Library()}
	for _, dir := range j.dirs {
		sources = append(sources, policies.Source{Name: dir, FS: os.DirFS(dir)})
	}
	set, err := policies.Load(ctx, j.parameters, sources...)
	if err != nil {
		return err
	}
	if len(j.dirs) > 0 {
		if err := test(ctx, set); err != nil {
			return err
		}
	}
	j.inForce.Store(&review.Judge{Rules: slices.Concat(rules.All, set.Rules)})
	j.loads.WithLabelValues("ok").Inc()
	j.log.Info("policies in force", "revision", set.Revision, "active", len(set.Rules), "directories", j.dirs)
	return nil
}

// test runs the policies' own tests. Those of the library ran before it was
// shipped.
func test(ctx context.Context, set *policies.Set) error {
	results, _, err := set.Test(ctx)
	if err != nil {
		return err
	}
	var errs []error
	for _, r := range results {
		if r.Failure != "" && !strings.HasPrefix(r.File, policies.Library().Name+"/") {
			errs = append(errs, fmt.Errorf("%s:%d: test %s fails: %s", r.File, r.Line, r.Name, r.Failure))
		}
	}
	return errors.Join(errs...)
}

// fingerprint changes when any file below the directories does.
func fingerprint(dirs []string) (sum [sha256.Size]byte, err error) {
	h := sha256.New()
	for _, dir := range dirs {
		root := os.DirFS(dir)
		err := fs.WalkDir(root, ".", func(path string, d fs.DirEntry, err error) error {
			if err != nil {
				return fmt.Errorf("policies in %s: %w; mount the ConfigMap there, or take the directory out of --policies and the configuration", dir, err)
			}
			info, err := fs.Stat(root, path) // follows the symbolic links of a mounted ConfigMap
			if err != nil || info.IsDir() {
				return err
			}
			content, err := fs.ReadFile(root, path)
			fmt.Fprintf(h, "%s %s %d\n", dir, path, len(content))
			h.Write(content)
			return err
		})
		if err != nil {
			return sum, err
		}
	}
	return [sha256.Size]byte(h.Sum(nil)), nil
}
