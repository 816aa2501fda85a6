package doctor

import (
	"cmp"
	"encoding/json"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
)

// injectorValues are what the injector of a revision fills its templates with.
type injectorValues struct {
	Global struct {
		Hub   string `json:"hub"`
		Proxy struct {
			Image                string  `json:"image"`
			IncludeIPRanges      *string `json:"includeIPRanges"`
			ExcludeIPRanges      *string `json:"excludeIPRanges"`
			ExcludeOutboundPorts *string `json:"excludeOutboundPorts"`
		} `json:"proxy"`
	} `json:"global"`
}

// injectors are the ConfigMaps of the injectors: istio-sidecar-injector, and
// for a revision with a name istio-sidecar-injector-REVISION.
func (f *Facts) injectors() []*corev1.ConfigMap {
	var found []*corev1.ConfigMap
	for i := range f.configMaps {
		c := &f.configMaps[i]
		if c.Namespace == f.Settings.IstioNamespace && strings.HasPrefix(c.Name, "istio-sidecar-injector") {
			found = append(found, c)
		}
	}
	return found
}

func valuesOf(c *corev1.ConfigMap) (v injectorValues, err error) {
	err = json.Unmarshal([]byte(c.Data["values"]), &v)
	return v, err
}

// proxyImages are the images of sidecars, without tags: revisions have
// different ones, and so has one that is being upgraded (ProxyImage in Istio's
// pkg/kube/inject).
func (f *Facts) proxyImages() []string {
	var images []string
	for _, c := range f.injectors() {
		v, err := valuesOf(c)
		if err != nil {
			continue // capture-defaults' business
		}
		image := cmp.Or(v.Global.Proxy.Image, "proxyv2")
		switch {
		case strings.Contains(image, "/"):
			images = append(images, repository(image))
		case v.Global.Hub != "":
			images = append(images, v.Global.Hub+"/"+image)
		}
	}
	slices.Sort(images)
	return slices.Compact(images)
}

// repository is an image without its tag and digest.
func repository(image string) string {
	image, _, _ = strings.Cut(image, "@")
	if i := strings.LastIndexByte(image, ':'); i > strings.LastIndexByte(image, '/') {
		return image[:i]
	}
	return image
}
