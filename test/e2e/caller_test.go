package e2e

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sallyport-io/sallyport/hack/controlplane"
	"github.com/sallyport-io/sallyport/hack/server"
)

// TestClientCertificate has the API server present a client certificate, as
// docs/server.md says, and the server require it: writes are judged, and
// reviews that somebody else sends to the port are not.
func TestClientCertificate(t *testing.T) {
	ctx, dir := t.Context(), t.TempDir()
	ca, err := controlplane.NewCA()
	if err != nil {
		t.Fatal(err)
	}
	pair, err := ca.ClientCert("kube-apiserver-webhooks")
	if err != nil {
		t.Fatal(err)
	}
	write := func(name, format string, args ...any) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, fmt.Appendf(nil, format, args...), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	kubeconfig := write("kubeconfig", `apiVersion: v1
kind: Config
users:
- name: "*"
  user: {client-certificate: %s, client-key: %s}
`, write("tls.crt", "%s", pair.Cert), write("tls.key", "%s", pair.Key))
	admission := write("admission.yaml", `apiVersion: apiserver.config.k8s.io/v1
kind: AdmissionConfiguration
plugins:
- name: MutatingAdmissionWebhook
  configuration: &webhooks
    apiVersion: apiserver.config.k8s.io/v1
    kind: WebhookAdmissionConfiguration
    kubeConfigFile: %s
- name: ValidatingAdmissionWebhook
  configuration: *webhooks
`, kubeconfig)
	config, err := os.ReadFile("testdata/config.yaml")
	if err != nil {
		t.Fatal(err)
	}
	path := write("config.yaml", "%s\nserver: {clientCertificate: {ca: %s, names: [kube-apiserver-webhooks], required: true}}\n", config, write("ca.crt", "%s", ca.PEM))

	c := startControlPlane(t, controlplane.Options{
		CRDs:          []controlplane.CRDs{controlplane.IstioCRDs},
		APIServerArgs: []string{"--admission-control-config-file=" + admission},
	})
	c.kubectl(t, "", "apply", "-f", "testdata/platform.yaml")
	if c.server, err = server.Start(ctx, c.cp, server.Options{Config: path}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.server.Stop(); err != nil {
			t.Error(err)
		}
	})
	c.kubectl(t, entry("shop", "api", "api.example.com", tls443), "apply", "-f", "-")
	c.denied(t, entry("shop", "paste", "paste.example.org", tls443), "apply", "-f", "-")
	if metrics := c.metrics(t); strings.Contains(metrics, "\nsallyport_admission_unproven_total{") {
		t.Error("the API server has called without its certificate")
	}

	// A pod that reaches the port, without a certificate or with one that the
	// same authority has signed for somebody else.
	other, err := ca.ClientCert("somebody-else")
	if err != nil {
		t.Fatal(err)
	}
	for name, pair := range map[string]*controlplane.KeyPair{"no client certificate was presented": nil, `the names ["somebody-else"]`: &other} {
		pool := x509.NewCertPool()
		pool.AppendCertsFromPEM(c.cp.CA.PEM)
		cfg := &tls.Config{RootCAs: pool}
		if pair != nil {
			cert, err := tls.X509KeyPair(pair.Cert, pair.Key)
			if err != nil {
				t.Fatal(err)
			}
			cfg.Certificates = []tls.Certificate{cert}
		}
		client := &http.Client{Transport: &http.Transport{TLSClientConfig: cfg, ForceAttemptHTTP2: true}}
		resp, err := client.Post(c.server.URL+"/validate", "application/json", bytes.NewReader([]byte("{}")))
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		if err != nil || resp.StatusCode != http.StatusForbidden || !strings.Contains(string(body), name) {
			t.Errorf("%s: %s, %v: %s", name, resp.Status, err, body)
		}
		client.CloseIdleConnections()
	}
	if metrics := c.metrics(t); !strings.Contains(metrics, `sallyport_admission_unproven_total{entry="validate"} 2`) {
		t.Error("callers without the certificate are not counted")
	}
}
