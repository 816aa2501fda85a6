package e2e

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	networkingv1 "k8s.io/api/networking/v1"

	"github.com/sallyport-io/sallyport/internal/config"
	"github.com/sallyport-io/sallyport/internal/mesh"
	"github.com/sallyport-io/sallyport/internal/netpol"
)

// TestEndToEnd walks one cluster through the product's promises. The steps
// use hosts of their own.
func TestEndToEnd(t *testing.T) {
	c := start(t)
	settings := settings(t)

	t.Run("the manifests are accepted as a whole", func(t *testing.T) { testManifests(t, c) })
	t.Run("one ServiceEntry is enough", func(t *testing.T) { testScenarios(t, c, settings) })
	t.Run("a way around the gateway is denied", func(t *testing.T) { testEnforcement(t, c) })
	t.Run("organisation policy", func(t *testing.T) { testPolicy(t, c) })
	t.Run("NetworkPolicy", func(t *testing.T) { testNetworkPolicy(t, c) })
	t.Run("dry run", func(t *testing.T) { testDryRun(t, c) })
	t.Run("companions belong to Sallyport", func(t *testing.T) { testProtection(t, c) })
	t.Run("modes", func(t *testing.T) { testModes(t, c) })
	t.Run("who is not asked", func(t *testing.T) { testMatchConditions(t, c) })
	t.Run("a namespace can be deleted", func(t *testing.T) { testNamespaceDeletion(t, c) })
	t.Run("a renewed certificate is served", func(t *testing.T) { testCertificate(t, c) })
	t.Run("metrics", func(t *testing.T) { testMetrics(t, c) })
	t.Run("restart", func(t *testing.T) { testRestart(t, c, settings) })
}

func settings(t *testing.T) mesh.Settings {
	t.Helper()
	cfg, err := config.Load("testdata/config.yaml")
	if err != nil {
		t.Fatal(err)
	}
	return cfg.Settings()
}

// entry is a ServiceEntry of today's form.
func entry(namespace, name, host, ports string) string {
	return fmt.Sprintf(`apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {namespace: %s, name: %s}
spec:
  hosts: [%s]
  ports: [%s]
  resolution: DNS
`, namespace, name, host, ports)
}

const tls443 = "{number: 443, name: tls, protocol: TLS}"

