package mesh_test

import (
	"encoding/json"
	"fmt"
	"runtime"
	"testing"
	"time"

	"github.com/sallyport-io/sallyport/internal/mesh"
)

// sizes are numbers of hosts; each has the seven objects of a tenant's entry
// with its companions.
var sizes = []int{100, 1_000, 10_000, 100_000}

const namespaces = 2_000

// hostObjects are an entry of a tenant and what takes it through the gateway.
func hostObjects(tb testing.TB, pool *mesh.Pool, i int) []mesh.Object {
	host := fmt.Sprintf("api%d.partner%d.example", i, i%977)
	ns := fmt.Sprintf("team-%d", i%namespaces)
	name := fmt.Sprintf("sallyport-%012x", i)
	created := time.Unix(int64(1_600_000_000+i), 0).UTC().Format(time.RFC3339)
	const egw = "istio-egressgateway.istio-system.svc.cluster.local"
	docs := []string{
		`{"apiVersion":"networking.istio.io/v1","kind":"ServiceEntry","metadata":{"name":"` + name + `","namespace":"` + ns + `","creationTimestamp":"` + created + `"},
		 "spec":{"hosts":["` + host + `"],"ports":[{"number":80,"name":"http","protocol":"HTTP"},{"number":443,"name":"tls","protocol":"TLS"}],"resolution":"DNS","exportTo":["."]}}`,
		`{"apiVersion":"networking.istio.io/v1","kind":"ServiceEntry","metadata":{"name":"` + name + `","namespace":"istio-system","creationTimestamp":"` + created + `"},
		 "spec":{"hosts":["` + host + `"],"ports":[{"number":80,"name":"http","protocol":"HTTP"},{"number":443,"name":"tls","protocol":"TLS"}],"resolution":"DNS","exportTo":["."]}}`,
		`{"apiVersion":"networking.istio.io/v1","kind":"Gateway","metadata":{"name":"` + name + `","namespace":"istio-system","creationTimestamp":"` + created + `"},
		 "spec":{"selector":{"istio":"egressgateway"},"servers":[
		 {"port":{"number":443,"name":"http-` + name + `","protocol":"HTTPS"},"hosts":["istio-system/h.` + host + `"],"tls":{"mode":"ISTIO_MUTUAL"}},
		 {"port":{"number":443,"name":"tls-` + name + `","protocol":"TLS"},"hosts":["istio-system/` + host + `"],"tls":{"mode":"ISTIO_MUTUAL"}}]}}`,
		`{"apiVersion":"networking.istio.io/v1","kind":"DestinationRule","metadata":{"name":"` + name + `","namespace":"istio-system","creationTimestamp":"` + created + `"},
		 "spec":{"host":"` + egw + `","subsets":[{"name":"` + name + `-h","trafficPolicy":{"tls":{"mode":"ISTIO_MUTUAL","sni":"h.` + host + `"}}},{"name":"` + name + `","trafficPolicy":{"tls":{"mode":"ISTIO_MUTUAL","sni":"` + host + `"}}}]}}`,
		`{"apiVersion":"networking.istio.io/v1","kind":"VirtualService","metadata":{"name":"` + name + `","namespace":"istio-system","creationTimestamp":"` + created + `"},
		 "spec":{"hosts":["` + host + `","h.` + host + `"],"gateways":["istio-system/` + name + `"],"exportTo":["."],
		 "http":[{"match":[{"gateways":["istio-system/` + name + `"],"port":443}],"route":[{"destination":{"host":"` + host + `","port":{"number":80}}}]}],
		 "tcp":[{"match":[{"gateways":["istio-system/` + name + `"],"port":443}],"route":[{"destination":{"host":"` + host + `","port":{"number":443}}}]}]}}`,
		`{"apiVersion":"networking.istio.io/v1","kind":"VirtualService","metadata":{"name":"` + name + `","namespace":"` + ns + `","creationTimestamp":"` + created + `"},
		 "spec":{"hosts":["` + host + `"],"exportTo":["."],
		 "http":[{"match":[{"gateways":["mesh"],"port":80}],"rewrite":{"authority":"h.` + host + `"},"route":[{"destination":{"host":"` + egw + `","subset":"` + name + `-h","port":{"number":443}}}]}],
		 "tls":[{"match":[{"gateways":["mesh"],"port":443,"sniHosts":["` + host + `"]}],"route":[{"destination":{"host":"` + egw + `","subset":"` + name + `","port":{"number":443}}}]}]}}`,
	}
	objects := make([]mesh.Object, len(docs))
	for j, d := range docs {
		var is struct{ Kind string }
		err := json.Unmarshal([]byte(d), &is)
		if err == nil {
			objects[j], err = pool.Decode("networking.istio.io/v1", is.Kind, []byte(d))
		}
		if err != nil {
			tb.Fatal(err)
		}
	}
	return objects
}

