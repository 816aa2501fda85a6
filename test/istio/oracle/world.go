// Package oracle asks Istio's own control plane, running in this process,
// what it makes of a set of manifests, and reduces the answer (the listeners,
// routes and clusters of every client's sidecar and of the egress gateway) to
// what steers egress traffic.
//
// It reads nothing of Sallyport's model: the two meet only in the tests that
// compare them.
package oracle

import (
	_ "embed"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"istio.io/istio/pilot/pkg/config/kube/crd"
	"istio.io/istio/pilot/pkg/model"
	"istio.io/istio/pilot/test/xds"
	"istio.io/istio/pkg/config"
	"istio.io/istio/pkg/config/mesh"
	"istio.io/istio/pkg/kube"
	"istio.io/istio/pkg/test"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	metadatafake "k8s.io/client-go/metadata/fake"
	k8stesting "k8s.io/client-go/testing"
	"sigs.k8s.io/gateway-api/pkg/consts"
	"sigs.k8s.io/yaml"

	meshconfig "istio.io/api/mesh/v1alpha1"
)

// The installation that every question is asked in: Istio's default egress
// gateway in the root namespace, and a mesh that is REGISTRY_ONLY. Manifests may
// hold the ConfigMap of Istio's mesh configuration, and objects of [base] of
// their own.
const (
	RootNamespace   = "istio-system"
	GatewayHost     = "istio-egressgateway.istio-system.svc.cluster.local"
	gatewayPodIP    = "10.0.0.1"
	gatewayVIP      = "10.96.0.10"
	clusterSuffix   = ".svc.cluster.local"
	defaultCreation = "2026-01-01T00:00:00Z" // for objects that state none
	meshConfigMap   = "istio"                // in the root namespace
)

// base holds the Service, EndpointSlice and Pod of the egress gateway. The
// Service is exported to all, whatever the mesh configuration says.
//
//go:embed base.yaml
var base string

// Client is a set of workloads that Istio may program alike: a namespace and
// the labels of its pods.
type Client struct {
	Namespace string
	Labels    map[string]string
}

// String is the namespace, followed by the labels if there are any.
func (c Client) String() string {
	if len(c.Labels) == 0 {
		return c.Namespace
	}
	pairs := make([]string, 0, len(c.Labels))
	for _, k := range slices.Sorted(maps.Keys(c.Labels)) {
		pairs = append(pairs, k+"="+c.Labels[k])
	}
	return c.Namespace + "{" + strings.Join(pairs, ",") + "}"
}

// World is what Istio programs for one set of manifests.
type World struct {
	Configs []config.Config
	Gateway *Proxy
	Clients []ClientProxy
}

// ClientProxy is the sidecar of one client.
type ClientProxy struct {
	Client
	*Proxy
}

// Ask feeds the manifests (a YAML stream) to Istio and returns the sidecars
// of the clients and the egress gateway. A manifest that Istio's validation
// rejects is an error.
func Ask(manifests string, clients ...Client) (*World, error) {
	in, err := parse(manifests)
	if err != nil {
		return nil, err
	}
	w := &World{Configs: in.configs}
	err = test.Wrap(func(t test.Failer) {
		s := xds.NewFakeDiscoveryServer(t, xds.FakeOptions{
			Configs:                in.configs,
			KubernetesObjectString: strings.Join(in.kubernetes, "\n---\n"),
			MeshConfig:             in.mesh,
			KubeClientModifier:     in.annotateCRDs,
		})
		w.Gateway = reduceFake(s, gateway())
		for _, c := range clients {
			w.Clients = append(w.Clients, ClientProxy{c, reduceFake(s, sidecar(c))})
		}
	})
	if err != nil {
		return nil, err
	}
	return w, nil
}

// gateway is the egress gateway of base.yaml.
func gateway() *model.Proxy {
	labels := map[string]string{"istio": "egressgateway"}
	return &model.Proxy{
		Type:            model.Router,
		IPAddresses:     []string{gatewayPodIP},
		ConfigNamespace: RootNamespace,
		Labels:          labels,
		Metadata:        &model.NodeMetadata{IstioVersion: "1.31.0", Namespace: RootNamespace, Labels: labels},
	}
}

// sidecar is a client's proxy.
func sidecar(c Client) *model.Proxy {
	return &model.Proxy{
		Type:            model.SidecarProxy,
		IPAddresses:     []string{"10.1.1.1"},
		ConfigNamespace: c.Namespace,
		Labels:          c.Labels,
		Metadata:        &model.NodeMetadata{IstioVersion: "1.31.0", Namespace: c.Namespace, Labels: c.Labels},
	}
}

