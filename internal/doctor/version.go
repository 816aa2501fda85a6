package doctor

import (
	"fmt"
	"slices"
	"strings"

	"github.com/sallyport-io/sallyport/internal/mesh"
)

var istioVersion = &Check{
	Name:  "istio-version",
	Group: groupMesh,
	Doc: `Istio is of a version that Sallyport knows

What Sallyport says about paths is proven against the control plane of one
version of Istio, the one of its API in "sallyport version". Istio before 1.22
does not serve networking.istio.io/v1, in which companions are written. Gateways
may not be newer than their control plane, nor more than one version older. What
versions of Istio do differently is judged by that of istiod's pods, of several by
whichever is the worse; versions.istio of Sallyport's configuration goes before it,
and should not say something else.`,
	Sources: []string{"https://istio.io/latest/docs/releases/supported-releases/#control-planedata-plane-skew"},
	Check: func(e *Exam) {
		if !e.need(kinds("Pod")...) {
			return
		}
		newest, mark := 0, e.mark()
		for i := range e.pods {
			p := &e.pods[i]
			if !e.istiod(*p) {
				continue
			}
			version := p.istiod().Version
			minor := version.Minor
			newest = max(newest, minor)
			const path = "spec.containers"
			switch {
			case version == (mesh.IstioVersion{}):
				e.unknown(p.ref(), path, "istioctl version", "the version of istiod is not to be seen in its image %q", p.istiod().Image)
			case minor < oldestMinor:
				e.fail(p.ref(), path, "Upgrade Istio to 1."+fmt.Sprint(provenMinor)+".", "Istio 1.%d does not serve networking.istio.io/v1", minor)
			case e.Settings.Istio.Contradicts(version):
				e.fail(p.ref(), path, "Leave versions.istio out of Sallyport's configuration: the server reads the version.",
					"Istio %s, and Sallyport's configuration says %s: what they do differently is judged by the wrong one", version, e.Settings.Istio)
			case minor != provenMinor:
				e.unknown(p.ref(), path, "Use the Sallyport that is made for this version of Istio, or run its test/istio against it.",
					"Istio 1.%d: Sallyport is proven against 1.%d", minor, provenMinor)
			default:
				e.pass(p.ref(), path, "Istio 1.%d", minor)
			}
		}
		if e.mark() == mark {
			e.unknown(mesh.Ref{}, "", "Set istioNamespace in Sallyport's configuration to the namespace of istiod.", "there is no pod of istiod in namespace %s", e.Settings.IstioNamespace)
		}
		for _, n := range e.Mesh().Notes() {
			if n.Field == mesh.FieldIstio && n.Kind == mesh.NoteDifferent {
				e.pass(n.Ref, "", "%s", n.Message)
			}
		}
		if newest == 0 {
			return
		}
		for _, g := range e.Settings.Gateways {
			for _, p := range e.gatewayPods(g) {
				minor, ok := minorOf(imageOf(p, "istio-proxy"))
				if ok && (minor > newest || minor < newest-1) {
					e.fail(p.ref(), "spec.containers", e.restart(g), "the gateway runs Istio 1.%d, its control plane 1.%d", minor, newest)
				}
			}
		}
	},
}

const (
	// provenMinor is that of the control plane that judges ours in test/istio.
	provenMinor = 31
	// oldestMinor is the first that serves networking.istio.io/v1.
	oldestMinor = 22
)

// imageOf is the image of a container.
func imageOf(p *pod, container string) string {
	for _, c := range slices.Concat(p.Spec.InitContainers, p.Spec.Containers) {
		if c.Name == container {
			return c.Image
		}
	}
	return ""
}

// minorOf is the minor version of an image of Istio 1.
func minorOf(image string) (int, bool) {
	image, _, _ = strings.Cut(image, "@")
	i := strings.LastIndexByte(image, ':')
	if i < 0 {
		return 0, false
	}
	var minor int
	_, err := fmt.Sscanf(strings.TrimPrefix(image[i+1:], "v"), "1.%d", &minor)
	return minor, err == nil
}
