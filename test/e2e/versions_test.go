package e2e

import (
	"fmt"
	"strings"
	"testing"
)

// testVersions changes which release of the Gateway API a definition is of, and
// which versions of istiod run: verdicts follow, without a change of Sallyport's
// configuration, and what is only tried changes nothing.
func testVersions(t *testing.T, c *cluster) {
	const unread = "[gateway-api-version] apiVersion: Istio does not read it"
	judged := func(kind string) string {
		return c.kubectl(t, fmt.Sprintf(`apiVersion: gateway.networking.k8s.io/v1
kind: %s
metadata: {namespace: shop, name: versions}
spec:
  parentRefs: [{group: networking.istio.io, kind: ServiceEntry, name: none}]
  hostnames: [versions.example.com]
  rules: [{backendRefs: [{name: none, port: 443}]}]
`, kind), "create", "--dry-run=server", "--validate=ignore", "-f", "-")
	}
	follows := func(what, kind string, read bool) {
		t.Helper()
		eventually(t, what, func() error {
			if out := judged(kind); strings.Contains(out, unread) == read {
				return fmt.Errorf("a %s is answered with:\n%s", kind, out)
			}
			return nil
		})
	}
	release := func(kind, version string, flags ...string) {
		t.Helper()
		c.kubectl(t, "", append([]string{"annotate", "--overwrite", "crd", strings.ToLower(kind) + "s.gateway.networking.k8s.io", "gateway.networking.k8s.io/bundle-version=" + version}, flags...)...)
	}
	follows("a recent definition", "TLSRoute", true)
	release("TLSRoute", "v1.4.1", "--dry-run=server")
	if out := judged("TLSRoute"); strings.Contains(out, unread) {
		t.Errorf("a change that was only tried counts:\n%s", out)
	}
	release("TLSRoute", "v1.4.1")
	follows("an old definition", "TLSRoute", false)
	release("TLSRoute", "v1.6.0")
	follows("a definition that is recent again", "TLSRoute", true)

	release("TCPRoute", "v1.4.1")
	follows("what the newest Istio asks of the definition", "TCPRoute", false)
	eventually(t, "istiod's namespace has a service account", func() error {
		_, err := c.try(t, "", "get", "serviceaccount", "default", "-n", "istio-system")
		return err
	})
	istiod := func(name, version string) {
		t.Helper()
		c.kubectl(t, fmt.Sprintf(`apiVersion: v1
kind: Pod
metadata: {namespace: istio-system, name: %s, labels: {app: istiod}}
spec: {containers: [{name: discovery, image: "istio/pilot:%s"}]}
`, name, version), "create", "-f", "-")
	}
	note := func(n int) {
		t.Helper()
		want := fmt.Sprintf("\nsallyport_mesh_config_notes{note=\"different\"} %d\n", n)
		eventually(t, fmt.Sprintf("%d versions differ", n), func() error {
			if !strings.Contains(c.metrics(t), want) {
				return fmt.Errorf("the metrics lack %s", want)
			}
			return nil
		})
	}
	istiod("istiod-old", "1.30.4")
	follows("an Istio that takes any release", "TCPRoute", true)
	istiod("istiod-new", "1.31.2")
	follows("two of which one takes any release", "TCPRoute", false)
	note(1)
	c.kubectl(t, "", "delete", "pod", "istiod-old", "istiod-new", "-n", "istio-system", "--force", "--grace-period=0")
	note(0)
	release("TCPRoute", "v1.6.0")
	follows("what it was", "TCPRoute", true)
}
