package doctor

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"google.golang.org/protobuf/encoding/protojson"
	meshconfig "istio.io/api/mesh/v1alpha1"
	"sigs.k8s.io/yaml"

	"github.com/sallyport-io/sallyport/internal/mesh"
)

// meshConfig is the mesh configuration of one revision of istiod.
type meshConfig struct {
	ref  mesh.Ref
	data *meshconfig.MeshConfig
	err  error // why there is no data
	// interceptsNothing is true where sidecars capture nothing by default.
	interceptsNothing bool
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
		m := meshConfig{ref: ref("ConfigMap", &c.ObjectMeta), data: &meshconfig.MeshConfig{}}
		m.err = unmarshalMesh([]byte(text), m.data)
		m.interceptsNothing = interceptsNothing([]byte(text))
		configs = append(configs, m)
	}
	slices.SortFunc(configs, func(a, b meshConfig) int { return strings.Compare(a.ref.Name, b.ref.Name) })
	return configs
}

// meshFields are what is asked of a mesh configuration, in both spellings that
// istiod takes. Nothing else of it is read: it may be newer than this program.
var meshFields = []string{
	"outboundTrafficPolicy", "outbound_traffic_policy", "trustDomain", "trust_domain", "enableAutoMtls", "enable_auto_mtls",
}

// unmarshalMesh decodes strictly: a mode that is none must not pass for the
// zero value, which is REGISTRY_ONLY.
func unmarshalMesh(text []byte, into *meshconfig.MeshConfig) error {
	var fields map[string]json.RawMessage
	if err := yaml.Unmarshal(text, &fields); err != nil {
		return err
	}
	maps.DeleteFunc(fields, func(name string, _ json.RawMessage) bool { return !slices.Contains(meshFields, name) })
	data, err := json.Marshal(fields)
	if err != nil {
		return err
	}
	if err := protojson.Unmarshal(data, into); err != nil {
		// Package protobuf varies the blanks of its messages from build to build.
		return errors.New(strings.TrimPrefix(strings.ReplaceAll(err.Error(), "\u00a0", " "), "proto: "))
	}
	return nil
}

// trustDomain is how the mesh's identities begin (DefaultMeshConfig in Istio's
// pkg/config/mesh).
func (m meshConfig) trustDomain() string { return cmp.Or(m.data.GetTrustDomain(), "cluster.local") }

// autoMTLS reports whether sidecars choose mutual TLS by themselves where no
// DestinationRule says otherwise, which is Istio's default.
func (m meshConfig) autoMTLS() bool {
	v := m.data.GetEnableAutoMtls()
	return v == nil || v.GetValue()
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
