package mesh

import "slices"

// proxyContainers are the names of the containers that Istio's injector adds to
// a Pod (pkg/kube/inject). What a user writes under one of them is merged over
// what Istio would have written.
var proxyContainers = []string{"istio-proxy", "istio-init", "istio-validation", "enable-core-dump"}

// ProxyContainer reports whether a container's name is one of those that
// Istio's injector gives.
func ProxyContainer(name string) bool { return slices.Contains(proxyContainers, name) }

// namesProxy reports whether a container of the pod has a name of Istio's.
func (p *wirePod) namesProxy() bool {
	named := func(c wireContainer) bool { return ProxyContainer(c.Name) }
	return slices.ContainsFunc(p.Containers, named) || slices.ContainsFunc(p.InitContainers, named) || slices.ContainsFunc(p.Ephemeral, named)
}

// injectedAnnotation is set by Istio's injector on every Pod that it has
// been at.
const injectedAnnotation = "sidecar.istio.io/status"

// Injected reports whether the workload is a Pod that says of itself that
// Istio's injector has been at it.
func (w *Workload) Injected() bool {
	_, ok := w.PodAnnotations[injectedAnnotation]
	return ok && w.Kind == "Pod"
}
