package doctor

import (
	"fmt"
	"slices"
	"strings"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/sallyport-io/sallyport/internal/apikind"
	"github.com/sallyport-io/sallyport/internal/mesh"
)

// The two entries of the server, as manifests/webhooks.yaml names them.
const (
	mutateEntry   = "mutate.sallyport.io"
	validateEntry = "validate.sallyport.io"
)

// entry is one entry of a webhook configuration: what the two kinds have in
// common.
type entry struct {
	ref  mesh.Ref
	path string // of the entry in its configuration
	admissionv1.ValidatingWebhook
}

func (w entry) at(field string) string { return w.path + "." + field }

// edit is the command that changes it.
func (w entry) edit() string { return kubectl("edit %s %s", strings.ToLower(w.ref.Kind), w.ref.Name) }

// The commands that install what is missing: the server, and the webhooks when it
// is ready.
const (
	reinstall = "kubectl apply -k manifests/"
	register  = "kubectl apply -f manifests/webhooks.yaml"
)

// webhooks are the entries of Sallyport's server, whatever their
// configurations are called.
func (f *Facts) webhooks() []entry {
	var found []entry
	for i := range f.mutating {
		c := &f.mutating[i]
		for j, w := range c.Webhooks {
			if w.Name == mutateEntry {
				found = append(found, entry{ref("MutatingWebhookConfiguration", &c.ObjectMeta), fmt.Sprintf("webhooks[%d]", j), admissionv1.ValidatingWebhook{
					Name: w.Name, ClientConfig: w.ClientConfig, Rules: w.Rules, FailurePolicy: w.FailurePolicy, MatchPolicy: w.MatchPolicy,
					NamespaceSelector: w.NamespaceSelector, ObjectSelector: w.ObjectSelector, TimeoutSeconds: w.TimeoutSeconds, MatchConditions: w.MatchConditions,
				}})
			}
		}
	}
	for i := range f.validating {
		c := &f.validating[i]
		for j, w := range c.Webhooks {
			if w.Name == validateEntry {
				found = append(found, entry{ref("ValidatingWebhookConfiguration", &c.ObjectMeta), fmt.Sprintf("webhooks[%d]", j), w})
			}
		}
	}
	return found
}

var webhookKinds = kinds("MutatingWebhookConfiguration", "ValidatingWebhookConfiguration")

// registered returns the entries, having reported those that are not there:
// webhook-configuration's business, of which nothing else can be told.
func (e *Exam) registered() []entry {
	if !e.need(webhookKinds...) {
		return nil
	}
	for _, name := range e.unregistered() {
		e.unknown(mesh.Ref{}, "", register, "no webhook configuration has the entry %s", name)
	}
	return e.webhooks()
}

// unregistered are the entries that no configuration has.
func (f *Facts) unregistered() []string {
	found := f.webhooks()
	return slices.DeleteFunc([]string{mutateEntry, validateEntry}, func(name string) bool {
		return slices.ContainsFunc(found, func(w entry) bool { return w.Name == name })
	})
}

