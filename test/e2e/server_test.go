package e2e

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sallyport-io/sallyport/internal/mesh"
)

// testManifests has the API server check every object of the base, with
// cert-manager's definitions and Pod Security in force.
func testManifests(t *testing.T, c *cluster) {
	out := c.kubectl(t, "", "apply", "--server-side", "--force-conflicts", "--dry-run=server", "-k", "../../manifests")
	out += c.kubectl(t, "", "apply", "--server-side", "--force-conflicts", "--dry-run=server", "-f", "../../manifests/webhooks.yaml")
	for _, want := range []string{
		"deployment.apps/sallyport-webhook", "certificate.cert-manager.io/sallyport-webhook", "poddisruptionbudget.policy/sallyport-webhook",
		"validatingwebhookconfiguration.admissionregistration.k8s.io/sallyport", "mutatingwebhookconfiguration.admissionregistration.k8s.io/sallyport",
	} {
		if !strings.Contains(out, want+" serverside-applied (server dry run)") {
			t.Errorf("%s is not applied:\n%s", want, out)
		}
	}
	if strings.Contains(out, "PodSecurity") {
		t.Errorf("the Deployment's pods are not restricted:\n%s", out)
	}
}

// answers returns how many reviews the server has answered.
func (c *cluster) answers(t *testing.T) int {
	t.Helper()
	n := 0
	for line := range strings.Lines(c.metrics(t)) {
		if strings.HasPrefix(line, "sallyport_admission_answers_total{") {
			var v int
			if _, err := fmt.Sscan(line[strings.LastIndexByte(line, ' '):], &v); err != nil {
				t.Fatalf("%q: %v", line, err)
			}
			n += v
		}
	}
	return n
}

// testMatchConditions counts reviews: whom the webhook configurations pass by.
func testMatchConditions(t *testing.T, c *cluster) {
	gateway := func(namespace, name string) string {
		return fmt.Sprintf(`apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {namespace: %s, name: %s}
spec:
  selector: {app: none}
  servers: [{port: {number: 80, name: http, protocol: HTTP}, hosts: ["a.example.com"]}]
`, namespace, name)
	}
	const slice = `apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {namespace: shop, name: s}
addressType: IPv4
endpoints: []
`
	for _, tt := range []struct {
		name, object, user string
		asked              bool
	}{
		{"anybody", gateway("istio-system", "probe"), "alice", true},
		{"istiod's self-probe", gateway("istio-system", "invalid-gateway"), "system:serviceaccount:istio-system:istiod", false},
		{"the name of the self-probe alone", gateway("istio-system", "invalid-gateway"), "alice", true},
		{"istiod otherwise", gateway("istio-system", "probe"), "system:serviceaccount:istio-system:istiod", true},
		{"Sallyport itself", gateway("istio-system", "probe"), "system:serviceaccount:sallyport-system:sallyport-webhook", false},
		{"a controller of Kubernetes", slice, "system:serviceaccount:kube-system:endpointslice-controller", false},
		{"somebody else in kube-system", slice, "system:serviceaccount:kube-system:helm", true},
		{"kube-system", gateway("kube-system", "probe"), "alice", false},
	} {
		before := c.answers(t)
		out, err := c.try(t, tt.object, "create", "--dry-run=server", "--as="+tt.user, "--as-group=system:masters", "-f", "-")
		if err != nil && !strings.Contains(out, "validate.sallyport.io") {
			t.Errorf("%s: %v\n%s", tt.name, err, out)
		}
		if asked := c.answers(t) > before; asked != tt.asked {
			t.Errorf("%s: asked %v, want %v\n%s", tt.name, asked, tt.asked, out)
		}
	}
}

