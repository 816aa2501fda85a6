package webhook

import (
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	admissionv1 "k8s.io/api/admission/v1"

	"github.com/sallyport-io/sallyport/internal/mesh"
)

// TestRewriteAwaitsTheEntry writes a route that asks to be rewritten just after its
// entry, of which the server is told a little later: it is rewritten all the same. One
// whose entry does not come is answered soon, and one that awaits nothing at once.
func TestRewriteAwaitsTheEntry(t *testing.T) {
	const route = `{"apiVersion":"networking.istio.io/v1","kind":"VirtualService","metadata":{"name":"api","namespace":"shop","annotations":{"sallyport.io/rewrite":"REWRITE"}},
"spec":{"hosts":["api.example.com"],"tls":[{"match":[{"port":443,"sniHosts":["api.example.com"]}],"route":[{"destination":{"host":"api.example.com","port":{"number":443}}}]}]}}`
	registered, err := mesh.Decode([]byte(entry("api", "api.example.com")))
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name     string
		rewrite  string
		told     time.Duration // of the entry
		answered time.Duration // at the latest
		patched  bool
	}{
		{"told before", "true", 0, 0, true},
		{"told in time", "true", 100 * time.Millisecond, 110 * time.Millisecond, true},
		{"not told in time", "true", time.Hour, awaitFor, false},
		{"asks for nothing", "false", time.Hour, 0, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				o := options(t)
				before := mesh.New(mesh.DefaultSettings())
				var now atomic.Pointer[mesh.Mesh]
				now.Store(before)
				o.Mesh = now.Load
				if tt.told == 0 {
					now.Store(before.With(registered))
				} else {
					defer time.AfterFunc(tt.told, func() { now.Store(before.With(registered)) }).Stop()
				}
				began := time.Now()
				r := request(strings.Replace(route, "REWRITE", tt.rewrite, 1), func(r *admissionv1.AdmissionRequest) {
					r.Kind.Kind, r.Resource.Resource = "VirtualService", "virtualservices"
				})
				resp := answerTo(t, newServerOf(o).mutate, "10.0.0.1", "2s", strings.NewReader(body(t, "v1", r)))
				if took := time.Since(began); took > tt.answered {
					t.Errorf("answered after %v, want %v", took, tt.answered)
				}
				if got := len(resp.Patch) > 0; !resp.Allowed || got != tt.patched {
					t.Errorf("allowed %t, the patch is %s", resp.Allowed, resp.Patch)
				}
			})
		})
	}
}
