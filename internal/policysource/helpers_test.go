package policysource

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-logr/logr/testr"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/sallyport-io/sallyport/internal/mesh"
	"github.com/sallyport-io/sallyport/rules"
)

// freeze is a policy that denies everything with a message, and its test.
func freeze(message, expected string) map[string]string {
	return map[string]string{
		"freeze.rego": fmt.Sprintf(`# METADATA
# title: nothing may be written
# description: Writes are refused.
# custom:
#   severity: deny
package sallyport.policies.freeze

deny contains {"msg": %q, "path": "spec", "fix": "wait"} if input.request.operation != ""
`, message),
		"freeze_test.rego": fmt.Sprintf(`package sallyport.policies.freeze_test

import data.sallyport.policies.freeze

test_denies if {
	some finding in freeze.deny with input as {"request": {"operation": "CREATE"}}
	finding.msg == %q
}
`, expected),
	}
}

// rego is the policy with that name, which denies where the body is true.
func rego(name, body string) map[string]string {
	return map[string]string{name + ".rego": fmt.Sprintf(`# METADATA
# title: a policy of a test
# description: It denies what the test wants.
package sallyport.policies.%s

deny contains {"msg": "the test wants it"} if {
	%s
}
`, name, body)}
}

// emptyCluster is a cluster without objects.
func emptyCluster() Live { return clusterOf(mesh.New(mesh.DefaultSettings()), nil) }

// clusterOf is a cluster with the objects of that JSON, by kind.
func clusterOf(m *mesh.Mesh, objects map[string][]string) Live {
	return Live{
		Synced: func(context.Context) error { return nil },
		Mesh:   func() *mesh.Mesh { return m },
		List: func(_ context.Context, kind string, each func([]byte) error) error {
			for _, raw := range objects[kind] {
				if err := each([]byte(raw)); err != nil {
					return err
				}
			}
			return nil
		},
	}
}

// fake is a source that holds what a test puts there.
type fake struct {
	name   string
	remote bool
	change chan struct{}

	mu       sync.Mutex
	revision string
	files    map[string]string
	err      error
}

func newFake(name string, files map[string]string) *fake {
	return &fake{name: name, files: files, change: make(chan struct{}, 10)}
}

func (f *fake) Name() string { return f.name }

func (f *fake) Remote() bool { return f.remote }

func (f *fake) Fetch(context.Context) (Snapshot, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.err != nil {
		return Snapshot{}, f.err
	}
	return newSnapshot(f.revision, contents(f.files)), nil
}

func (f *fake) Wait(ctx context.Context, _ int) {
	select {
	case <-ctx.Done():
	case <-f.change:
	}
}

// hold changes what the source holds; an error that is not nil is all that it
// has to say.
func (f *fake) hold(revision string, files map[string]string, err error) {
	f.mu.Lock()
	f.revision, f.files, f.err = revision, files, err
	f.mu.Unlock()
	f.change <- struct{}{}
}

func contents(files map[string]string) map[string][]byte {
	all := map[string][]byte{}
	for name, content := range files {
		all[name] = []byte(content)
	}
	return all
}

func textOf(t *testing.T, s Snapshot) map[string]string {
	t.Helper()
	files := map[string]string{}
	err := fs.WalkDir(s.FS, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		content, err := fs.ReadFile(s.FS, name)
		files[name] = string(content)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// options are those of a loader of some sources.
func options(t *testing.T, sources ...Source) Options {
	return Options{
		Rules:   []*rules.Rule{{Name: "in-go", Check: func(context.Context, *rules.Pass) error { return nil }}},
		Sources: sources,
		Live:    emptyCluster(),
		Metrics: prometheus.NewPedanticRegistry(),
		Log:     testr.New(t),
	}
}

// start runs a loader until the test ends.
func start(t *testing.T, o Options) *Loader {
	t.Helper()
	l, err := New(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(run(t, l))
	return l
}

// run runs a loader until stop is called.
func run(t *testing.T, l *Loader) (stop func()) {
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := l.Start(ctx); err != nil {
			t.Errorf("Start: %v", err)
		}
	}()
	return func() {
		cancel()
		<-done
	}
}

// inForce are the names of the rules that judge.
func inForce(l *Loader) string {
	var names []string
	for _, r := range l.Judge().Rules {
		names = append(names, r.Name)
	}
	return strings.Join(names, " ")
}

// eventually waits for something that another goroutine brings about.
func eventually(t *testing.T, ok func() error) {
	t.Helper()
	var err error
	for range 2000 {
		if err = ok(); err == nil {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatal(err)
}

// refusedFor returns nil once the newest state is refused for reasons with all
// of these words.
func refusedFor(l *Loader, words ...string) error {
	s := l.Status()
	said := s.Refused
	for _, source := range s.Sources {
		said += "\n" + source.Error
	}
	if i := slices.IndexFunc(words, func(w string) bool { return !strings.Contains(said, w) }); i >= 0 {
		return fmt.Errorf("no refusal with %q: %s", words[i], said)
	}
	return nil
}

var errAway = errors.New("the server is away")
