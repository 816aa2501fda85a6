package istio_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sallyport-io/sallyport/hack/controlplane"
	"github.com/sallyport-io/sallyport/hack/controlplane/controlplanetest"
	"github.com/sallyport-io/sallyport/hack/server"
	"github.com/sallyport-io/sallyport/test/istio/oracle"
)

// TestPilotDiscovery is the whole chain for real: people apply ServiceEntries,
// Sallyport's server admits them and writes companions through the API server,
// Istio's control plane, as a process of its own, reads them there, and a client's
// sidecar and the egress gateway ask it over ADS. Every host leaves by the
// gateway, by its own cluster and with the right TLS, and nothing is direct.
func TestPilotDiscovery(t *testing.T) {
	ctx := t.Context()
	cp := controlplanetest.Start(t, controlplane.Options{
		ControllerManager: true,
		CRDs:              []controlplane.CRDs{controlplane.IstioCRDs, controlplane.GatewayAPICRDs, controlplane.CertManagerCRDs},
	})
	apply(t, cp, platform)
	apply(t, cp, oracle.Base())
	// There is no kubelet to report that the gateway's pod runs.
	apply(t, cp, oracle.Base(), "--subresource=status", "--server-side", "--selector=istio=egressgateway", "--prune=false")
	address := startPilot(t, cp)
	sallyport, err := server.Start(ctx, cp, server.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("the end of the server's log:\n%s", sallyport.Process().LogTail(20))
		}
		if err := sallyport.Stop(); err != nil {
			t.Error(err)
		}
	})

	entries := strings.Join([]string{
		written("shop", "api.partner.com", "{number: 80, name: http, protocol: HTTP}"),
		written("shop", "tls.partner.com", "{number: 443, name: tls, protocol: TLS}"),
		written("shop", "db.partner.com", "{number: 5432, name: tcp, protocol: TCP}") + "  addresses: [198.51.100.7]\n",
		written("shop", "b2b.partner.com", "{number: 80, name: http, protocol: HTTP, targetPort: 443}"),
		written("billing", "api.partner.com", "{number: 80, name: http, protocol: HTTP}", "{number: 443, name: https, protocol: HTTPS}"),
	}, "---\n")
	want := map[string]string{
		"shop api.partner.com:80":     plaintext,
		"shop tls.partner.com:443":    plaintext,
		"shop db.partner.com:5432":    plaintext,
		"shop b2b.partner.com:80":     originated,
		"billing api.partner.com:80":  plaintext,
		"billing api.partner.com:443": plaintext,
	}
	apply(t, cp, entries)
	waitOpen(t, cp, 5)

	// The control plane gathers changes for a moment before it acts on them.
	var world *oracle.World
	poll(t, func() string {
		clients := []oracle.Client{{Namespace: "shop"}, {Namespace: "billing"}, {Namespace: "default"}, {Namespace: oracle.Nobody}}
		if world, err = oracle.Discover(ctx, address, entries, clients...); err != nil {
			t.Fatal(err)
		}
		return cmp.Diff(want, ways(world))
	})
	checkWhole(t, world)
}

// platform is what the platform team has installed, beside the gateway itself.
const platform = `apiVersion: v1
kind: Namespace
metadata: {name: istio-system}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: istio, namespace: istio-system}
data:
  mesh: |
    rootNamespace: istio-system
    outboundTrafficPolicy: {mode: REGISTRY_ONLY}
---
apiVersion: v1
kind: Namespace
metadata: {name: shop, labels: {istio-injection: enabled}}
---
apiVersion: v1
kind: Namespace
metadata: {name: billing, labels: {istio-injection: enabled}}
`

// written is a ServiceEntry as people write it.
func written(ns, host string, ports ...string) string {
	return strings.Replace(entry(ns, host, ports...), "  exportTo: [\".\"]\n", "", 1)
}

