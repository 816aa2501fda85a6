package mesh

import (
	"slices"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/sallyport-io/sallyport/internal/rawjson"
)

// Workload is a Pod or an object with a pod template: only what lets it leave
// the mesh is kept.
type Workload struct {
	Meta
	// PodLabels and PodAnnotations are those of the pod or its template.
	PodLabels      map[string]string
	PodAnnotations map[string]string
	HostNetwork    bool
	// ProxyUID is true where a container, or the pod, runs as user or group
	// 1337, whose traffic Istio does not capture.
	ProxyUID bool
	// NamesProxy is true where a container, of any sort, has a name of those
	// that Istio's injector adds: [ProxyContainer].
	NamesProxy bool
	// Istiod is what is known of Istio's control plane, where the pod is one of
	// istiod's that runs or comes to run; nil elsewhere. It counts in the namespace
	// of istiod alone.
	Istiod *Istiod
	// Beyond names what a ControllerRevision holds beside a pod template that
	// takes the place of its owner's; empty where there is nothing.
	Beyond string
}

// proxyUID is the user and group of Istio's proxy. The traffic of a process
// that runs as either is not captured (tools/istio-iptables/pkg/capture).
const proxyUID = 1337

type wireTemplate struct {
	Metadata struct {
		Labels      map[string]string `json:"labels"`
		Annotations map[string]string `json:"annotations"`
	} `json:"metadata"`
	Spec wirePod `json:"spec"`
}

type wirePod struct {
	HostNetwork     bool                 `json:"hostNetwork"`
	SecurityContext *wireSecurityContext `json:"securityContext"`
	InitContainers  []wireContainer      `json:"initContainers"`
	Containers      []wireContainer      `json:"containers"`
	Ephemeral       []wireContainer      `json:"ephemeralContainers"`
}

type wireContainer struct {
	Name            string               `json:"name"`
	Image           jsontext.Value       `json:"image"` // read of istiod's alone
	SecurityContext *wireSecurityContext `json:"securityContext"`
}

type wireSecurityContext struct {
	RunAsUser          *int64  `json:"runAsUser"`
	RunAsGroup         *int64  `json:"runAsGroup"`
	FSGroup            *int64  `json:"fsGroup"`
	SupplementalGroups []int64 `json:"supplementalGroups"`
}

// proxy reports whether a process under this context passes for the proxy.
func (c *wireSecurityContext) proxy() bool {
	if c == nil {
		return false
	}
	for _, id := range []*int64{c.RunAsUser, c.RunAsGroup, c.FSGroup} {
		if id != nil && *id == proxyUID {
			return true
		}
	}
	return slices.Contains(c.SupplementalGroups, proxyUID)
}

// proxy reports whether something in the pod passes for the proxy. In a Pod,
// but not in a template, the containers do not count that Istio's injector
// itself adds as the proxy's user.
func (p *wirePod) proxy(injected bool) bool {
	passes := func(containers []wireContainer, names ...string) bool {
		return slices.ContainsFunc(containers, func(c wireContainer) bool {
			return c.SecurityContext.proxy() && !(injected && slices.Contains(names, c.Name))
		})
	}
	return p.SecurityContext.proxy() || passes(p.Ephemeral) || passes(p.Containers, "istio-proxy") ||
		passes(p.InitContainers, "istio-proxy", "istio-init", "istio-validation")
}

func newWorkload(m Meta, labels, annotations map[string]string, pod *wirePod) *Workload {
	return &Workload{
		Meta: m, PodLabels: labels, PodAnnotations: annotations, Istiod: pod.istiod(labels),
		HostNetwork: pod.HostNetwork, ProxyUID: pod.proxy(m.Kind == "Pod"), NamesProxy: pod.namesProxy(),
	}
}

func decodePod(m Meta, spec, raw []byte) (Object, error) {
	var pod wirePod
	if err := unmarshalSpec(spec, &pod); err != nil {
		return nil, err
	}
	w := newWorkload(m, m.Labels, m.Annotations, &pod)
	if w.Istiod != nil {
		phase, _ := rawjson.Plain(rawjson.Member(rawjson.Member(raw, "status"), "phase"))
		if phase == "Failed" || phase == "Succeeded" {
			w.Istiod = nil // it has ended
		}
	}
	return w, nil
}

func decodeTemplated(m Meta, spec, _ []byte) (Object, error) {
	var w struct {
		Template wireTemplate `json:"template"`
	}
	if err := unmarshalSpec(spec, &w); err != nil {
		return nil, err
	}
	t := &w.Template
	return newWorkload(m, t.Metadata.Labels, t.Metadata.Annotations, &t.Spec), nil
}

func decodeCronJob(m Meta, spec, _ []byte) (Object, error) {
	var w struct {
		JobTemplate struct {
			Spec struct {
				Template wireTemplate `json:"template"`
			} `json:"spec"`
		} `json:"jobTemplate"`
	}
	if err := unmarshalSpec(spec, &w); err != nil {
		return nil, err
	}
	t := &w.JobTemplate.Spec.Template
	return newWorkload(m, t.Metadata.Labels, t.Metadata.Annotations, &t.Spec), nil
}