// annotateCRDs has every CRD carry the version of the Gateway API's bundle, or that which
// the manifests give it. The fake control plane installs them without, and Istio then
// ignores TLSRoute and its like (minimumVersionFilter in pkg/kube/kclient).
func (in input) annotateCRDs(c kube.Client) {
	fake, ok := c.Metadata().(*metadatafake.FakeMetadataClient)
	if !ok {
		return
	}
	annotate := func(action k8stesting.Action) (bool, runtime.Object, error) {
		if a, ok := action.(k8stesting.CreateAction); ok { // an update has the same object
			if crd, ok := a.GetObject().(*metav1.PartialObjectMetadata); ok {
				crd.Annotations = map[string]string{consts.BundleVersionAnnotation: consts.BundleVersion}
				if annotations, ok := in.definitions[crd.Name]; ok {
					crd.Annotations = annotations
				}
			}
		}
		return false, nil, nil
	}
	fake.PrependReactor("create", "customresourcedefinitions", annotate)
	fake.PrependReactor("update", "customresourcedefinitions", annotate)
}

func registryOnly() *meshconfig.MeshConfig {
	m := mesh.DefaultMeshConfig()
	m.OutboundTrafficPolicy = &meshconfig.MeshConfig_OutboundTrafficPolicy{
		Mode: meshconfig.MeshConfig_OutboundTrafficPolicy_REGISTRY_ONLY,
	}
	return m
}

// input is a set of manifests, divided by who reads them: Istio's kinds come
// from the config store, all others from the Kubernetes API.
type input struct {
	mesh       *meshconfig.MeshConfig
	configs    []config.Config
	kubernetes []string
	base       []string // the part of kubernetes that no manifest names
	// definitions are the annotations of the CustomResourceDefinitions among the
	// manifests, by name: the fake control plane has the definitions themselves.
	definitions map[string]map[string]string
}

// head is what tells one manifest from another.
type head struct {
	APIVersion string `json:"apiVersion"`
	Kind       string `json:"kind"`
	Metadata   struct {
		Namespace string `json:"namespace"`
		Name      string `json:"name"`
	} `json:"metadata"`
}

// annotationsOf are the annotations of a manifest.
func annotationsOf(doc string) (map[string]string, error) {
	var o metav1.PartialObjectMetadata
	err := yaml.Unmarshal([]byte(doc), &o)
	return o.Annotations, err
}

func parse(manifests string) (input, error) {
	in := input{mesh: registryOnly(), definitions: map[string]map[string]string{}}
	seen := map[head]bool{}
	created, err := time.Parse(time.RFC3339, defaultCreation)
	if err != nil {
		return in, err
	}
	for _, doc := range documents(manifests) {
		var head head
		if err := yaml.Unmarshal([]byte(doc), &head); err != nil {
			return in, fmt.Errorf("read manifest: %w", err)
		}
		if head.APIVersion == "" {
			continue
		}
		seen[head] = true
		if head.Kind == "ConfigMap" && head.Metadata.Name == meshConfigMap {
			if in.mesh, err = meshConfigOf(doc); err != nil {
				return in, err
			}
			continue
		}
		if head.Kind == "CustomResourceDefinition" {
			if in.definitions[head.Metadata.Name], err = annotationsOf(doc); err != nil {
				return in, fmt.Errorf("read manifest: %w", err)
			}
			continue
		}
		if !strings.Contains(head.APIVersion, ".istio.io/") {
			in.kubernetes = append(in.kubernetes, doc)
			continue
		}
		if head.Kind == "ServiceEntry" && strings.Contains(manifests, "gateway.networking.k8s.io") {
			in.kubernetes = append(in.kubernetes, doc) // Istio's Gateway API controller looks for a route's parent there
		}
		configs, others, err := crd.ParseInputs(doc)
		if err != nil {
			return in, fmt.Errorf("istio rejects the manifest: %w", err)
		}
		if len(others) > 0 {
			return in, fmt.Errorf("istio does not know %s %s", others[0].APIVersion, others[0].Kind)
		}
		for _, c := range configs {
			if c.Namespace == "" {
				c.Namespace = "default"
			}
			if c.CreationTimestamp.IsZero() {
				c.CreationTimestamp = created
			}
			in.configs = append(in.configs, c)
		}
	}
	for _, doc := range documents(base) {
		var head head
		if err := yaml.Unmarshal([]byte(doc), &head); err != nil {
			return in, fmt.Errorf("read base.yaml: %w", err)
		}
		if !seen[head] {
			in.kubernetes, in.base = append(in.kubernetes, doc), append(in.base, doc)
		}
	}
	return in, nil
}

// meshConfigOf reads the ConfigMap of the mesh configuration, with Istio's own
// defaults where it says nothing.
func meshConfigOf(doc string) (*meshconfig.MeshConfig, error) {
	var m struct {
		Data map[string]string `json:"data"`
	}
	if err := yaml.Unmarshal([]byte(doc), &m); err != nil {
		return nil, fmt.Errorf("read manifest: %w", err)
	}
	config, err := mesh.ApplyMeshConfigDefaults(m.Data["mesh"])
	if err != nil {
		return nil, fmt.Errorf("istio rejects the mesh configuration: %w", err)
	}
	return config, nil
}

func documents(manifests string) []string {
	return slices.DeleteFunc(strings.Split("\n"+manifests, "\n---"), func(doc string) bool {
		return strings.TrimSpace(doc) == ""
	})
}
