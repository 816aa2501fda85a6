package mesh_test

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/tools/txtar"

	"github.com/sallyport-io/sallyport/internal/mesh"
)

// verdicts are all paths of a mesh, for every namespace it names.
func verdicts(m *mesh.Mesh) map[string]mesh.Path {
	out := map[string]mesh.Path{}
	for p := range m.AllPoints() {
		for _, c := range append(m.Clients(p.Host), "default", mesh.AnyClient) {
			out[fmt.Sprintf("%s:%d from %s", p.Host, p.Port, c)] = m.Paths(c, p.Host, p.Port)
		}
	}
	return out
}

// testMeshes are the meshes under testdata, by name.
func testMeshes(t *testing.T) map[string][]mesh.Object {
	t.Helper()
	out := map[string][]mesh.Object{}
	observed, err := filepath.Glob("testdata/observed/*/all.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range observed {
		out[filepath.Base(filepath.Dir(file))] = readYAML(t, file)
	}
	cases, err := filepath.Glob("testdata/paths/*.txtar")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range cases {
		archive, err := txtar.ParseFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range archive.Files {
			if f.Name == "mesh.yaml" {
				out[filepath.Base(file)] = decodeYAML(t, file, f.Data)
			}
		}
	}
	if len(observed) == 0 || len(cases) == 0 {
		t.Fatal("no meshes under testdata")
	}
	return out
}

// TestOrderOfWrites checks that a mesh depends on what it holds and not on how
// it came to hold it: any order, with detours.
func TestOrderOfWrites(t *testing.T) {
	rnd := rand.New(rand.NewPCG(3, 4))
	for file, objects := range testMeshes(t) {
		// Where two documents are one object, the last one counts.
		unique := map[mesh.Ref]mesh.Object{}
		for _, o := range objects {
			unique[o.Metadata().Ref] = o
		}
		want := verdicts(mesh.New(mesh.DefaultSettings(), objects...))
		for range 3 {
			m := mesh.New(mesh.DefaultSettings())
			shuffled := slices.Collect(maps.Values(unique))
			rnd.Shuffle(len(shuffled), func(i, j int) { shuffled[i], shuffled[j] = shuffled[j], shuffled[i] })
			for _, o := range shuffled {
				m = m.With(o)
				if gone := shuffled[rnd.IntN(len(shuffled))]; rnd.IntN(2) == 0 {
					m = m.With(gone).Without(gone.Metadata().Ref).With(o)
				}
			}
			m = m.With(shuffled...)
			if diff := cmp.Diff(want, verdicts(m)); diff != "" {
				t.Fatalf("%s: the order of writes matters (-want +got):\n%s", file, diff)
			}
		}
	}
}

// TestVerdict checks that a verdict is the same whether or not it is explained,
// in a mesh that lacks any one object too, for there more is broken.
func TestVerdict(t *testing.T) {
	for name, objects := range testMeshes(t) {
		whole := mesh.New(mesh.DefaultSettings(), objects...)
		for _, o := range objects {
			for _, m := range []*mesh.Mesh{whole, whole.Draft().Without(o.Metadata().Ref).Open()} {
				for key, path := range verdicts(m) {
					verdict, entry := m.Verdict(path.Client, path.Host, path.Port)
					if verdict != path.Verdict || entry != path.Entry {
						t.Errorf("%s without %s: %s is %s by %q, and explained it is %s by %q", name, o.Metadata().Ref, key, verdict, entry, path.Verdict, path.Entry)
					}
					decided := m.Decided(path.Client, path.Host, path.Port)
					if path.Verdict == mesh.Via {
						path.Because, path.Hops = nil, nil
					}
					if diff := cmp.Diff(path, decided); diff != "" {
						t.Errorf("%s without %s: %s is decided otherwise (-explained +decided):\n%s", name, o.Metadata().Ref, key, diff)
					}
				}
			}
		}
	}
}

// TestAffected checks that a write changes no path that Affected does not
// name: the verdict of every other egress point is the same before and after,
// for every client.
func TestAffected(t *testing.T) {
	passes := map[string]bool{"Sidecar": true, "Namespace": true} // a Namespace may have Istio read its Sidecars
	for name, objects := range testMeshes(t) {
		after := mesh.New(mesh.DefaultSettings(), objects...)
		for _, o := range objects {
			before := after.Without(o.Metadata().Ref)
			named := map[string]bool{}
			for _, p := range append(after.Affected(o), before.Affected(o)...) {
				named[fmt.Sprintf("%s:%d", p.Host, p.Port)] = true
			}
			for p := range after.AllPoints() {
				if named[fmt.Sprintf("%s:%d", p.Host, p.Port)] {
					continue
				}
				for _, c := range append(after.Clients(p.Host), before.Clients(p.Host)...) {
					was, is := before.Paths(c, p.Host, p.Port), after.Paths(c, p.Host, p.Port)
					if passes[o.Metadata().Kind] && (was.Passed || is.Passed) {
						continue // a Sidecar lets everything through, which is said of it and not of each host
					}
					if was.Verdict != is.Verdict && (was.Verdict == mesh.Direct || is.Verdict == mesh.Direct) {
						t.Errorf("%s: %s makes %s:%d from %s %s, from %s, and does not say so",
							name, o.Metadata().Ref, p.Host, p.Port, c, is.Verdict, was.Verdict)
					}
				}
			}
		}
	}
}

// TestClients checks that a namespace which Clients does not name has the path
// of any client.
func TestClients(t *testing.T) {
	for name, objects := range testMeshes(t) {
		m := mesh.New(mesh.DefaultSettings(), objects...)
		for p := range m.AllPoints() {
			clients := m.Clients(p.Host)
			other := m.Paths(mesh.AnyClient, p.Host, p.Port).Verdict
			for _, ns := range []string{"default", "attacker", "platform", "egress-cfg", "tenant", "nobody", "istio-system"} {
				if slices.Contains(clients, ns) {
					continue
				}
				if got := m.Paths(ns, p.Host, p.Port).Verdict; got != other {
					t.Errorf("%s: %s:%d from %s is %s, from any client %s, but Clients does not name it: %q",
						name, p.Host, p.Port, ns, got, other, clients)
				}
			}
		}
	}
}
