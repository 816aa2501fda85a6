// Package doctor examines a real API server with "sallyport doctor": a sick
// cluster, then the same one healed, as an administrator, as somebody with the
// permissions that docs/doctor.md gives, and as somebody with none.
package doctor

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	"github.com/sallyport-io/sallyport/hack/controlplane"
	"github.com/sallyport-io/sallyport/hack/controlplane/controlplanetest"
	"github.com/sallyport-io/sallyport/hack/server"
)

var update = flag.Bool("update", false, "rewrite testdata/want.txt")

// patience is how long the server may take to write what it keeps.
const patience = 60 * time.Second

type cluster struct {
	cp     *controlplane.ControlPlane
	binary string
}

func start(t *testing.T) *cluster {
	t.Helper()
	cp := controlplanetest.Start(t, controlplane.Options{
		ControllerManager: true,
		CRDs:              []controlplane.CRDs{controlplane.IstioCRDs, controlplane.GatewayAPICRDs, controlplane.CertManagerCRDs},
	})
	c := &cluster{cp: cp, binary: filepath.Join(cp.Dir, "sallyport")}
	build := exec.CommandContext(t.Context(), "go", "build", "-o", c.binary, "../../cmd/sallyport")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("building sallyport: %v\n%s", err, out)
	}
	return c
}

// kubectl runs a command that must succeed.
func (c *cluster) kubectl(t *testing.T, stdin string, args ...string) {
	t.Helper()
	cmd := c.cp.Kubectl(t.Context(), args...)
	cmd.Stdin = strings.NewReader(stdin)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("kubectl %s: %v\n%s", strings.Join(args, " "), err, out)
	}
}

// apply applies the documents of a file, with their status. What the tests of
// internal/doctor fill in is left out.
func (c *cluster) apply(t *testing.T, file string) {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var all, states bytes.Buffer
	for doc := range strings.SplitSeq(string(data), "---\n") {
		var o unstructured.Unstructured
		if err := yaml.Unmarshal([]byte(doc), &o.Object); err != nil {
			t.Fatal(err)
		}
		if strings.Contains(doc, "${") {
			continue
		}
		if owners := o.GetOwnerReferences(); len(owners) > 0 {
			// Those owners do not exist here, and Kubernetes' collector would notice.
			if o.GetLabels()["app"] != "" {
				o.SetOwnerReferences(nil)
			} else {
				continue
			}
		}
		unstructured.RemoveNestedField(o.Object, "metadata", "creationTimestamp")
		if err := json.NewEncoder(&all).Encode(o.Object); err != nil {
			t.Fatal(err)
		}
		if o.Object["status"] != nil {
			if err := json.NewEncoder(&states).Encode(o.Object); err != nil {
				t.Fatal(err)
			}
		}
	}
	c.kubectl(t, all.String(), "apply", "--server-side", "--force-conflicts", "-f", "-")
	if states.Len() > 0 {
		c.kubectl(t, states.String(), "apply", "--server-side", "--force-conflicts", "--subresource=status", "-f", "-")
	}
}

// doctor runs sallyport doctor and returns its exit status and output.
func (c *cluster) doctor(t *testing.T, args ...string) (status int, stdout, stderr string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), c.binary, append([]string{"doctor"}, args...)...)
	cmd.Env = append(os.Environ(), "KUBECONFIG="+c.cp.Kubeconfig, "NO_COLOR=1")
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		return exit.ExitCode(), out.String(), errs.String()
	}
	if err != nil {
		t.Fatal(err)
	}
	return 0, out.String(), errs.String()
}

// statuses runs it and returns the status of every check.
func (c *cluster) statuses(t *testing.T, args ...string) map[string]string {
	t.Helper()
	_, out, errs := c.doctor(t, append(args, "-o", "json")...)
	var r struct {
		Checks []struct{ Name, Status string }
	}
	if err := json.Unmarshal([]byte(out), &r); err != nil {
		t.Fatalf("%v\n%s%s", err, out, errs)
	}
	all := map[string]string{}
	for _, check := range r.Checks {
		all[check.Name] = check.Status
	}
	return all
}

// beside has what two checks say of a server that runs beside the cluster: it
// is called by URL, and the authority of its certificate lives for a day.
var beside = map[string]string{"webhook-server": "unknown", "webhook-certificate": "fail"}

