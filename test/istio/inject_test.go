package istio_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"

	"istio.io/istio/manifests"
	meshconfig "istio.io/istio/pkg/config/mesh"
	"istio.io/istio/pkg/kube/inject"

	"github.com/sallyport-io/sallyport/internal/config"
	"github.com/sallyport-io/sallyport/internal/mesh"
	"github.com/sallyport-io/sallyport/internal/review"
	"github.com/sallyport-io/sallyport/rules"
)

// TestInjectedPodsPass has Istio's own injector at pods, with the plugin for the
// network and without, as a native sidecar and not: what it writes is not found
// wrong. The same pod with more in the proxy's container, behind a forged note
// that Istio has been at it, is denied as Istio would have it run.
func TestInjectedPodsPass(t *testing.T) {
	ns, err := mesh.Decode([]byte(`{"apiVersion":"v1","kind":"Namespace","metadata":{"name":"shop","labels":{"istio-injection":"enabled"}}}`))
	if err != nil {
		t.Fatal(err)
	}
	world := mesh.New(config.Default().Settings(), ns)
	found := func(pod *corev1.Pod) []rules.Finding {
		pod.TypeMeta = metav1.TypeMeta{APIVersion: "v1", Kind: "Pod"}
		raw, err := json.Marshal(pod)
		if err != nil {
			t.Fatal(err)
		}
		out, err := (&review.Judge{Rules: rules.All}).Review(t.Context(), world, review.Write{Request: rules.Request{Operation: "CREATE"}, Object: raw})
		if err != nil {
			t.Fatal(err)
		}
		return out.Findings
	}
	for _, cni := range []bool{false, true} {
		for _, native := range []string{"", "true"} {
			t.Run(fmt.Sprintf("cni %t native %q", cni, native), func(t *testing.T) {
				pod := &corev1.Pod{
					TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "Pod"},
					ObjectMeta: metav1.ObjectMeta{Name: "web", Namespace: "shop", Labels: map[string]string{"app": "web"}, Annotations: map[string]string{"sidecar.istio.io/proxyCPU": "100m"}},
					Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "web", Image: "web", Ports: []corev1.ContainerPort{{ContainerPort: 80}}}}},
				}
				if native != "" {
					pod.Annotations["sidecar.istio.io/nativeSidecar"] = native
				}
				injected := injectPod(t, cni, pod)
				if !slices.ContainsFunc(append(injected.Spec.Containers, injected.Spec.InitContainers...), func(c corev1.Container) bool { return c.Name == "istio-proxy" }) {
					t.Fatal("Istio has injected nothing")
				}
				if f := found(injected); len(f) > 0 {
					t.Errorf("a pod that Istio has injected is found wrong: %+v", f)
				}

				forged := pod.DeepCopy()
				forged.Annotations["sidecar.istio.io/status"] = `{"containers":["istio-proxy"],"initContainers":["istio-proxy"]}`
				forged.Spec.Containers = append(forged.Spec.Containers, corev1.Container{Name: "istio-proxy", Image: "auto", Command: []string{"sh", "-c", "relay"}})
				forged = injectPod(t, cni, forged)
				if !slices.ContainsFunc(append(forged.Spec.Containers, forged.Spec.InitContainers...), func(c corev1.Container) bool { return c.Name == "istio-proxy" && len(c.Command) > 0 }) {
					t.Fatal("Istio does not keep the command behind a forged note: this case shows nothing")
				}
				if f := found(forged); !slices.ContainsFunc(f, func(f rules.Finding) bool { return f.Rule == "proxy-container" && f.Severity == rules.Deny }) {
					t.Errorf("a command in the proxy's container is let through behind a forged note: %+v", f)
				}
			})
		}
	}
}

func injectPod(t *testing.T, cni bool, pod *corev1.Pod) *corev1.Pod {
	t.Helper()
	const chart = "charts/istio-control/istio-discovery/"
	text, err := manifests.FS.ReadFile(chart + "files/injection-template.yaml")
	if err != nil {
		t.Fatal(err)
	}
	templates, err := inject.ParseTemplates(inject.RawTemplates{inject.SidecarTemplateName: string(text)})
	if err != nil {
		t.Fatal(err)
	}
	data, err := manifests.FS.ReadFile(chart + "values.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var all struct {
		Values map[string]any `json:"_internal_defaults_do_not_set"`
	}
	if err := yaml.Unmarshal(data, &all); err != nil {
		t.Fatal(err)
	}
	global, err := yaml.Marshal(map[string]any{
		"global": all.Values["global"], "sidecarInjectorWebhook": all.Values["sidecarInjectorWebhook"], "revision": "",
		"pilot": map[string]any{"cni": map[string]any{"enabled": cni, "provider": "default"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	values, err := inject.NewValuesConfig(string(global))
	if err != nil {
		t.Fatal(err)
	}
	out, err := inject.IntoObject(nil, templates, values, "default", meshconfig.DefaultMeshConfig(), pod, func(string) {})
	if err != nil {
		t.Fatal(err)
	}
	return out.(*corev1.Pod)
}