// judged is what the server must be asked about: writes that rules judge.
// manifests/webhooks.yaml says the same; a test compares the two.
var judged = []struct {
	entry, group string
	resources    []string
	deletes      bool // deleting one can open a path
}{
	{mutateEntry, apikind.Istio, []string{"serviceentries", "virtualservices"}, false},
	{validateEntry, apikind.Istio, []string{"serviceentries", "virtualservices", "gateways", "destinationrules", "sidecars", "workloadentries", "envoyfilters"}, true},
	{validateEntry, apikind.GatewayAPI, []string{"gateways", "httproutes", "grpcroutes", "tlsroutes", "tcproutes", "backendtlspolicies"}, true},
	{validateEntry, apikind.GatewayAPIX, []string{"xbackends"}, true},
	{validateEntry, "networking.k8s.io", []string{"networkpolicies"}, true},
	{validateEntry, apikind.Cilium, []string{"ciliumnetworkpolicies", "ciliumlocalredirectpolicies", "ciliumenvoyconfigs", "ciliumclusterwidenetworkpolicies", "ciliumclusterwideenvoyconfigs"}, false},
	{validateEntry, apikind.Calico, []string{"networkpolicies", "networksets", "globalnetworkpolicies"}, false},
	{validateEntry, apikind.CalicoKept, []string{"networkpolicies", "networksets", "globalnetworkpolicies"}, false},
	{validateEntry, apikind.Istio, []string{"workloadgroups", "proxyconfigs"}, false},
	{validateEntry, "extensions.istio.io", []string{"wasmplugins", "trafficextensions"}, false},
	{validateEntry, apikind.Security, []string{"authorizationpolicies"}, true},
	{validateEntry, apikind.Security, []string{"requestauthentications"}, false},
	{validateEntry, apikind.GatewayAPI, []string{"listenersets"}, false},
	{validateEntry, apikind.GatewayAPIX, []string{"xlistenersets"}, false},
	{validateEntry, "networking.k8s.io", []string{"ingresses", "ingresses/status"}, false},
	{validateEntry, apikind.Istio, []string{"serviceentries/status"}, false},
	{validateEntry, apikind.GatewayAPI, []string{"gateways/status"}, false},
	{validateEntry, "", []string{"configmaps", "services", "services/status", "namespaces", "namespaces/status", "namespaces/finalize"}, true},
	{validateEntry, "", []string{
		"endpoints", "pods", "pods/ephemeralcontainers", "pods/status", "pods/binding", "bindings", "podtemplates",
		"replicationcontrollers", "replicationcontrollers/status",
	}, false},
	{validateEntry, "apiextensions.k8s.io", []string{"customresourcedefinitions"}, true},
	{validateEntry, "discovery.k8s.io", []string{"endpointslices"}, false},
	{validateEntry, "apps", []string{
		"deployments", "deployments/status", "statefulsets", "statefulsets/status", "daemonsets", "daemonsets/status",
		"replicasets", "replicasets/status", "controllerrevisions",
	}, false},
	{validateEntry, "batch", []string{"jobs", "jobs/status", "cronjobs", "cronjobs/status"}, false},
}

// operations are those of a resource that matter: what there is of a subresource
// is updated, a Binding is only ever created, and of a definition the end matters.
func operations(resource string, deletes bool) []admissionv1.OperationType {
	switch {
	case resource == "bindings", resource == "pods/binding":
		return []admissionv1.OperationType{admissionv1.Create}
	case resource == "customresourcedefinitions":
		return []admissionv1.OperationType{admissionv1.Delete}
	case strings.Contains(resource, "/"):
		return []admissionv1.OperationType{admissionv1.Update}
	case deletes:
		return []admissionv1.OperationType{admissionv1.Create, admissionv1.Update, admissionv1.Delete}
	default:
		return []admissionv1.OperationType{admissionv1.Create, admissionv1.Update}
	}
}

var webhookConfiguration = &Check{
	Name:  "webhook-configuration",
	Group: groupServer,
	Doc: `the API server asks Sallyport about every write that matters

Both entries are registered. The validating one fails closed: with failurePolicy
Ignore a write passes unjudged while the server is away. Its rules cover every
kind that Sallyport judges, in whatever version it is written (matchPolicy
Equivalent), and deletions where they can open a way around the gateway.`,
	Sources: []string{webhookPage, "docs/server.md"},
	Check: func(e *Exam) {
		if !e.need(webhookKinds...) {
			return
		}
		for _, name := range e.unregistered() {
			e.fail(mesh.Ref{}, "", register, "no webhook configuration has the entry %s: the API server does not ask Sallyport", name)
		}
		for _, w := range e.webhooks() {
			mark := e.mark()
			// What is absent has the API's default: Fail, and Equivalent.
			if w.Name == validateEntry && w.FailurePolicy != nil && *w.FailurePolicy != admissionv1.Fail {
				e.fail(w.ref, w.at("failurePolicy"), w.edit()+"   # failurePolicy: Fail", "%s: while the server is away, every write passes", *w.FailurePolicy)
			}
			if w.MatchPolicy != nil && *w.MatchPolicy != admissionv1.Equivalent {
				e.fail(w.ref, w.at("matchPolicy"), w.edit()+"   # matchPolicy: Equivalent", "%s: a write in another version of the API passes", *w.MatchPolicy)
			}
			if w.TimeoutSeconds != nil && *w.TimeoutSeconds > 10 {
				e.fail(w.ref, w.at("timeoutSeconds"), w.edit()+"   # timeoutSeconds: 3", "%d seconds: a server that hangs holds every write up that long", *w.TimeoutSeconds)
			}
			e.coverage(w)
			e.passed(mark, w.ref, w.path, "%s is asked about %s", w.Name, count(len(w.Rules), "group of kinds"))
		}
	},
}

