package review_test

import (
	"fmt"
	"runtime/debug"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/sallyport-io/sallyport/internal/companion"
	"github.com/sallyport-io/sallyport/internal/mesh"
	"github.com/sallyport-io/sallyport/internal/review"
	"github.com/sallyport-io/sallyport/rules"
)

const namespaces = 2_000

func tenantEntry(i int, export string) string {
	return fmt.Sprintf(`{"apiVersion":"networking.istio.io/v1","kind":"ServiceEntry","metadata":{"name":"api-%d","namespace":"team-%d","annotations":{"sallyport.io/export-to":"."}},`+
		`"spec":{"hosts":["api%d.partner%d.example"],"ports":[{"number":80,"name":"http","protocol":"HTTP"},{"number":443,"name":"tls","protocol":"TLS"}],"resolution":"DNS","exportTo":[%q]}}`,
		i, i%namespaces, i, i%977, export)
}

// keptMesh is a mesh of so many hosts, each with an entry of a tenant and the
// companions that Sallyport keeps.
func keptMesh(tb testing.TB, hosts int) *mesh.Mesh {
	tb.Helper()
	var objects []mesh.Object
	empty := mesh.New(mesh.DefaultSettings())
	for i := range hosts {
		o, err := mesh.Decode([]byte(tenantEntry(i, ".")))
		if err != nil {
			tb.Fatal(err)
		}
		se := o.(*mesh.ServiceEntry)
		se.Created = time.Unix(int64(1_700_000_000+i), 0)
		objects = append(objects, se)
		for _, c := range companion.For(empty.With(se), mesh.CanonicalHost(se.Hosts[0])).Objects {
			c.Metadata().Created = se.Created
			objects = append(objects, c)
		}
	}
	return mesh.New(mesh.DefaultSettings(), objects...)
}

// benchWrites are the writes that a cluster sees most: a tenant's new entry, a
// change of an entry that is there, a route of its own to the gateway, and a
// VirtualService that goes straight out, which is denied with a fix.
func benchWrites() []benchWrite {
	route := `{"apiVersion":"networking.istio.io/v1","kind":"VirtualService","metadata":{"name":"slow","namespace":"team-1"},"spec":{"hosts":["api1.partner1.example"],"exportTo":["."],` +
		`"http":[{"match":[{"port":80,"uri":{"prefix":"/slow"}}],"timeout":"30s","route":[{"destination":{"host":"istio-egressgateway.istio-system.svc.cluster.local","port":{"number":443},"subset":"` +
		companion.Key("api1.partner1.example") + `"}}]}]}}`
	straight := `{"apiVersion":"networking.istio.io/v1","kind":"VirtualService","metadata":{"name":"v","namespace":"team-1"},` +
		`"spec":{"hosts":["api1.partner1.example"],"http":[{"route":[{"destination":{"host":"api1.partner1.example","port":{"number":80}}}]}]}}`
	return []benchWrite{
		{"create", false, review.Write{Request: rules.Request{Operation: "CREATE"}, Object: []byte(tenantEntry(1_000_001, "~"))}},
		{"update", false, review.Write{Request: rules.Request{Operation: "UPDATE"}, OldObject: []byte(tenantEntry(1, ".")), Object: []byte(tenantEntry(1, "."))}},
		{"route", false, review.Write{Request: rules.Request{Operation: "CREATE"}, Object: []byte(route)}},
		{"deny", true, review.Write{Request: rules.Request{Operation: "CREATE"}, Object: []byte(straight)}},
	}
}

type benchWrite struct {
	name   string
	denied bool
	review.Write
}

// judge judges the write, of which the verdict is known.
func (w benchWrite) judge(tb testing.TB, judge *review.Judge, m *mesh.Mesh) {
	out, err := judge.Review(tb.Context(), m, w.Write)
	if err != nil || out.Denied() != w.denied || len(out.Paths) == 0 {
		tb.Fatalf("%s: outcome %+v, error %v", w.name, out, err)
	}
}

// BenchmarkReview judges the writes that a cluster sees most, with every rule,
// in meshes of different sizes.
func BenchmarkReview(b *testing.B) {
	judge := &review.Judge{Rules: rules.All}
	for _, hosts := range []int{100, 1_000, 10_000, 100_000} {
		// Built for those that are asked for only: the large ones take a minute.
		m := sync.OnceValue(func() *mesh.Mesh { return keptMesh(b, hosts) })
		for _, write := range benchWrites() {
			b.Run(fmt.Sprintf("%s/hosts=%d", write.name, hosts), func(b *testing.B) {
				m := m()
				b.ReportAllocs()
				for b.Loop() {
					write.judge(b, judge, m)
				}
			})
		}
	}
}

// TestAllocations bounds what one review allocates, and checks that it does
// not depend on the size of the mesh. Times would depend on the machine.
func TestAllocations(t *testing.T) {
	if built, ok := debug.ReadBuildInfo(); ok && slices.Contains(built.Settings, debug.BuildSetting{Key: "-race", Value: "true"}) {
		t.Skip("the race detector allocates too")
	}
	judge := &review.Judge{Rules: rules.All}
	small, large := keptMesh(t, 50), keptMesh(t, 5_000)
	for _, write := range benchWrites() {
		// A denial is judged once more with its fix, which makes the companions anew.
		most := map[string]float64{"create": 390, "update": 540, "route": 540, "deny": 3150}[write.name]
		few := testing.AllocsPerRun(50, func() { write.judge(t, judge, small) })
		many := testing.AllocsPerRun(50, func() { write.judge(t, judge, large) })
		if many > most || many > 1.2*few {
			t.Errorf("%s: %.0f allocations among 50 hosts and %.0f among 5,000; want at most %.0f, and no growth", write.name, few, many, most)
		}
	}
}
