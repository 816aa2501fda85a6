package gen

import (
	"fmt"
	"strings"
)

// mutation is one small step away from good. It returns false where the mesh
// has nothing for it to change.
type mutation func(*generator) bool

// mutate makes one mutation.
func (g *generator) mutate() {
	for range 20 {
		kind := [][]mutation{entryMutations, routeMutations, ruleMutations, gatewayMutations, objectMutations, sidecarMutations, serviceMutations, gatewayAPIMutations}[g.choose(20, 35, 15, 10, 12, 8, 12, 6)]
		if pick(g, kind...)(g) {
			return
		}
	}
}

// on makes a mutation of a random object's spec.
func on(kind string, change func(g *generator, o Object, spec Object) bool) mutation {
	return func(g *generator) bool {
		o := g.some(kind)
		return o != nil && change(g, o, spec(o))
	}
}

// field makes a mutation that sets one field of an object's spec.
func field(kind, key string, values ...any) mutation {
	return on(kind, func(g *generator, _, spec Object) bool {
		spec[key] = pick(g, values...)
		return true
	})
}

var exports = []any{strs("."), strs("*"), strs("~"), strs("shop"), strs("default", "billing"), strs(".", "istio-system"), []any{}}

var entryMutations = []mutation{
	field("ServiceEntry", "exportTo", exports...),
	field("ServiceEntry", "exportTo", exports...),
	field("ServiceEntry", "location", "MESH_EXTERNAL", "MESH_INTERNAL"),
	field("ServiceEntry", "resolution", "DNS", "NONE", "DNS_ROUND_ROBIN"),
	field("ServiceEntry", "addresses", strs("198.51.100.77"), strs("198.51.100.0/24"), []any{}),
	on("ServiceEntry", func(g *generator, _, spec Object) bool { // another port
		ports, _ := spec["ports"].([]any)
		spec["ports"] = append(ports, Object{
			"number": pick(g, 80, 443, 8080, 8443, 9000, 5432), "name": "extra",
			"protocol": pick(g, "HTTP", "TLS", "HTTPS", "TCP", "GRPC"),
		})
		return true
	}),
	on("ServiceEntry", func(g *generator, _, spec Object) bool { // another protocol
		p := g.element(spec["ports"])
		if p == nil {
			return false
		}
		p["protocol"] = pick(g, "HTTP", "TLS", "HTTPS", "TCP", "", "http", "GRPC-Web")
		return true
	}),
	on("ServiceEntry", func(g *generator, _, spec Object) bool { // another port number
		p := g.element(spec["ports"])
		if p == nil {
			return false
		}
		p["number"] = pick(g, 80, 443, 8080, 8443)
		return true
	}),
	on("ServiceEntry", func(g *generator, _, spec Object) bool { // another host
		hosts, _ := spec["hosts"].([]any)
		spec["hosts"] = append(hosts, pick(g, "other.partner.com", "www.example.com", "API1.Partner.com"))
		return true
	}),
	on("ServiceEntry", func(g *generator, _, spec Object) bool { // an endpoint
		spec["resolution"] = pick(g, "STATIC", "DNS")
		address := pick(g, "203.0.113.9", "192.168.1.1")
		if spec["resolution"] == "DNS" {
			address = pick(g, "other.example.com", gatewayHost)
		}
		spec["endpoints"] = []any{Object{"address": address}}
		return true
	}),
	on("ServiceEntry", func(g *generator, o, spec Object) bool { // endpoints from elsewhere
		delete(spec, "endpoints")
		spec["resolution"] = "STATIC"
		spec["workloadSelector"] = Object{"labels": Object{"app": "outside"}}
		if g.chance(70) {
			g.add("WorkloadEntry", namespace(o), Object{"address": "203.0.113.50", "labels": Object{"app": "outside"}})
		}
		return true
	}),
	func(g *generator) bool { // the same host from another namespace
		o := g.some("ServiceEntry")
		if o == nil {
			return false
		}
		twin := g.add("ServiceEntry", pick(g, namespaces...), clone(spec(o)))
		if g.chance(50) {
			spec(twin)["exportTo"] = pick(g, exports...)
		}
		return true
	},
	func(g *generator) bool { // a host that nobody routes
		g.add("ServiceEntry", pick(g, namespaces...), Object{
			"hosts": strs(pick(g, "stray.example.com", "*.example.com")), "resolution": "NONE",
			"exportTo": pick(g, exports...),
			"ports":    []any{Object{"number": pick(g, 80, 443), "name": "p", "protocol": pick(g, "HTTP", "TLS")}},
		})
		return true
	},
	func(g *generator) bool { // a domain whose names the client resolves
		g.add("ServiceEntry", pick(g, namespaces...), Object{
			"hosts": strs(pick(g, "*.partner.com", "*.example.com", "*.com")), "resolution": "DYNAMIC_DNS",
			"exportTo": pick(g, exports...),
			"ports":    []any{Object{"number": pick(g, 80, 443, 8443), "name": "p", "protocol": pick(g, "HTTP", "TLS")}},
		})
		return true
	},
	func(g *generator) bool { // a Service that shares a port with the world
		g.names++
		g.mesh = append(g.mesh, Object{
			"apiVersion": "v1", "kind": "Service",
			"metadata": Object{"name": fmt.Sprintf("svc%d", g.names), "namespace": pick(g, tenants...)},
			"spec": Object{
				"clusterIP": fmt.Sprintf("10.96.1.%d", g.names), "selector": Object{"app": "web"},
				"ports": []any{Object{"name": pick(g, "http", "tls", "tcp"), "port": pick(g, 80, 443, 8080), "protocol": "TCP"}},
			},
		})
		return true
	},
	func(g *generator) bool { // the gateway's own name
		if !g.chance(30) {
			return false
		}
		g.add("ServiceEntry", pick(g, tenants...), Object{
			"hosts": strs(gatewayHost), "resolution": "STATIC", "endpoints": []any{Object{"address": "203.0.113.66"}},
			"exportTo": pick(g, exports...),
			"ports":    []any{Object{"number": 80, "name": "http", "protocol": "HTTP"}, Object{"number": 443, "name": "tls", "protocol": "TLS"}},
		})
		return true
	},
}

