package live

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/go-logr/logr"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"

	"github.com/sallyport-io/sallyport/internal/companion"
	"github.com/sallyport-io/sallyport/internal/mesh"
)

// BenchmarkSync reads a cluster of so many hosts, each with the companions
// that Sallyport writes: how long it takes until the mesh stands, and how much
// memory it then keeps.
func BenchmarkSync(b *testing.B) {
	for _, hosts := range []int{2_000, 10_000} {
		b.Run(fmt.Sprintf("hosts=%d", hosts), func(b *testing.B) {
			cfg, objects := record(b, hosts)
			var before, after runtime.MemStats
			for b.Loop() {
				runtime.GC()
				runtime.ReadMemStats(&before)
				s, err := New(cfg, mesh.DefaultSettings(), logr.Discard())
				if err != nil {
					b.Fatal(err)
				}
				done := make(chan error)
				go func() { done <- s.Start(b.Context()) }()
				if err := s.WaitForSync(b.Context()); err != nil {
					b.Fatal(err)
				}
				b.StopTimer()
				runtime.GC()
				runtime.GC()
				runtime.ReadMemStats(&after)
				got := 0
				for _, n := range s.Sizes() {
					got += n
				}
				if got != objects {
					b.Fatalf("read %d objects, want %d", got, objects)
				}
				b.StartTimer()
			}
			kept := float64(after.HeapAlloc) - float64(before.HeapAlloc)
			b.ReportMetric(kept/(1<<20), "MiB-kept")
			b.ReportMetric(kept/float64(hosts), "B/host")
			b.ReportMetric(float64(after.TotalAlloc-before.TotalAlloc)/(1<<20), "MiB-allocated")
		})
	}
}

// record writes the lists of a large cluster into files, one for each kind,
// and serves them: what is measured must not pay for keeping them.
func record(b *testing.B, hosts int) (cfg *rest.Config, objects int) {
	b.Helper()
	dir := b.TempDir()
	files := make(map[string]*recording)
	version := 0
	write := func(kind string, o any) {
		raw, err := json.Marshal(o)
		if err != nil {
			b.Fatal(err)
		}
		version++
		if files[kind].n++; files[kind].n > 1 {
			raw = append([]byte{','}, raw...)
		}
		if _, err := files[kind].Write(stored(raw, version)); err != nil {
			b.Fatal(err)
		}
		objects++
	}
	for _, r := range resources {
		f, err := os.Create(filepath.Join(dir, r.Name))
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() { _ = f.Close() })
		files[r.Name] = &recording{Writer: bufio.NewWriter(f)}
		if _, err := fmt.Fprintf(files[r.Name], `{"kind":%q,"items":[`, r.API+"List"); err != nil {
			b.Fatal(err)
		}
	}
	empty := mesh.New(mesh.DefaultSettings())
	for i := range hosts {
		namespace := fmt.Sprintf("team-%04d", i/5)
		if i%5 == 0 {
			write("Namespace", json.RawMessage(`{"apiVersion":"v1","kind":"Namespace","metadata":{"name":"`+namespace+`","labels":{"istio-injection":"enabled","kubernetes.io/metadata.name":"`+namespace+`"}}}`))
		}
		host := fmt.Sprintf("api-%05d.example.com", i)
		entry := `{"apiVersion":"networking.istio.io/v1","kind":"ServiceEntry","metadata":{"name":"` + host + `","namespace":"` + namespace + `","annotations":{"sallyport.io/export-to":".","sallyport.io/status":"ready: every port goes through the egress gateway; ` + companion.Key(host) + `"}},` +
			`"spec":{"hosts":["` + host + `"],"exportTo":["."],"resolution":"DNS","ports":[{"number":80,"name":"http","protocol":"HTTP"},{"number":443,"name":"tls","protocol":"TLS"}]}}`
		write("ServiceEntry", json.RawMessage(entry))
		o, err := mesh.Decode([]byte(entry))
		if err != nil {
			b.Fatal(err)
		}
		for _, o := range companion.For(empty.With(o), host).Objects {
			rendered, err := companion.Render(o)
			if err != nil {
				b.Fatal(err)
			}
			write(o.Metadata().Kind, rendered)
		}
	}
	for _, r := range resources {
		_, err := fmt.Fprintf(files[r.Name], `],"metadata":{"resourceVersion":"%d"}}`, version)
		if err == nil {
			err = files[r.Name].Flush()
		}
		if err != nil {
			b.Fatal(err)
		}
	}
	srv := httptest.NewServer(replayer{dir})
	b.Cleanup(func() {
		srv.CloseClientConnections()
		srv.Close()
	})
	return &rest.Config{Host: srv.URL}, objects
}

// recording is a list that is being written.
type recording struct {
	*bufio.Writer
	n int // items
}

// stored returns an object as the API server keeps it.
func stored(raw []byte, version int) []byte {
	meta := fmt.Sprintf(`"metadata":{"uid":"d0b4c0a8-1111-4000-8000-%012d","resourceVersion":"%d","generation":1,"creationTimestamp":"2026-01-02T03:04:05Z",`+
		`"managedFields":[{"manager":"sallyport","operation":"Update","apiVersion":"networking.istio.io/v1","time":"2026-01-02T03:04:05Z","fieldsType":"FieldsV1",`+
		`"fieldsV1":{"f:metadata":{"f:annotations":{".":{},"f:sallyport.io/host":{}},"f:labels":{".":{},"f:app.kubernetes.io/managed-by":{}}},"f:spec":{".":{},"f:exportTo":{},"f:hosts":{},"f:ports":{},"f:resolution":{}}}}],`,
		version, version)
	return bytes.Replace(raw, []byte(`"metadata":{`), []byte(meta), 1)
}

// replayer answers a list with what the directory holds.
type replayer struct{ dir string }

func (p replayer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	path := strings.Trim(r.URL.Path, "/")
	known := metav1.APIResourceList{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "APIResourceList"}}
	for _, served := range resources {
		version := served.Group + "/" + served.Versions[0]
		switch {
		case strings.HasSuffix(path, version):
			known.APIResources = append(known.APIResources, metav1.APIResource{Name: served.Resource, Kind: served.API})
		case !strings.HasSuffix(path, version+"/"+served.Resource):
		case r.URL.Query().Get("watch") == "true":
			w.(http.Flusher).Flush()
			select { // no news
			case <-r.Context().Done():
			case <-time.After(time.Minute):
			}
			return
		default:
			f, err := os.Open(filepath.Join(p.dir, served.Name))
			if err != nil {
				panic(err)
			}
			defer func() { _ = f.Close() }()
			_, _ = f.WriteTo(w) // or the client has gone
			return
		}
	}
	reply(w, http.StatusOK, known)
}
