package policysource

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/sallyport-io/sallyport/hack/controlplane"
	"github.com/sallyport-io/sallyport/hack/controlplane/controlplanetest"
)

// The namespace and the service account of manifests/.
const own, account = "sallyport-system", "sallyport-webhook"

// TestConfigMaps follows the labelled ConfigMaps of a real API server, with the
// rights that manifests/ gives the server.
func TestConfigMaps(t *testing.T) {
	cp := controlplanetest.Start(t, controlplane.Options{})
	rbac, err := os.ReadFile(filepath.Join("..", "..", "manifests", "rbac.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	for _, manifest := range []string{
		"{apiVersion: v1, kind: List, items: [" +
			"{apiVersion: v1, kind: Namespace, metadata: {name: sallyport-system}}," +
			"{apiVersion: v1, kind: Namespace, metadata: {name: istio-system}}," +
			"{apiVersion: v1, kind: Namespace, metadata: {name: tenant}}]}",
		string(rbac),
	} {
		apply := cp.Kubectl(t.Context(), "apply", "-f", "-")
		apply.Stdin = bytes.NewReader([]byte(manifest))
		if out, err := apply.CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
	}
	admin, err := kubernetes.NewForConfig(cp.Config)
	if err != nil {
		t.Fatal(err)
	}
	write := func(namespace, name, label string, data map[string]string) {
		t.Helper()
		cm := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: namespace, Labels: map[string]string{Label: label}}, Data: data}
		maps := admin.CoreV1().ConfigMaps(namespace)
		_, err := maps.Update(t.Context(), cm, metav1.UpdateOptions{})
		if apierrors.IsNotFound(err) {
			_, err = maps.Create(t.Context(), cm, metav1.CreateOptions{})
		}
		if err != nil {
			t.Fatal(err)
		}
	}

	server, err := cp.ServiceAccount(t.Context(), own, account)
	if err != nil {
		t.Fatal(err)
	}
	clients, err := kubernetes.NewForConfig(server)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := clients.CoreV1().ConfigMaps("tenant").List(t.Context(), metav1.ListOptions{}); !apierrors.IsForbidden(err) {
		t.Errorf("the server reads tenants' ConfigMaps (%v)", err)
	}

	write("tenant", "freeze", "true", freeze("tenant", "tenant"))
	write(own, "other", "false", freeze("other", "other"))
	write(own, "freeze", "true", freeze("frozen", "frozen"))
	source, err := ConfigMaps(server, own)
	if err != nil {
		t.Fatal(err)
	}
	snapshot, err := source.Fetch(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{}
	for name, content := range freeze("frozen", "frozen") {
		want["freeze/"+name] = content
	}
	if d := cmp.Diff(want, textOf(t, snapshot)); d != "" {
		t.Errorf("files (-want +got):\n%s", d)
	}

	l := start(t, options(t, source))
	eventually(t, l.Waiting)
	policies := func(want string) {
		t.Helper()
		eventually(t, func() error {
			if got := inForce(l); got != want {
				return fmt.Errorf("in force: %q, want %q; %+v", got, want, l.Status())
			}
			return nil
		})
	}
	policies("in-go freeze")

	// Two ConfigMaps, of which neither is good without the other.
	write(own, "data", "true", map[string]string{"data.yaml": "sallyport: {two: {exceptions: []}}", "two.txtar": "-- want --\n"})
	write(own, "two", "true", rego("two", "false"))
	policies("in-go freeze two")

	for name, tt := range map[string]struct {
		data map[string]string
		want string
	}{
		"bad module":   {freeze("closed", "open"), "configmaps/sallyport-system/freeze/freeze_test.rego:5"},
		"misspelt key": {map[string]string{"freeze.reg": ""}, "ConfigMap freeze: key freeze.reg is no file of policies"},
	} {
		t.Run(name, func(t *testing.T) {
			before := l.Judge()
			write(own, "freeze", "true", tt.data)
			eventually(t, func() error { return refusedFor(l, tt.want) })
			if l.Judge() != before {
				t.Error("bad policies replaced good ones")
			}
			write(own, "freeze", "true", freeze("frozen", "frozen"))
			eventually(t, func() error {
				if s := l.Status(); s.Refused != "" || s.Sources[0].Error != "" {
					return fmt.Errorf("after the good ConfigMap came back: %+v", s)
				}
				return nil
			})
		})
	}

	write(own, "freeze", "false", freeze("frozen", "frozen")) // no longer labelled
	policies("in-go two")

	if err := cp.StopAPIServer(); err != nil {
		t.Fatal(err)
	}
	eventually(t, func() error { return refusedFor(l, "configmaps/sallyport-system", "connect") })
	if got := inForce(l); got != "in-go two" {
		t.Errorf("in force while the API server is away: %q", got)
	}
	if err := cp.StartAPIServer(t.Context()); err != nil {
		t.Fatal(err)
	}
	write(own, "three", "true", rego("three", "false"))
	policies("in-go three two")
}

// TestHiddenKey checks that no key is passed over in silence: policies are not
// loaded from hidden files.
func TestHiddenKey(t *testing.T) {
	cm := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "freeze"}, Data: map[string]string{".freeze.rego": "package a"}}
	if err := addFiles(map[string][]byte{}, cm); err == nil || !strings.Contains(err.Error(), "freeze: key .freeze.rego") {
		t.Errorf("%v", err)
	}
}
