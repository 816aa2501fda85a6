package hostile

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/yaml"

	"github.com/sallyport-io/sallyport/hack/controlplane"
	"github.com/sallyport-io/sallyport/hack/server"
	"github.com/sallyport-io/sallyport/internal/hostiletest"
)

// What kubeadm requests for the control plane's containers, in thousandths of a
// core: where the cores are busy, the kubelet lets each have time in proportion.
const apiServerCPU, etcdCPU = 250, 100

// cluster is a control plane with the server, in a large mesh.
type cluster struct {
	cp     *controlplane.ControlPlane
	server *server.Server
	group  *cgroup // nil where there is none
	others *cgroup // of the clients; nil likewise
	limit  int64   // of the server's memory
	// request is what it asks of the processors, in thousandths of a core.
	request int64
	ended   error // why it did not live through the attack
	admin   *client
	proof   tls.Certificate // by which the server knows the API server
}

// start starts a cluster with so many namespaces and hosts, in which the API
// server presents a client certificate to the webhooks, and which ends with the
// test.
func start(t *testing.T, namespaces, hosts int) *cluster {
	t.Helper()
	ctx, dir := t.Context(), t.TempDir()
	write := func(name, format string, args ...any) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, fmt.Appendf(nil, format, args...), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	ca, err := controlplane.NewCA()
	if err != nil {
		t.Fatal(err)
	}
	pair, err := ca.ClientCert("kube-apiserver-webhooks")
	if err != nil {
		t.Fatal(err)
	}
	c := &cluster{}
	if c.proof, err = tls.X509KeyPair(pair.Cert, pair.Key); err != nil {
		t.Fatal(err)
	}
	kubeconfig := write("kubeconfig", "apiVersion: v1\nkind: Config\nusers:\n- name: \"*\"\n  user: {client-certificate: %s, client-key: %s}\n",
		write("tls.crt", "%s", pair.Cert), write("tls.key", "%s", pair.Key))
	admission := write("admission.yaml", `apiVersion: apiserver.config.k8s.io/v1
kind: AdmissionConfiguration
plugins:
- name: MutatingAdmissionWebhook
  configuration: &webhooks {apiVersion: apiserver.config.k8s.io/v1, kind: WebhookAdmissionConfiguration, kubeConfigFile: %s}
- name: ValidatingAdmissionWebhook
  configuration: *webhooks
`, kubeconfig)
	config := write("config.yaml", `apiVersion: sallyport.io/v1alpha1
kind: Config
server: {clientCertificate: {ca: %s, names: [kube-apiserver-webhooks]}}
`, write("ca.crt", "%s", ca.PEM))

	var controlPlane *cgroup
	if os.Getenv(withoutCgroup) == "" {
		controlPlane = newCgroup(t, "control-plane", apiServerCPU+etcdCPU, 0)
		c.others = newCgroup(t, "clients", apiServerCPU+etcdCPU, 0)
		controlPlane.enter(t) // the children go where the test is
	}
	c.cp, err = controlplane.Start(ctx, controlplane.Options{
		CRDs: []controlplane.CRDs{controlplane.IstioCRDs, controlplane.GatewayAPICRDs},
		APIServerArgs: []string{
			"--admission-control-config-file=" + admission,
			// As many as two cores can serve, not hundreds.
			"--max-requests-inflight=80", "--max-mutating-requests-inflight=40",
		},
		Progress: t.Output(),
	})
	if controlPlane != nil {
		c.others.enter(t)
		t.Cleanup(func() {
			if err := c.others.leave(); err != nil {
				t.Error(err)
			}
		})
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.cp.Stop(); err != nil {
			t.Error(err)
		}
	})
	c.admin = newClient(t, c.cp.Config)
	if out, err := c.cp.Kubectl(ctx, "apply", "-f", "testdata/flowcontrol.yaml").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	c.fill(t, namespaces, hosts)
	c.serve(t, config)
	return c
}