func TestDoctor(t *testing.T) {
	c := start(t)
	c.apply(t, "../../internal/doctor/testdata/healthy.yaml")
	c.apply(t, "testdata/config.yaml")
	c.apply(t, "testdata/sick.yaml")

	t.Run("sick", func(t *testing.T) { c.sick(t) })

	c.kubectl(t, "", "delete", "--ignore-not-found", "--grace-period=0", "--force", "-f", "testdata/sick.yaml")
	s, err := server.Start(t.Context(), c.cp, server.Options{})
	if err != nil {
		t.Fatal(err)
	}
	stopped := false
	t.Cleanup(func() {
		if stopped {
			return
		}
		if err := s.Stop(); err != nil {
			t.Error(err)
		}
	})
	t.Run("healed", func(t *testing.T) { c.healed(t) })
	t.Run("auditor", func(t *testing.T) { c.auditor(t) })
	t.Run("nobody", func(t *testing.T) { c.nobody(t) })

	if err := s.Stop(); err != nil {
		t.Fatal(err)
	}
	stopped = true
	t.Run("server away", func(t *testing.T) {
		status, out, _ := c.doctor(t, "--check", "webhook-answers")
		if status != 1 || !strings.Contains(out, "ValidatingWebhookConfiguration/sallyport: the API server does not reach the server: ") {
			t.Errorf("status %d\n%s", status, out)
		}
	})
}

// sick compares the whole output: what is wrong, and what to do.
func (c *cluster) sick(t *testing.T) {
	status, got, stderr := c.doctor(t)
	if status != 1 || stderr != "" {
		t.Errorf("status %d, and on standard error %q", status, stderr)
	}
	const file = "testdata/want.txt"
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s is stale; run go test ./test/doctor -update (-want +got):\n%s", file, diff)
	}
}

// healed waits until the server has written what it keeps. Then everything
// passes, but for what a server outside the cluster cannot show.
func (c *cluster) healed(t *testing.T) {
	var args []string
	for name := range beside {
		args = append(args, "--skip", name)
	}
	deadline := time.Now().Add(patience)
	for {
		status, out, errs := c.doctor(t, args...)
		if status == 0 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("status %d\n%s%s", status, out, errs)
		}
		time.Sleep(time.Second)
	}
	all := c.statuses(t)
	for name, want := range beside {
		if all[name] != want {
			t.Errorf("%s: %s, want %s", name, all[name], want)
		}
	}
}

// auditor has the permissions of docs/doctor.md, and no other.
func (c *cluster) auditor(t *testing.T) {
	page, err := os.ReadFile("../../docs/doctor.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, found := strings.Cut(string(page), "```yaml\n")
	roles, _, closed := strings.Cut(rest, "```")
	if !found || !closed {
		t.Fatal("docs/doctor.md has no roles")
	}
	var bindings strings.Builder
	for doc := range strings.SplitSeq(roles, "---\n") {
		var o unstructured.Unstructured
		if err := yaml.Unmarshal([]byte(doc), &o.Object); err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&bindings, `---
apiVersion: rbac.authorization.k8s.io/v1
kind: %sBinding
metadata: {name: %s, namespace: %q}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: %[1]s, name: %[2]s}
subjects: [{apiGroup: rbac.authorization.k8s.io, kind: User, name: auditor}]
`, o.GetKind(), o.GetName(), o.GetNamespace())
	}
	c.kubectl(t, roles+bindings.String(), "apply", "-f", "-")

	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	want := c.statuses(t)
	for {
		// The authorizer learns of a new role a moment later.
		got := c.statuses(t, "--as", "auditor")
		if maps.Equal(want, got) {
			return
		}
		select {
		case <-ctx.Done():
			t.Fatalf("(-administrator +auditor):\n%s", cmp.Diff(want, got))
		case <-time.After(time.Second):
		}
	}
}

// nobody may read nothing: no check passes.
func (c *cluster) nobody(t *testing.T) {
	status, out, stderr := c.doctor(t, "--as", "nobody")
	if status != 3 || !strings.Contains(stderr, "note: the server's configuration is not to be seen") {
		t.Errorf("status %d, on standard error %q\n%s", status, stderr, out)
	}
	for name, s := range c.statuses(t, "--as", "nobody") {
		if s != "unknown" {
			t.Errorf("%s: %s", name, s)
		}
	}
	if !strings.Contains(out, `User "nobody" cannot list resource "pods"`) || slices.Contains(strings.Fields(out), "pass") {
		t.Error(out)
	}
}
