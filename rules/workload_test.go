package rules_test

import (
	"fmt"
	"slices"
	"testing"

	"sigs.k8s.io/yaml"

	"github.com/sallyport-io/sallyport/internal/mesh"
	"github.com/sallyport-io/sallyport/internal/review"
	"github.com/sallyport-io/sallyport/rules"
)

// templates are the ways to write a pod's template: what goes around its
// metadata and spec.
var templates = map[string]string{
	"Pod":                   `{apiVersion: v1, kind: Pod, metadata: {name: w, namespace: shop, %[1]s}, spec: {%[2]s}}`,
	"PodTemplate":           `{apiVersion: v1, kind: PodTemplate, metadata: {name: w, namespace: shop}, template: {metadata: {%[1]s}, spec: {%[2]s}}}`,
	"ReplicationController": `{apiVersion: v1, kind: ReplicationController, metadata: {name: w, namespace: shop}, spec: {template: {metadata: {%[1]s}, spec: {%[2]s}}}}`,
	"Deployment":            `{apiVersion: apps/v1, kind: Deployment, metadata: {name: w, namespace: shop}, spec: {template: {metadata: {%[1]s}, spec: {%[2]s}}}}`,
	"ReplicaSet":            `{apiVersion: apps/v1, kind: ReplicaSet, metadata: {name: w, namespace: shop}, spec: {template: {metadata: {%[1]s}, spec: {%[2]s}}}}`,
	"StatefulSet":           `{apiVersion: apps/v1, kind: StatefulSet, metadata: {name: w, namespace: shop}, spec: {template: {metadata: {%[1]s}, spec: {%[2]s}}}}`,
	"DaemonSet":             `{apiVersion: apps/v1, kind: DaemonSet, metadata: {name: w, namespace: shop}, spec: {template: {metadata: {%[1]s}, spec: {%[2]s}}}}`,
	"Job":                   `{apiVersion: batch/v1, kind: Job, metadata: {name: w, namespace: shop}, spec: {template: {metadata: {%[1]s}, spec: {%[2]s}}}}`,
	"CronJob":               `{apiVersion: batch/v1, kind: CronJob, metadata: {name: w, namespace: shop}, spec: {jobTemplate: {spec: {template: {metadata: {%[1]s}, spec: {%[2]s}}}}}}`,
	"ControllerRevision":    `{apiVersion: apps/v1, kind: ControllerRevision, metadata: {name: w, namespace: shop}, revision: 1, data: {spec: {template: {$patch: replace, metadata: {%[1]s}, spec: {%[2]s}}}}}`,
	"Binding":               `{apiVersion: v1, kind: Binding, metadata: {name: w, namespace: shop, %[1]s}, target: {kind: Node, name: n}}`,
}

// TestEveryTemplateIsJudgedAlike writes the same pod in every form in which
// Kubernetes takes one: who makes the pod is not asked any more.
func TestEveryTemplateIsJudgedAlike(t *testing.T) {
	namespace := mesh.Namespace{Meta: mesh.Meta{Ref: mesh.Ref{Kind: "Namespace", Name: "shop"}, Labels: map[string]string{"istio-injection": "enabled"}}}
	world := mesh.New(mesh.DefaultSettings(), &namespace)
	var denials int
	for _, r := range rules.All {
		if !r.Judges("Pod") || !r.Judges("CronJob") {
			continue
		}
		for _, kind := range r.Kinds {
			if templates[kind] == "" && kind != "Service" && kind != "ServiceEntry" {
				t.Errorf("rule %s judges %s, of which this test has no template", r.Name, kind)
			}
		}
	}
	for _, pod := range []struct{ rule, metadata, spec string }{
		{"gateway-labels", "labels: {istio: egressgateway}", ""},
		{"traffic-capture", `annotations: {traffic.sidecar.istio.io/excludeOutboundPorts: "443"}`, ""},
		{"traffic-capture", `labels: {istio.io/dataplane-mode: none}`, ""},
		{"proxy-injection", `annotations: {sidecar.istio.io/proxyImage: other}`, ""},
		{"host-network", "", "hostNetwork: true"},
		{"proxy-container", "", "containers: [{name: istio-proxy, image: other}]"},
		{"proxy-container", "", "containers: [{name: istio-proxy, image: auto}], initContainers: [{name: istio-init, image: other}]"},
		{"proxy-uid", "", "securityContext: {runAsUser: 1337}"},
		{"proxy-uid", "", "containers: [{name: c, securityContext: {runAsGroup: 1337}}]"},
	} {
		for kind, form := range templates {
			if kind == "Binding" && pod.spec != "" {
				continue // it has no more of a pod than labels and annotations
			}
			raw, err := yaml.YAMLToJSON(fmt.Appendf(nil, form, pod.metadata, pod.spec))
			if err != nil {
				t.Fatal(err)
			}
			judge := &review.Judge{Rules: rules.All}
			out, err := judge.Review(t.Context(), world, review.Write{Request: rules.Request{Operation: "CREATE", User: "jane"}, Object: raw})
			if err != nil {
				t.Fatal(err)
			}
			if !slices.ContainsFunc(out.Findings, func(f rules.Finding) bool { return f.Rule == pod.rule && f.Severity == rules.Deny }) {
				t.Errorf("%s with %s%s: not denied by %s: %v", kind, pod.metadata, pod.spec, pod.rule, out.Findings)
			}
			denials++
		}
	}
	if denials == 0 {
		t.Error("nothing was judged")
	}
}
