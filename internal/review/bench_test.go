package review_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/sallyport-io/sallyport/internal/companion"
	"github.com/sallyport-io/sallyport/internal/mesh"
	"github.com/sallyport-io/sallyport/internal/review"
	"github.com/sallyport-io/sallyport/rules"
)

const namespaces = 2_000

func tenantEntry(i int, export string) string {
	return fmt.Sprintf(`{"apiVersion":"networking.istio.io/v1","kind":"ServiceEntry","metadata":{"name":"api","namespace":"team-%d","annotations":{"sallyport.io/export-to":"."}},`+
		`"spec":{"hosts":["api%d.partner%d.example"],"ports":[{"number":80,"name":"http","protocol":"HTTP"},{"number":443,"name":"tls","protocol":"TLS"}],"resolution":"DNS","exportTo":[%q]}}`,
		i%namespaces, i, i%977, export)
}

// keptMesh is a mesh of so many hosts, each with an entry of a tenant and the
// companions that Sallyport keeps.
func keptMesh(b *testing.B, hosts int) *mesh.Mesh {
	b.Helper()
	var objects []mesh.Object
	empty := mesh.New(mesh.DefaultSettings())
	for i := range hosts {
		o, err := mesh.Decode([]byte(tenantEntry(i, ".")))
		if err != nil {
			b.Fatal(err)
		}
		se := o.(*mesh.ServiceEntry)
		se.Name = fmt.Sprintf("api-%d", i)
		se.Created = time.Unix(int64(1_700_000_000+i), 0)
		objects = append(objects, se)
		for _, c := range companion.For(empty.With(se), mesh.CanonicalHost(se.Hosts[0])).Objects {
			c.Metadata().Created = se.Created
			objects = append(objects, c)
		}
	}
	return mesh.New(mesh.DefaultSettings(), objects...)
}

// BenchmarkReview judges the writes that a cluster sees most, with every rule,
// in meshes of different sizes: a tenant's new entry, a change of an entry
// that is there, a route of its own to the gateway, and a VirtualService that
// goes straight out, which is denied with a fix.
func BenchmarkReview(b *testing.B) {
	judge := &review.Judge{Rules: rules.All}
	route := `{"apiVersion":"networking.istio.io/v1","kind":"VirtualService","metadata":{"name":"slow","namespace":"team-1"},"spec":{"hosts":["api1.partner1.example"],"exportTo":["."],` +
		`"http":[{"match":[{"port":80,"uri":{"prefix":"/slow"}}],"timeout":"30s","route":[{"destination":{"host":"istio-egressgateway.istio-system.svc.cluster.local","port":{"number":443},"subset":"` +
		companion.Key("api1.partner1.example") + `"}}]}]}}`
	straight := `{"apiVersion":"networking.istio.io/v1","kind":"VirtualService","metadata":{"name":"v","namespace":"team-1"},` +
		`"spec":{"hosts":["api1.partner1.example"],"http":[{"route":[{"destination":{"host":"api1.partner1.example","port":{"number":80}}}]}]}}`
	for _, hosts := range []int{100, 1_000, 10_000, 100_000} {
		m := keptMesh(b, hosts)
		for _, write := range []struct {
			name   string
			denied bool
			review.Write
		}{
			{"create", false, review.Write{Request: rules.Request{Operation: "CREATE"}, Object: []byte(tenantEntry(1_000_001, "~"))}},
			{"update", false, review.Write{Request: rules.Request{Operation: "UPDATE"}, OldObject: []byte(tenantEntry(1, ".")), Object: []byte(tenantEntry(1, "."))}},
			{"route", false, review.Write{Request: rules.Request{Operation: "CREATE"}, Object: []byte(route)}},
			{"deny", true, review.Write{Request: rules.Request{Operation: "CREATE"}, Object: []byte(straight)}},
		} {
			b.Run(fmt.Sprintf("%s/hosts=%d", write.name, hosts), func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					out, err := judge.Review(b.Context(), m, write.Write)
					if err != nil || out.Denied() != write.denied || len(out.Paths) == 0 {
						b.Fatalf("outcome %+v, error %v", out, err)
					}
				}
			})
		}
	}
}