func largeMesh(tb testing.TB, hosts int) *mesh.Mesh {
	var objects []mesh.Object
	var pool mesh.Pool
	for i := range hosts {
		objects = append(objects, hostObjects(tb, &pool, i)...)
	}
	return mesh.New(mesh.DefaultSettings(), objects...)
}

// BenchmarkReview is what a review asks of the model: the mesh with the
// object, what it affects, and the paths of that for every client.
func BenchmarkReview(b *testing.B) {
	for _, n := range sizes {
		b.Run(fmt.Sprintf("hosts=%d", n), func(b *testing.B) {
			m := largeMesh(b, n)
			write := hostObjects(b, new(mesh.Pool), n/2)[0]
			if p := m.Paths(write.Metadata().Namespace, m.Points(write)[0].Host, 80); p.Verdict != mesh.Via {
				b.Fatalf("the benchmark's paths are not via: %+v", p)
			}
			b.ReportAllocs()
			for b.Loop() {
				after := m.With(write)
				for _, p := range after.Affected(write) {
					for _, c := range append(after.Clients(p.Host), mesh.AnyClient) {
						after.Paths(c, p.Host, p.Port)
					}
				}
			}
		})
	}
}

// BenchmarkWith is the cost of one overlay.
func BenchmarkWith(b *testing.B) {
	for _, n := range sizes {
		b.Run(fmt.Sprintf("hosts=%d", n), func(b *testing.B) {
			m := largeMesh(b, n)
			write := hostObjects(b, new(mesh.Pool), n/2)[0]
			b.ReportAllocs()
			for b.Loop() {
				m.With(write)
			}
		})
	}
}

// BenchmarkDecode is the cost of one object, as the API server sends it.
func BenchmarkDecode(b *testing.B) {
	raw := []byte(`{"apiVersion":"networking.istio.io/v1","kind":"VirtualService","metadata":{"name":"a","namespace":"n","creationTimestamp":"2024-01-01T00:00:00Z","uid":"d0b4c0a8-0000-4000-8000-000000000000","resourceVersion":"1","labels":{"app":"a"}},
	"spec":{"hosts":["api.partner.com"],"gateways":["mesh"],"http":[{"match":[{"gateways":["mesh"],"port":80}],"route":[{"destination":{"host":"istio-egressgateway.istio-system.svc.cluster.local","subset":"partner","port":{"number":80}},"weight":100}]}]}}`)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := mesh.Decode(raw); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkMemory reports the heap that a mesh keeps, per host.
func BenchmarkMemory(b *testing.B) {
	for _, n := range sizes {
		b.Run(fmt.Sprintf("hosts=%d", n), func(b *testing.B) {
			var before, after runtime.MemStats
			for b.Loop() {
				runtime.GC()
				runtime.ReadMemStats(&before)
				m := largeMesh(b, n)
				runtime.GC()
				runtime.GC()
				runtime.ReadMemStats(&after)
				runtime.KeepAlive(m)
			}
			used := float64(after.HeapAlloc) - float64(before.HeapAlloc)
			b.ReportMetric(used/(1<<20), "MiB")
			b.ReportMetric(used/float64(n), "B/host")
		})
	}
}