var ruleMutations = []mutation{
	field("DestinationRule", "exportTo", exports[:3]...),
	field("DestinationRule", "host", "*.local", "*.svc.cluster.local", "istio-egressgateway", gatewayHost),
	field("DestinationRule", "workloadSelector", Object{"matchLabels": Object{"app": "web"}}),
	field("DestinationRule", "trafficPolicy", Object{"tls": Object{"mode": "DISABLE"}}, Object{"tls": Object{"mode": "ISTIO_MUTUAL"}},
		Object{"tls": Object{"mode": "SIMPLE", "sni": "x.example.com"}}),
	subset(func(g *generator, s Object) { s["name"] = "renamed" }),
	subset(func(g *generator, s Object) { delete(s, "trafficPolicy") }),
	subset(func(g *generator, s Object) {
		s["trafficPolicy"] = Object{"tls": pick(g,
			Object{"mode": "ISTIO_MUTUAL"}, Object{"mode": "ISTIO_MUTUAL", "sni": "other.partner.com"},
			Object{"mode": "SIMPLE", "sni": "other.partner.com"}, Object{"mode": "DISABLE"})}
	}),
	subset(func(g *generator, s Object) { s["labels"] = Object{"version": "v1"} }),
	func(g *generator) bool { // a rule that shadows another
		g.add("DestinationRule", pick(g, namespaces...), Object{
			"host": pick(g, gatewayHost, gatewayHost, "*.local"), "exportTo": pick(g, exports[:3]...),
			"subsets": []any{Object{"name": pick(g, "mine", "s1-0")}},
		})
		return true
	},
}

func subset(change func(*generator, Object)) mutation {
	return on("DestinationRule", func(g *generator, _, spec Object) bool {
		s := g.element(spec["subsets"])
		if s == nil {
			return false
		}
		change(g, s)
		return true
	})
}

