package gen

import (
	"fmt"
	"math/rand/v2"
)

// The namespace of the platform's waypoints, and all that hold objects of an
// ambient mesh.
const waypointNS = "istio-egress"

var ambientNamespaces = []string{"default", "shop", "billing", waypointNS}

// NewAmbient returns the mesh of a seed, some of whose namespaces are in ambient
// mode: good sets with the platform's waypoint for each host, most of them a few
// small mistakes away from good, and now and then hosts for sidecars beside them.
func NewAmbient(seed uint64) Mesh {
	g := &generator{Rand: rand.New(rand.NewPCG(seed, 0xa3b1))}
	g.buildAmbient()
	return g.mesh
}

// buildAmbient makes namespaces, waypoints and hosts, and a few mistakes in them.
func (g *generator) buildAmbient() {
	g.dataplanes()
	g.waypoint(waypointNS, "waypoint")
	if g.chance(25) {
		g.waypoint(waypointNS, "waypoint-next")
	}
	if g.chance(30) {
		g.waypoint(pick(g, tenants...), pick(g, "waypoint", "mine"))
	}
	for range 1 + g.choose(45, 35, 20) {
		g.ambientSet()
	}
	if g.chance(25) {
		g.set()
	}
	for range g.choose(20, 30, 25, 15, 10) {
		g.mutateAmbient()
	}
	g.Shuffle(len(g.mesh), func(i, j int) { g.mesh[i], g.mesh[j] = g.mesh[j], g.mesh[i] })
	g.agesOfEntries()
}

// agesOfEntries gives every entry an age of its own: which of two of one age is
// the canonical one, Istio leaves to chance.
func (g *generator) agesOfEntries() {
	for i, o := range g.mesh {
		if o["kind"] == "ServiceEntry" {
			o["metadata"].(Object)["creationTimestamp"] = fmt.Sprintf("%d-01-01T00:00:00Z", 2020+i)
		}
	}
}

// dataplanes makes the namespaces: in ambient mode, with sidecars, with both,
// or with neither.
func (g *generator) dataplanes() {
	pure := g.chance(60)
	for _, ns := range ambientNamespaces {
		labels := Object{}
		switch i := g.choose(50, 30, 8, 12); {
		case ns == waypointNS || pure || i == 0:
			labels["istio.io/dataplane-mode"] = "ambient"
		case i == 1:
			labels["istio-injection"] = "enabled"
		case i == 2:
			labels["istio.io/dataplane-mode"], labels["istio-injection"] = "ambient", "enabled"
		}
		switch {
		case ns == waypointNS && g.chance(90):
			labels["istio.io/use-waypoint"] = "waypoint"
		case g.chance(15):
			g.bind(labels, ns)
		}
		meta := Object{"name": ns, "labels": labels}
		g.mesh = append(g.mesh, Object{"apiVersion": "v1", "kind": "Namespace", "metadata": meta})
	}
}

// bind labels an entry or a namespace with the platform's waypoint, mostly.
func (g *generator) bind(labels Object, from string) {
	labels["istio.io/use-waypoint"] = "waypoint"
	if g.chance(12) {
		labels["istio.io/use-waypoint"] = pick(g, "waypoint-next", "mine", "none", "")
	}
	if from != waypointNS && !g.chance(5) {
		labels["istio.io/use-waypoint-namespace"] = waypointNS
		if g.chance(5) {
			labels["istio.io/use-waypoint-namespace"] = pick(g, tenants...)
		}
	}
}

