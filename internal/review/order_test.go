package review_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sallyport-io/sallyport/internal/companion"
	"github.com/sallyport-io/sallyport/internal/golden"
	"github.com/sallyport-io/sallyport/internal/mesh"
	"github.com/sallyport-io/sallyport/internal/review"
	"github.com/sallyport-io/sallyport/rules"
)

// goodSets are observed sets that Istio sends through the gateway and that
// are nobody's attack: whoever applies them may do so in any order.
var goodSets = []string{
	"00-baseline", "71-tls-sni-subset", "80-skel-http-plain", "81-skel-http-istio-mutual-simple-origination",
	"82-skel-tls-double", "83-skel-tcp-mutual", "88-dr-two-subsets-merge-same-ns", "92-subset-tls-wins-over-toplevel",
	"93-portlevel-elsewhere", "97-targetport", "seed-https-mtls", "seed-https-plain",
	ownSet + "two-namespaces",
}

// ownSet precedes the names of sets that are not observed but our own.
const ownSet = "own/"

// The largest sets all of whose orders are tried: there are 5,040 orders of
// seven objects, and many bad sets.
const (
	maxGood = 7
	maxBad  = 6
)

// TestOrderOfGoodSets applies good sets in every order: no write is denied,
// and in the end every entry is open and every path of its owner is via.
func TestOrderOfGoodSets(t *testing.T) {
	for _, injection := range []bool{false, true} {
		for _, name := range goodSets {
			t.Run(fmt.Sprintf("%s/injection=%t", name, injection), func(t *testing.T) {
				t.Parallel()
				c := newCluster(injection)
				c.everyOrder(t, readSet(t, name), func(order []string, end cluster) {
					if len(end.denied) > 0 {
						t.Fatalf("%v: denied: %v", order, end.denied)
					}
					for o := range end.mesh.All("ServiceEntry") {
						se := o.(*mesh.ServiceEntry)
						if se.Held() {
							t.Fatalf("%v: %s is still held back: %v", order, se.Ref, end.paths())
						}
					}
					if direct := end.direct(); direct != "" {
						t.Fatalf("%v: %s", order, direct)
					}
				})
			})
		}
	}
}

// TestOrderOfBadSets applies the sets for which Istio has a direct path in
// every order. What is denied does not come in; what has come in at the end
// has no direct path, and the set did not come in without a word.
func TestOrderOfBadSets(t *testing.T) {
	files, err := filepath.Glob(filepath.Join(observed, "*", "all.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	tried := 0
	for _, file := range files {
		if !istioSendsDirect(t, file) {
			continue
		}
		name := filepath.Base(filepath.Dir(file))
		set := readSet(t, name)
		if len(set) > maxBad {
			continue
		}
		tried++
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			newCluster(false).everyOrder(t, set, func(order []string, end cluster) {
				if direct := end.direct(); direct != "" {
					t.Fatalf("%v: %s", order, direct)
				}
				if len(end.denied) == 0 && !end.warned {
					t.Fatalf("%v: came in unflagged", order)
				}
			})
		})
	}
	if tried < 40 {
		t.Errorf("%d bad sets were tried; want most of those observed", tried)
	}
}

// readSet returns the objects of an observed set, without creation times: in
// these tests they are created in the order in which they are applied.
func readSet(t *testing.T, name string) [][]byte {
	t.Helper()
	path := filepath.Join(observed, name, "all.yaml")
	if own, ok := strings.CutPrefix(name, ownSet); ok {
		path = filepath.Join("testdata", "order", own+".yaml")
	}
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	objects, err := golden.Documents(data)
	if err != nil {
		t.Fatal(err)
	}
	return objects
}

// cluster is a cluster in which Sallyport admits, reconciles and keeps what
// comes in. It is a value: to apply is to get another.
type cluster struct {
	judge  *review.Judge
	mesh   *mesh.Mesh
	clock  time.Time
	denied []string
	warned bool
	// moments has every write looked at before the reconciler follows: leaked is
	// the first path that was direct then.
	moments bool
	leaked  string
}

func newCluster(injection bool) cluster {
	s := mesh.DefaultSettings()
	s.InjectionOverride = &injection
	return cluster{
		judge: &review.Judge{Rules: rules.All},
		mesh:  mesh.New(s),
		clock: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC),
	}
}

