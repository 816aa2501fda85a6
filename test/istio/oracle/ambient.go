package oracle

import (
	"fmt"
	"strings"

	"istio.io/api/label"
	"istio.io/istio/pilot/pkg/features"
	"istio.io/istio/pilot/pkg/networking/serviceentry"
	"istio.io/istio/pilot/test/xds"
	"istio.io/istio/pkg/config"
	"istio.io/istio/pkg/config/constants"
	"istio.io/istio/pkg/test"
	"istio.io/istio/pkg/workloadapi"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/yaml"

	networking "istio.io/api/networking/v1alpha3"
)

// Ambient is what Istio programs in ambient mode for one set of manifests: what
// it tells ztunnel of every service, the waypoints, the sidecars beside them and
// the egress gateway.
type Ambient struct {
	World
	platform  []string
	services  []*workloadapi.Service
	waypoints map[string]*waypoint // by the name of their Service
}

// AskAmbient is [Ask] in ambient mode. A waypoint among the manifests is taken to
// be ready unless it has a status that says otherwise, and every ServiceEntry to
// have the addresses that Istio allocates. The waypoints of the platform's
// namespaces may lead out of the mesh.
//
// Istio's features are settings of the process. Whoever asks from several
// goroutines starts the process with those of [AmbientEnv].
func AskAmbient(manifests string, platform []string, sidecars ...Client) (*Ambient, error) {
	in, err := parse(manifests)
	if err != nil {
		return nil, err
	}
	objects, waypoints, err := running(in, manifests)
	if err != nil {
		return nil, err
	}
	a := &Ambient{platform: platform, waypoints: map[string]*waypoint{}}
	a.Configs = in.configs
	err = test.Wrap(func(t test.Failer) {
		if !features.EnableAmbient {
			for _, feature := range []*bool{
				&features.EnableAmbient, &features.EnableAmbientWaypoints, &features.EnableHBONESend, &features.EnableSidecarHBONEListening,
			} {
				test.SetForTest(t, feature, true)
			}
		}
		s := xds.NewFakeDiscoveryServer(t, xds.FakeOptions{
			Configs:                in.configs,
			KubernetesObjectString: strings.Join(objects, "\n---\n"),
			MeshConfig:             in.mesh,
			KubeClientModifier:     in.annotateCRDs,
		})
		for _, info := range s.AmbientIndex.All() {
			if svc := info.GetService(); svc != nil {
				a.services = append(a.services, svc)
			}
		}
		a.Gateway = reduceFake(s, gateway())
		for i, w := range waypoints {
			a.waypoints[serviceName(w)] = askWaypoint(s, w, waypointIP(i))
		}
		for _, c := range sidecars {
			a.Clients = append(a.Clients, ClientProxy{c, reduceFake(s, sidecar(c))})
		}
	})
	if err != nil {
		return nil, err
	}
	return a, nil
}

// AmbientEnv turns Istio's ambient mode on for a whole process.
var AmbientEnv = []string{"PILOT_ENABLE_AMBIENT=true"}

func serviceName(w types.NamespacedName) string { return w.Name + "." + w.Namespace + clusterSuffix }

func waypointIP(i int) string { return fmt.Sprintf("10.0.1.%d", i+1) }

