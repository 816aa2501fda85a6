package rules_test

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"testing"

	"istio.io/api/annotation"
	"istio.io/api/label"

	"github.com/sallyport-io/sallyport/internal/config"
	"github.com/sallyport-io/sallyport/internal/mesh"
	"github.com/sallyport-io/sallyport/internal/review"
	"github.com/sallyport-io/sallyport/rules"
)

// TestIstioKeys walks what Istio's API lists: each annotation and label is
// judged by a rule, or harmless for a reason.
func TestIstioKeys(t *testing.T) {
	for _, name := range slices.Concat(apiKeys(t), slices.Collect(maps.Keys(rules.IstioKeys))) {
		k, ok := rules.IstioKeys[name]
		if !ok {
			t.Errorf("Istio's %s is judged by no rule, and nothing says that it is harmless", name)
			continue
		}
		if (len(k.Rules) == 0) == (k.Harmless == "") {
			t.Errorf("%s: judged by %v, harmless for the reason %q: one of the two", name, k.Rules, k.Harmless)
		}
		for _, r := range k.Rules {
			if !slices.ContainsFunc(rules.All, func(rule *rules.Rule) bool { return rule.Name == r }) {
				t.Errorf("%s is said to be judged by rule %s, which there is not", name, r)
			}
		}
	}
}

// TestIstioKeysOnPods writes each key that Istio reads on pods, with a value
// that would write YAML of its own into the sidecar, on pods and templates of
// every kind: all of it is denied, and so is a key that nobody knows.
func TestIstioKeysOnPods(t *testing.T) {
	names := []string{"sidecar.istio.io/of-tomorrow", "traffic.sidecar.istio.io/of-tomorrow", "proxy.istio.io/of-tomorrow", "inject.istio.io/of-tomorrow", "ambient.istio.io/of-tomorrow"}
	for _, a := range annotation.AllResourceAnnotations() {
		if slices.Contains(a.Resources, annotation.Pod) {
			names = append(names, a.Name)
		}
	}
	for _, l := range label.AllResourceLabels() {
		if slices.Contains(l.Resources, label.Pod) {
			names = append(names, l.Name)
		}
	}
	names = append(names, "prometheus.io/path", "prometheus.io/port", "prometheus.istio.io/scrape-targets", "apm.datadoghq.com/env", "resource.opentelemetry.io/service.name")
	world := meshOfShop(t)
	for _, name := range names {
		if slices.Contains([]string{"galley.istio.io/analyze-suppress"}, name) {
			continue
		}
		for kind, object := range podKinds(map[string]string{name: "no\"\n  - name: evil\n    image: {{evil}}"}, nil) {
			found := false
			for _, f := range judge(t, world, object) {
				found = found || strings.Contains(f.Path, name) && (f.Severity == rules.Deny || name == "sidecar.istio.io/inject")
			}
			if !found {
				t.Errorf("%s on a %s is let through with a value that writes YAML", name, kind)
			}
		}
	}
}

// TestPrometheusTargetsStayOnThePod: the agent, whose traffic is not captured,
// fetches what these say.
func TestPrometheusTargetsStayOnThePod(t *testing.T) {
	world := meshOfShop(t)
	for name, values := range map[string][2][]string{
		"prometheus.io/path": {{"@evil.example/x", "evil", `\evil`, "/x @y"}, {"", "/", "/metrics", "/metrics?name=a", "/actuator/prometheus"}},
		"prometheus_io_path": {{"@evil.example/x"}, {"/metrics"}},
		"prometheus.io/port": {{"80@evil.example:80", "80/x"}, {"", "8080"}},
		"prometheus.istio.io/scrape-targets": {
			{`[{"port":"80","path":"@evil.example/"}]`, `[{"port":"80","Path":"@evil.example/"}]`, "no JSON"},
			{`[{"port":"8080","path":"/metrics"}]`},
		},
	} {
		for i, all := range values {
			for _, v := range all {
				for kind, object := range podKinds(map[string]string{name: v}, nil) {
					denied := slices.ContainsFunc(judge(t, world, object), func(f rules.Finding) bool { return f.Severity == rules.Deny })
					if want := i == 0; denied != want {
						t.Errorf("%s: %q on a %s: denied %t, want %t", name, v, kind, denied, want)
					}
				}
			}
		}
	}
}

func apiKeys(t *testing.T) []string {
	var all []string
	for _, a := range annotation.AllResourceAnnotations() {
		all = append(all, a.Name)
	}
	for _, l := range label.AllResourceLabels() {
		all = append(all, l.Name)
	}
	if len(all) < 80 {
		t.Fatalf("Istio's API lists only %d annotations and labels", len(all))
	}
	return all
}

func meshOfShop(t *testing.T) *mesh.Mesh {
	ns, err := mesh.Decode([]byte(`{"apiVersion":"v1","kind":"Namespace","metadata":{"name":"shop","labels":{"istio-injection":"enabled"}}}`))
	if err != nil {
		t.Fatal(err)
	}
	return mesh.New(config.Default().Settings(), ns)
}

// podKinds are a pod, and templates of every kind, with these annotations and
// this spec.
func podKinds(annotations map[string]string, spec map[string]any) map[string][]byte {
	if spec == nil {
		spec = map[string]any{"containers": []any{map[string]any{"name": "c", "image": "x"}}}
	}
	meta := map[string]any{"annotations": annotations}
	template := map[string]any{"metadata": meta, "spec": spec}
	all := map[string][]byte{}
	for kind, version := range map[string]string{
		"Pod": "v1", "ReplicationController": "v1", "Deployment": "apps/v1", "StatefulSet": "apps/v1", "DaemonSet": "apps/v1",
		"ReplicaSet": "apps/v1", "Job": "batch/v1", "CronJob": "batch/v1",
	} {
		o := map[string]any{"apiVersion": version, "kind": kind, "metadata": map[string]any{"name": "x", "namespace": "shop"}}
		switch kind {
		case "Pod":
			o["metadata"].(map[string]any)["annotations"] = annotations
			o["spec"] = spec
		case "CronJob":
			o["spec"] = map[string]any{"jobTemplate": map[string]any{"spec": map[string]any{"template": template}}}
		default:
			o["spec"] = map[string]any{"template": template}
		}
		raw, err := json.Marshal(o)
		if err != nil {
			panic(err)
		}
		all[kind] = raw
	}
	return all
}

func judge(t *testing.T, world *mesh.Mesh, object []byte) []rules.Finding {
	t.Helper()
	out, err := (&review.Judge{Rules: rules.All}).Review(t.Context(), world, review.Write{Request: rules.Request{Operation: "CREATE"}, Object: object})
	if err != nil {
		t.Fatalf("%s: %v", object, err)
	}
	return out.Findings
}