// coverage looks for writes that the server is not asked about.
func (e *Exam) coverage(w entry) {
	missed := map[admissionv1.OperationType][]string{}
	for _, j := range judged {
		if j.entry != w.Name {
			continue
		}
		for _, resource := range j.resources {
			for _, op := range operations(resource, j.deletes) {
				if !covered(w.Rules, j.group, resource, op) {
					missed[op] = append(missed[op], groupResource(j.group, resource))
				}
			}
		}
	}
	for op, resources := range missed {
		e.fail(w.ref, w.at("rules"), register, "the server is not asked about %s of %s", op, strings.Join(resources, ", "))
	}
}

func groupResource(group, resource string) string {
	if group == "" {
		return resource
	}
	return resource + "." + group
}

// covered reports whether a rule has an operation on a resource.
func covered(rules []admissionv1.RuleWithOperations, group, resource string, op admissionv1.OperationType) bool {
	return slices.ContainsFunc(rules, func(r admissionv1.RuleWithOperations) bool {
		return covers(r.Operations, op) && covers(r.APIGroups, group) && len(r.APIVersions) > 0 && coversResource(r.Resources, resource)
	})
}

func covers[T ~string](list []T, want T) bool {
	return slices.Contains(list, want) || slices.Contains(list, "*")
}

// coversResource follows the API: "*" is every resource without subresources,
// "*/*" every resource and subresource, "a/*" every subresource of one.
func coversResource(list []string, want string) bool {
	resource, sub, _ := strings.Cut(want, "/")
	return slices.ContainsFunc(list, func(s string) bool {
		switch s {
		case want, "*/*", resource + "/*":
			return true
		case "*":
			return sub == ""
		}
		return sub != "" && s == "*/"+sub
	})
}

// unguarded are namespaces that the server must not be asked about: it needs
// what runs there to start. manifests/webhooks.yaml leaves them out.
func (f *Facts) unguarded(name string) bool {
	return name == f.Namespace || slices.Contains([]string{"cert-manager", "kube-system", "kube-node-lease", "kube-public"}, name)
}

var webhookScope = &Check{
	Name:  "webhook-scope",
	Group: groupServer,
	Doc: `no namespace and no object is excluded from judgement

A namespaceSelector that leaves a namespace out, an objectSelector, which obeys
whoever writes the object, or a matchCondition more than the shipped ones opens a
door in the guard. Only the namespaces that the server itself needs are left out,
by the label kubernetes.io/metadata.name, which nobody can set.`,
	Sources: []string{webhookPage, "docs/server.md"},
	Check: func(e *Exam) {
		if !e.need(kinds("Namespace")...) {
			return
		}
		for _, w := range e.registered() {
			mark := e.mark()
			if s := w.ObjectSelector; s != nil && len(s.MatchLabels)+len(s.MatchExpressions) > 0 {
				e.fail(w.ref, w.at("objectSelector"), w.edit()+"   # remove objectSelector", "whoever writes an object chooses its labels, and with them whether it is judged")
			}
			e.excluded(w)
			e.conditions(w)
			e.passed(mark, w.ref, w.path, "%s sees every namespace but those that the server needs to start", w.Name)
		}
	},
}

