package companion_test

import (
	"encoding/json"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"

	"github.com/sallyport-io/sallyport/internal/companion"
	"github.com/sallyport-io/sallyport/internal/mesh"
)

// eachCase calls f with the objects of every golden case in both modes.
func eachCase(t *testing.T, f func(t *testing.T, s mesh.Settings, objects []mesh.Object)) {
	for _, file := range cases(t) {
		archive, err := txtar.ParseFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for name, mutualTLS := range modes {
			t.Run(file+"/"+name, func(t *testing.T) {
				f(t, settings(mutualTLS), decode(t, section(t, archive, "mesh.yaml")))
			})
		}
	}
}

// TestIdempotent: a mesh that holds the companions already, as the API server
// would return them, needs the same ones.
func TestIdempotent(t *testing.T) {
	eachCase(t, func(t *testing.T, s mesh.Settings, objects []mesh.Object) {
		m := mesh.New(s, objects...)
		written := m
		for _, host := range hosts(m) {
			for _, o := range companion.For(m, host).Objects {
				written = written.With(reread(t, o))
			}
		}
		for _, host := range hosts(m) {
			if diff := cmp.Diff(companion.For(m, host), companion.For(written, host)); diff != "" {
				t.Errorf("%s (-without companions +with):\n%s", host, diff)
			}
		}
	})
}

// TestApplyIsRepeatable: applying the companions to a mesh that has them
// changes nothing.
func TestApplyIsRepeatable(t *testing.T) {
	eachCase(t, func(t *testing.T, s mesh.Settings, objects []mesh.Object) {
		m := mesh.New(s, objects...)
		once, sets := companion.Apply(m, hosts(m)...)
		twice, again := companion.Apply(once, hosts(m)...)
		if diff := cmp.Diff(sets, again); diff != "" {
			t.Errorf("sets (-once +twice):\n%s", diff)
		}
		for _, kind := range companion.Kinds {
			if diff := cmp.Diff(slices.Collect(once.All(kind)), slices.Collect(twice.All(kind))); diff != "" {
				t.Errorf("%s (-once +twice):\n%s", kind, diff)
			}
		}
	})
}

// TestOrderDoesNotMatter: the companions depend on what users wrote, not on
// the order in which the mesh learnt of it.
func TestOrderDoesNotMatter(t *testing.T) {
	eachCase(t, func(t *testing.T, s mesh.Settings, objects []mesh.Object) {
		want := describe(t, mesh.New(s, objects...))
		r := rand.New(rand.NewPCG(1, 2))
		for range 10 {
			shuffled := slices.Clone(objects)
			r.Shuffle(len(shuffled), func(i, j int) { shuffled[i], shuffled[j] = shuffled[j], shuffled[i] })
			m := mesh.New(s)
			for _, o := range shuffled {
				m = m.With(o)
			}
			if diff := cmp.Diff(want, describe(t, m)); diff != "" {
				t.Fatalf("in another order (-want +got):\n%s", diff)
			}
		}
	})
}

// TestNames: what Sallyport writes has names that nobody else may use, and
// the objects of one host share a key that no other host has.
func TestNames(t *testing.T) {
	eachCase(t, func(t *testing.T, s mesh.Settings, objects []mesh.Object) {
		m := mesh.New(s, objects...)
		for _, host := range hosts(m) {
			seen := make(map[mesh.Ref]bool)
			for _, o := range companion.For(m, host).Objects {
				ref := o.Metadata().Ref
				if !companion.Is(ref) || companion.KeyOf(ref) != companion.Key(host) {
					t.Errorf("%s is not a name for a companion of %s", ref, host)
				}
				if seen[ref] {
					t.Errorf("%s: two companions of %s have one name", ref, host)
				}
				seen[ref] = true
			}
		}
	})
}