// testRestart stops the server with SIGTERM and starts it again.
func testRestart(t *testing.T, c *cluster, settings mesh.Settings) {
	const host = "lasting.example.com"
	c.kubectl(t, entry("shop", "lasting", host, tls443), "apply", "-f", "-")
	via := func() error {
		if p := c.mesh(t, settings).Paths("shop", host, 443); p.Verdict != mesh.Via {
			return fmt.Errorf("%s: %+v", p.Verdict, p.Because)
		}
		return nil
	}
	eventually(t, "the path is via", via)
	if err := c.server.Stop(); err != nil {
		t.Fatalf("the server does not stop gracefully: %v\n%s", err, c.server.Process().LogTail(20))
	}
	if log := c.server.Process().LogTail(5); !strings.Contains(log, `"msg":"stopped"`) {
		t.Errorf("the end of the log does not say that the server stopped:\n%s", log)
	}
	out, err := c.try(t, entry("shop", "meanwhile", "meanwhile.example.com", tls443), "apply", "-f", "-")
	if err == nil || !strings.Contains(out, `failed calling webhook "validate.sallyport.io"`) {
		t.Errorf("a write while the server is down: %v\n%s", err, out)
	}
	if err := via(); err != nil {
		t.Errorf("while the server is down: %v", err)
	}
	before := c.versions(t, istioKinds)
	if err := c.server.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	c.kubectl(t, entry("shop", "after", "after.example.com", tls443), "apply", "-f", "-")
	eventually(t, "the new entry is served", func() error {
		if p := c.mesh(t, settings).Paths("shop", "after.example.com", 443); p.Verdict != mesh.Via {
			return fmt.Errorf("%s: %+v", p.Verdict, p.Because)
		}
		return nil
	})
	after := c.versions(t, istioKinds)
	for name, version := range before {
		if after[name] != version {
			t.Errorf("the restart changed %s: resource version %s, then %q", name, version, after[name])
		}
	}
}

// testCertificate renews the serving certificate in its directory, as the
// kubelet does when cert-manager has renewed the Secret.
func testCertificate(t *testing.T, c *cluster) {
	serial := func() string {
		pool := x509.NewCertPool()
		pool.AppendCertsFromPEM(c.cp.CA.PEM)
		dialer := &tls.Dialer{Config: &tls.Config{RootCAs: pool}}
		conn, err := dialer.DialContext(t.Context(), "tcp", strings.TrimPrefix(c.server.URL, "https://"))
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = conn.Close() }()
		return conn.(*tls.Conn).ConnectionState().PeerCertificates[0].SerialNumber.String()
	}
	old := serial()
	pair, err := c.cp.CA.ServerCert("127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(c.cp.Dir, "server")
	for name, data := range map[string][]byte{"tls.key": pair.Key, "tls.crt": pair.Cert} {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, "the server serves the new certificate", func() error {
		if serial() == old {
			return fmt.Errorf("serial number %s is the old one's", old)
		}
		return nil
	})
	c.kubectl(t, entry("shop", "renewed", "renewed.example.com", tls443), "create", "--dry-run=server", "-f", "-")
}

// testMetrics looks for what the steps before must have left.
func testMetrics(t *testing.T, c *cluster) {
	metrics := c.metrics(t)
	for _, want := range []string{
		`sallyport_admission_answers_total{entry="mutate",verdict="patch"}`,
		`sallyport_admission_answers_total{entry="validate",verdict="allow"}`,
		`sallyport_admission_answers_total{entry="validate",verdict="deny"}`,
		`sallyport_admission_answers_total{entry="validate",verdict="warn"}`,
		`sallyport_findings_total{kind="ServiceEntry",rule="allowed-hosts",severity="deny"}`,
		`sallyport_findings_total{kind="Gateway",rule="reserved-companion",severity="deny"}`,
		`sallyport_admission_duration_seconds_bucket{entry="validate",le="0.0005"}`,
		`sallyport_judge_duration_seconds_count`,
		`sallyport_mesh_objects{kind="ServiceEntry"}`,
		`sallyport_companion_writes_total{kind="Gateway",operation="create"}`,
		`sallyport_time_to_path_seconds_count`,
		`sallyport_mesh_synced 1`,
		`sallyport_policy_loads_total{result="ok",source="configmaps/sallyport-system"} `,
		`sallyport_policy_revision_info{revision="`,
		`controller_runtime_webhook_requests_total{code="200",webhook="/validate"}`,
	} {
		if !strings.Contains(metrics, "\n"+want) {
			t.Errorf("no metric %s", want)
		}
	}
	if strings.Contains(metrics, `verdict="error"`) {
		t.Error("a review could not be judged")
	}
}
