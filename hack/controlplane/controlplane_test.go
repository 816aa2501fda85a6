package controlplane_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/sallyport-io/sallyport/hack/controlplane"
	"github.com/sallyport-io/sallyport/hack/controlplane/controlplanetest"
)

// TestControlPlane walks one control plane through its life; the steps build
// on one another.
func TestControlPlane(t *testing.T) {
	ctx := t.Context()
	cp := controlplanetest.Start(t, controlplane.Options{
		ControllerManager: true,
		CRDs:              []controlplane.CRDs{controlplane.IstioCRDs, controlplane.GatewayAPICRDs, controlplane.CertManagerCRDs},
	})

	t.Run("serves the kinds of every set", func(t *testing.T) {
		for _, kind := range []string{
			"serviceentries.networking.istio.io", "tlsroutes.gateway.networking.k8s.io", "certificates.cert-manager.io",
		} {
			kubectl(t, cp, "", "get", kind, "--all-namespaces")
		}
	})

	t.Run("stores an Istio object", func(t *testing.T) {
		kubectl(t, cp, serviceEntry, "apply", "-f", "-")
		if got, want := kubectl(t, cp, "", "get", "serviceentry", "wikipedia", "-o", "jsonpath={.spec.hosts[0]}"), "en.wikipedia.org"; got != want {
			t.Errorf("spec.hosts[0] = %q, want %q", got, want)
		}
		if out, err := kubectlErr(t, cp, strings.Replace(serviceEntry, "DNS", "NDS", 1), "apply", "-f", "-"); err == nil {
			t.Errorf("a ServiceEntry with an unknown resolution is stored: %s", out)
		}
	})

	t.Run("collects what an owner leaves", func(t *testing.T) {
		uid := kubectl(t, cp, "", "get", "serviceentry", "wikipedia", "-o", "jsonpath={.metadata.uid}")
		kubectl(t, cp, strings.ReplaceAll(ownedVirtualService, "UID", uid), "apply", "-f", "-")
		kubectl(t, cp, "", "delete", "serviceentry", "wikipedia")
		kubectl(t, cp, "", "wait", "--for=delete", "virtualservice/wikipedia", "--timeout=60s")
	})

	t.Run("knows users and service accounts", func(t *testing.T) {
		alice, err := cp.User("alice", "tenants")
		if err != nil {
			t.Fatal(err)
		}
		clients := kubernetes.NewForConfigOrDie(alice)
		if _, err := clients.CoreV1().Namespaces().List(ctx, metav1.ListOptions{}); !apierrors.IsForbidden(err) {
			t.Errorf("alice, who has no role, lists namespaces: error %v, want Forbidden", err)
		}
		robot, err := cp.ServiceAccount(ctx, "default", "default")
		if err != nil {
			t.Fatal(err)
		}
		path, err := cp.WriteKubeconfig("robot", robot)
		if err != nil {
			t.Fatal(err)
		}
		who := kubectl(t, cp, "", "auth", "whoami", "-o", "jsonpath={.status.userInfo.username}", "--kubeconfig="+path)
		if want := "system:serviceaccount:default:default"; who != want {
			t.Errorf("the service account's kubeconfig is for %q, want %q", who, want)
		}
	})

	t.Run("keeps data over an outage", func(t *testing.T) {
		clients := kubernetes.NewForConfigOrDie(cp.Config)
		namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "survivor"}}
		if _, err := clients.CoreV1().Namespaces().Create(ctx, namespace, metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
		if err := cp.StopAPIServer(); err != nil {
			t.Fatal(err)
		}
		if _, err := clients.CoreV1().Namespaces().Get(ctx, "survivor", metav1.GetOptions{}); err == nil {
			t.Error("the API server answers while it is stopped")
		}
		if err := cp.StartAPIServer(ctx); err != nil {
			t.Fatal(err)
		}
		if _, err := clients.CoreV1().Namespaces().Get(ctx, "survivor", metav1.GetOptions{}); err != nil {
			t.Errorf("after the outage: %v", err)
		}
	})

	t.Run("stop leaves nothing", func(t *testing.T) {
		if err := cp.Stop(); err != nil {
			t.Fatal(err)
		}
		if left := processesNaming(t, cp.Dir); len(left) > 0 {
			t.Errorf("processes left: %q", left)
		}
		if _, err := os.Stat(cp.Dir); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("data left in %s (%v)", cp.Dir, err)
		}
		address := strings.TrimPrefix(cp.Config.Host, "https://")
		if conn, err := net.DialTimeout("tcp", address, time.Second); err == nil {
			_ = conn.Close()
			t.Errorf("somebody still listens on %s", address)
		}
	})
}

// TestDetached starts what outlives us, and ends it the way another process
// would.
func TestDetached(t *testing.T) {
	dir := t.TempDir()
	t.Cleanup(func() {
		if err := controlplane.StopDetached(dir); err != nil {
			t.Error(err)
		}
	})
	cp, err := controlplane.Start(t.Context(), controlplane.Options{Dir: dir, Detached: true, Progress: t.Output()})
	if err != nil {
		t.Fatal(err)
	}
	kubectl(t, cp, "", "get", "namespaces")
	if got := len(processesNaming(t, dir)); got != 2 {
		t.Errorf("%d processes name %s, want etcd and kube-apiserver", got, dir)
	}
	if err := controlplane.StopDetached(dir); err != nil {
		t.Fatal(err)
	}
	if left := processesNaming(t, dir); len(left) > 0 {
		t.Errorf("processes left: %q", left)
	}
}

