package test

import (
	"bytes"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"sigs.k8s.io/yaml"

	"github.com/sallyport-io/sallyport/internal/apikind"
	"github.com/sallyport-io/sallyport/internal/companion"
	"github.com/sallyport-io/sallyport/internal/config"
	"github.com/sallyport-io/sallyport/internal/mesh"
	"github.com/sallyport-io/sallyport/rules"
)

// documents returns the YAML documents of a file of manifests/.
func documents(t *testing.T, name string) [][]byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("..", "manifests", name))
	if err != nil {
		t.Fatal(err)
	}
	return bytes.Split(data, []byte("\n---\n"))
}

// decode decodes the one document of a kind strictly.
func decode[T any](t *testing.T, file, kind string) *T {
	t.Helper()
	var found *T
	for _, doc := range documents(t, file) {
		var meta metav1.TypeMeta
		if err := yaml.Unmarshal(doc, &meta); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		if meta.Kind != kind {
			continue
		}
		if found != nil {
			t.Fatalf("%s has more than one %s", file, kind)
		}
		found = new(T)
		if err := yaml.UnmarshalStrict(doc, found); err != nil {
			t.Fatalf("%s: %s: %v", file, kind, err)
		}
	}
	if found == nil {
		t.Fatalf("%s has no %s", file, kind)
	}
	return found
}

func entries(t *testing.T) (*admissionregistrationv1.MutatingWebhook, *admissionregistrationv1.ValidatingWebhook) {
	t.Helper()
	m := decode[admissionregistrationv1.MutatingWebhookConfiguration](t, "webhooks.yaml", "MutatingWebhookConfiguration")
	v := decode[admissionregistrationv1.ValidatingWebhookConfiguration](t, "webhooks.yaml", "ValidatingWebhookConfiguration")
	if len(m.Webhooks) != 1 || len(v.Webhooks) != 1 {
		t.Fatalf("%d mutating and %d validating entries, want one each", len(m.Webhooks), len(v.Webhooks))
	}
	for _, a := range []map[string]string{m.Annotations, v.Annotations} {
		if got, want := a["cert-manager.io/inject-ca-from"], "sallyport-system/sallyport-webhook"; got != want {
			t.Errorf("CA is injected from %q, want %q", got, want)
		}
	}
	return &m.Webhooks[0], &v.Webhooks[0]
}

func TestWebhookEntries(t *testing.T) {
	m, v := entries(t)
	if *m.FailurePolicy != admissionregistrationv1.Ignore || *v.FailurePolicy != admissionregistrationv1.Fail {
		t.Errorf("failurePolicy %s and %s: the mutating entry fails open, the validating one closed", *m.FailurePolicy, *v.FailurePolicy)
	}
	if *m.SideEffects != admissionregistrationv1.SideEffectClassNone || *v.SideEffects != admissionregistrationv1.SideEffectClassNone {
		t.Error("sideEffects must be None, or a dry run is refused")
	}
	if *m.MatchPolicy != admissionregistrationv1.Equivalent || *v.MatchPolicy != admissionregistrationv1.Equivalent {
		t.Error("matchPolicy must be Equivalent, or another version of the API goes by")
	}
	if *m.TimeoutSeconds > 3 || *v.TimeoutSeconds > 3 {
		t.Error("timeoutSeconds must be small")
	}
	if *m.ReinvocationPolicy != admissionregistrationv1.IfNeededReinvocationPolicy {
		t.Error("reinvocationPolicy must be IfNeeded: others may change a ServiceEntry after us")
	}
	if d := cmp.Diff(m.MatchConditions, v.MatchConditions); d != "" {
		t.Errorf("the entries' matchConditions differ (-mutating +validating):\n%s", d)
	}
	if d := cmp.Diff(m.NamespaceSelector, v.NamespaceSelector); d != "" {
		t.Errorf("the entries' namespaceSelectors differ (-mutating +validating):\n%s", d)
	}
	if m.ObjectSelector != nil || v.ObjectSelector != nil {
		t.Error("an objectSelector selects by labels that a tenant can set")
	}
	for _, e := range v.NamespaceSelector.MatchExpressions {
		if e.Key != corev1.LabelMetadataName {
			t.Errorf("the namespaceSelector reads the label %s; only %s cannot be set by anybody", e.Key, corev1.LabelMetadataName)
		}
	}
}

