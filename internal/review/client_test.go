package review_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/sallyport-io/sallyport/internal/mesh"
	"github.com/sallyport-io/sallyport/internal/review"
	"github.com/sallyport-io/sallyport/rules"
)

// TestAClientAnswersForItself judges a hundred good entries of ten namespaces beside
// one client that lets traffic out by itself, for every way to do that: the entries
// stay clean, and the client's object is told once, with a fix that names it.
func TestAClientAnswersForItself(t *testing.T) {
	tests := []struct {
		name, object string
		said         string // of the object, "" for none
		fix          []string
		mesh         func(*mesh.Settings)
	}{
		{
			name:   "a Sidecar that allows any host",
			object: `{"apiVersion":"networking.istio.io/v1","kind":"Sidecar","metadata":{"name":"open","namespace":"team"},"spec":{"outboundTrafficPolicy":{"mode":"ALLOW_ANY"}}}`,
			said:   "sidecar-outbound",
			fix:    []string{"namespace: team\n", "name: open\n", "mode: REGISTRY_ONLY"},
		},
		{
			name:   "a Sidecar that sends all to a proxy",
			object: `{"apiVersion":"networking.istio.io/v1","kind":"Sidecar","metadata":{"name":"open","namespace":"team"},"spec":{"outboundTrafficPolicy":{"egressProxy":{"host":"proxy.team.svc.cluster.local","port":{"number":80}}}}}`,
			said:   "sidecar-outbound",
			fix:    []string{"namespace: team\n", "name: open\n", "mode: REGISTRY_ONLY"},
		},
		{
			name:   "a Sidecar that imports nothing and allows any host",
			object: `{"apiVersion":"networking.istio.io/v1","kind":"Sidecar","metadata":{"name":"narrow","namespace":"team"},"spec":{"egress":[{"hosts":["./*"]}],"outboundTrafficPolicy":{"mode":"ALLOW_ANY"}}}`,
			said:   "sidecar-outbound",
			fix:    []string{"namespace: team\n", "name: narrow\n", "mode: REGISTRY_ONLY", "egress:"},
		},
		{
			name:   "a Sidecar for the whole mesh",
			object: `{"apiVersion":"networking.istio.io/v1","kind":"Sidecar","metadata":{"name":"default","namespace":"istio-system"},"spec":{"outboundTrafficPolicy":{"mode":"ALLOW_ANY"}}}`,
			said:   "sidecar-outbound",
			fix:    []string{"namespace: istio-system\n", "name: default\n", "mode: REGISTRY_ONLY"},
		},
		{
			name:   "a namespace in ambient mode",
			object: `{"apiVersion":"v1","kind":"Namespace","metadata":{"name":"team","labels":{"istio.io/dataplane-mode":"ambient"}}}`,
			said:   "direct-path",
			fix:    []string{"kubectl label namespace team "},
		},
		{
			name:   "a mesh that allows any host",
			object: `{"apiVersion":"v1","kind":"Namespace","metadata":{"name":"team","labels":{"istio-injection":"enabled"}}}`,
			mesh:   func(s *mesh.Settings) { s.AllowAny = true },
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := mesh.DefaultSettings()
			s.Injection = mesh.InjectAll
			if tt.mesh != nil {
				tt.mesh(&s)
			}
			objects := [][]byte{[]byte(tt.object)}
			for i := range 10 {
				objects = append(objects, fmt.Appendf(nil, `{"apiVersion":"v1","kind":"Namespace","metadata":{"name":"team%d","labels":{"istio-injection":"enabled"}}}`, i))
				for j := range 10 {
					objects = append(objects, fmt.Appendf(nil, `{"apiVersion":"networking.istio.io/v1","kind":"ServiceEntry","metadata":{"name":"e%d","namespace":"team%d"},
						"spec":{"hosts":["h%d.team%d.example.com"],"resolution":"DNS","location":"MESH_EXTERNAL","ports":[{"number":443,"name":"tls","protocol":"TLS"}]}}`, j, i, j, i))
				}
			}
			judge := &review.Judge{Rules: rules.All}
			batch, err := judge.ReviewAll(t.Context(), mesh.New(s), objects)
			if err != nil {
				t.Fatal(err)
			}
			for _, o := range batch.Outcomes[1:] {
				for _, f := range o.Findings {
					if f.Severity == rules.Deny || f.Severity == rules.Warn {
						t.Errorf("%s is charged: %s", o.Ref, f.Message)
					}
				}
			}
			var said []rules.Finding
			for _, f := range batch.Outcomes[0].Findings {
				if f.Severity == rules.Deny || f.Severity == rules.Warn {
					said = append(said, f)
				}
			}
			if tt.said == "" {
				if len(said) > 0 {
					t.Errorf("%+v", said)
				}
				return
			}
			if len(said) != 1 || said[0].Rule != tt.said {
				t.Fatalf("want one finding of %s: %+v", tt.said, said)
			}
			for _, part := range tt.fix {
				if !strings.Contains(said[0].Fix, part) {
					t.Errorf("the fix lacks %q:\n%s", part, said[0].Fix)
				}
			}
			// And with the client there, an entry of somebody else is admitted.
			objects[0], objects[len(objects)-1] = objects[len(objects)-1], objects[0]
			state := mesh.New(s)
			for _, raw := range objects[1:] {
				o, err := mesh.Decode(raw)
				if err != nil {
					t.Fatal(err)
				}
				state = state.With(o)
			}
			held := strings.NewReplacer(`"location"`, `"exportTo":["~"],"location"`, `"metadata":{`, `"metadata":{"annotations":{"sallyport.io/export-to":"."},`).Replace(string(objects[0]))
			out, err := judge.Review(t.Context(), state, review.Write{Request: rules.Request{Operation: "CREATE"}, Object: []byte(held)})
			if err != nil || out.Denied() {
				t.Errorf("error %v, findings %+v", err, out.Findings)
			}
		})
	}
}
