package doctor

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"

	"github.com/sallyport-io/sallyport/internal/config"
)

// FuzzRun: whatever an object says, every check comes to a result of its own.
func FuzzRun(f *testing.F) {
	data, err := os.ReadFile("testdata/healthy.yaml")
	if err != nil {
		f.Fatal(err)
	}
	for doc := range strings.SplitSeq(string(data), "---\n") {
		raw, err := yaml.YAMLToJSON([]byte(doc))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(raw)
	}
	cfg := config.Default()
	namespace, account := cfg.Account()
	f.Fuzz(func(t *testing.T, raw []byte) {
		facts := NewFacts(cfg.Settings(), namespace, account, now)
		if err := facts.Add(raw); err != nil {
			return
		}
		for _, o := range Run(All, facts) {
			for _, r := range o.Results {
				if strings.HasPrefix(r.Message, "the check ") {
					t.Errorf("%s: %s\n%s", o.Name, r.Message, r.Remedy)
				}
			}
		}
	})
}

// BenchmarkRun examines a cluster of 10,000 pods in 500 namespaces, with a host
// registered and routed in each.
func BenchmarkRun(b *testing.B) {
	cfg := config.Default()
	namespace, account := cfg.Account()
	f := NewFacts(cfg.Settings(), namespace, account, now)
	add := func(format string, args ...any) {
		if err := f.Add(fmt.Appendf(nil, format, args...)); err != nil {
			b.Fatal(err)
		}
	}
	for n := range 500 {
		add(`{"apiVersion":"v1","kind":"Namespace","metadata":{"name":"n%d","labels":{"istio-injection":"enabled"}}}`, n)
		add(`{"apiVersion":"networking.istio.io/v1","kind":"ServiceEntry","metadata":{"namespace":"n%d","name":"e"},
"spec":{"hosts":["h%[1]d.example.com"],"ports":[{"number":443,"name":"tls","protocol":"TLS"}],"resolution":"DNS","exportTo":["."]}}`, n)
		for p := range 20 {
			add(`{"apiVersion":"v1","kind":"Pod","metadata":{"namespace":"n%d","name":"p%d"},"spec":{"nodeName":"w","containers":[{"name":"app"},{"name":"istio-proxy"}]}}`, n, p)
		}
	}
	f.Mesh()
	for b.Loop() {
		Run(All, f)
	}
}