// serve starts the server as the Deployment of manifests/ does, with its memory.
func (c *cluster) serve(t *testing.T, config string) {
	t.Helper()
	d := deployment(t)
	container := d.Spec.Template.Spec.Containers[0]
	c.limit = container.Resources.Limits.Memory().Value()
	c.request = container.Resources.Requests.Cpu().MilliValue()
	o := server.Options{Config: config, Args: []string{"--decision-log=-"}}
	for _, e := range container.Env {
		o.Env = append(o.Env, e.Name+"="+e.Value)
	}
	if os.Getenv(withoutCgroup) == "" {
		c.group = newCgroup(t, "server", c.request, c.limit)
		o.Prefix = c.group.prefix()
	}
	var err error
	if c.server, err = server.Start(t.Context(), c.cp, o); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("the end of the server's log:\n%s", c.server.Process().LogTail(30))
		}
		if err := c.server.Stop(); err != nil {
			t.Error(err)
		}
	})
}

// deployment is the one of manifests/.
func deployment(t *testing.T) *appsv1.Deployment {
	t.Helper()
	data, err := os.ReadFile("../../manifests/deployment.yaml")
	if err != nil {
		t.Fatal(err)
	}
	d := new(appsv1.Deployment)
	if err := yaml.Unmarshal(data, d); err != nil {
		t.Fatal(err)
	}
	return d
}

// settled waits until the leader has written what the mesh needs: until then it
// would be measured, too.
func (c *cluster) settled(t *testing.T) {
	t.Helper()
	last, since := "", time.Now()
	for time.Since(since) < 4*time.Second {
		var now []string
		for line := range strings.Lines(c.metrics(t)) {
			if strings.HasPrefix(line, "sallyport_mesh_objects{") || strings.HasPrefix(line, "sallyport_companion_writes_total{") {
				now = append(now, line)
			}
		}
		if text := strings.Join(now, ""); text != last {
			last, since = text, time.Now()
		}
		time.Sleep(500 * time.Millisecond)
	}
}

func (c *cluster) metrics(t *testing.T) string {
	t.Helper()
	resp, err := http.Get(c.server.Metrics) //nolint:noctx // ends with the test
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(body)
}

// fill creates a part of [hostiletest.World], and the gateway.
func (c *cluster) fill(t *testing.T, namespaces, hosts int) {
	t.Helper()
	objects := [][]byte{
		[]byte(`{"apiVersion":"v1","kind":"Namespace","metadata":{"name":"istio-system"}}`),
		[]byte(`{"apiVersion":"v1","kind":"Service","metadata":{"namespace":"istio-system","name":"istio-egressgateway"},
"spec":{"selector":{"istio":"egressgateway"},"ports":[{"name":"http2","port":80,"targetPort":8080},{"name":"https","port":443,"targetPort":8443}]}}`),
	}
	for raw := range hostiletest.World() {
		var o struct {
			Kind     string
			Metadata struct{ Namespace, Name string }
		}
		if err := json.Unmarshal(raw, &o); err != nil {
			t.Fatal(err)
		}
		n, of := 0, hosts
		if _, err := fmt.Sscanf(o.Metadata.Name, "api-%d", &n); err != nil {
			n, of = 0, namespaces
			_, _ = fmt.Sscanf(o.Metadata.Name, "team-%d", &n)
		}
		ns := 0
		_, _ = fmt.Sscanf(o.Metadata.Namespace, "team-%d", &ns)
		if n < of && ns < namespaces {
			objects = append(objects, raw)
		}
	}
	for _, raw := range objects[:2] {
		c.create(t, raw)
	}
	for _, kind := range []string{"Namespace", "ServiceEntry"} {
		queue := make(chan []byte)
		var wg sync.WaitGroup
		for range 16 {
			wg.Go(func() {
				for raw := range queue {
					c.create(t, raw)
				}
			})
		}
		for _, raw := range objects[2:] {
			if bytes.Contains(raw, []byte(`"kind":"`+kind+`"`)) {
				queue <- raw
			}
		}
		close(queue)
		wg.Wait()
	}
	if t.Failed() {
		t.FailNow()
	}
}

