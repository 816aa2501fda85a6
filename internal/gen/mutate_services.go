package gen

import (
	"fmt"
	"strings"
)

// serviceMutations add Kubernetes Services whose endpoints may lie outside the
// mesh, lead routes and entries to them, and say who sees them.
var serviceMutations = []mutation{
	func(g *generator) bool { // another name for a host
		g.service(Object{"type": "ExternalName", "externalName": pick(g, g.hosts[0], g.hosts[0], "stray.example.com", gatewayHost)})
		return true
	},
	func(g *generator) bool { // addresses written by hand
		svc := g.service(Object{"clusterIP": g.clusterIP()})
		g.endpointSlice(svc, pick(g, "203.0.113.77", "203.0.113.77", "10.1.2.3"))
		return true
	},
	func(g *generator) bool { // workloads outside, selected like pods
		svc := g.service(Object{"clusterIP": g.clusterIP(), "selector": Object{"app": "outside"}})
		g.add("WorkloadEntry", namespace(svc), Object{"address": pick(g, "203.0.113.79", "10.1.2.3"), "labels": Object{"app": "outside"}})
		return true
	},
	on("VirtualService", func(g *generator, _, spec Object) bool { // a route to one of them
		svc := g.some("Service")
		class := pick(g, "http", "tls", "tcp")
		rule := g.element(spec[class])
		if svc == nil || rule == nil {
			return false
		}
		to := g.element(rule["route"])
		if to == nil {
			return false
		}
		to["destination"] = Object{"host": serviceHost(svc), "port": Object{"number": portOf(svc)}}
		return true
	}),
	func(g *generator) bool { // a route for one of them
		svc := g.some("Service")
		if svc == nil {
			return false
		}
		g.add("VirtualService", pick(g, tenants...), Object{
			"hosts": strs(serviceHost(svc)), "exportTo": pick(g, exports...),
			"http": []any{Object{"route": []any{Object{"destination": Object{
				"host": pick(g, gatewayHost, g.hosts[0]), "port": Object{"number": 80},
			}}}}},
		})
		return true
	},
	on("ServiceEntry", func(g *generator, _, spec Object) bool { // an entry with one of them behind it
		svc := g.some("Service")
		if svc == nil {
			return false
		}
		delete(spec, "workloadSelector")
		spec["resolution"] = "DNS"
		spec["endpoints"] = []any{Object{"address": serviceHost(svc)}}
		return true
	}),
	func(g *generator) bool { // for some namespaces only
		svc := g.some("Service")
		if svc == nil {
			return false
		}
		svc["metadata"].(Object)["annotations"] = Object{"networking.istio.io/exportTo": pick(g, ".", "~", "*", "shop", "default, billing")}
		return true
	},
	func(g *generator) bool { // what the mesh says for those who say nothing
		if g.some("ConfigMap") != nil {
			return false
		}
		var config strings.Builder
		config.WriteString("outboundTrafficPolicy: {mode: REGISTRY_ONLY}\n")
		for _, field := range []string{"defaultServiceExportTo", "defaultVirtualServiceExportTo", "defaultDestinationRuleExportTo"} {
			if g.chance(40) {
				config.WriteString(fmt.Sprintf("%s: [%q]\n", field, pick(g, ".", ".", "*")))
			}
		}
		g.mesh = append(g.mesh, Object{
			"apiVersion": "v1", "kind": "ConfigMap",
			"metadata": Object{"name": "istio", "namespace": rootNS}, "data": Object{"mesh": config.String()},
		})
		return true
	},
}

// service adds a Service of a tenant with one or two ports.
func (g *generator) service(spec Object) Object {
	g.names++
	var ports []any
	for _, n := range pick(g, []int{80}, []int{443}, []int{80, 443}) {
		name := pick(g, "http", "tls", "tcp")
		ports = append(ports, Object{"name": fmt.Sprintf("%s-%d", name, n), "port": n, "protocol": "TCP"})
	}
	spec["ports"] = ports
	o := Object{
		"apiVersion": "v1", "kind": "Service",
		"metadata": Object{"name": fmt.Sprintf("svc%d", g.names), "namespace": pick(g, tenants...)},
		"spec":     spec,
	}
	g.mesh = append(g.mesh, o)
	return o
}

func (g *generator) clusterIP() string { return fmt.Sprintf("10.96.1.%d", g.names+1) }

// endpointSlice adds what stands behind a Service without selector.
func (g *generator) endpointSlice(svc Object, address string) {
	var ports []any
	for _, p := range spec(svc)["ports"].([]any) {
		ports = append(ports, clone(p.(Object)))
	}
	g.mesh = append(g.mesh, Object{
		"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
		"metadata": Object{
			"name": name(svc) + "-1", "namespace": namespace(svc),
			"labels": Object{"kubernetes.io/service-name": name(svc)},
		},
		"addressType": "IPv4",
		"endpoints":   []any{Object{"addresses": strs(address), "conditions": Object{"ready": true}}},
		"ports":       ports,
	})
}

func serviceHost(svc Object) string { return name(svc) + "." + namespace(svc) + ".svc.cluster.local" }

func portOf(svc Object) any { return spec(svc)["ports"].([]any)[0].(Object)["port"] }