// waypoint adds a waypoint that admits everybody, mostly.
func (g *generator) waypoint(ns, called string) {
	listener := Object{"name": "mesh", "port": 15008, "protocol": "HBONE"}
	switch g.choose(86, 8, 6) {
	case 0:
		listener["allowedRoutes"] = Object{"namespaces": Object{"from": "All"}}
	case 1:
		listener["allowedRoutes"] = Object{"namespaces": Object{"from": "Selector", "selector": Object{"matchLabels": Object{"kubernetes.io/metadata.name": pick(g, tenants...)}}}}
	}
	o := g.add("Gateway", ns, Object{
		"gatewayClassName": "istio-waypoint",
		"listeners":        []any{listener},
	})
	o["apiVersion"] = "gateway.networking.k8s.io/v1"
	meta := o["metadata"].(Object)
	meta["name"] = called
	if g.chance(50) {
		meta["labels"] = Object{"istio.io/waypoint-for": pick(g, "service", "service", "service", "service", "all", "all", "workload")}
	}
	if g.chance(10) {
		spec(o)["gatewayClassName"] = pick(g, "istio-agentgateway-waypoint", "istio-agentgateway-waypoint", "istio")
	}
	if g.chance(3) {
		o["status"] = Object{"conditions": []any{Object{"type": "Programmed", "status": "False"}}}
	}
}

// ambientSet adds one host that is to be led out by the platform's waypoint: an
// entry of the platform's, or of a tenant's that is bound to it, and perhaps the
// origination of TLS, a policy and a route.
func (g *generator) ambientSet() {
	host := g.nextHost(20)
	owner := pick(g, waypointNS, waypointNS, pick(g, tenants...))
	entry := g.ambientEntry(owner, host)
	meta := entry["metadata"].(Object)
	labels := Object{}
	if owner != waypointNS || g.chance(30) {
		g.bind(labels, owner)
	}
	if g.chance(6) {
		g.canary(meta, labels)
	}
	if len(labels) > 0 {
		meta["labels"] = labels
	}
	if g.chance(30) {
		g.ambientRoute(entry)
	}
	if g.chance(25) {
		o := g.add("AuthorizationPolicy", owner, Object{
			"targetRefs": []any{Object{"group": "networking.istio.io", "kind": "ServiceEntry", "name": name(entry)}},
			"action":     "ALLOW", "rules": []any{Object{"from": []any{Object{"source": Object{"namespaces": strs(pick(g, tenants...))}}}}},
		})
		o["apiVersion"] = "security.istio.io/v1"
	}
}

// canary has a share of the traffic take another waypoint.
func (g *generator) canary(meta, labels Object) {
	labels["istio.io/use-waypoint-canary"] = pick(g, "waypoint-next", "mine", "waypoint", "none")
	if g.chance(50) {
		labels["istio.io/use-waypoint-canary-namespace"] = pick(g, waypointNS, pick(g, tenants...))
	}
	if !g.chance(20) {
		meta["annotations"] = Object{"istio.io/use-waypoint-canary-weight": pick(g, "100", "10", "0", "101", "x")}
	}
}

func (g *generator) ambientEntry(owner, host string) Object {
	spec := Object{"hosts": strs(host), "resolution": "DNS"}
	var ports []any
	for i := range 1 + g.choose(70, 30) {
		port := pick(g, Object{"number": 80, "protocol": "HTTP"}, Object{"number": 80, "protocol": "HTTP", "targetPort": 443}, Object{"number": 80, "protocol": "HTTP2"},
			Object{"number": 8080, "protocol": "GRPC"}, Object{"number": 443, "protocol": "TLS"}, Object{"number": 443, "protocol": "HTTPS"},
			Object{"number": 5432, "protocol": "TCP"}, Object{"number": 9000, "protocol": ""})
		if i == 0 || port["number"] != ports[0].(Object)["number"] {
			port["name"] = fmt.Sprintf("p%d", i)
			ports = append(ports, port)
		}
	}
	spec["ports"] = ports
	switch g.choose(60, 16, 12, 10, 2) {
	case 1:
		spec["addresses"] = strs(fmt.Sprintf("198.51.100.%d", g.sets))
	case 2:
		spec["resolution"], spec["endpoints"] = "STATIC", []any{Object{"address": fmt.Sprintf("203.0.113.%d", g.sets)}}
	case 3:
		spec["resolution"], spec["hosts"] = "DYNAMIC_DNS", strs("*."+host)
	case 4:
		spec["resolution"] = "NONE"
	}
	if g.chance(60) || spec["resolution"] == "DYNAMIC_DNS" {
		spec["location"] = "MESH_EXTERNAL"
	}
	if g.chance(20) {
		spec["exportTo"] = pick(g, exports...)
	}
	o := g.add("ServiceEntry", owner, spec)
	if p := ports[0].(Object); p["targetPort"] != nil && !g.chance(20) {
		g.add("DestinationRule", owner, Object{"host": host, "trafficPolicy": Object{"tls": Object{"mode": "SIMPLE"}}})
	}
	return o
}

