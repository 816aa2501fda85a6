package e2e

import (
	"bytes"
	"fmt"
	"os/exec"
	"strings"
	"testing"

	"github.com/sallyport-io/sallyport/hack/controlplane"
)

// TestInstallBlocksNobody follows the documented steps of an installation whose
// server never comes to run, and of its end: at none of them is anything refused
// that has nothing to do with Sallyport, but while the webhooks are registered
// and nobody answers.
func TestInstallBlocksNobody(t *testing.T) {
	c := startControlPlane(t, controlplane.Options{CRDs: []controlplane.CRDs{controlplane.IstioCRDs, controlplane.CertManagerCRDs}})
	c.kubectl(t, "", "create", "namespace", "istio-system")
	c.kubectl(t, "", "create", "namespace", "shop")
	c.kubectl(t, "", "create", "serviceaccount", "default", "-n", "shop")
	writes := 0
	works := func(step string) error {
		writes++
		name := fmt.Sprintf("w%d", writes)
		for _, args := range [][]string{
			{"create", "namespace", name},
			{"create", "deployment", name, "--image", "app", "-n", "shop"},
			{"run", name, "--image", "app", "-n", "shop"},
			{"label", "namespace", "shop", "step=" + name, "--overwrite"},
		} {
			if out, err := c.try(t, "", args...); err != nil {
				return fmt.Errorf("%s: %v: %w\n%s", step, args, err, out)
			}
		}
		return nil
	}
	must := func(step string) {
		t.Helper()
		if err := works(step); err != nil {
			t.Error(err)
		}
	}
	const server, webhooks = "../../manifests", "../../manifests/webhooks.yaml"
	must("before")
	c.kubectl(t, "", "apply", "-k", server)
	must("the server is applied and does not run")
	c.kubectl(t, "", "apply", "-k", server)
	must("and applied again")
	c.kubectl(t, "", "apply", "-f", webhooks)
	eventually(t, "the webhooks fail closed: otherwise the test tests nothing", func() error {
		if works("registered") == nil {
			return fmt.Errorf("everything is admitted")
		}
		return nil
	})
	// Nothing but the step that is meant for it opens the gate again.
	c.kubectl(t, "", "apply", "-k", server)
	if works("the server is applied once more") == nil {
		t.Error("applying the server's manifests has taken the webhooks away")
	}
	c.kubectl(t, "", "delete", "-f", webhooks)
	eventually(t, "the API server forgets the webhooks", func() error { return works("the webhooks are gone") })

	// The command does it by itself, and gives back what Sallyport has held.
	const held = `apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {namespace: shop, name: held, annotations: {sallyport.io/export-to: ".", sallyport.io/status: "held: no", owner: me}}
spec:
  hosts: [held.example.com]
  ports: [{number: 443, name: tls, protocol: TLS}]
  resolution: DNS
  exportTo: ["~"]
`
	c.kubectl(t, held, "apply", "-f", "-")
	c.kubectl(t, "", "apply", "-f", webhooks)
	eventually(t, "the webhooks fail closed again", func() error {
		if works("registered") == nil {
			return fmt.Errorf("everything is admitted")
		}
		return nil
	})
	exports := func() string {
		return c.kubectl(t, "", "get", "serviceentry", "held", "-n", "shop", "-o", `jsonpath={.spec.exportTo} owner={.metadata.annotations.owner} to={.metadata.annotations.sallyport\.io/export-to} status={.metadata.annotations.sallyport\.io/status}`)
	}
	if out := c.sallyport(t, "uninstall"); !strings.Contains(out, "would delete ValidatingWebhookConfiguration sallyport") ||
		!strings.Contains(out, "would change ServiceEntry/shop/held") || !strings.HasPrefix(exports(), `["~"]`) || works("only asked") == nil {
		t.Errorf("without --yes something is not told, or done:\n%s", out)
	}
	out := c.sallyport(t, "uninstall", "--yes", "--grace", "0s", "--config", "../../manifests/config.yaml")
	if got := exports(); strings.Contains(got, "~") || !strings.HasSuffix(got, " owner=me to= status=") {
		t.Errorf("the entry is not given back: %s\n%s", got, out)
	}
	if left, _ := c.try(t, "", "get", "deployment", "-n", "sallyport-system", "-o", "name"); strings.Contains(left, "sallyport-webhook") {
		t.Errorf("the server is left: %s\n%s", left, out)
	}
	eventually(t, "the API server forgets the webhooks", func() error { return works("uninstalled") })
	if out := c.sallyport(t, "uninstall", "--yes", "--grace", "0s", "--config", "../../manifests/config.yaml"); strings.Contains(out, "deleted") || strings.Contains(out, "changed") {
		t.Errorf("a second time there is something to do:\n%s", out)
	}
	c.kubectl(t, "", "delete", "--wait=false", "--ignore-not-found", "-k", server)
	must("the server is gone")
}

// sallyport runs the command line as the cluster's administrator.
func (c *cluster) sallyport(t *testing.T, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", append([]string{"run", "../../cmd/sallyport"}, append(args, "--kubeconfig", c.cp.Kubeconfig)...)...)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Run(); err != nil {
		t.Fatalf("sallyport %s: %v\n%s", strings.Join(args, " "), err, out.String())
	}
	return out.String()
}
