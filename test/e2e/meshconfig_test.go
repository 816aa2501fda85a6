package e2e

import (
	"fmt"
	"strings"
	"testing"
)

// testMeshConfig brings Istio's mesh configuration into a cluster that had none,
// changes it, and adds that of another revision.
func testMeshConfig(t *testing.T, c *cluster) {
	config := func(name, key, text string) string {
		return fmt.Sprintf("apiVersion: v1\nkind: ConfigMap\nmetadata: {namespace: istio-system, name: %s}\ndata:\n  %s: |\n    %s\n", name, key, text)
	}
	note := func(kind string, n int) {
		t.Helper()
		want := fmt.Sprintf("\nsallyport_mesh_config_notes{note=%q} %d\n", kind, n)
		eventually(t, fmt.Sprintf("%d notes: %s", n, kind), func() error {
			if !strings.Contains(c.metrics(t), want) {
				return fmt.Errorf("the metrics lack %s", want)
			}
			return nil
		})
	}
	const closed = "outboundTrafficPolicy: {mode: REGISTRY_ONLY}"
	note("absent", 1)
	c.kubectl(t, config("istio", "mesh", closed), "create", "-f", "-")
	note("absent", 0)

	for _, tt := range []struct{ name, config, want string }{
		{"an open one", config("istio", "mesh", "outboundTrafficPolicy: {mode: ALLOW_ANY}"), "outboundTrafficPolicy.mode ALLOW_ANY"},
		{"one that says nothing, which is open", config("istio", "mesh", "trustDomain: cluster.local"), "outboundTrafficPolicy.mode ALLOW_ANY"},
		{"one that istiod does not take", config("istio", "mesh", "outboundTrafficPolicy: {mode: SOME}"), "istiod does not take it"},
		{"one without its key", config("istio", "other", closed), "mesh configuration"},
	} {
		if out := c.denied(t, tt.config, "replace", "-f", "-"); !strings.Contains(out, tt.want) {
			t.Errorf("%s: the denial lacks %q:\n%s", tt.name, tt.want, out)
		}
	}
	c.denied(t, "", "delete", "configmap", "istio", "-n", "istio-system")

	out := c.kubectl(t, config("istio-canary", "mesh", "outboundTrafficPolicy: {mode: ALLOW_ANY}"), "create", "-f", "-")
	if !strings.Contains(out, "Warning: ") || !strings.Contains(out, "ALLOW_ANY") {
		t.Errorf("the mesh configuration of another revision, an open one, passes without a word:\n%s", out)
	}
	note("different", 1)
	c.kubectl(t, "", "delete", "configmap", "istio-canary", "-n", "istio-system")
	note("different", 0)

	for _, tt := range []struct {
		name, object string
		asked        bool
	}{
		{"of the injector", config("istio-sidecar-injector", "values", "global: {}"), true},
		{"of istiod, for something else", config("istio-leader", "lease", "a: b"), false},
		{"of somebody else", config("other", "mesh", closed), false},
		{"in another namespace", strings.Replace(config("istio", "mesh", closed), "istio-system", "shop", 1), false},
	} {
		before := c.answers(t)
		c.kubectl(t, tt.object, "create", "--dry-run=server", "-f", "-")
		if asked := c.answers(t) > before; asked != tt.asked {
			t.Errorf("a ConfigMap %s: asked %v, want %v", tt.name, asked, tt.asked)
		}
	}
}
