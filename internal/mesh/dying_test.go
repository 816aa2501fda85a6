package mesh_test

import (
	"maps"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sallyport-io/sallyport/internal/mesh"
)

// rank orders verdicts by how grave they are.
func rank(v mesh.Verdict) int {
	return slices.Index([]mesh.Verdict{mesh.Blocked, mesh.Via, mesh.Broken, mesh.Undetermined, mesh.Direct}, v)
}

// TestDying lets objects of every observed mesh, and whole namespaces, be
// deleted and come back in random histories. However a mesh came about, its
// survivors are the mesh of those that are not dying, and the verdict for every
// egress point is the worse of those with what is dying and without; but for a
// point that goes with its own entry.
func TestDying(t *testing.T) {
	rnd := rand.New(rand.NewPCG(7, 12))
	worsened := 0
	for name, objects := range testMeshes(t) {
		namespaces, there := map[string]mesh.Object{}, map[string]bool{}
		for _, o := range objects {
			there[o.Metadata().Name] = there[o.Metadata().Name] || o.Metadata().Kind == "Namespace"
		}
		for _, o := range objects {
			if ns := o.Metadata().Namespace; ns != "" && namespaces[ns] == nil && !there[ns] {
				namespaces[ns] = &mesh.Namespace{Meta: mesh.Meta{Ref: mesh.Ref{Kind: "Namespace", Name: ns}}}
			}
		}
		all := slices.Concat(objects, slices.Collect(maps.Values(namespaces)))
		for range 3 {
			m := mesh.New(mesh.DefaultSettings(), all...)
			state := map[mesh.Ref]mesh.Object{}
			for _, o := range all {
				state[o.Metadata().Ref] = o
			}
			for range 8 {
				if rnd.IntN(2) == 0 {
					m = m.Draft()
				}
				o := all[rnd.IntN(len(all))]
				ref := o.Metadata().Ref
				switch rnd.IntN(4) {
				case 0:
					m = m.Without(ref)
					delete(state, ref)
				case 1:
					m, state[ref] = m.With(o), o
				default:
					dead := mesh.Terminating(o, "")
					m, state[ref] = m.With(dead), dead
				}
				worsened += checkDying(t, name, m, state)
			}
		}
	}
	if worsened < 100 {
		t.Errorf("%d paths were worse for what was dying; the histories prove little", worsened)
	}
}

func checkDying(t *testing.T, name string, m *mesh.Mesh, state map[mesh.Ref]mesh.Object) (worsened int) {
	t.Helper()
	var alive, standing []mesh.Object
	for ref, o := range state {
		ns, _ := state[mesh.Ref{Kind: "Namespace", Name: ref.Namespace}].(*mesh.Namespace)
		undead := mesh.NotDeleting(o)
		standing = append(standing, undead)
		if ref.Kind == "Namespace" || !mesh.Missed(o) || !o.Metadata().Deleting && (ns == nil || !ns.Deleting) {
			alive = append(alive, undead)
		}
	}
	rest, present := mesh.New(mesh.DefaultSettings(), alive...), mesh.New(mesh.DefaultSettings(), standing...)
	if diff := cmp.Diff(verdicts(rest), verdicts(m.Survivors())); diff != "" {
		t.Fatalf("%s: the survivors are others (-want +got):\n%s", name, diff)
	}
	for p := range m.AllPoints() {
		for _, c := range append(m.Clients(p.Host), mesh.AnyClient) {
			got := m.Paths(c, p.Host, p.Port)
			with, without := present.Paths(c, p.Host, p.Port), rest.Paths(c, p.Host, p.Port)
			want := with.Verdict
			entry := state[with.Entry]
			if rank(without.Verdict) > rank(want) && !(without.Entry == (mesh.Ref{}) && entry != nil && m.Dying(entry)) {
				want = without.Verdict
				worsened++
				if len(got.Because) == 0 {
					t.Errorf("%s: %s:%d from %s is %s, and nothing says why", name, p.Host, p.Port, c, got.Verdict)
				}
			}
			if got.Verdict != want {
				t.Fatalf("%s: %s:%d from %s is %s; with what is dying it is %s, without %s", name, p.Host, p.Port, c, got.Verdict, with.Verdict, without.Verdict)
			}
			if verdict, _ := m.Verdict(c, p.Host, p.Port); verdict != want {
				t.Fatalf("%s: %s:%d from %s is decided as %s, want %s", name, p.Host, p.Port, c, verdict, want)
			}
		}
	}
	return worsened
}
