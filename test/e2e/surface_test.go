package e2e

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/discovery"
	"sigs.k8s.io/yaml"

	"github.com/sallyport-io/sallyport/hack/controlplane"
	"github.com/sallyport-io/sallyport/hack/controlplane/controlplanetest"
	"github.com/sallyport-io/sallyport/internal/mesh"
	"github.com/sallyport-io/sallyport/internal/surface"
)

// TestEveryWriteIsAccountedFor asks an API server for every kind and subresource
// that it takes writes of: each is judged, or named in package surface with the
// reason why it need not be.
func TestEveryWriteIsAccountedFor(t *testing.T) {
	cp := controlplanetest.Start(t, controlplane.Options{
		CRDs: []controlplane.CRDs{controlplane.IstioCRDs, controlplane.GatewayAPICRDs, controlplane.CertManagerCRDs},
	})
	client, err := discovery.NewDiscoveryClientForConfig(cp.Config)
	if err != nil {
		t.Fatal(err)
	}
	_, lists, err := client.ServerGroupsAndResources()
	if err != nil {
		t.Fatal(err)
	}
	hook := validating(t)
	served := map[surface.Resource]bool{}
	for _, list := range lists {
		gv, err := schema.ParseGroupVersion(list.GroupVersion)
		if err != nil {
			t.Fatal(err)
		}
		for _, api := range list.APIResources {
			operations := operationsOf(api)
			if len(operations) == 0 {
				continue
			}
			r, ok := surface.Find(gv.Group, api.Name)
			served[r] = true
			if problem := account(hook, gv, api, r, ok, operations); problem != "" {
				t.Errorf("%s %s: %s", gv, api.Name, problem)
			}
		}
	}
	for _, r := range surface.Resources {
		if !served[r] && !r.Optional {
			t.Errorf("%s is accounted for, and not served", r)
		}
	}
	if len(served) < 100 {
		t.Errorf("only %d resources are served", len(served))
	}
}

// account says what is missing about a resource that is served.
func account(hook *admissionregistrationv1.ValidatingWebhook, gv schema.GroupVersion, api metav1.APIResource, r surface.Resource, known bool, operations []admissionregistrationv1.OperationType) string {
	var unjudged []admissionregistrationv1.OperationType
	for _, op := range operations {
		if !asks(hook, gv, api, op) {
			unjudged = append(unjudged, op)
		}
	}
	switch {
	case !known:
		return fmt.Sprintf("takes %v, and is neither judged nor named in internal/surface", operations)
	case len(unjudged) > 0 && r.Harmless == "":
		return fmt.Sprintf("%v of it is not judged, and internal/surface does not say why", unjudged)
	case len(unjudged) == 0 && r.Harmless != "" && !r.Partly:
		return "is judged in all it takes, and internal/surface says why something else is harmless"
	case r.Kind == "" && len(unjudged) < len(operations):
		return "is sent to the server, which does not judge it"
	case r.Kind != "" && len(unjudged) == len(operations):
		return "is not sent to the server, and internal/surface calls it judged"
	case r.Kind != "" && r.Kind != mesh.NameOf(gv.Group, api.Kind):
		return fmt.Sprintf("a review of it holds a %s, and internal/surface takes it for a %s", api.Kind, r.Kind)
	default:
		return ""
	}
}

// operationsOf are the admission operations that the verbs of a resource lead to.
// What takes options alone is connected to, whatever the verb.
func operationsOf(api metav1.APIResource) []admissionregistrationv1.OperationType {
	if strings.HasSuffix(api.Kind, "Options") {
		return []admissionregistrationv1.OperationType{admissionregistrationv1.Connect}
	}
	verbs := map[string]admissionregistrationv1.OperationType{
		"create": admissionregistrationv1.Create, "update": admissionregistrationv1.Update, "patch": admissionregistrationv1.Update,
		"delete": admissionregistrationv1.Delete, "deletecollection": admissionregistrationv1.Delete,
	}
	var operations []admissionregistrationv1.OperationType
	for _, verb := range api.Verbs {
		op, writes := verbs[verb]
		if !writes && !slices.Contains([]string{"get", "list", "watch"}, verb) {
			op, writes = admissionregistrationv1.OperationType("verb "+verb), true
		}
		if writes && !slices.Contains(operations, op) {
			operations = append(operations, op)
		}
	}
	return operations
}

// asks reports whether the API server asks about an operation.
func asks(hook *admissionregistrationv1.ValidatingWebhook, gv schema.GroupVersion, api metav1.APIResource, op admissionregistrationv1.OperationType) bool {
	has := func(list []string, want string) bool {
		return slices.Contains(list, want) || slices.Contains(list, "*")
	}
	scope := admissionregistrationv1.ClusterScope
	if api.Namespaced {
		scope = admissionregistrationv1.NamespacedScope
	}
	return slices.ContainsFunc(hook.Rules, func(r admissionregistrationv1.RuleWithOperations) bool {
		return has(r.APIGroups, gv.Group) && has(r.APIVersions, gv.Version) && slices.Contains(r.Resources, api.Name) &&
			slices.Contains(r.Operations, op) && (r.Scope == nil || *r.Scope == admissionregistrationv1.AllScopes || *r.Scope == scope)
	})
}

// validating is the validating entry of manifests/.
func validating(t *testing.T) *admissionregistrationv1.ValidatingWebhook {
	t.Helper()
	data, err := os.ReadFile("../../manifests/webhooks.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for doc := range strings.SplitSeq(string(data), "\n---\n") {
		var c admissionregistrationv1.ValidatingWebhookConfiguration
		if err := yaml.Unmarshal([]byte(doc), &c); err != nil {
			t.Fatal(err)
		}
		if c.Kind == "ValidatingWebhookConfiguration" && len(c.Webhooks) == 1 {
			return &c.Webhooks[0]
		}
	}
	t.Fatal("manifests/webhooks.yaml has no validating entry")
	return nil
}
