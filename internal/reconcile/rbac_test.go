package reconcile_test

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	nethttp "net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/yaml"

	"github.com/sallyport-io/sallyport/hack/controlplane"
)

// account is how the reconcilers of all tests reach the control plane: with the
// rights that the manifests give the server, so that one right less fails the
// test that needs it. What they ask for is noted, as one right more is one too
// many; see [rights.unused].
var (
	account *rest.Config
	used    = rights{seen: make(map[string]bool)}
)

// gatewayNamespace is the one to which the manifests bind the role
// sallyport-gateway-writer.
const gatewayNamespace = "istio-system"

// giveRights applies the roles of the manifests.
func giveRights(ctx context.Context, plane *controlplane.ControlPlane) error {
	roles, err := roles()
	if err != nil {
		return err
	}
	for _, manifest := range []string{
		"{apiVersion: v1, kind: List, items: [" +
			"{apiVersion: v1, kind: Namespace, metadata: {name: sallyport-system}}," +
			"{apiVersion: v1, kind: Namespace, metadata: {name: " + gatewayNamespace + "}}]}",
		string(roles),
	} {
		apply := plane.Kubectl(ctx, "apply", "-f", "-")
		apply.Stdin = strings.NewReader(manifest)
		if out, err := apply.CombinedOutput(); err != nil {
			return fmt.Errorf("applying the roles of manifests/: %w\n%s", err, out)
		}
	}
	account, err = plane.ServiceAccount(ctx, "sallyport-system", "sallyport-webhook")
	if err != nil {
		return err
	}
	account.Wrap(func(next nethttp.RoundTripper) nethttp.RoundTripper {
		return roundTripper(func(r *nethttp.Request) (*nethttp.Response, error) {
			response, err := next.RoundTrip(r)
			if err == nil && response.StatusCode < 300 {
				used.note(r)
			}
			return response, err
		})
	})
	return nil
}

// roles are those that every installation has, and the one for configurations
// that name issuers, as these tests do.
func roles() ([]byte, error) {
	var all []byte
	for _, file := range []string{"rbac.yaml", "issuers.yaml"} {
		data, err := os.ReadFile(filepath.Join("../../manifests", file))
		if err != nil {
			return nil, err
		}
		all = append(append(all, data...), "\n---\n"...)
	}
	return all, nil
}

// rights are what was asked of the API server.
type rights struct {
	mu   sync.Mutex
	seen map[string]bool // of right
}

// right is one right to objects in namespaces.
func right(role, verb, group, resource string) string {
	return role + ": " + verb + " " + resource + "." + group
}

// note notes a request for objects in a namespace, for the role that it takes.
func (u *rights) note(r *nethttp.Request) {
	parts := strings.Split(strings.Trim(r.URL.Path, "/"), "/")
	if len(parts) < 6 || parts[0] != "apis" || parts[3] != "namespaces" {
		return
	}
	verb := map[string]string{
		nethttp.MethodPost: "create", nethttp.MethodPut: "update", nethttp.MethodPatch: "patch", nethttp.MethodDelete: "delete", nethttp.MethodGet: "get",
	}[r.Method]
	if verb == "get" && len(parts) == 6 {
		verb = "list"
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	role := "sallyport-tenant-writer"
	if parts[4] == gatewayNamespace {
		role = "sallyport-gateway-writer"
	}
	if parts[1] == "cert-manager.io" {
		role = "sallyport-certificate-writer"
	}
	u.seen[right(role, verb, parts[1], parts[5])] = true
}

// unused returns the rights of the writers' roles of which no test has made
// use.
func (u *rights) unused() ([]string, error) {
	data, err := roles()
	if err != nil {
		return nil, err
	}
	granted := make(map[string]bool)
	for doc := range bytes.SplitSeq(data, []byte("\n---\n")) {
		var role rbacv1.ClusterRole
		if err := yaml.Unmarshal(doc, &role); err != nil {
			return nil, err
		}
		if role.Kind != "ClusterRole" || !strings.HasSuffix(role.Name, "-writer") {
			continue
		}
		for _, rule := range role.Rules {
			for _, group := range rule.APIGroups {
				for _, resource := range rule.Resources {
					for _, verb := range rule.Verbs {
						granted[right(role.Name, verb, group, resource)] = true
					}
				}
			}
		}
	}
	// Events are sent by the recorder of controller-runtime's manager, for
	// which the tests have another.
	for _, verb := range []string{"create", "patch"} {
		delete(granted, right("sallyport-tenant-writer", verb, "events.k8s.io", "events"))
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	maps.DeleteFunc(granted, func(right string, _ bool) bool { return u.seen[right] })
	return slices.Sorted(maps.Keys(granted)), nil
}