// apply admits an object as the two webhooks do, and lets the reconciler
// follow.
func (c cluster) apply(t *testing.T, raw []byte) cluster {
	t.Helper()
	w := review.Write{Request: rules.Request{Operation: "CREATE", User: "jane"}, Object: raw}
	ops, _, err := review.Default(t.Context(), c.mesh, w)
	if err != nil {
		t.Fatal(err)
	}
	if w.Object, err = review.Patched(raw, ops); err != nil {
		t.Fatal(err)
	}
	out, err := c.judge.Review(t.Context(), c.mesh, w)
	if err != nil {
		t.Fatal(err)
	}
	c.denied = slices.Clone(c.denied)
	for _, f := range out.Findings {
		c.warned = c.warned || f.Severity == rules.Warn
		if f.Severity == rules.Deny {
			c.denied = append(c.denied, fmt.Sprintf("%s: %s (%s)", out.Ref, f.Message, f.Rule))
		}
	}
	if out.Denied() {
		return c
	}
	o, err := mesh.Decode(w.Object)
	if err != nil {
		t.Fatal(err)
	}
	c.clock = c.clock.Add(time.Minute)
	o.Metadata().Created = c.clock
	c.mesh = c.mesh.With(o)
	if c.moments && c.leaked == "" {
		c.leaked = c.direct()
	}
	return c.reconcile()
}

// reconcile writes the companions of every host, and opens entries that
// nothing keeps closed any more.
func (c cluster) reconcile() cluster {
	var hosts []string
	for p := range c.mesh.AllPoints() {
		hosts = append(hosts, p.Host)
	}
	slices.Sort(hosts)
	hosts = slices.Compact(hosts)
	written := companion.Without(c.mesh, hosts...)
	for _, h := range hosts {
		written = written.With(companion.For(c.mesh, h).Objects...)
	}
	c.mesh = written
	for o := range written.All("ServiceEntry") {
		se := o.(*mesh.ServiceEntry)
		if !se.Held() {
			continue
		}
		open := *se
		open.ExportTo = []string{se.Annotations[mesh.ExportAnnotation]}
		if m := companion.Lasting(c.mesh, &open).With(&open); allVia(m, &open) {
			c.mesh = c.mesh.With(&open)
		}
	}
	return c
}

// allVia reports whether nothing keeps the entry from being open.
func allVia(m *mesh.Mesh, se *mesh.ServiceEntry) bool {
	return !slices.ContainsFunc(se.Hosts, func(h string) bool {
		return len(companion.Unready(m, se, mesh.CanonicalHost(h))) > 0
	})
}

// paths are those of every point and client, as they are at that moment.
func (c cluster) paths() []mesh.Path {
	var paths []mesh.Path
	for p := range c.mesh.AllPoints() {
		for _, client := range append(c.mesh.Clients(p.Host), mesh.AnyClient, p.Entry.Namespace, "default") {
			if client != "istio-system" {
				paths = append(paths, c.mesh.Paths(client, p.Host, p.Port))
			}
		}
	}
	return paths
}

// direct names a direct path, or is empty.
func (c cluster) direct() string {
	for _, p := range c.paths() {
		if p.Verdict == mesh.Direct {
			return fmt.Sprintf("%s:%d from %s is direct: %v", p.Host, p.Port, p.Client, p.Because)
		}
	}
	return ""
}

// everyOrder applies the objects in every order. Orders that begin alike share
// their beginning.
func (c cluster) everyOrder(t *testing.T, objects [][]byte, end func(order []string, c cluster)) {
	t.Helper()
	if len(objects) > maxGood {
		t.Fatalf("%d objects are too many to try every order of", len(objects))
	}
	var names []string
	for _, raw := range objects {
		o, err := mesh.Decode(raw)
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, o.Metadata().Ref.String())
	}
	var visit func(c cluster, order []int)
	visit = func(c cluster, order []int) {
		if len(order) == len(objects) {
			var named []string
			for _, i := range order {
				named = append(named, names[i])
			}
			end(named, c)
			return
		}
		for i := range objects {
			if !slices.Contains(order, i) {
				visit(c.apply(t, objects[i]), append(slices.Clone(order), i))
			}
		}
	}
	visit(c, nil)
}
