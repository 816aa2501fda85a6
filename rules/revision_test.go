package rules_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/strategicpatch"

	"github.com/sallyport-io/sallyport/internal/mesh"
	"github.com/sallyport-io/sallyport/internal/review"
	"github.com/sallyport-io/sallyport/rules"
)

// TestRevisionsAsKubernetesReadsThem makes revisions at random, applies each as
// the StatefulSet's controller does, and looks at the pods that it would make: a
// pod that would be denied, or is another set's, comes of no revision that is
// admitted.
func TestRevisionsAsKubernetesReadsThem(t *testing.T) {
	world := mesh.New(mesh.DefaultSettings(), &mesh.Namespace{Meta: mesh.Meta{
		Ref: mesh.Ref{Kind: "Namespace", Name: "shop"}, Labels: map[string]string{"istio-injection": "enabled"},
	}})
	random := rand.New(rand.NewPCG(7, 11))
	var bad, good int
	for range 30_000 {
		data := patch(random)
		pod, err := podOf(data)
		if err != nil {
			continue // the controller makes no pod
		}
		wrong := wrongWith(pod)
		raw := fmt.Appendf(nil, `{"apiVersion":"apps/v1","kind":"ControllerRevision","metadata":{"name":"web-1","namespace":"shop"},"revision":1,"data":%s}`, data)
		out, err := (&review.Judge{Rules: rules.All}).Review(t.Context(), world, review.Write{Request: rules.Request{Operation: "CREATE", User: "mallory"}, Object: raw})
		denied := err != nil || out.Denied()
		switch {
		case wrong != "" && !denied:
			t.Fatalf("admitted, and the pod has %s:\n%s", wrong, data)
		case wrong != "":
			bad++
		case !denied:
			good++
		}
	}
	if bad < 100 || good < 100 {
		t.Errorf("%d bad pods and %d revisions admitted: the generator makes too few of one of them", bad, good)
	}
}

// podOf returns the pod that the StatefulSet's controller makes of a revision
// (ApplyRevision and newStatefulSetPod in Kubernetes' pkg/controller/statefulset).
func podOf(data string) (*corev1.Pod, error) {
	set := &appsv1.StatefulSet{
		TypeMeta:   metav1.TypeMeta{APIVersion: "apps/v1", Kind: "StatefulSet"},
		ObjectMeta: metav1.ObjectMeta{Name: "web", Namespace: "shop"},
		Spec: appsv1.StatefulSetSpec{Template: corev1.PodTemplateSpec{
			ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{"app": "web"}},
			Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "web", Image: "web"}}},
		}},
	}
	original, err := json.Marshal(set)
	if err != nil {
		return nil, err
	}
	patched, err := strategicpatch.StrategicMergePatch(original, []byte(data), set)
	if err != nil {
		return nil, err
	}
	restored := &appsv1.StatefulSet{}
	if err := json.Unmarshal(patched, restored); err != nil {
		return nil, err
	}
	template := restored.Spec.Template
	pod := &corev1.Pod{ObjectMeta: template.ObjectMeta, Spec: template.Spec}
	pod.Namespace, pod.Name = restored.Namespace, restored.Name+"-0"
	return pod, nil
}

// wrongWith says what is wrong with a pod.
func wrongWith(pod *corev1.Pod) string {
	switch {
	case pod.Namespace != "shop" || pod.Name != "web-0":
		return "another name, " + pod.Namespace + "/" + pod.Name
	case pod.Spec.HostNetwork:
		return "hostNetwork"
	case pod.Labels["istio"] == "egressgateway":
		return "the gateway's labels"
	case pod.Annotations["traffic.sidecar.istio.io/excludeOutboundPorts"] != "":
		return "excluded ports"
	}
	for _, c := range append(pod.Spec.Containers, pod.Spec.InitContainers...) {
		if s := c.SecurityContext; s != nil && s.RunAsUser != nil && *s.RunAsUser == 1337 {
			return "the proxy's user"
		}
		if c.Name == "istio-init" {
			return "a container of Istio's"
		}
	}
	return ""
}

// patch makes a revision's data: often such as Kubernetes writes, with a field
// that is bad or in another case, a directive, or something beside it.
func patch(r *rand.Rand) string {
	odd := func(name string) string { // a name, perhaps in another spelling
		switch r.IntN(14) {
		case 0:
			return strings.ToUpper(name)
		case 1:
			return strings.ToUpper(name[:1]) + name[1:]
		case 2:
			return strings.ReplaceAll(name, "k", "\u212a") // which folds to k
		case 3:
			return strings.ReplaceAll(name, "s", `\u0073`)
		}
		return name
	}
	object := func(members ...string) string {
		var kept []string
		for _, m := range members {
			if m != "" {
				kept = append(kept, m)
			}
		}
		r.Shuffle(len(kept), func(i, j int) { kept[i], kept[j] = kept[j], kept[i] })
		return "{" + strings.Join(kept, ",") + "}"
	}
	maybe := func(n int, member func() string) string {
		if r.IntN(n) > 0 {
			return ""
		}
		return member()
	}
	member := func(name, value string) string { return `"` + odd(name) + `":` + value }
	directive := func(n int) string {
		return maybe(n, func() string {
			return []string{`"$patch":"replace"`, `"$patch":"merge"`, `"$patch":"delete"`, `"\u0024patch":"replace"`, `"$retainKeys":["template"]`, `"$setElementOrder/containers":[{"name":"web"}]`}[r.IntN(6)]
		})
	}
	containers := func() string {
		return "[" + object(`"name":"`+[]string{"web", "istio-init", "c"}[r.IntN(3)]+`"`, `"image":"x"`,
			maybe(3, func() string {
				return member("securityContext", object(member("runAsUser", fmt.Sprint(1336+r.IntN(2)))))
			})) + "]"
	}
	spec := func() string {
		return object(
			maybe(3, func() string { return member("hostNetwork", []string{"true", "false", "null"}[r.IntN(3)]) }),
			maybe(5, func() string { return member("hostNetwork", "true") }),
			maybe(2, func() string { return member("containers", containers()) }),
			maybe(4, func() string { return member("initContainers", containers()) }),
			directive(12),
		)
	}
	metadata := func() string {
		return object(
			maybe(2, func() string {
				return member("labels", object(`"app":"web"`, maybe(3, func() string { return `"istio":"egressgateway"` })))
			}),
			maybe(4, func() string { return member("annotations", `{"traffic.sidecar.istio.io/excludeOutboundPorts":"443"}`) }),
			directive(12),
		)
	}
	template := func() string {
		replace := `"$patch":"replace"`
		if r.IntN(4) == 0 {
			replace = directive(2)
		}
		return object(replace, maybe(2, func() string { return member("metadata", metadata()) }), maybe(2, func() string { return member("spec", spec()) }))
	}
	whole := func() string {
		return object(member("template", template()), maybe(9, func() string { return member("template", template()) }),
			maybe(9, func() string { return `"serviceName":"other"` }), directive(14))
	}
	return object(member("spec", whole()), maybe(9, func() string { return member("spec", whole()) }),
		maybe(9, func() string { return member("metadata", `{"namespace":"bank"}`) }), directive(14))
}