var gatewayMutations = []mutation{
	field("Gateway", "selector", Object{"istio": "egressgateway"}, Object{"istio": "other"}, Object{}),
	server(func(g *generator, s Object) {
		s["hosts"] = strs(pick(g, "*", "billing/*", "*.partner.com", "other.partner.com"))
	}),
	server(func(g *generator, s Object) { s["port"].(Object)["number"] = pick(g, 80, 443, 15443, 9999) }),
	server(func(g *generator, s Object) { s["port"].(Object)["protocol"] = pick(g, "HTTP", "HTTPS", "TLS", "TCP") }),
	server(func(g *generator, s Object) {
		s["tls"] = Object{"mode": pick(g, "PASSTHROUGH", "ISTIO_MUTUAL", "AUTO_PASSTHROUGH")}
	}),
	func(g *generator) bool { // a second Gateway for the same host
		o := g.some("Gateway")
		if o == nil {
			return false
		}
		g.add("Gateway", pick(g, namespaces...), clone(spec(o)))
		return true
	},
}

func server(change func(*generator, Object)) mutation {
	return on("Gateway", func(g *generator, _, spec Object) bool {
		s := g.element(spec["servers"])
		if s == nil {
			return false
		}
		change(g, s)
		return true
	})
}

// objectMutations change whole objects, whatever their kind.
var objectMutations = []mutation{
	func(g *generator) bool { // drop
		i := g.IntN(len(g.mesh))
		g.mesh = append(g.mesh[:i:i], g.mesh[i+1:]...)
		return true
	},
	func(g *generator) bool { // move
		o, to := pick(g, g.mesh...), pick(g, namespaces...)
		if namespace(o) == "" || g.has(o["kind"].(string), to, name(o)) {
			return false
		}
		o["metadata"].(Object)["namespace"] = to
		return true
	},
	func(g *generator) bool { // age
		pick(g, g.mesh...)["metadata"].(Object)["creationTimestamp"] = g.time()
		return true
	},
}

var sidecarMutations = []mutation{
	func(g *generator) bool {
		spec := Object{"egress": []any{Object{"hosts": pick(g,
			strs("./*"), strs("*/*"), strs("istio-system/*"), strs("./*", "istio-system/*"),
			strs("egress-cfg/*", "./*"), strs("*/"+gatewayHost), strs("~/*"), strs("*/*.partner.com"))}}}
		if g.chance(30) {
			spec["workloadSelector"] = Object{"labels": Object{"app": "web"}}
		}
		if g.chance(15) {
			spec["outboundTrafficPolicy"] = Object{"mode": pick(g, "ALLOW_ANY", "REGISTRY_ONLY")}
		}
		if g.chance(10) {
			delete(spec, "egress")
		}
		if g.chance(10) {
			spec["outboundTrafficPolicy"] = Object{"egressProxy": Object{
				"host": pick(g, gatewayHost, g.hosts[0], "unknown.example.com"), "port": Object{"number": pick(g, 80, 443)},
			}}
		}
		g.add("Sidecar", pick(g, namespaces...), spec)
		return true
	},
	func(g *generator) bool { // listeners of their own
		g.add("Sidecar", pick(g, tenants...), Object{"egress": []any{
			Object{"port": Object{"number": pick(g, 80, 443), "protocol": pick(g, "HTTP", "TLS", "TCP"), "name": "own"}, "hosts": strs("*/*")},
			Object{"hosts": pick(g, strs("./*"), strs("*/*"), strs("istio-system/*"))},
		}})
		return true
	},
}

// clone is a deep copy.
func clone(o Object) Object { return copied(o).(Object) }

func copied(v any) any {
	switch v := v.(type) {
	case Object:
		out := Object{}
		for k, child := range v {
			out[k] = copied(child)
		}
		return out
	case []any:
		out := make([]any, len(v))
		for i, child := range v {
			out[i] = copied(child)
		}
		return out
	}
	return v
}

// wider turns a host into a wildcard that covers it.
func wider(host string) string {
	if _, rest, ok := strings.Cut(host, "."); ok {
		return "*." + rest
	}
	return "*"
}
