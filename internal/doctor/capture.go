package doctor

import (
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/sallyport-io/sallyport/internal/mesh"
)

// istioCNI configures Istio's CNI plugin, where its chart puts it by default.
// It may be in the root namespace too.
var istioCNI = Query{Kind: "ConfigMap", Namespace: "kube-system", Name: "istio-cni-config"}

var captureDefaults = &Check{
	Name:  "capture-defaults",
	Group: groupMesh,
	Doc: `sidecars capture all outbound TCP traffic unless a pod says otherwise

What a pod may do by annotation, an installation may have done for all: addresses
and ports excluded in the values of the sidecar injector, interceptionMode NONE in
the mesh configuration, namespaces of the mesh that Istio's CNI plugin passes by.
The traffic concerned leaves without the sidecar.`,
	Sources: []string{controlPage + "#direct-access-to-external-services", "https://istio.io/latest/docs/setup/additional-setup/cni/"},
	Check: func(e *Exam) {
		if !e.need(istioCNI) || !e.need(kinds("Namespace")...) {
			return
		}
		for _, m := range e.readable() {
			if m.CapturesNothing {
				e.fail(m.ref, "data.mesh: defaultConfig.interceptionMode", kubectl("-n %s edit configmap %s", m.ref.Namespace, m.ref.Name), "NONE: sidecars capture nothing")
			}
		}
		for i := range e.configMaps {
			if c := &e.configMaps[i]; c.Name == istioCNI.Name {
				e.passedBy(c)
			}
		}
		for _, c := range e.injectors() {
			e.injector(c)
		}
		if len(e.injectors()) == 0 {
			e.unknown(mesh.Ref{}, "", "Look at the values of the injector where istiod runs: global.proxy.", "there is no ConfigMap istio-sidecar-injector in namespace %s", e.Settings.IstioNamespace)
		}
	},
}

// injector looks at what the injector tells every sidecar to capture
// (manifests/charts/istio-control/istio-discovery/files/injection-template.yaml).
func (e *Exam) injector(c *corev1.ConfigMap) {
	at, mark := ref("ConfigMap", &c.ObjectMeta), e.mark()
	edit := kubectl("-n %s edit configmap %s   # then restart the pods", c.Namespace, c.Name)
	values, err := valuesOf(c)
	if err != nil {
		e.unknown(at, "data.values", edit, "the values cannot be read: %v", err)
		return
	}
	proxy := values.Global.Proxy
	for _, v := range []struct {
		key, all, what string
		got            *string
	}{
		{"includeIPRanges", "*", "only these addresses are captured", proxy.IncludeIPRanges},
		{"excludeIPRanges", "", "these addresses are not captured", proxy.ExcludeIPRanges},
		{"excludeOutboundPorts", "", "these ports are not captured", proxy.ExcludeOutboundPorts},
	} {
		if v.got != nil && *v.got != v.all {
			e.fail(at, "data.values: global.proxy."+v.key, edit, "%q: %s", *v.got, v.what)
		}
	}
	e.passed(mark, at, "data.values", "every address and port")
}

// passedBy looks for namespaces of the mesh in which Istio's CNI plugin sets
// nothing up.
func (e *Exam) passedBy(c *corev1.ConfigMap) {
	for name := range strings.SplitSeq(c.Data["EXCLUDE_NAMESPACES"], ",") {
		ns := e.Mesh().Namespace(strings.TrimSpace(name))
		if ns != nil && ns.InMesh() && !e.Settings.Platform(ns.Name) {
			e.fail(ref("ConfigMap", &c.ObjectMeta), "data.EXCLUDE_NAMESPACES", kubectl("-n %s edit configmap %s   # then restart the plugin and the pods", c.Namespace, c.Name),
				"namespace %s is in the mesh, and Istio's CNI plugin leads none of its traffic into sidecars", ns.Name)
		}
	}
}