// ambientRoute adds a route for an entry at its waypoint, of any kind. It leads
// to the entry's own host, mostly.
func (g *generator) ambientRoute(entry Object) {
	kind := pick(g, "VirtualService", "VirtualService", "HTTPRoute", "HTTPRoute", "GRPCRoute", "TLSRoute", "TCPRoute")
	ns := pick(g, namespace(entry), namespace(entry), namespace(entry), waypointNS, pick(g, tenants...))
	host := spec(entry)["hosts"].([]any)[0].(string)
	if kind == "VirtualService" {
		g.add(kind, ns, g.waypointVirtual(host, g.portOf(entry)))
		return
	}
	parent := Object{"group": "networking.istio.io", "kind": "ServiceEntry", "name": name(entry)}
	if ns != namespace(entry) {
		parent["namespace"] = namespace(entry)
	}
	if g.chance(25) {
		parent["port"] = g.portOf(entry)
	}
	backends := []any{g.hostBackend(host, g.portOf(entry))}
	if g.chance(20) {
		backends = append(backends, g.hostBackend(host, g.portOf(entry)))
		backends[1].(Object)["weight"] = pick(g, 0, 1, 9)
	}
	rule := Object{"backendRefs": backends}
	routed := Object{"parentRefs": []any{parent}, "rules": []any{rule}}
	switch kind {
	case "HTTPRoute":
		if g.chance(20) {
			rule["matches"] = []any{Object{"path": Object{"type": "PathPrefix", "value": "/ok"}}}
		}
		if g.chance(20) {
			rule["filters"] = []any{Object{"type": "RequestMirror", "requestMirror": Object{"backendRef": g.hostBackend(host, g.portOf(entry))}}}
		}
	case "TLSRoute":
		routed["hostnames"] = strs(pick(g, host, host, "*.partner.com"))
	}
	o := g.add(kind, ns, routed)
	o["apiVersion"] = "gateway.networking.k8s.io/v1"
}

// waypointVirtual is a VirtualService with a rule of one class for a host.
func (g *generator) waypointVirtual(host string, port int) Object {
	to := func() Object {
		return Object{"destination": Object{"host": g.towards(host), "port": Object{"number": port}}}
	}
	route := []any{to()}
	if g.chance(20) {
		route = append(route, to())
		route[0].(Object)["weight"], route[1].(Object)["weight"] = 50, 50
	}
	rule := Object{"route": route}
	class := pick(g, "http", "http", "http", "tls", "tcp")
	switch class {
	case "tls":
		rule["match"] = []any{Object{"sniHosts": strs(pick(g, host, host, "*.partner.com"))}}
	case "http":
		if g.chance(25) {
			rule["match"] = []any{pick(g, Object{"port": port}, Object{"uri": Object{"prefix": "/ok"}}, Object{"sourceLabels": Object{"app": "web"}}, Object{"gateways": strs("other")})}
		}
		if g.chance(15) {
			rule["mirror"] = Object{"host": g.towards(host)}
		}
	}
	vs := Object{"hosts": strs(pick(g, host, host, host, "*.partner.com")), class: []any{rule}}
	if g.chance(15) {
		vs["gateways"] = pick(g, strs("mesh"), strs("mesh", "other"), strs("other"))
	}
	if g.chance(20) {
		vs["exportTo"] = pick(g, exports...)
	}
	return vs
}

// towards is the host itself, mostly.
func (g *generator) towards(host string) string {
	return pick(g, host, host, host, host, pick(g, g.hosts...), gatewayHost, "nowhere.partner.com")
}

func (g *generator) hostBackend(host string, port int) Object {
	return Object{"group": "networking.istio.io", "kind": "Hostname", "name": g.towards(host), "port": port}
}

func (g *generator) portOf(entry Object) int {
	if p := g.element(spec(entry)["ports"]); p != nil {
		return p["number"].(int)
	}
	return 80
}