// testManifests has the API server check every object of the base, with
// cert-manager's definitions and Pod Security in force.
func testManifests(t *testing.T, c *cluster) {
	out := c.kubectl(t, "", "apply", "--server-side", "--force-conflicts", "--dry-run=server", "-k", "../../manifests")
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

// testScenarios applies one ServiceEntry for each of the seed page's three
// scenarios, with and without mutual TLS to the gateway; then deletes them.
func testScenarios(t *testing.T, c *cluster, settings mesh.Settings) {
	scenarios := []struct {
		name, ports string
		numbers     []int
	}{
		{"http", "{number: 80, name: http-port, protocol: HTTP}, {number: 443, name: https, protocol: HTTPS}", []int{80, 443}},
		{"origination", "{number: 80, name: http-port, protocol: HTTP, targetPort: 443}", []int{80}},
		{"https", tls443, []int{443}},
	}
	namespaces := []string{"mutual", "plain"}
	host := func(scenario, namespace string) string { return scenario + "." + namespace + ".example.com" }
	for _, s := range scenarios {
		for _, ns := range namespaces {
			c.kubectl(t, entry(ns, s.name, host(s.name, ns), s.ports), "apply", "-f", "-")
		}
	}
	for _, s := range scenarios {
		for _, ns := range namespaces {
			t.Run(s.name+" in "+ns, func(t *testing.T) {
				// Every port leaves through the gateway that the namespace
				// has, in the cluster as it is.
				eventually(t, "the paths are via", func() error {
					m := c.mesh(t, settings)
					for _, port := range s.numbers {
						if p := m.Paths(ns, host(s.name, ns), port); p.Verdict != mesh.Via || p.Gateway != ns {
							return fmt.Errorf("%s:%d is %s by gateway %q: %+v", p.Host, port, p.Verdict, p.Gateway, p.Because)
						}
						if p := m.Paths("shop", host(s.name, ns), port); p.Verdict == mesh.Direct {
							return fmt.Errorf("another namespace reaches %s:%d directly", p.Host, port)
						}
					}
					return nil
				})
				if got := c.kubectl(t, "", "get", "serviceentries", s.name, "-n", ns, "-o", "jsonpath={.spec.exportTo}"); got != `["."]` {
					t.Errorf("exportTo = %s, want the entry to be open to its own namespace", got)
				}
				out := strings.Join(c.companions(t, host(s.name, ns)), "\n")
				for _, want := range []string{"ServiceEntry istio-system/", "Gateway istio-system/", "VirtualService istio-system/", "VirtualService " + ns + "/"} {
					if !strings.Contains(out, want) {
						t.Errorf("no companion %s...:\n%s", want, out)
					}
				}
			})
		}
	}
	t.Run("a write that changes nothing changes nothing", func(t *testing.T) {
		before := c.versions(t, istioKinds)
		c.kubectl(t, entry("mutual", "https", host("https", "mutual"), tls443), "apply", "-f", "-")
		if d := cmp.Diff(before, c.versions(t, istioKinds)); d != "" {
			t.Errorf("resource versions (-before +after):\n%s", d)
		}
	})
	t.Run("deletion cleans up", func(t *testing.T) {
		for _, ns := range namespaces {
			c.kubectl(t, "", "delete", "serviceentries", "-n", ns, "--all")
		}
		for _, s := range scenarios {
			for _, ns := range namespaces {
				eventually(t, "the companions are gone", func() error {
					if left := c.companions(t, host(s.name, ns)); len(left) > 0 {
						return fmt.Errorf("left: %q", left)
					}
					return nil
				})
			}
		}
	})
}

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
			"VirtualService/shop/straight", "spec.http[0].route[0].destination", "fix:", "istio-egressgateway.istio-system.svc.cluster.local", "decision ",
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

// testNetworkPolicy labels a namespace, and takes the label away again.
func testNetworkPolicy(t *testing.T, c *cluster) {
	c.kubectl(t, "", "create", "namespace", "walled")
	c.kubectl(t, "", "label", "namespace", "walled", "istio-injection=enabled", mesh.NetworkPolicyLabel+"=enabled")
	var out string
	eventually(t, "the policy appears", func() (err error) {
		out, err = c.try(t, "", "get", "networkpolicy", netpol.EgressName, "-n", "walled", "-o", "json")
		return err
	})
	var policy networkingv1.NetworkPolicy
	if err := json.Unmarshal([]byte(out), &policy); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff([]networkingv1.PolicyType{networkingv1.PolicyTypeEgress}, policy.Spec.PolicyTypes); d != "" {
		t.Errorf("policy types (-want +got):\n%s", d)
	}
	ports := make(map[string]bool)
	for _, rule := range policy.Spec.Egress {
		if len(rule.To) == 0 {
			t.Errorf("a rule without peers opens the namespace to everywhere: %+v", rule)
		}
		for _, p := range rule.Ports {
			ports[fmt.Sprintf("%s/%s", p.Port, *p.Protocol)] = true
		}
	}
	// DNS, istiod, and the ports that the gateway's pods listen on.
	for _, want := range []string{"53/UDP", "53/TCP", "15012/TCP", "8443/TCP"} {
		if !ports[want] {
			t.Errorf("the policy does not open %s: %v", want, ports)
		}
	}

	c.denied(t, "", "delete", "networkpolicy", netpol.EgressName, "-n", "walled")
	c.kubectl(t, "", "label", "namespace", "walled", mesh.NetworkPolicyLabel+"-")
	eventually(t, "the policy is gone", func() error {
		if out, err := c.try(t, "", "get", "networkpolicy", netpol.EgressName, "-n", "walled"); err == nil {
			return fmt.Errorf("it is there:\n%s", out)
		}
		return nil
	})
}

// testDryRun checks that a dry run says what a real write would do, and does
// nothing.
func testDryRun(t *testing.T, c *cluster) {
	// Let what came before come to rest.
	settled := c.versions(t, istioKinds)
	eventually(t, "the cluster comes to rest", func() error {
		now := c.versions(t, istioKinds)
		if !maps.Equal(settled, now) {
			settled = now
			return fmt.Errorf("still changing")
		}
		return nil
	})

	good := entry("shop", "weather", "weather.example.com", tls443)
	out := c.kubectl(t, good, "apply", "--dry-run=server", "-f", "-")
	for _, want := range []string{
		"Warning: would create ServiceEntry istio-system/sallyport-", "Warning: would create Gateway istio-system/sallyport-",
		"Warning: would create VirtualService istio-system/sallyport-", "Warning: would create VirtualService shop/sallyport-",
		"serviceentry.networking.istio.io/weather created (server dry run)",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("the dry run lacks %q:\n%s", want, out)
		}
	}
	bad := entry("shop", "paste", "paste.example.org", tls443)
	dry := c.denied(t, bad, "apply", "--dry-run=server", "-f", "-")
	if d := cmp.Diff(settled, c.versions(t, istioKinds)); d != "" {
		t.Errorf("the dry runs wrote (-before +after):\n%s", d)
	}
	wet := c.denied(t, bad, "apply", "-f", "-")
	decision := regexp.MustCompile(`decision [0-9a-f-]+`)
	if d := cmp.Diff(decision.ReplaceAllString(wet, ""), decision.ReplaceAllString(dry, "")); d != "" {
		t.Errorf("a dry run is denied in other words (-real +dry):\n%s", d)
	}

	// What was announced is what a real write brings.
	c.kubectl(t, good, "apply", "-f", "-")
	var announced []string
	for _, m := range regexp.MustCompile(`would create (.+)`).FindAllStringSubmatch(out, -1) {
		announced = append(announced, m[1])
	}
	slices.Sort(announced)
	eventually(t, "what was announced is created, and nothing else", func() error {
		got := c.companions(t, "weather.example.com")
		slices.Sort(got)
		if d := cmp.Diff(announced, got); d != "" {
			return fmt.Errorf("(-announced +created):\n%s", d)
		}
		return nil
	})
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

// testNamespaceDeletion deletes a namespace with an entry and its companions:
// nothing may hold it up.
func testNamespaceDeletion(t *testing.T, c *cluster) {
	c.kubectl(t, entry("doomed", "api", "doomed.example.com", tls443), "apply", "-f", "-")
	eventually(t, "the companions appear", func() error {
		if got := c.companions(t, "doomed.example.com"); len(got) < 4 {
			return fmt.Errorf("only %q", got)
		}
		return nil
	})
	c.kubectl(t, "", "delete", "namespace", "doomed", "--timeout="+patience.String())
	eventually(t, "the gateway's side is gone", func() error {
		if left := c.companions(t, "doomed.example.com"); len(left) > 0 {
			return fmt.Errorf("left: %q", left)
		}
		return nil
	})
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
		`sallyport_policy_loads_total{result="ok"} 1`,
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