// startPilot runs pilot-discovery, built from the module that this one requires,
// until the test ends. It returns the address of its plain-text ADS.
func startPilot(t *testing.T, cp *controlplane.ControlPlane) string {
	t.Helper()
	started := time.Now()
	// "go tool" builds the program where the build cache lacks it.
	out, err := exec.CommandContext(t.Context(), "go", "tool", "-n", "pilot-discovery").Output()
	if err != nil {
		if exit, ok := errors.AsType[*exec.ExitError](err); ok {
			err = fmt.Errorf("%w\n%s", err, exit.Stderr)
		}
		t.Fatalf("build pilot-discovery: %v", err)
	}
	t.Logf("pilot-discovery is there after %v", time.Since(started).Round(time.Millisecond))
	var ports [3]int
	for i := range ports {
		if ports[i], err = controlplane.FreePort(); err != nil {
			t.Fatal(err)
		}
	}
	local := func(i int) string { return fmt.Sprintf("127.0.0.1:%d", ports[i]) }
	dir := filepath.Join(cp.Dir, "pilot")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	pilot, err := cp.Run(t.Context(), controlplane.Command{
		Path: strings.TrimSpace(string(out)),
		Dir:  dir,
		Args: []string{
			"discovery",
			"--kubeconfig=" + cp.Kubeconfig,
			"--namespace=istio-system",
			"--grpcAddr=" + local(0),
			"--httpAddr=" + local(1),
			"--monitoringAddr=" + local(2),
			"--secureGRPCAddr=", // no certificates: proxies ask in plain text
			"--httpsAddr=",      // no webhooks
			"--ctrlz_port=0",
			"--keepaliveMaxServerConnectionAge=30m",
		},
		Env: append(os.Environ(),
			"POD_NAME=istiod", "POD_NAMESPACE=istio-system", "REVISION=default", "CLUSTER_ID=Kubernetes",
			"ENABLE_CA_SERVER=false", "PILOT_CERT_PROVIDER=none", "XDS_AUTH=false",
			"VALIDATION_WEBHOOK_CONFIG_NAME=", "INJECTION_WEBHOOK_CONFIG_NAME=",
		),
		Ready: func(ctx context.Context) error { return get(ctx, "http://"+local(1)+"/ready") },
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("the end of pilot-discovery's log:\n%s", pilot.LogTail(20))
		}
		if err := pilot.Stop(5 * time.Second); err != nil {
			t.Error(err)
		}
	})
	return local(0)
}

func get(ctx context.Context, url string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("GET %s: %s", url, resp.Status)
	}
	return nil
}

func apply(t *testing.T, cp *controlplane.ControlPlane, manifests string, args ...string) {
	t.Helper()
	cmd := cp.Kubectl(t.Context(), append([]string{"apply", "-f", "-"}, args...)...)
	cmd.Stdin = strings.NewReader(manifests)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("kubectl apply: %v\n%s", err, out)
	}
}

// waitOpen waits until Sallyport has opened n entries of tenants.
func waitOpen(t *testing.T, cp *controlplane.ControlPlane, n int) {
	t.Helper()
	poll(t, func() string {
		out, err := cp.Kubectl(t.Context(), "get", "serviceentries", "-A", "-o", "json").Output()
		if err != nil {
			return err.Error()
		}
		var list struct {
			Items []struct {
				Metadata struct{ Namespace, Name string }
				Spec     struct{ ExportTo []string }
			}
		}
		if err := json.Unmarshal(out, &list); err != nil {
			return err.Error()
		}
		open, closed := 0, ""
		for _, e := range list.Items {
			switch {
			case e.Metadata.Namespace == oracle.RootNamespace:
			case cmp.Equal(e.Spec.ExportTo, []string{"."}):
				open++
			default:
				closed += fmt.Sprintf("%s/%s is exported to %v\n", e.Metadata.Namespace, e.Metadata.Name, e.Spec.ExportTo)
			}
		}
		if open == n && closed == "" {
			return ""
		}
		return fmt.Sprintf("%d entries are open, want %d\n%s", open, n, closed)
	})
}

// poll asks until the answer is empty.
func poll(t *testing.T, ask func() string) {
	t.Helper()
	deadline := time.Now().Add(time.Minute)
	for {
		answer := ask()
		if answer == "" {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal(answer)
		}
		time.Sleep(200 * time.Millisecond)
	}
}
