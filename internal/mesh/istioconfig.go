package mesh

import (
	"fmt"
	"strings"

	"sigs.k8s.io/yaml"

	"github.com/sallyport-io/sallyport/internal/meshconfig"
)

// IstioConfig is a ConfigMap that istiod reads: the mesh configuration of a
// revision, or what the injector of one fills its templates with. It counts in
// the namespace of istiod alone; see [Settings.Heeds].
type IstioConfig struct {
	Meta
	// Text is what istiod takes: a mesh configuration or an injector's values. In
	// a mesh where there is a Problem it is the last text that was none, or empty.
	Text string
	// Problem is why istiod does not take what the ConfigMap says. It is found when
	// the ConfigMap comes into a mesh in which it counts.
	Problem string
	// ClusterDomain is what an injector tells proxies, found in the same way.
	ClusterDomain string
}

const (
	// IstioConfigKind is the kind of an [IstioConfig]. Other ConfigMaps are not
	// part of the model.
	IstioConfigKind = "ConfigMap"

	meshConfigKey = "mesh"
	meshConfigMap = "istio" // and istio-REVISION (getMeshConfigMapName in Istio's pilot/pkg/bootstrap)
	injectorKey   = "values"
	injectorMap   = "istio-sidecar-injector" // and with -REVISION
)

func decodeConfigMap(m Meta, _, raw []byte) (Object, error) {
	var w struct {
		Data map[string]string `json:"data"`
	}
	if err := unmarshal(raw, &w); err != nil {
		return nil, fieldError("object", err)
	}
	c := &IstioConfig{Meta: m}
	key := meshConfigKey
	if c.Injector() {
		key = injectorKey
	}
	var ok bool
	if c.Text, ok = w.Data[key]; !ok {
		return nil, fmt.Errorf("%s without a mesh configuration: %w", IstioConfigKind, ErrUnknownKind)
	}
	return c, nil
}

// Injector reports whether the ConfigMap is for an injector's values, and not for
// a mesh configuration.
func (c *IstioConfig) Injector() bool { return strings.HasPrefix(c.Name, injectorMap) }

// Heeds reports whether istiod reads a ConfigMap of that name, if there is a
// revision that it is for.
func (s Settings) Heeds(r Ref) bool {
	return r.Kind == IstioConfigKind && r.Namespace == s.IstioNamespace &&
		(r.Name == meshConfigMap || strings.HasPrefix(r.Name, meshConfigMap+"-") || r.Name == s.SharedMeshConfig)
}

// after is what counts once the ConfigMap takes the place of another: where it is
// malformed, istiod goes on with the last configuration that it took.
func (c *IstioConfig) after(old Object) *IstioConfig {
	out := *c
	if c.Injector() {
		var v struct {
			Global struct {
				Proxy struct {
					ClusterDomain string `json:"clusterDomain"`
				} `json:"proxy"`
			} `json:"global"`
		}
		err := yaml.Unmarshal([]byte(c.Text), &v)
		if err == nil {
			out.ClusterDomain = v.Global.Proxy.ClusterDomain
			return &out
		}
		out.Problem = err.Error()
	} else if _, err := meshconfig.Parse(c.Text); err != nil {
		out.Problem = err.Error()
	} else {
		return &out
	}
	out.Text = ""
	if was, ok := old.(*IstioConfig); ok {
		out.Text, out.ClusterDomain = was.Text, was.ClusterDomain
	}
	return &out
}