func TestStartFailureNamesTheCause(t *testing.T) {
	dir := t.TempDir()
	p, err := controlplane.StartProcess(t.Context(), controlplane.Command{
		Path:  "/bin/sh",
		Args:  []string{"-c", "echo the disk is on fire >&2; exit 3"},
		Log:   filepath.Join(dir, "log"),
		Ready: func(context.Context) error { return errors.New("no answer") },
	})
	if err == nil {
		t.Fatalf("a program that ends at once counts as ready: process %d", p.PID())
	}
	for _, want := range []string{"sh", "exit status 3", "the disk is on fire"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("error does not say %q: %v", want, err)
		}
	}
}

func TestStartProcessHonoursContext(t *testing.T) {
	ctx, cancel := context.WithCancelCause(t.Context())
	dir := t.TempDir()
	enough := errors.New("enough")
	command := endless(dir)
	command.Ready = func(context.Context) error {
		cancel(enough)
		return errors.New("no answer")
	}
	_, err := controlplane.StartProcess(ctx, command)
	if !errors.Is(err, enough) {
		t.Errorf("error %v, want the context's cause", err)
	}
	if left := processesNaming(t, dir); len(left) > 0 {
		t.Errorf("processes left: %q", left)
	}
}

// endless is a program that names dir on its command line and never ends.
func endless(dir string) controlplane.Command {
	log := filepath.Join(dir, "log")
	return controlplane.Command{Path: "tail", Args: []string{"-f", log}, Log: log}
}

func TestBuildNamesMissingAssets(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("KUBEBUILDER_ASSETS", dir)
	if err := os.WriteFile(filepath.Join(dir, "etcd"), nil, 0o755); err != nil {
		t.Fatal(err)
	}
	_, err := controlplane.Build(t.Context(), t.Output())
	if err == nil {
		t.Fatal("an incomplete KUBEBUILDER_ASSETS is accepted")
	}
	for _, want := range []string{dir, "kube-apiserver", "kubectl", "unset"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("error does not say %q: %v", want, err)
		}
	}
	if strings.Contains(err.Error(), "etcd,") {
		t.Errorf("error complains about etcd, which is there: %v", err)
	}
}

func TestBuildUsesAssets(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("KUBEBUILDER_ASSETS", dir)
	for _, name := range []string{"etcd", "kube-apiserver", "kube-controller-manager", "kubectl"} {
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	got, err := controlplane.Build(t.Context(), t.Output())
	if err != nil {
		t.Fatal(err)
	}
	want := controlplane.Binaries{
		Etcd:              filepath.Join(dir, "etcd"),
		APIServer:         filepath.Join(dir, "kube-apiserver"),
		ControllerManager: filepath.Join(dir, "kube-controller-manager"),
		Kubectl:           filepath.Join(dir, "kubectl"),
	}
	if got != want {
		t.Errorf("Build() = %+v, want %+v", got, want)
	}
}

func TestServerCert(t *testing.T) {
	ca, err := controlplane.NewCA()
	if err != nil {
		t.Fatal(err)
	}
	pair, err := ca.ServerCert("127.0.0.1", "webhook.example")
	if err != nil {
		t.Fatal(err)
	}
	cert, err := tls.X509KeyPair(pair.Cert, pair.Key)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(ca.PEM)
	for _, host := range []string{"127.0.0.1", "webhook.example"} {
		if _, err := cert.Leaf.Verify(x509.VerifyOptions{Roots: roots, DNSName: host}); err != nil {
			t.Errorf("%s: %v", host, err)
		}
	}
	if _, err := cert.Leaf.Verify(x509.VerifyOptions{Roots: roots, DNSName: "other.example"}); err == nil {
		t.Error("the certificate is good for a host it was not issued for")
	}
}

const serviceEntry = `
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: wikipedia, namespace: default}
spec:
  hosts: [en.wikipedia.org]
  ports: [{number: 443, name: https, protocol: TLS}]
  resolution: DNS
`

const ownedVirtualService = `
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata:
  name: wikipedia
  namespace: default
  ownerReferences: [{apiVersion: networking.istio.io/v1, kind: ServiceEntry, name: wikipedia, uid: UID}]
spec:
  hosts: [en.wikipedia.org]
  tls:
  - match: [{port: 443, sniHosts: [en.wikipedia.org]}]
    route: [{destination: {host: en.wikipedia.org, port: {number: 443}}}]
`

func kubectl(t *testing.T, cp *controlplane.ControlPlane, stdin string, args ...string) string {
	t.Helper()
	out, err := kubectlErr(t, cp, stdin, args...)
	if err != nil {
		t.Fatalf("kubectl %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return out
}

func kubectlErr(t *testing.T, cp *controlplane.ControlPlane, stdin string, args ...string) (string, error) {
	t.Helper()
	cmd := cp.Kubectl(t.Context(), args...)
	cmd.Stdin = strings.NewReader(stdin)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// processesNaming returns the command lines of processes that name a folder.
func processesNaming(t *testing.T, dir string) []string {
	t.Helper()
	var found []string
	files, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		t.Fatal(err)
	}
	if len(files) == 0 { // not Linux
		out, err := exec.CommandContext(t.Context(), "ps", "-axo", "args=").Output()
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(out)) {
			if strings.Contains(line, dir) {
				found = append(found, line)
			}
		}
		return found
	}
	for _, file := range files {
		line, err := os.ReadFile(file)
		if err == nil && bytes.Contains(line, []byte(dir)) { // an error: it has just ended
			found = append(found, string(line))
		}
	}
	return found
}
