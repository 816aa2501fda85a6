package oracle

import (
	"fmt"
	"strings"

	"istio.io/api/label"
	"istio.io/istio/pilot/pkg/features"
	"istio.io/istio/pilot/pkg/model"
	"istio.io/istio/pilot/pkg/networking/serviceentry"
	"istio.io/istio/pilot/test/xds"
	"istio.io/istio/pkg/config/constants"
	"istio.io/istio/pkg/test"
	"istio.io/istio/pkg/workloadapi"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/yaml"

	networking "istio.io/api/networking/v1alpha3"
)

// Ambient is what Istio programs in ambient mode for one set of manifests:
// what it tells ztunnel of every service, and the waypoints.
type Ambient struct {
	World
	services  []*workloadapi.Service
	waypoints map[string]*Proxy // by the name of their Service
}

// AskAmbient is [Ask] in ambient mode. Every waypoint among the manifests is
// taken to be ready, and every ServiceEntry to have the addresses that Istio
// allocates.
func AskAmbient(manifests string, sidecars ...Client) (*Ambient, error) {
	in, err := parse(manifests)
	if err != nil {
		return nil, err
	}
	objects, waypoints, err := running(in, manifests)
	if err != nil {
		return nil, err
	}
	a := &Ambient{waypoints: map[string]*Proxy{}}
	a.Configs = in.configs
	err = test.Wrap(func(t test.Failer) {
		for _, feature := range []*bool{
			&features.EnableAmbient, &features.EnableAmbientWaypoints, &features.EnableHBONESend, &features.EnableSidecarHBONEListening,
		} {
			test.SetForTest(t, feature, true)
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
		for i, w := range waypoints {
			a.waypoints[serviceName(w)] = reduceWaypoint(s, w, waypointIP(i))
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

// ThroughZtunnel is what becomes of traffic from a namespace without sidecars: ztunnel
// knows services by their addresses and takes that of the client's own
// namespace, or else the canonical one; it sends the traffic to the service's
// waypoint, or out itself.
func (a *Ambient) ThroughZtunnel(namespace string, p Point) (Verdict, string) {
	var found *workloadapi.Service
	for _, svc := range a.services {
		if strings.EqualFold(svc.Hostname, p.Host) && (svc.Namespace == namespace || svc.Canonical && (found == nil || found.Namespace != namespace)) {
			found = svc
		}
	}
	switch {
	case found == nil || len(found.Addresses) == 0:
		return Direct, "ztunnel knows no address of the service"
	case found.Waypoint == nil:
		return Direct, "the service has no waypoint"
	}
	name := found.Waypoint.GetHostname().GetHostname()
	w := a.waypoints[name]
	if w == nil {
		return Broken, "there is no waypoint " + name
	}
	for _, l := range w.Leaves {
		if cl := w.Clusters[l.Cluster]; cl != nil && cl.External() && strings.EqualFold(cl.Host, p.Host) && cl.Port == int(p.Port) {
			return Via, "waypoint " + name + " sends it to " + cl.Name
		}
	}
	return Broken, "waypoint " + name + " has no route for it"
}

// reduceWaypoint walks the waypoint's inner listener, which takes the traffic
// for every service that is bound to it.
func reduceWaypoint(s *xds.FakeDiscoveryServer, w types.NamespacedName, ip string) *Proxy {
	node := s.SetupProxy(&model.Proxy{
		Type:            model.Waypoint,
		ConfigNamespace: w.Namespace,
		IPAddresses:     []string{ip},
		Labels: map[string]string{
			label.IoK8sNetworkingGatewayGatewayName.Name: w.Name,
			label.GatewayManaged.Name:                    constants.ManagedGatewayMeshControllerLabel,
		},
	})
	p := &Proxy{}
	var err error
	if p.Clusters, err = clustersOf(inProcess{s, node}); err != nil {
		panic(fmt.Sprintf("read the clusters of a proxy of this process: %v", err)) // nothing can fail
	}
	var walk walker
	for _, l := range s.Listeners(node) {
		for _, fc := range l.FilterChains {
			walk.filterChain(Leaf{Listener: l.Name}, fc)
		}
	}
	for _, c := range walk.chains {
		p.Leaves = append(p.Leaves, c.leaves(nil)...)
	}
	return p
}

func serviceName(w types.NamespacedName) string { return w.Name + "." + w.Namespace + clusterSuffix }

func waypointIP(i int) string { return fmt.Sprintf("10.0.1.%d", i+1) }

// running returns the objects of a cluster in which the manifests have come
// true: waypoints are deployed and entries have addresses. In ambient mode Istio
// reads its own kinds from there, too.
func running(in input, manifests string) (objects []string, waypoints []types.NamespacedName, err error) {
	allocate := map[types.NamespacedName][]string{}
	for _, c := range in.configs {
		if se, ok := c.Spec.(*networking.ServiceEntry); ok && serviceentry.ShouldV2AutoAllocateIPFromConfig(c) {
			allocate[types.NamespacedName{Namespace: c.Namespace, Name: c.Name}] = se.Hosts
		}
	}
	for i, doc := range documents(manifests) {
		var object map[string]any
		if err := yaml.Unmarshal([]byte(doc), &object); err != nil {
			return nil, nil, fmt.Errorf("read manifest: %w", err)
		}
		meta, _ := object["metadata"].(map[string]any)
		name := types.NamespacedName{Namespace: fmt.Sprint(meta["namespace"]), Name: fmt.Sprint(meta["name"])}
		spec, _ := object["spec"].(map[string]any)
		var addresses []any
		switch {
		case object["kind"] == "ConfigMap":
			continue
		case object["kind"] == "Gateway" && spec["gatewayClassName"] == constants.WaypointGatewayClassName:
			addresses = []any{map[string]any{"type": "Hostname", "value": serviceName(name)}}
			objects = append(objects, deployed(name, waypointIP(len(waypoints)))...)
			waypoints = append(waypoints, name)
		case object["kind"] == "ServiceEntry":
			for j, h := range allocate[name] {
				addresses = append(addresses, map[string]any{"host": h, "value": fmt.Sprintf("240.240.%d.%d", i, j+1)})
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
	return objects, waypoints, nil
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