func (c *cluster) create(t *testing.T, raw []byte) {
	path, err := pathOf(raw)
	if err != nil {
		t.Error(err)
		return
	}
	if a := c.admin.do(t.Context(), http.MethodPost, path, raw); a.status != http.StatusCreated {
		t.Errorf("creating: %s", a)
	}
}

// tenant is a client of a user who may do everything in one namespace.
func (c *cluster) tenant(t *testing.T, namespace, user string) *client {
	t.Helper()
	c.create(t, fmt.Appendf(nil, `{"apiVersion":"rbac.authorization.k8s.io/v1","kind":"RoleBinding","metadata":{"namespace":%q,"name":%q},
"roleRef":{"apiGroup":"rbac.authorization.k8s.io","kind":"ClusterRole","name":"cluster-admin"},"subjects":[{"apiGroup":"rbac.authorization.k8s.io","kind":"User","name":%q}]}`,
		namespace, user, user))
	config, err := c.cp.User(user, "tenants")
	if err != nil {
		t.Fatal(err)
	}
	return newClient(t, config)
}

// client sends requests to the API server as one user.
type client struct {
	http *http.Client
	host string
}

func newClient(t *testing.T, config *rest.Config) *client {
	t.Helper()
	config = rest.CopyConfig(config)
	config.QPS = -1
	h, err := rest.HTTPClientFor(config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(h.CloseIdleConnections)
	return &client{h, config.Host}
}

// answer is what came back.
type answer struct {
	status  int
	message string
	took    time.Duration
}

func (a answer) String() string { return fmt.Sprintf("%d: %.300s", a.status, a.message) }

func (c *client) do(ctx context.Context, method, path string, body []byte) (a answer) {
	began := time.Now()
	defer func() { a.took = time.Since(began) }()
	req, err := http.NewRequestWithContext(ctx, method, c.host+path, bytes.NewReader(body))
	if err != nil {
		return answer{message: err.Error()}
	}
	req.Header.Set("Content-Type", "application/json")
	if method == http.MethodPatch {
		req.Header.Set("Content-Type", "application/merge-patch+json")
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return answer{message: err.Error()}
	}
	defer func() { _ = resp.Body.Close() }()
	a.status = resp.StatusCode
	if resp.StatusCode < 300 {
		_, err = io.Copy(io.Discard, resp.Body)
	} else {
		var data []byte
		if data, err = io.ReadAll(resp.Body); err == nil {
			var status struct{ Message string }
			if json.Unmarshal(data, &status) == nil && status.Message != "" {
				data = []byte(status.Message)
			}
			a.message = string(data)
		}
	}
	if err != nil {
		return answer{message: err.Error()}
	}
	return a
}

// plurals are names of resources that are not the kind and an s.
var plurals = map[string]string{
	"ServiceEntry": "serviceentries", "WorkloadEntry": "workloadentries", "NetworkPolicy": "networkpolicies", "Ingress": "ingresses",
	"AuthorizationPolicy": "authorizationpolicies", "Endpoints": "endpoints", "ProxyConfig": "proxyconfigs",
}

// pathOf is where objects like this one are created.
func pathOf(raw []byte) (string, error) {
	var o struct {
		APIVersion, Kind string
		Metadata         struct{ Namespace string }
	}
	if err := json.Unmarshal(raw, &o); err != nil {
		return "", err
	}
	path := "/apis/" + o.APIVersion
	if !strings.Contains(o.APIVersion, "/") {
		path = "/api/" + o.APIVersion
	}
	if o.Metadata.Namespace != "" {
		path += "/namespaces/" + o.Metadata.Namespace
	}
	plural, ok := plurals[o.Kind]
	if !ok {
		plural = strings.ToLower(o.Kind) + "s"
	}
	return path + "/" + plural, nil
}
