package e2e

import (
	"fmt"
	"strings"
	"testing"

	"github.com/sallyport-io/sallyport/internal/mesh"
)

// testEnforcement writes routes for a host that is served, in every version
// of the API.
func testEnforcement(t *testing.T, c *cluster) {
	const host = "api.example.com"
	c.kubectl(t, entry("shop", "api", host, "{number: 80, name: http, protocol: HTTP}"), "apply", "-f", "-")
	route := func(version, name, destination string) string {
		return fmt.Sprintf(`apiVersion: networking.istio.io/%s
kind: VirtualService
metadata: {namespace: shop, name: %s}
spec:
  hosts: [%s]
  http:
  - timeout: 5s
    route:
    - destination: {host: %s, port: {number: 80}}
`, version, name, host, destination)
	}
	for _, version := range []string{"v1", "v1beta1", "v1alpha3"} {
		out := c.denied(t, route(version, "straight", host), "apply", "-f", "-")
		for _, want := range []string{
			"VirtualService/shop/straight", "spec.http[0].route[0].destination", "fix:", `sallyport.io/rewrite: "true"`, "timeout: 5s", "decision ",
		} {
			if !strings.Contains(out, want) {
				t.Errorf("%s: the denial lacks %q:\n%s", version, want, out)
			}
		}
	}
	if out := c.kubectl(t, "", "get", "virtualservices", "-n", "shop", "-o", "name"); strings.Contains(out, "straight") {
		t.Errorf("a denied object is stored: %s", out)
	}
	eventually(t, "the gateway serves the host", func() error {
		if len(c.companions(t, host)) == 0 {
			return fmt.Errorf("no companions")
		}
		return nil
	})
	c.kubectl(t, route("v1", "compliant", "istio-egressgateway.istio-system.svc.cluster.local"), "apply", "-f", "-")

	// An update is judged like a create.
	out, err := c.try(t, "", "patch", "virtualservice", "compliant", "-n", "shop", "--type=json",
		"-p", `[{"op":"replace","path":"/spec/http/0/route/0/destination/host","value":"`+host+`"}]`)
	if err == nil || !strings.Contains(out, "spec.http[0].route[0].destination") {
		t.Errorf("the update: %v\n%s", err, out)
	}
}

func testPolicy(t *testing.T, c *cluster) {
	out := c.denied(t, entry("shop", "paste", "paste.example.org", tls443), "apply", "-f", "-")
	for _, want := range []string{`host "paste.example.org" is not allowed in namespace "shop"`, "[allowed-hosts]", "spec.hosts[0]"} {
		if !strings.Contains(out, want) {
			t.Errorf("the denial lacks %q:\n%s", want, out)
		}
	}
}

// testProtection has an administrator touch companions.
func testProtection(t *testing.T, c *cluster) {
	c.kubectl(t, entry("shop", "guarded", "guarded.example.com", tls443), "apply", "-f", "-")
	var companions []string
	eventually(t, "the companions appear", func() error {
		if companions = c.companions(t, "guarded.example.com"); len(companions) < 4 {
			return fmt.Errorf("only %q", companions)
		}
		return nil
	})
	for _, name := range companions {
		kind, rest, _ := strings.Cut(name, " ")
		namespace, name, _ := strings.Cut(rest, "/")
		resource := strings.ToLower(kind) + ".networking.istio.io"
		c.denied(t, "", "annotate", resource, name, "-n", namespace, "touched=yes")
		out := c.denied(t, "", "delete", resource, name, "-n", namespace)
		if !strings.Contains(out, "reserved-companion") || !strings.Contains(out, "ServiceEntry") {
			t.Errorf("the denial does not say whose it is:\n%s", out)
		}
	}
}

// testModes has the same direct entry in namespaces of each mode.
func testModes(t *testing.T, c *cluster) {
	for _, tt := range []struct {
		mode           string
		denied, warned bool
	}{
		{"enforce", true, false},
		{"warn", false, true},
		{"off", false, false},
		{"misspelt", true, false},
	} {
		ns := "mode-" + tt.mode
		c.kubectl(t, "", "create", "namespace", ns)
		c.kubectl(t, "", "label", "namespace", ns, mesh.ModeLabel+"="+tt.mode)
		eventually(t, "the server sees the label", func() error {
			out, err := c.try(t, entry(ns, "paste", "paste.example.org", tls443), "create", "--dry-run=server", "-f", "-")
			if (err != nil) != tt.denied {
				return fmt.Errorf("mode %s: %v\n%s", tt.mode, err, out)
			}
			if strings.Contains(out, "Warning: [allowed-hosts]") != tt.warned {
				return fmt.Errorf("mode %s: warned %v, want %v\n%s", tt.mode, !tt.warned, tt.warned, out)
			}
			return nil
		})
	}
}
