package e2e

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// testDump dumps the cluster with Istio's kinds and the Gateway API's, and has the
// command line judge by the dump what the server then judges: the same rules deny
// the same writes. What each depends on stands in the cluster alone.
func testDump(t *testing.T, c *cluster) {
	const namespace = "shop"
	c.kubectl(t, entry(namespace, "dumped", "dumped.example.com", tls443), "apply", "-f", "-")
	c.opens(t, namespace, "dumped")
	c.kubectl(t, `apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: dumped-istio, namespace: shop}
spec: {selector: {app: front}, servers: [{port: {number: 80, name: http, protocol: HTTP}, hosts: [shop.example.com]}]}
---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: dumped-api, namespace: shop}
spec: {gatewayClassName: front, listeners: [{name: http, port: 80, protocol: HTTP}]}
---
apiVersion: networking.istio.io/v1
kind: Sidecar
metadata: {name: dumped, namespace: shop}
spec: {workloadSelector: {labels: {app: dumped}}, egress: [{hosts: ["./*"]}]}
---
apiVersion: v1
kind: Secret
metadata: {name: dumped, namespace: shop}
stringData: {password: correct-horse}
`, "apply", "-f", "-")

	dump := filepath.Join(t.TempDir(), "cluster.yaml")
	if out := c.sallyport(t, "dump", "--config", "testdata/config.yaml", "--file", dump); !strings.Contains(out, "does not serve ") || !strings.Contains(out, "CiliumNetworkPolicy.cilium.io") {
		t.Errorf("what is not served is not said:\n%s", out)
	}
	text, err := os.ReadFile(dump)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"name: dumped-istio\n", "name: dumped-api\n", "kind: Sidecar\n", "kind: Namespace\n", "kind: MutatingWebhookConfiguration\n"} {
		if !strings.Contains(string(text), want) {
			t.Errorf("the dump lacks %q", want)
		}
	}
	if strings.Contains(string(text), "correct-horse") || strings.Contains(string(text), "kind: Secret\n") {
		t.Error("the dump holds a Secret")
	}

	denials := 0
	for _, change := range []string{
		entry(namespace, "dumped-too", "other.example.com", tls443),
		entry("default", "dumped-elsewhere", "dumped.example.com", tls443),
		`apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: around, namespace: shop}
spec: {hosts: [around.shop.svc.cluster.local], http: [{route: [{destination: {host: dumped.example.com, port: {number: 443}}}]}]}
`,
		`apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: beside, namespace: shop}
spec: {host: dumped.example.com, trafficPolicy: {tls: {mode: SIMPLE}}}
`,
		`apiVersion: networking.istio.io/v1alpha3
kind: EnvoyFilter
metadata: {name: patch, namespace: shop}
spec: {configPatches: [{applyTo: CLUSTER, match: {context: SIDECAR_OUTBOUND}, patch: {operation: REMOVE}}]}
`,
	} {
		file := filepath.Join(t.TempDir(), "change.yaml")
		if err := os.WriteFile(file, []byte(change), 0o600); err != nil {
			t.Fatal(err)
		}
		answer, err := c.try(t, change, "apply", "--dry-run=server", "-f", "-")
		server := []string{}
		if err != nil {
			if server = rulesIn(answer); len(server) == 0 {
				t.Errorf("a denial without a rule:\n%s", answer)
			}
			denials++
		}
		for _, state := range [][]string{{"--state", dump}, {"--cluster", "--kubeconfig", c.cp.Kubeconfig}} {
			args := append([]string{"run", "../../cmd/sallyport", "review", "--config", "testdata/config.yaml", file}, state...)
			out, err := exec.CommandContext(t.Context(), "go", args...).Output()
			got := []string{}
			if exit, ok := errors.AsType[*exec.ExitError](err); ok && exit.ExitCode() == 1 {
				got = rulesIn(string(out))
			} else if err != nil {
				t.Fatalf("%v: %v\n%s", args, err, out)
			}
			for _, rule := range server {
				if !slices.Contains(got, rule) {
					t.Errorf("the server denies by %s, the review with %v does not:\n%s\n%s", rule, state, answer, out)
				}
			}
			if len(server) == 0 && len(got) > 0 {
				t.Errorf("the server admits, the review with %v denies by %v:\n%s", state, got, out)
			}
		}
	}
	if denials < 2 {
		t.Errorf("the server denies %d of the changes: they show nothing", denials)
	}
}

var ruleName = regexp.MustCompile(`(?m)\[([a-z0-9-]+)\]$|deny .*\(line \d+, ([a-z0-9-]+)\)$`)

// rulesIn are the rules that a denial or a review names.
func rulesIn(text string) []string {
	var names []string
	for _, m := range ruleName.FindAllStringSubmatch(text, -1) {
		names = append(names, m[1]+m[2])
	}
	return names
}
