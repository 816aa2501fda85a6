package doctor

import (
	"fmt"
	"slices"
	"strings"

	"github.com/sallyport-io/sallyport/internal/mesh"
	"github.com/sallyport-io/sallyport/internal/meshconfig"
)

// meshConfig is the mesh configuration of one revision of istiod.
type meshConfig struct {
	ref mesh.Ref
	*meshconfig.Config
	err error // why there is none
}

// meshConfigs are those that istiod reads: the ConfigMap istio, and for a
// revision with a name istio-REVISION (getMeshConfigMapName in Istio's
// pilot/pkg/bootstrap).
func (f *Facts) meshConfigs() []meshConfig {
	var configs []meshConfig
	for i := range f.configMaps {
		c := &f.configMaps[i]
		text, ok := c.Data["mesh"]
		if !ok || c.Namespace != f.Settings.IstioNamespace || c.Name != "istio" && !strings.HasPrefix(c.Name, "istio-") {
			continue
		}
		m := meshConfig{ref: ref("ConfigMap", &c.ObjectMeta)}
		m.Config, m.err = meshconfig.Parse(text)
		configs = append(configs, m)
	}
	slices.SortFunc(configs, func(a, b meshConfig) int { return strings.Compare(a.ref.Name, b.ref.Name) })
	return configs
}

// readable returns the mesh configurations, having reported those that cannot
// be read, and their absence.
func (e *Exam) readable() []meshConfig {
	if !e.need(e.meshConfigMaps()) {
		return nil
	}
	configs := e.meshConfigs()
	if len(configs) == 0 {
		e.unknown(mesh.Ref{}, "", "Set istioNamespace in Sallyport's configuration to the namespace of istiod. Where istiod runs outside the cluster, look there.",
			"there is no mesh configuration: no ConfigMap istio in namespace %s", e.Settings.IstioNamespace)
	}
	return slices.DeleteFunc(configs, func(m meshConfig) bool {
		if m.err != nil {
			e.unknown(m.ref, "data.mesh", kubectl("-n %s edit configmap %s", m.ref.Namespace, m.ref.Name), "istiod does not take this mesh configuration, and goes on with the last good one: %v", m.err)
		}
		return m.err != nil
	})
}

// kubectl is a command of a remedy.
func kubectl(format string, args ...any) string { return "kubectl " + fmt.Sprintf(format, args...) }