func TestIs(t *testing.T) {
	const key = "sallyport-3198e25ac27f46c85dcb"
	for _, tt := range []struct {
		ref  mesh.Ref
		want bool
	}{
		{mesh.Ref{Kind: "Gateway", Namespace: "istio-system", Name: key}, true},
		{mesh.Ref{Kind: "Gateway", Namespace: "istio-system", Name: key + "-p443"}, true},
		{mesh.Ref{Kind: "Gateway", Namespace: "istio-system", Name: key + "-g0123abcd-p65535"}, true},
		{mesh.Ref{Kind: "VirtualService", Namespace: "anywhere", Name: key + "-mesh"}, true},
		{mesh.Ref{Kind: "DestinationRule", Name: key + "-origin"}, true},
		{mesh.Ref{Kind: "ServiceEntry", Name: key}, true},
		{mesh.Ref{Kind: "Service", Name: key}, false},
		{mesh.Ref{Kind: "Gateway", Name: key + "x"}, false},
		{mesh.Ref{Kind: "Gateway", Name: key + "-"}, false},
		{mesh.Ref{Kind: "Gateway", Name: key + "\n"}, false},
		{mesh.Ref{Kind: "Gateway", Name: "x" + key}, false},
		{mesh.Ref{Kind: "Gateway", Name: "sallyport-3198E25AC27F46C85DCB"}, false},
		{mesh.Ref{Kind: "Gateway", Name: "sallyport-webhook"}, false},
		{mesh.Ref{Kind: "Gateway"}, false},
	} {
		if got := companion.Is(tt.ref); got != tt.want {
			t.Errorf("Is(%s) = %t, want %t", tt.ref, got, tt.want)
		}
	}
}

// reread returns the companion as the API server would give it back.
func reread(t testing.TB, o mesh.Object) mesh.Object {
	t.Helper()
	object, err := companion.Render(o)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := json.Marshal(object)
	if err != nil {
		t.Fatal(err)
	}
	out, err := mesh.Decode(raw)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// TestRenderKeepsEverything: what is written is what was computed.
func TestRenderKeepsEverything(t *testing.T) {
	eachCase(t, func(t *testing.T, s mesh.Settings, objects []mesh.Object) {
		m := mesh.New(s, objects...)
		for _, host := range hosts(m) {
			for _, o := range companion.For(m, host).Objects {
				o.Metadata().Owners = nil // ownerReferences are the reconciler's
				rendered := reread(t, o)
				rendered.Metadata().Size = 0 // of the JSON, which nobody has computed
				if diff := cmp.Diff(o, rendered); diff != "" {
					t.Errorf("%s (-computed +rendered):\n%s", o.Metadata().Ref, diff)
				}
			}
		}
	})
}

// FuzzFor: no ServiceEntry, however odd, makes For panic, and what it computes
// can be rendered.
func FuzzFor(f *testing.F) {
	for _, seed := range []string{
		`{"apiVersion":"networking.istio.io/v1","kind":"ServiceEntry","metadata":{"name":"a","namespace":"b"},"spec":{"hosts":["a.b"],"ports":[{"number":443,"name":"x","protocol":"TLS"}],"resolution":"DNS"}}`,
		`{"apiVersion":"networking.istio.io/v1","kind":"ServiceEntry","metadata":{"name":"a","namespace":"istio-system"},"spec":{"hosts":["*.b","A.b.","1.2.3.4",""],"ports":[{"number":-1,"protocol":"HTTP"},{"number":99999999,"protocol":"udp"},{"number":80,"protocol":"http","targetPort":443}],"exportTo":[".","~","x"],"endpoints":[{"address":"unix:///x"}]}}`,
		`{"apiVersion":"networking.istio.io/v1","kind":"Gateway","metadata":{"name":"a","namespace":"b"},"spec":{"servers":[{"hosts":["//","a/b"],"tls":{}}]}}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		o, err := mesh.Decode(raw)
		if err != nil {
			return
		}
		for _, mutualTLS := range modes {
			m := mesh.New(settings(mutualTLS), o)
			for _, host := range hosts(m) {
				for _, c := range companion.For(m, host).Objects {
					if _, err := companion.Manifest(c); err != nil {
						t.Fatal(err)
					}
					if !companion.Is(c.Metadata().Ref) {
						t.Fatalf("%s is no companion's name", c.Metadata().Ref)
					}
				}
			}
		}
	})
}
