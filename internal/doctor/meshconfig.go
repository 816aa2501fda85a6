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
		if !ok || c.Namespace != f.Settings.RootNamespace || c.Name != "istio" && !strings.HasPrefix(c.Name, "istio-") {
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
		e.unknown(mesh.Ref{}, "", "Set rootNamespace in Sallyport's configuration to the namespace of istiod. Where istiod runs outside the cluster, look there.",
			"there is no mesh configuration: no ConfigMap istio in namespace %s", e.Settings.RootNamespace)
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

const (
	groupMesh      = "mesh"
	groupGateway   = "gateway"
	groupWall      = "wall"
	groupServer    = "server"
	groupWorkloads = "workloads"
)

// The pages that ask for what is checked.
const (
	taskPage     = "https://istio.io/latest/docs/tasks/traffic-management/egress/egress-gateway/"
	controlPage  = "https://istio.io/latest/docs/tasks/traffic-management/egress/egress-control/"
	securityPage = "https://istio.io/latest/docs/ops/best-practices/security/"
	webhookPage  = "https://kubernetes.io/docs/concepts/cluster-administration/admission-webhooks-good-practices/"
	networkPage  = "https://kubernetes.io/docs/concepts/services-networking/network-policies/"
)

var outboundTrafficPolicy = &Check{
	Name:  "outbound-traffic-policy",
	Group: groupMesh,
	Doc: `sidecars drop traffic to hosts that nobody registered

Under ALLOW_ANY, which is Istio's default, every host in the world is reached
directly until somebody registers it, and no gateway sees it. Every revision's
mesh configuration must say REGISTRY_ONLY, and Sallyport's configuration the same.`,
	Sources: []string{controlPage + "#envoy-passthrough-to-external-services"},
	Check: func(e *Exam) {
		for _, m := range e.readable() {
			const path = "data.mesh: outboundTrafficPolicy.mode"
			remedy := kubectl("-n %s edit configmap %s   # outboundTrafficPolicy: {mode: REGISTRY_ONLY}", m.ref.Namespace, m.ref.Name) +
				"\n# With istioctl: --set meshConfig.outboundTrafficPolicy.mode=REGISTRY_ONLY"
			// Without the field istiod has its default, ALLOW_ANY
			// (DefaultMeshConfig in Istio's pkg/config/mesh).
			switch policy := m.data.GetOutboundTrafficPolicy(); {
			case policy == nil:
				e.fail(m.ref, path, remedy, "it is not set, so sidecars let everything out (ALLOW_ANY)")
			case policy.GetMode() != meshconfig.MeshConfig_OutboundTrafficPolicy_REGISTRY_ONLY:
				e.fail(m.ref, path, remedy, "%s lets traffic to every host out that nobody registered", policy.GetMode())
			case e.Settings.AllowAny:
				e.fail(m.ref, path, "Remove outboundTrafficPolicy from Sallyport's configuration.",
					"the mesh has REGISTRY_ONLY, and Sallyport's configuration ALLOW_ANY: it takes paths for direct that are blocked")
			default:
				e.pass(m.ref, path, "REGISTRY_ONLY")
			}
		}
	},
}

var istioVersion = &Check{
	Name:  "istio-version",
	Group: groupMesh,
	Doc: `Istio is of a version that Sallyport knows

What Sallyport says about paths is proven against the control plane of one
version of Istio, the one of its API in "sallyport version". Istio before 1.22
does not serve networking.istio.io/v1, in which companions are written. Gateways
may not be newer than their control plane, nor more than one version older.`,
	Sources: []string{"https://istio.io/latest/docs/releases/supported-releases/#control-planedata-plane-skew"},
	Check: func(e *Exam) {
		if !e.need(kinds("Pod")...) {
			return
		}
		newest, mark := 0, e.mark()
		for i := range e.pods {
			p := &e.pods[i]
			if p.Namespace != e.Settings.RootNamespace || p.Labels["app"] != "istiod" || finished(p) {
				continue
			}
			image := imageOf(p, "discovery")
			minor, ok := minorOf(image)
			newest = max(newest, minor)
			const path = "spec.containers"
			switch {
			case !ok:
				e.unknown(p.ref(), path, "istioctl version", "the version of istiod is not to be seen in its image %q", image)
			case minor < oldestMinor:
				e.fail(p.ref(), path, "Upgrade Istio to 1."+fmt.Sprint(provenMinor)+".", "Istio 1.%d does not serve networking.istio.io/v1", minor)
			case minor != provenMinor:
				e.unknown(p.ref(), path, "Use the Sallyport that is made for this version of Istio, or run its test/istio against it.",
					"Istio 1.%d: Sallyport is proven against 1.%d", minor, provenMinor)
			default:
				e.pass(p.ref(), path, "Istio 1.%d", minor)
			}
		}
		if e.mark() == mark {
			e.unknown(mesh.Ref{}, "", "Set rootNamespace in Sallyport's configuration to the namespace of istiod.", "there is no pod of istiod in namespace %s", e.Settings.RootNamespace)
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
	// provenMinor is that of Istio's API in go.mod, and of test/istio.
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
