package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sallyport-io/sallyport/internal/manifest"
	"github.com/sallyport-io/sallyport/internal/manifest/crdtest"
	"github.com/sallyport-io/sallyport/internal/mesh"
	"github.com/sallyport-io/sallyport/internal/report"
)

// sallyport runs the command line and returns what it prints.
func sallyport(t *testing.T, stdin string, args ...string) string {
	t.Helper()
	var stdout, stderr bytes.Buffer
	if code := run(t.Context(), append([]string{"sallyport"}, args...), strings.NewReader(stdin), &stdout, &stderr); code != exitOK {
		t.Fatalf("sallyport %s: status %d\n%s%s", strings.Join(args, " "), code, stdout.String(), stderr.String())
	}
	return stdout.String()
}

// acceptable checks that an API server takes every object of a plan.
func acceptable(t *testing.T, server *crdtest.Server, plan string) {
	t.Helper()
	objects, err := manifest.Reader{Stdin: strings.NewReader(plan)}.Read(t.Context(), "-")
	if err != nil {
		t.Fatal(err)
	}
	for _, o := range objects {
		if err := server.Refuses(o.APIVersion, o.Kind, o.Raw); err != nil {
			t.Errorf("an API server refuses %s %s/%s: %v", o.Kind, o.Namespace, o.Name, err)
		}
	}
}

// TestPlanStandsAlone: what a plan adds carries the traffic without Sallyport.
// Under names that are not Sallyport's own the objects are anybody's; judged
// with injection disabled, every port still goes via the gateway.
func TestPlanStandsAlone(t *testing.T) {
	const entry = `apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: partner, namespace: shop}
spec:
  hosts: [partner.example]
  ports: [%s]
  resolution: DNS
`
	server := crdtest.New(t)
	for name, ports := range map[string]string{
		"http and https": "{number: 80, name: http, protocol: HTTP}, {number: 443, name: https, protocol: HTTPS}",
		"tls originated": "{number: 80, name: http, protocol: HTTP}, {number: 443, name: origination, protocol: HTTP}",
		"tls":            "{number: 443, name: tls, protocol: TLS}",
		"tcp":            "{number: 5432, name: tcp, protocol: TCP}",
	} {
		for _, mutual := range []bool{true, false} {
			if name == "tcp" && !mutual {
				continue // nothing tells plain TCP hosts apart at a shared gateway
			}
			t.Run(fmt.Sprintf("%s, mutual TLS %t", name, mutual), func(t *testing.T) {
				cfg := filepath.Join(t.TempDir(), "config.yaml")
				if err := os.WriteFile(cfg, fmt.Appendf(nil, `apiVersion: sallyport.io/v1alpha1
kind: Config
gateways:
- name: egress
  service: istio-system/istio-egressgateway
  selector: {istio: egressgateway}
  mutualTLS: %t
`, mutual), 0o644); err != nil {
					t.Fatal(err)
				}
				plan := sallyport(t, fmt.Sprintf(entry, ports), "plan", "--config", cfg, "-")
				acceptable(t, server, plan)
				byHand := strings.ReplaceAll(plan, "sallyport-", "by-hand-")
				var r report.Review
				out := sallyport(t, byHand, "review", "--config", cfg, "--injection=disabled", "-o", "json", "-")
				if err := json.Unmarshal([]byte(out), &r); err != nil {
					t.Fatal(err)
				}
				if len(r.Companions) != 0 {
					t.Errorf("%d companions with injection disabled", len(r.Companions))
				}
				via := 0
				for _, p := range r.Paths {
					switch {
					case p.Client == "shop" && p.Verdict == mesh.Via:
						via++
					case p.Client == "*" && p.Verdict == mesh.Blocked:
					default:
						t.Errorf("%s:%d from %s is %s: %v", p.Host, p.Port, p.Client, p.Verdict, p.Because)
					}
				}
				if want := strings.Count(ports, "number"); via != want {
					t.Errorf("%d ports via the gateway, want %d", via, want)
				}
			})
		}
	}
}

// TestDeterminism: the same input gives the same output, byte for byte.
func TestDeterminism(t *testing.T) {
	var in strings.Builder
	for i := range 20 {
		fmt.Fprintf(&in, `---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: e%d, namespace: ns%d, labels: {b: b, a: a, c: c}}
spec:
  hosts: [h%d.example, g%d.example]
  ports: [{number: 80, name: http, protocol: HTTP}, {number: 443, name: tls, protocol: TLS}]
  resolution: DNS
`, i, i%3, i, i%7)
	}
	for _, args := range [][]string{{"plan", "-"}, {"review", "-o", "json", "-"}, {"review", "-"}} {
		first := sallyport(t, in.String(), args...)
		for range 3 {
			if again := sallyport(t, in.String(), args...); again != first {
				t.Errorf("sallyport %s: two runs differ", strings.Join(args, " "))
				break
			}
		}
	}
}