// TestEveryJudgedKindReachesTheWebhook compares the rules with the validating
// entry: a kind that a rule judges must be sent to it, and no other.
func TestEveryJudgedKindReachesTheWebhook(t *testing.T) {
	_, v := entries(t)
	sent := make(map[string]bool)
	for _, r := range v.Rules {
		for _, group := range r.APIGroups {
			for _, resource := range r.Resources {
				if strings.Contains(resource, "/") { // subresources come with their resource
					continue
				}
				sent[group+"/"+resource] = true
				for _, op := range []admissionregistrationv1.OperationType{admissionregistrationv1.Create, admissionregistrationv1.Update} {
					// Nobody keeps bindings, or updates them; of definitions only the end is judged.
					if !slices.Contains(r.Operations, op) && resource != "bindings" && resource != "customresourcedefinitions" {
						t.Errorf("%v of %v is not sent", op, resource)
					}
				}
			}
		}
	}
	judged := make(map[string]bool)
	for _, rule := range rules.All {
		for _, kind := range rule.Kinds {
			for _, k := range apikind.All {
				if k.Name != kind {
					continue
				}
				resource := k.Group + "/" + k.Resource
				judged[resource] = true
				if !sent[resource] {
					t.Errorf("rule %s judges %s, but the validating entry has no %s", rule.Name, kind, resource)
					sent[resource] = true
				}
			}
		}
	}
	// Two groups and two resources in one rule: these pairs do not exist.
	delete(sent, "gateway.networking.k8s.io/xlistenersets")
	delete(sent, "gateway.networking.x-k8s.io/listenersets")
	for _, resource := range slices.Sorted(maps.Keys(sent)) {
		if !judged[resource] {
			t.Errorf("the validating entry has %s, which no rule judges", resource)
		}
	}
}

// harmlessDeletes are the kinds that may go unasked, and why.
var harmlessDeletes = map[string]string{
	"Binding":                        "nobody keeps one",
	"ControllerRevision":             "the controller writes another, of the template that was judged",
	"PodTemplate":                    "without it nothing runs",
	"CalicoNetworkPolicy":            "without it no more is allowed: the wall is a policy by itself",
	"CiliumClusterwideEnvoyConfig":   "without it traffic goes where it went before",
	"CiliumClusterwideNetworkPolicy": "without it no more is allowed: the wall is a policy by itself",
	"CiliumEnvoyConfig":              "without it traffic goes where it went before",
	"CiliumLocalRedirectPolicy":      "without it traffic goes where it went before",
	"CiliumNetworkPolicy":            "without it no more is allowed: the wall is a policy by itself",
	"GlobalNetworkPolicy":            "without it no more is allowed: the wall is a policy by itself",
	"NetworkSet":                     "with it go addresses that policies allow",

	"Endpoints":             "with it go addresses behind a name, and no path is opened",
	"EndpointSlice":         "with it go addresses behind a name, and no path is opened",
	"Ingress":               "it leads into the cluster, and without it nothing leads anywhere else",
	"ListenerSet":           "it opens a gateway, and closes nothing",
	"XListenerSet":          "it opens a gateway, and closes nothing",
	"Node":                  "what runs the cluster deletes it, and no tenant can",
	"ServiceCIDR":           "what runs the cluster deletes it, and no tenant can",
	"PeerAuthentication":    "it asks clients for certificates, which no path rests on",
	"ProxyConfig":           "without it a proxy is as Istio makes it",
	"ReferenceGrant":        "it lets a route lead elsewhere, and closes nothing",
	"RequestAuthentication": "without it nothing is fetched",
	"Telemetry":             "it decides about no path",
	"TrafficExtension":      "without it a proxy is as Istio makes it",
	"WasmPlugin":            "without it a proxy is as Istio makes it",
	"WorkloadGroup":         "it is a template for what is judged when it is written",
	"CronJob":               "without it nothing runs", "DaemonSet": "without it nothing runs", "Deployment": "without it nothing runs",
	"Job": "without it nothing runs", "Pod": "without it nothing runs", "ReplicaSet": "without it nothing runs",
	"ReplicationController": "without it nothing runs", "StatefulSet": "without it nothing runs",
}