// running returns the objects of a cluster in which the manifests have come
// true: waypoints are deployed and entries have addresses. In ambient mode Istio
// reads its own kinds from there, too.
func running(in input, manifests string) (objects []string, waypoints []types.NamespacedName, err error) {
	allocated := allocate(in.configs)
	named, used := map[string]bool{}, map[string]bool{}
	for _, doc := range documents(manifests) {
		var object map[string]any
		if err := yaml.Unmarshal([]byte(doc), &object); err != nil {
			return nil, nil, fmt.Errorf("read manifest: %w", err)
		}
		if len(object) == 0 || object["kind"] == "ConfigMap" {
			continue
		}
		meta, _ := object["metadata"].(map[string]any)
		if meta["namespace"] == nil && object["kind"] != "Namespace" && object["kind"] != "GatewayClass" {
			meta["namespace"] = "default"
		}
		if meta["creationTimestamp"] == nil {
			meta["creationTimestamp"] = defaultCreation
		}
		name := types.NamespacedName{Namespace: fmt.Sprint(meta["namespace"]), Name: fmt.Sprint(meta["name"])}
		if object["kind"] == "Namespace" {
			named[name.Name] = true
			labels, ok := meta["labels"].(map[string]any)
			if !ok {
				labels = map[string]any{}
				meta["labels"] = labels
			}
			labels["kubernetes.io/metadata.name"] = name.Name // as the API server does
		} else {
			used[name.Namespace] = true
		}
		spec, _ := object["spec"].(map[string]any)
		var addresses []any
		switch object["kind"] {
		case "Gateway":
			if !waypointClasses[fmt.Sprint(spec["gatewayClassName"])] || object["status"] != nil {
				break
			}
			addresses = []any{map[string]any{"type": "Hostname", "value": serviceName(name)}}
			objects = append(objects, deployed(name, waypointIP(len(waypoints)))...)
			waypoints = append(waypoints, name)
		case "ServiceEntry":
			for _, a := range allocated[name] {
				addresses = append(addresses, map[string]any{"host": a.Host, "value": a.Value})
			}
		}
		if addresses != nil {
			object["status"] = map[string]any{"addresses": addresses}
		}
		raw, err := yaml.Marshal(object)
		if err != nil {
			return nil, nil, err
		}
		objects = append(objects, string(raw))
	}
	for ns := range used {
		if !named[ns] { // an API server has no object of a namespace that is not there
			objects = append(objects, fmt.Sprintf("apiVersion: v1\nkind: Namespace\nmetadata: {name: %s}\n", ns))
		}
	}
	return append(objects, in.base...), waypoints, nil
}

// waypointClasses are the classes by which Istio deploys a waypoint.
var waypointClasses = map[string]bool{
	constants.WaypointGatewayClassName:      true,
	constants.AgentgatewayWaypointClassName: true,
}

// allocate gives the entries the addresses that Istio would, in the status of
// each, and returns them.
func allocate(configs []config.Config) map[types.NamespacedName][]*networking.ServiceEntryAddress {
	out := map[types.NamespacedName][]*networking.ServiceEntryAddress{}
	for i, c := range configs {
		se, ok := c.Spec.(*networking.ServiceEntry)
		if !ok || !serviceentry.ShouldV2AutoAllocateIPFromConfig(c) {
			continue
		}
		status := &networking.ServiceEntryStatus{}
		for j, h := range se.Hosts {
			status.Addresses = append(status.Addresses, &networking.ServiceEntryAddress{Host: h, Value: fmt.Sprintf("240.%d.%d.%d", 240-i/256, i%256, j+1)})
		}
		configs[i].Status = status
		out[types.NamespacedName{Namespace: c.Namespace, Name: c.Name}] = status.Addresses
	}
	return out
}

// deployed are the Service and an instance of a waypoint.
func deployed(w types.NamespacedName, ip string) []string {
	labels := fmt.Sprintf("{%s: %s, %s: %s}",
		label.IoK8sNetworkingGatewayGatewayName.Name, w.Name, label.GatewayManaged.Name, constants.ManagedGatewayMeshControllerLabel)
	return []string{
		fmt.Sprintf(`apiVersion: v1
kind: Service
metadata: {name: %s, namespace: %s, labels: %s}
spec: {clusterIP: %s, selector: %[3]s, ports: [{name: mesh, port: 15008, appProtocol: hbone}]}
`, w.Name, w.Namespace, labels, strings.Replace(ip, "10.0.", "10.96.", 1)),
		fmt.Sprintf(`apiVersion: networking.istio.io/v1
kind: WorkloadEntry
metadata: {name: %s, namespace: %s}
spec: {address: %s, labels: %s}
`, w.Name, w.Namespace, ip, labels),
	}
}
