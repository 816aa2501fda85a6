package review_test

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sallyport-io/sallyport/internal/golden"
	"github.com/sallyport-io/sallyport/internal/mesh"
	"github.com/sallyport-io/sallyport/internal/review"
	"github.com/sallyport-io/sallyport/rules"
)

// TestBatchGrowsWithItsObjects reviews few and many namespaces with their entries: what
// is allocated, and what is kept, grows as the objects do and not as their square, which
// is how many pairs of a host and a namespace there are.
func TestBatchGrowsWithItsObjects(t *testing.T) {
	const few, many = 20, 100
	judge := &review.Judge{Rules: rules.All}
	look := func(namespaces int) (allocated, kept uint64) {
		var objects [][]byte
		for i := range namespaces {
			objects = append(objects, fmt.Appendf(nil, `{"apiVersion":"v1","kind":"Namespace","metadata":{"name":"team-%d","labels":{"istio-injection":"enabled"}}}`, i))
			for j := range 5 {
				objects = append(objects, fmt.Appendf(nil, `{"apiVersion":"networking.istio.io/v1","kind":"ServiceEntry","metadata":{"name":"api-%[2]d","namespace":"team-%[1]d"},`+
					`"spec":{"hosts":["api-%[2]d.team-%[1]d.example.com"],"location":"MESH_EXTERNAL","resolution":"DNS","ports":[{"number":443,"name":"tls","protocol":"TLS"}]}}`, i, j))
			}
		}
		var before, after, end runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		batch, err := judge.ReviewAll(t.Context(), mesh.New(mesh.DefaultSettings()), objects)
		if err != nil {
			t.Fatal(err)
		}
		runtime.ReadMemStats(&after)
		runtime.GC()
		runtime.ReadMemStats(&end)
		if len(batch.Paths) < 5*namespaces {
			t.Errorf("%d namespaces: %d paths", namespaces, len(batch.Paths))
		}
		runtime.KeepAlive(batch)
		return after.TotalAlloc - before.TotalAlloc, end.HeapAlloc - before.HeapAlloc
	}
	look(1) // what is computed once
	allocated, kept := look(few)
	more, longer := look(many)
	const most = 2 * many / few
	if more > most*allocated || longer > most*kept {
		t.Errorf("%d namespaces allocate %d kB and keep %d, %d allocate %d and keep %d: want at most %d times as much",
			few, allocated>>10, kept>>10, many, more>>10, longer>>10, most)
	}
}

// TestBlockedPathsAreAllThatIsLeftOut compares, for every observed set among tenants of
// all sorts, the paths that are listed by default with those that are listed on request.
func TestBlockedPathsAreAllThatIsLeftOut(t *testing.T) {
	files, err := filepath.Glob(filepath.Join(observed, "*", "all.yaml"))
	if err != nil || len(files) == 0 {
		t.Fatal(err)
	}
	tenants, err := golden.Documents([]byte(`apiVersion: v1
kind: Namespace
metadata: {name: plain, labels: {istio-injection: enabled}}
---
apiVersion: v1
kind: Namespace
metadata: {name: bare}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: c, namespace: other}
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: wild, namespace: wild}
spec: {hosts: ["*.example.com", "*.org"], exportTo: [".", friend], ports: [{number: 443, name: tls, protocol: TLS}, {number: 80, name: http, protocol: HTTP}]}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: routes, namespace: routes}
spec: {hosts: [elsewhere.internal], exportTo: [.], http: [{route: [{destination: {host: edition.cnn.com}}]}]}
---
apiVersion: networking.istio.io/v1
kind: Sidecar
metadata: {name: open, namespace: open}
spec: {outboundTrafficPolicy: {mode: ALLOW_ANY}, egress: [{hosts: [./*]}]}
---
apiVersion: networking.istio.io/v1alpha3
kind: EnvoyFilter
metadata: {name: f, namespace: filtered}
spec: {configPatches: [{applyTo: CLUSTER, patch: {operation: ADD, value: {name: x}}}]}
---
apiVersion: networking.istio.io/v1alpha3
kind: EnvoyFilter
metadata: {name: f, namespace: filtered-too}
spec: {configPatches: [{applyTo: CLUSTER, patch: {operation: ADD, value: {name: x}}}]}
`))
	if err != nil {
		t.Fatal(err)
	}
	left := 0
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		objects, err := golden.Documents(data)
		if err != nil {
			t.Fatal(err)
		}
		objects = slices.Concat(tenants, objects)
		for _, ambient := range []bool{false, true} {
			if ambient {
				objects = append(slices.Clone(objects), []byte(`{"apiVersion":"v1","kind":"Namespace","metadata":{"name":"amb","labels":{"istio.io/dataplane-mode":"ambient"}}}`))
			}
			paths := func(blocked bool) []string {
				batch, err := (&review.Judge{Rules: rules.All, Blocked: blocked}).ReviewAll(t.Context(), mesh.New(mesh.DefaultSettings()), objects)
				if err != nil {
					t.Fatalf("%s: %v", file, err)
				}
				var lines []string
				for _, p := range batch.Paths {
					if line := fmt.Sprintf("%s:%d from %s is %s", p.Host, p.Port, p.Client, p.Verdict); p.Verdict != mesh.Blocked {
						lines = append(lines, line)
					} else if left++; !blocked {
						t.Errorf("%s: %s is listed", file, line)
					}
				}
				return lines
			}
			if diff := cmp.Diff(paths(true), paths(false)); diff != "" {
				t.Errorf("%s, ambient %t (-on request +by default):\n%s", strings.TrimPrefix(file, observed), ambient, diff)
			}
		}
	}
	if left == 0 {
		t.Error("no path is blocked")
	}
}