// TestEveryDeleteIsJudged: of every kind of the model the DELETE is sent to the
// validating entry, or it is known why it need not be.
func TestEveryDeleteIsJudged(t *testing.T) {
	_, v := entries(t)
	for _, kind := range mesh.Kinds() {
		k := apikind.Named(kind)
		sent := slices.ContainsFunc(v.Rules, func(r admissionregistrationv1.RuleWithOperations) bool {
			return slices.Contains(r.APIGroups, k.Group) && slices.Contains(r.Resources, k.Resource) &&
				slices.Contains(r.Operations, admissionregistrationv1.Delete)
		})
		if harmless := harmlessDeletes[kind] != ""; sent == harmless {
			t.Errorf("the DELETE of a %s: sent is %v, known to be harmless %v", kind, sent, harmless)
		}
	}
}

// TestControllersDeleteLikeAnybody: no user is excepted from the DELETE of anything,
// nor from the UPDATE that lets go of what is being deleted.
func TestControllersDeleteLikeAnybody(t *testing.T) {
	_, v := entries(t)
	i := slices.IndexFunc(v.MatchConditions, func(c admissionregistrationv1.MatchCondition) bool { return c.Name == "not-kubernetes-controllers" })
	if i < 0 {
		t.Fatal("no condition not-kubernetes-controllers")
	}
	expression := strings.Join(strings.Fields(v.MatchConditions[i].Expression), " ")
	const want = "request.operation == 'DELETE' || (request.operation == 'UPDATE' && !(request.resource.group in ['', 'apps', 'batch']) && has(oldObject.metadata.deletionTimestamp)) || !(request.userInfo.username in ["
	if !strings.HasPrefix(expression, want) {
		t.Errorf("the condition is %s\nwant it to begin with %s", expression, want)
	}
}

// TestDefinitionsOfHeldKindsAreJudged: the DELETE of the definition of every custom
// resource whose absence changes paths reaches the server.
func TestDefinitionsOfHeldKindsAreJudged(t *testing.T) {
	_, v := entries(t)
	i := slices.IndexFunc(v.MatchConditions, func(c admissionregistrationv1.MatchCondition) bool { return c.Name == "not-other-definitions" })
	if i < 0 {
		t.Fatal("no condition not-other-definitions")
	}
	for _, k := range apikind.All {
		_, _, held := mesh.KindOf(k.Group, k.API)
		if held && strings.Contains(k.Group, "istio.io") || held && strings.Contains(k.Group, "gateway.") {
			if !strings.Contains(v.MatchConditions[i].Expression, "'"+k.Group+"'") {
				t.Errorf("the definition of %s (%s) is not judged", k.Name, k.Group)
			}
		}
	}
}