// excluded looks for namespaces that the selector leaves out.
func (e *Exam) excluded(w entry) {
	if w.NamespaceSelector == nil {
		return
	}
	selector, err := metav1.LabelSelectorAsSelector(w.NamespaceSelector)
	if err != nil {
		e.unknown(w.ref, w.at("namespaceSelector"), w.edit(), "%v", err)
		return
	}
	for o := range e.Mesh().All("Namespace") {
		ns := o.Metadata()
		set := labels.Merge(labels.Set(ns.Labels), labels.Set{"kubernetes.io/metadata.name": ns.Name})
		if !selector.Matches(set) && !e.unguarded(ns.Name) {
			e.fail(ns.Ref, "metadata.labels", w.edit()+"   # namespaceSelector, or change the namespace's labels", "%s leaves the namespace out: what is written there is not judged", w.Name)
		}
	}
}

// shippedConditions are those of manifests/webhooks.yaml; the tests compare.
var shippedConditions = []string{"not-sallyport-itself", "not-kubernetes-controllers", "not-istiod-self-probe", "not-other-definitions", "not-other-configmaps", "not-status-alone", "not-binding-alone"}

// conditions looks for writes that a condition leaves out.
func (e *Exam) conditions(w entry) {
	user := "'system:serviceaccount:" + e.Namespace + ":" + e.Account + "'"
	for i, c := range w.MatchConditions {
		path := fmt.Sprintf("%s.matchConditions[%d]", w.path, i)
		switch {
		case !slices.Contains(shippedConditions, c.Name):
			e.unknown(w.ref, path, w.edit(), "the condition %q is not one of Sallyport's: what does it leave out? %s", c.Name, c.Expression)
		case c.Name == shippedConditions[0] && !strings.Contains(c.Expression, user):
			e.fail(w.ref, path+".expression", w.edit()+"   # "+user, "the condition names another account than the configuration, %s/%s: the server asks itself about its own writes", e.Namespace, e.Account)
		}
	}
}

var namespaceModes = &Check{
	Name:  "namespace-modes",
	Group: groupServer,
	Doc: `every namespace is enforced

The label sallyport.io/mode turns denials into warnings (warn) or judgement off
(off), for emergencies. What was set then must be taken back. A label with a
value that Sallyport does not know does nothing, whatever was meant by it.`,
	Sources: []string{"docs/server.md#namespaces", "docs/server.md#emergencies"},
	Check: func(e *Exam) {
		if !e.need(kinds("Namespace")...) {
			return
		}
		n, mark := 0, e.mark()
		known := map[string][]string{
			mesh.ModeLabel:          {"enforce", "warn", "off"},
			mesh.InjectionLabel:     {"enabled", "disabled"},
			mesh.NetworkPolicyLabel: {"enabled", "disabled"},
		}
		for _, g := range e.Settings.Gateways {
			known[mesh.GatewayLabel] = append(known[mesh.GatewayLabel], g.Name)
		}
		for o := range e.Mesh().All("Namespace") {
			ns := o.Metadata()
			n++
			for key, values := range known {
				value, ok := ns.Labels[key]
				path := fmt.Sprintf("metadata.labels[%q]", key)
				remove := kubectl("label namespace %s %s-", ns.Name, key)
				switch {
				case !ok:
				case key == mesh.ModeLabel && value == "warn":
					e.fail(ns.Ref, path, remove, "denials are only warnings here")
				case key == mesh.ModeLabel && value == "off":
					e.fail(ns.Ref, path, remove, "nothing is judged here")
				case !slices.Contains(values, value) && !(key == mesh.NetworkPolicyLabel && value == "staged"):
					e.fail(ns.Ref, path, kubectl("label --overwrite namespace %s %s=%s   # one of %s", ns.Name, key, values[0], strings.Join(values, ", ")), "%q means nothing to Sallyport", value)
				}
			}
		}
		e.passed(mark, mesh.Ref{}, "", "%s", count(n, "namespace"))
	},
}
