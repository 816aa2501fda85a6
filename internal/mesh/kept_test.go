package mesh_test

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/sallyport-io/sallyport/internal/mesh"
)

// TestKeptBytes checks, over random histories of meshes and drafts of them, that what is kept of each namespace is
// always the sum of what its objects have.
func TestKeptBytes(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	object := func() mesh.Object {
		raw := fmt.Sprintf(`{"apiVersion":"networking.istio.io/v1","kind":"VirtualService","metadata":{"namespace":"n%d","name":"v%d","managedFields":[{"manager":"%s"}],"labels":{"a":"b"}},"spec":{"hosts":["%s"]},"status":{"x":"%[3]s"}}`,
			r.IntN(3), r.IntN(8), strings.Repeat("m", r.IntN(100)), strings.Repeat("h", 1+r.IntN(50)))
		if r.IntN(5) == 0 {
			raw = fmt.Sprintf(`{"apiVersion":"v1","kind":"Pod","metadata":{"namespace":"n0","name":"p%d"},"spec":{}}`, r.IntN(8))
		}
		o, err := mesh.Decode([]byte(raw))
		if err != nil {
			t.Fatal(err)
		}
		return o
	}
	check := func(m *mesh.Mesh) {
		t.Helper()
		want := map[string]int{}
		for _, kind := range mesh.Kinds() {
			for o := range m.All(kind) {
				if mesh.Kept(kind) {
					want[o.Metadata().Namespace] += o.Metadata().Size
				}
			}
		}
		for i := range 3 {
			ns := fmt.Sprintf("n%d", i)
			if got := m.KeptBytes(ns); got != want[ns] {
				t.Fatalf("namespace %s: %d bytes are kept, want %d", ns, got, want[ns])
			}
		}
	}
	m := mesh.New(mesh.DefaultSettings())
	for range 2000 {
		o := object()
		draft := m.Draft().With(o)
		check(draft)
		check(draft.Without(o.Metadata().Ref))
		if r.IntN(3) == 0 {
			m = m.Without(o.Metadata().Ref)
		} else {
			m = m.With(o)
		}
		check(m)
	}
}

// TestSize checks that what the model does not keep has no weight, and what it keeps has.
func TestSize(t *testing.T) {
	size := func(raw string) int {
		o, err := mesh.Decode([]byte(raw))
		if err != nil {
			t.Fatal(err)
		}
		return o.Metadata().Size
	}
	const spec = `{"hosts":["a.example"]}`
	plain := size(`{"apiVersion":"networking.istio.io/v1","kind":"VirtualService","metadata":{"name":"a"},"spec":` + spec + `}`)
	if plain != len(spec) {
		t.Errorf("%d bytes, want %d", plain, len(spec))
	}
	for name, test := range map[string]struct {
		raw  string
		more int
	}{
		"what others manage": {`{"apiVersion":"networking.istio.io/v1","kind":"VirtualService","metadata":{"name":"a","managedFields":[{"manager":"x"}]},"spec":` + spec + `,"status":{"a":"b"}}`, 0},
		"kubectl's copy":     {`{"apiVersion":"networking.istio.io/v1","kind":"VirtualService","metadata":{"name":"a","annotations":{"kubectl.kubernetes.io/last-applied-configuration":"{}"}},"spec":` + spec + `}`, 0},
		"labels":             {`{"apiVersion":"networking.istio.io/v1","kind":"VirtualService","metadata":{"name":"a","labels":{"aa":"bb"},"annotations":{"c":"d"}},"spec":` + spec + `}`, 6},
		"escapes":            {`{"apiVersion":"networking.istio.io/v1","kind":"VirtualService","metadata":{"name":"a","labels":{"a\u0061":"bb"}},"spec":` + spec + `}`, 4},
		"lists at the top":   {`{"apiVersion":"discovery.k8s.io/v1","kind":"EndpointSlice","metadata":{"name":"a"},"endpoints":[{"addresses":["192.0.2.1"]}],"spec":` + spec + `}`, len(`[{"addresses":["192.0.2.1"]}]`)},
	} {
		if got := size(test.raw); got != plain+test.more {
			t.Errorf("%s: %d bytes, want %d", name, got, plain+test.more)
		}
	}
}