// TestManifestsAgree checks the names that several manifests and the
// configuration share.
func TestManifestsAgree(t *testing.T) {
	data, err := os.ReadFile(filepath.Join("..", "manifests", "config.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	cfg, err := config.Parse("config.yaml", data)
	if err != nil {
		t.Fatal(err)
	}
	namespace, account := cfg.Account()
	sa := decode[corev1.ServiceAccount](t, "rbac.yaml", "ServiceAccount")
	if sa.Namespace != namespace || sa.Name != account {
		t.Errorf("the configuration's serviceAccount is %s/%s, the manifests' %s/%s", namespace, account, sa.Namespace, sa.Name)
	}
	d := decode[appsv1.Deployment](t, "deployment.yaml", "Deployment")
	if d.Namespace != namespace || d.Spec.Template.Spec.ServiceAccountName != account {
		t.Errorf("the Deployment runs as %s/%s", d.Namespace, d.Spec.Template.Spec.ServiceAccountName)
	}
	m, v := entries(t)
	if want := fmt.Sprintf("request.userInfo.username != '%s'", cfg.User()); m.MatchConditions[0].Expression != want {
		t.Errorf("the first matchCondition is %q, want %q", m.MatchConditions[0].Expression, want)
	}
	svc := decode[corev1.Service](t, "service.yaml", "Service")
	if d := cmp.Diff(d.Spec.Template.Labels["app.kubernetes.io/name"], svc.Spec.Selector["app.kubernetes.io/name"]); d != "" {
		t.Errorf("the Service selects other pods (-have +selected):\n%s", d)
	}
	for _, ref := range []*admissionregistrationv1.ServiceReference{m.ClientConfig.Service, v.ClientConfig.Service} {
		if ref.Name != svc.Name || ref.Namespace != svc.Namespace {
			t.Errorf("a webhook calls the Service %s/%s, want %s/%s", ref.Namespace, ref.Name, svc.Namespace, svc.Name)
		}
	}
	if ns := decode[corev1.Namespace](t, "namespace.yaml", "Namespace"); ns.Name != namespace {
		t.Errorf("the namespace is %s, want %s", ns.Name, namespace)
	}
	if !slices.ContainsFunc(v.NamespaceSelector.MatchExpressions, func(e metav1.LabelSelectorRequirement) bool {
		return e.Operator == metav1.LabelSelectorOpNotIn && slices.Contains(e.Values, namespace)
	}) {
		t.Errorf("the namespace %s is not excluded: the server could not come back by itself", namespace)
	}
}

// TestWebhooksAreAStepOfTheirOwn: what fails closed is not applied, or deleted,
// together with the server that answers for it, and no account of the server's
// may write it.
func TestWebhooksAreAStepOfTheirOwn(t *testing.T) {
	data, err := os.ReadFile(filepath.Join("..", "manifests", "kustomization.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	var kustomization struct {
		Resources []string `json:"resources"`
	}
	if err := yaml.Unmarshal(data, &kustomization); err != nil {
		t.Fatal(err)
	}
	for _, file := range kustomization.Resources {
		for _, doc := range documents(t, file) {
			if bytes.Contains(doc, []byte("apiVersion: admissionregistration.k8s.io")) {
				t.Errorf("%s of the kustomization registers a webhook", file)
			}
			var role rbacv1.ClusterRole
			if err := yaml.Unmarshal(doc, &role); err != nil {
				continue
			}
			for _, rule := range role.Rules {
				if slices.ContainsFunc(rule.APIGroups, func(g string) bool { return g == "*" || g == "admissionregistration.k8s.io" }) {
					t.Errorf("%s: %s %s may write webhooks", file, role.Kind, role.Name)
				}
			}
		}
	}
	m, v := decode[admissionregistrationv1.MutatingWebhookConfiguration](t, "webhooks.yaml", "MutatingWebhookConfiguration"),
		decode[admissionregistrationv1.ValidatingWebhookConfiguration](t, "webhooks.yaml", "ValidatingWebhookConfiguration")
	for _, annotations := range []map[string]string{m.Annotations, v.Annotations} {
		if annotations["argocd.argoproj.io/sync-wave"] != "1" {
			t.Errorf("the webhooks are not in a wave after the server: %v", annotations)
		}
	}
	for _, page := range []string{"README.md", "docs/server.md"} {
		text, err := os.ReadFile(filepath.Join("..", page))
		if err != nil {
			t.Fatal(err)
		}
		server, last := bytes.Index(text, []byte("kubectl apply -k manifests/\n")), bytes.Index(text, []byte("kubectl apply -f manifests/webhooks.yaml"))
		if ready := bytes.Index(text, []byte("rollout status deployment/sallyport-webhook")); server < 0 || ready < server || last < ready {
			t.Errorf("%s does not apply the webhooks when the server is ready", page)
		}
	}
}

// TestCertificatesOnlyForIssuers: the right to Certificates is one of its own,
// which is installed where the configuration names an issuer, and nowhere else.
func TestCertificatesOnlyForIssuers(t *testing.T) {
	var kustomization struct {
		Resources []string `json:"resources"`
	}
	data, err := os.ReadFile(filepath.Join("..", "manifests", "kustomization.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	if err := yaml.Unmarshal(data, &kustomization); err != nil {
		t.Fatal(err)
	}
	data, err = os.ReadFile(filepath.Join("..", "manifests", "config.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	cfg, err := config.Parse("config.yaml", data)
	if err != nil {
		t.Fatal(err)
	}
	installed, asked := slices.Contains(kustomization.Resources, "issuers.yaml"), len(companion.Issued(cfg.Settings())) > 0
	if installed != asked {
		t.Errorf("the configuration names issuers: %t; manifests/issuers.yaml is installed: %t", asked, installed)
	}
	granted := 0
	files, err := filepath.Glob(filepath.Join("..", "manifests", "*.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		for _, doc := range documents(t, filepath.Base(file)) {
			var role rbacv1.ClusterRole
			if err := yaml.Unmarshal(doc, &role); err != nil {
				continue // of another kind
			}
			for _, rule := range role.Rules {
				if !slices.ContainsFunc(rule.APIGroups, func(g string) bool { return g == "cert-manager.io" || g == "*" }) {
					continue
				}
				granted++
				if filepath.Base(file) != "issuers.yaml" || !slices.Equal(rule.Resources, []string{"certificates"}) || slices.Contains(rule.Verbs, "*") {
					t.Errorf("%s: %s %s grants %v on %v of cert-manager", file, role.Kind, role.Name, rule.Verbs, rule.Resources)
				}
			}
		}
	}
	if granted != 1 {
		t.Errorf("%d rules grant rights to cert-manager's objects, want the one of issuers.yaml", granted)
	}
	binding := decode[rbacv1.RoleBinding](t, "issuers.yaml", "RoleBinding")
	role := decode[rbacv1.ClusterRole](t, "issuers.yaml", "ClusterRole")
	namespace, account := cfg.Account()
	if binding.RoleRef.Name != role.Name || len(binding.Subjects) != 1 || binding.Subjects[0].Name != account || binding.Subjects[0].Namespace != namespace {
		t.Errorf("the right to Certificates is bound to %+v by %+v", binding.Subjects, binding.RoleRef)
	}
	if !slices.ContainsFunc(cfg.Settings().Gateways, func(g mesh.EgressGateway) bool { return g.Namespace == binding.Namespace }) {
		t.Errorf("the right to Certificates is for namespace %s, which has no gateway", binding.Namespace)
	}
}

// TestPodIsRestricted checks what the Pod Security level "restricted" asks,
// and what keeps a rollout quiet.
func TestPodIsRestricted(t *testing.T) {
	d := decode[appsv1.Deployment](t, "deployment.yaml", "Deployment")
	pod := d.Spec.Template.Spec
	c := pod.Containers[0]
	switch {
	case *d.Spec.Replicas < 3:
		t.Error("fewer than three replicas")
	case !*pod.SecurityContext.RunAsNonRoot || pod.SecurityContext.SeccompProfile.Type != corev1.SeccompProfileTypeRuntimeDefault:
		t.Error("the pod must run as another user than root, with the runtime's seccomp profile")
	case *c.SecurityContext.AllowPrivilegeEscalation || !*c.SecurityContext.ReadOnlyRootFilesystem:
		t.Error("the container may escalate privileges, or write to its own files")
	case !slices.Contains(c.SecurityContext.Capabilities.Drop, "ALL"):
		t.Error("the container keeps capabilities")
	case c.LivenessProbe == nil || c.ReadinessProbe == nil || c.StartupProbe == nil:
		t.Error("a probe is missing")
	case c.Lifecycle == nil || c.Lifecycle.PreStop == nil || c.Lifecycle.PreStop.Sleep == nil:
		t.Error("without a pause before the end the API server calls a pod that is gone")
	}
	const drain = 20 // seconds that the server takes to stop, at most
	if pause := c.Lifecycle.PreStop.Sleep.Seconds; *pod.TerminationGracePeriodSeconds <= pause+drain {
		t.Errorf("terminationGracePeriodSeconds %d is not enough for the pause of %d and the server's %d", *pod.TerminationGracePeriodSeconds, pause, drain)
	}
}

// TestOwnNetworkPolicy checks that the server's own policy selects its pods and
// names their ports: what is not named is closed, and a name too many is open.
func TestOwnNetworkPolicy(t *testing.T) {
	d := decode[appsv1.Deployment](t, "deployment.yaml", "Deployment")
	p := decode[networkingv1.NetworkPolicy](t, "networkpolicy.yaml", "NetworkPolicy")
	if p.Namespace != d.Namespace {
		t.Errorf("the policy is in %s, the pods are in %s", p.Namespace, d.Namespace)
	}
	selector, err := metav1.LabelSelectorAsSelector(&p.Spec.PodSelector)
	if err != nil || selector.Empty() || !selector.Matches(labels.Set(d.Spec.Template.Labels)) {
		t.Errorf("the policy selects %v (error %v), the pods have %v", selector, err, d.Spec.Template.Labels)
	}
	if !slices.Contains(p.Spec.PolicyTypes, networkingv1.PolicyTypeIngress) || !slices.Contains(p.Spec.PolicyTypes, networkingv1.PolicyTypeEgress) {
		t.Errorf("policyTypes %v: both directions are to be closed", p.Spec.PolicyTypes)
	}
	ports := map[string]int32{}
	for _, port := range d.Spec.Template.Spec.Containers[0].Ports {
		ports[port.Name] = port.ContainerPort
	}
	if len(p.Spec.Ingress) != 2 {
		t.Fatalf("%d rules for what comes in, want those of the webhooks and of the metrics", len(p.Spec.Ingress))
	}
	for i, want := range []string{"webhook", "metrics"} {
		r := p.Spec.Ingress[i]
		if len(r.Ports) != 1 || *r.Ports[0].Protocol != corev1.ProtocolTCP || r.Ports[0].Port.IntVal != ports[want] {
			t.Errorf("rule %d is for %v, want the port of %s", i, r.Ports, want)
		}
		// docs/server.md adds addresses to the first rule.
		if open := len(r.From) == 0; open != (want == "webhook") {
			t.Errorf("the port of %s is open to all: %v", want, open)
		}
	}
	var out []string
	for _, r := range p.Spec.Egress {
		for _, port := range r.Ports {
			out = append(out, fmt.Sprintf("%s/%s", *port.Protocol, port.Port))
			if port.Port.IntVal == 53 && len(r.To) == 0 {
				t.Error("DNS leads anywhere: whoever is in the pod could ask any server")
			}
		}
	}
	if d := cmp.Diff([]string{"TCP/443", "TCP/6443", "UDP/53", "TCP/53"}, out); d != "" {
		t.Errorf("what goes out (-want +got):\n%s", d)
	}
}

// TestWebhookPortCanBeClosed applies the patch that docs/server.md gives.
func TestWebhookPortCanBeClosed(t *testing.T) {
	page, err := os.ReadFile(filepath.Join("..", "docs", "server.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, ok := bytes.Cut(page, []byte("resources: [../manifests]"))
	if !ok {
		t.Fatal("the page has no kustomization that closes the port")
	}
	text, _, _ := bytes.Cut(rest, []byte("```"))
	var doc struct {
		Patches []struct {
			Target struct{ Kind, Name string }
			Patch  string
		}
	}
	if err := yaml.Unmarshal(text, &doc); err != nil || len(doc.Patches) != 1 {
		t.Fatalf("%d patches, error %v", len(doc.Patches), err)
	}
	var operations []struct {
		Op, Path string
		Value    []networkingv1.NetworkPolicyPeer
	}
	if err := yaml.UnmarshalStrict([]byte(doc.Patches[0].Patch), &operations); err != nil || len(operations) != 1 {
		t.Fatalf("%d operations, error %v", len(operations), err)
	}
	p := decode[networkingv1.NetworkPolicy](t, "networkpolicy.yaml", "NetworkPolicy")
	if target := doc.Patches[0].Target; target.Kind != "NetworkPolicy" || target.Name != p.Name {
		t.Errorf("the patch is for %+v", target)
	}
	if op := operations[0]; op.Op != "add" || op.Path != "/spec/ingress/0/from" || len(op.Value) != 1 || op.Value[0].IPBlock == nil {
		t.Errorf("the patch does not say from where: %+v", op)
	}
	if first := p.Spec.Ingress[0]; len(first.From) > 0 || first.Ports[0].Port.IntVal != 9443 {
		t.Errorf("the first rule is not the one of the webhooks, open to all: %+v", first)
	}
}
