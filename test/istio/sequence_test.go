package istio_test

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/yaml"

	"github.com/sallyport-io/sallyport/internal/companion"
	"github.com/sallyport-io/sallyport/internal/gen"
	"github.com/sallyport-io/sallyport/internal/mesh"
	"github.com/sallyport-io/sallyport/internal/review"
	"github.com/sallyport-io/sallyport/rules"
	"github.com/sallyport-io/sallyport/test/istio/oracle"
)

var (
	histories        = flag.Int("histories", 150, "how many random histories to judge")
	ambientHistories = flag.Int("ambient-histories", 60, "how many random histories of ambient meshes to judge")
)

// TestSequences judges writes one after the other, as admission does, each in
// the mesh that those before it left, and asks Istio about what was admitted:
// nothing may get past the gateway. A batch sees all objects at once; here
// each write is also a test of whether the judge looks at the right egress
// points and clients. Which writes are denied is in testdata/sequences.golden.
//
// Each file of testdata/sequences holds the writes in their order. A document
// whose name was there before is an UPDATE, one with "op: DELETE" a DELETE. A
// file with the comment "# injection" has Sallyport keep companions.
func TestSequences(t *testing.T) {
	var log strings.Builder
	for _, file := range fixtures(t, "sequences") {
		text := readFile(t, file)
		settings := mesh.DefaultSettings()
		settings.Injection = injectionIf(strings.Contains(text, "# injection"))
		c := newCluster(settings)
		fmt.Fprintf(&log, "%s\n", filepath.Base(file))
		for _, w := range writesOf(t, text) {
			denials, err := c.write(t.Context(), w)
			if err != nil {
				t.Fatalf("%s: %v", file, err)
			}
			for _, d := range denials {
				fmt.Fprintf(&log, "  %s\n", d)
			}
		}
		leaks, err := c.leaks()
		if err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		for _, leak := range leaks {
			t.Errorf("%s: what was admitted leaves directly: %s", filepath.Base(file), leak)
		}
	}
	golden := filepath.Join("testdata", "sequences.golden")
	if *update {
		if err := os.WriteFile(golden, []byte(log.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if diff := cmp.Diff(readFile(t, golden), log.String()); diff != "" {
		t.Errorf("%s (-want +got):\n%s", golden, diff)
	}
}

// TestHistories judges the writes of random histories one after the other.
// Nothing that was admitted may get past the gateway, but to the private
// addresses of entries that say they are in the mesh (see the limits in
// rules/README.md): such a path is undetermined.
func TestHistories(t *testing.T) {
	judgeHistories(t, *histories, "histories", gen.History, (*cluster).leaks)
}

// TestAmbientHistories is TestHistories for meshes some of whose namespaces are in
// ambient mode. What a client's namespace lets out by itself is not counted.
func TestAmbientHistories(t *testing.T) {
	judgeHistories(t, *ambientHistories, "ambient-histories", gen.AmbientHistory, (*cluster).ambientLeaks)
}

func judgeHistories(t *testing.T, n int, flagName string, history func(uint64) []gen.Write, leaksOf func(*cluster) ([]string, error)) {
	t.Helper()
	if n > perProcess {
		for done := 0; done < n; done += perProcess {
			cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^"+t.Name()+"$", "-test.v",
				"-"+flagName, strconv.Itoa(min(perProcess, n-done)), "-seed", strconv.FormatUint(*seed+uint64(done), 10))
			out, err := cmd.CombinedOutput()
			for line := range strings.Lines(string(out)) {
				if strings.Contains(line, "histories") || err != nil {
					t.Log(strings.TrimSpace(line))
				}
			}
			if err != nil {
				t.Errorf("histories from seed %d: %v", *seed+uint64(done), err)
			}
		}
		return
	}
	refused, denied := 0, 0
	for i := range n {
		settings := mesh.DefaultSettings()
		settings.Injection = injectionIf(i%2 == 0)
		settings.PlatformNamespaces = append(settings.PlatformNamespaces, "istio-egress")
		c := newCluster(settings)
		for _, w := range history(*seed + uint64(i)) {
			raw, err := json.Marshal(w.Object)
			if err != nil {
				t.Fatal(err)
			}
			denials, err := c.write(t.Context(), write{delete: w.Delete, object: raw})
			if err != nil {
				t.Fatalf("seed %d: %v", *seed+uint64(i), err)
			}
			if len(denials) > 0 {
				denied++
			}
		}
		leaks, err := leaksOf(c)
		switch {
		case err != nil && strings.Contains(err.Error(), "istio rejects"):
			refused++
		case err != nil:
			t.Fatalf("seed %d: %v", *seed+uint64(i), err)
		case len(leaks) > 0:
			t.Errorf("seed %d: what was admitted leaves directly: %s", *seed+uint64(i), strings.Join(leaks, "; "))
		}
	}
	t.Logf("%d histories, %d of them refused by Istio's validation; %d writes denied", n, refused, denied)
}

// cluster is what an API server with Sallyport before it would hold.
type cluster struct {
	mesh    *mesh.Mesh
	objects map[mesh.Ref][]byte // what users wrote
	clock   time.Time
}

func newCluster(s mesh.Settings) *cluster {
	return &cluster{mesh: mesh.New(s), objects: map[mesh.Ref][]byte{}, clock: time.Date(2025, 1, 1, 0, 0, 0, 0, time.UTC)}
}

// write is one document of a sequence.
type write struct {
	delete bool
	object []byte
}

func writesOf(t *testing.T, text string) []write {
	t.Helper()
	var writes []write
	for _, doc := range strings.Split("\n"+text, "\n---") {
		var o map[string]any
		if err := yaml.Unmarshal([]byte(doc), &o); err != nil {
			t.Fatalf("%v in:\n%s", err, doc)
		}
		if len(o) == 0 {
			continue
		}
		w := write{delete: o["op"] == "DELETE"}
		delete(o, "op")
		meta := o["metadata"].(map[string]any)
		if meta["namespace"] == nil && o["kind"] != "Namespace" {
			meta["namespace"] = "default"
		}
		var err error
		if w.object, err = json.Marshal(o); err != nil {
			t.Fatal(err)
		}
		writes = append(writes, w)
	}
	return writes
}

// write puts a write to the webhooks, and to the cluster where they admit it.
// It returns the denials.
func (c *cluster) write(ctx context.Context, w write) (denials []string, err error) {
	o, err := mesh.Decode(w.object)
	if err != nil {
		return nil, err
	}
	ref := o.Metadata().Ref
	r := review.Write{Request: rules.Request{Operation: "CREATE", User: "dev"}, Object: w.object}
	c.clock = c.clock.Add(time.Minute)
	born := c.clock
	if old, ok := c.objects[ref]; ok {
		r.Request.Operation, r.OldObject, born = "UPDATE", old, c.mesh.Get(ref).Metadata().Created
	}
	if w.delete {
		r.Request.Operation, r.Object = "DELETE", nil
	} else {
		ops, _, err := review.Default(ctx, c.mesh, r)
		if err != nil {
			return nil, err
		}
		if r.Object, err = review.Patched(w.object, ops); err != nil {
			return nil, err
		}
		if r.Object, err = stamped(r.Object, born); err != nil {
			return nil, err
		}
	}
	out, err := (&review.Judge{Rules: rules.All}).Review(ctx, c.mesh, r)
	if err != nil { // what cannot be judged is not admitted
		return []string{fmt.Sprintf("%s %s: %v", r.Request.Operation, ref, err)}, nil
	}
	for _, f := range out.Findings {
		if f.Severity == rules.Deny {
			denials = append(denials, fmt.Sprintf("%s %s: %s: %s", r.Request.Operation, ref, f.Path, f.Rule))
		}
	}
	switch {
	case len(denials) > 0:
		return denials, nil
	case w.delete:
		delete(c.objects, ref)
		c.mesh = c.mesh.Without(ref)
	default:
		c.objects[ref] = r.Object
		if o, err = mesh.Decode(r.Object); err != nil {
			return nil, err
		}
		c.mesh = c.mesh.With(o)
	}
	return nil, c.reconcile()
}

// reconcile keeps the companions of every host, but does not take those away
// that keep it from going out directly, and opens the entries that are held
// until their companions are there.
func (c *cluster) reconcile() error {
	var hosts []string
	for p := range c.mesh.AllPoints() {
		hosts = append(hosts, p.Host)
	}
	slices.Sort(hosts)
	for _, h := range slices.Compact(hosts) {
		written := companion.Without(c.mesh, h)
		for _, o := range companion.For(c.mesh, h).Objects {
			o.Metadata().Created = c.clock
			if old := c.mesh.Get(o.Metadata().Ref); old != nil {
				o.Metadata().Created = old.Metadata().Created
			}
			written = written.With(o)
		}
		if direct(written, h) <= direct(c.mesh, h) {
			c.mesh = written
		}
	}
	for o := range c.mesh.All("ServiceEntry") {
		se := o.(*mesh.ServiceEntry)
		if !se.Held() {
			continue
		}
		open := *se
		open.ExportTo = []string{se.Annotations[mesh.ExportAnnotation]}
		m := companion.Lasting(c.mesh, &open).With(&open)
		if slices.ContainsFunc(open.Hosts, func(h string) bool { return len(companion.Unready(m, &open, mesh.CanonicalHost(h))) > 0 }) {
			continue
		}
		raw, err := changed(c.objects[se.Ref], func(o map[string]any) {
			o["spec"].(map[string]any)["exportTo"] = []any{open.ExportTo[0]}
		})
		if err != nil {
			return err
		}
		c.objects[se.Ref], c.mesh = raw, c.mesh.With(&open)
	}
	return nil
}

// direct counts the direct paths to a host.
func direct(m *mesh.Mesh, host string) (n int) {
	clients := append(m.Clients(host), mesh.AnyClient)
	for _, se := range m.EntriesFor(host) {
		for _, port := range se.Ports {
			for _, client := range clients {
				if verdict, _ := m.Verdict(client, host, port.Number); verdict == mesh.Direct {
					n++
				}
			}
		}
	}
	return n
}

// manifests are all objects of the cluster, companions included.
func (c *cluster) manifests() (string, error) {
	var docs []string
	for _, ref := range slices.SortedFunc(maps.Keys(c.objects), func(a, b mesh.Ref) int { return strings.Compare(a.String(), b.String()) }) {
		doc, err := yaml.JSONToYAML(c.objects[ref])
		if err != nil {
			return "", err
		}
		docs = append(docs, string(doc))
	}
	for _, kind := range companion.Kinds {
		for o := range c.mesh.All(kind) {
			if !companion.Is(o.Metadata().Ref) {
				continue
			}
			doc, err := companion.Manifest(o)
			if err != nil {
				return "", err
			}
			raw, err := yaml.YAMLToJSON(doc)
			if err != nil {
				return "", err
			}
			if raw, err = stamped(raw, o.Metadata().Created); err != nil {
				return "", err
			}
			if doc, err = yaml.JSONToYAML(raw); err != nil {
				return "", err
			}
			docs = append(docs, string(doc))
		}
	}
	return strings.Join(docs, "---\n"), nil
}

// leaks are Istio's ways past the gateway.
func (c *cluster) leaks() ([]string, error) {
	manifests, err := c.manifests()
	if err != nil || manifests == "" {
		return nil, err
	}
	clients, err := oracle.Clients(manifests)
	if err != nil {
		return nil, err
	}
	world, err := oracle.Ask(manifests, clients...)
	if err != nil {
		return nil, err
	}
	var leaks []string
	for _, client := range world.Clients {
		for _, l := range client.Leaks() {
			if !c.undetermined(client.Namespace, l) {
				leaks = append(leaks, client.String()+" "+l)
			}
		}
	}
	return leaks, nil
}

// ambientLeaks are Istio's ways past the gateways and the platform's waypoints, but
// for those of which we say that a client's namespace opens them alone, or that we
// cannot tell.
func (c *cluster) ambientLeaks() ([]string, error) {
	manifests, err := c.manifests()
	if err != nil || manifests == "" {
		return nil, err
	}
	a, err := askAmbient(manifests)
	if err != nil {
		return nil, err
	}
	var leaks []string
	for _, r := range a.rows {
		excused := r.ours == mesh.Direct && r.passed || r.ours == mesh.Undetermined
		if r.istio == oracle.Direct && !excused {
			leaks = append(leaks, fmt.Sprintf("%s: %s", r, r.istioWhy))
		}
	}
	return leaks, nil
}

// undetermined reports whether a way of Istio's out of a namespace ends at a
// host of which we say that we do not know.
func (c *cluster) undetermined(namespace, way string) bool {
	if namespace == oracle.Nobody {
		namespace = mesh.AnyClient
	}
	parts := strings.Split(way, "|") // ... -> outbound|port|subset|host
	if len(parts) != 4 {
		return false
	}
	port, err := strconv.Atoi(parts[1])
	return err == nil && c.mesh.Paths(namespace, parts[3], port).Verdict == mesh.Undetermined
}

// stamped is an object with the time at which it was created.
func stamped(raw []byte, at time.Time) ([]byte, error) {
	return changed(raw, func(o map[string]any) {
		o["metadata"].(map[string]any)["creationTimestamp"] = at.Format(time.RFC3339)
	})
}

func changed(raw []byte, change func(map[string]any)) ([]byte, error) {
	var o map[string]any
	if err := json.Unmarshal(raw, &o); err != nil {
		return nil, err
	}
	change(o)
	return json.Marshal(o)
}

// injectionIf keeps companions for all entries, or for none.
func injectionIf(all bool) mesh.Injection {
	if all {
		return mesh.InjectAll
	}
	return mesh.InjectNone
}
