package gen

// gatewayAPIMutations attach routes of the Gateway API to entries.
var gatewayAPIMutations = []mutation{
	apiRoute("HTTPRoute", func(g *generator, rule, _ Object) {
		if g.chance(20) {
			rule["matches"] = []any{Object{"path": Object{"type": "PathPrefix", "value": "/ok"}}}
		}
		if g.chance(20) {
			rule["filters"] = []any{Object{"type": "RequestMirror", "requestMirror": Object{"backendRef": g.backend()}}}
		}
	}),
	apiRoute("HTTPRoute", func(*generator, Object, Object) {}),
	apiRoute("TLSRoute", func(g *generator, _, spec Object) {
		spec["hostnames"] = strs(pick(g, g.hosts[0], g.hosts[len(g.hosts)-1], "*.partner.com"))
	}),
	apiRoute("TCPRoute", func(*generator, Object, Object) {}),
}

// apiRoute makes a mutation that adds a route of one kind for a random entry.
func apiRoute(kind string, change func(g *generator, rule, spec Object)) mutation {
	return func(g *generator) bool {
		entry := g.some("ServiceEntry")
		if entry == nil {
			return false
		}
		parent := Object{"group": "networking.istio.io", "kind": "ServiceEntry", "name": name(entry), "namespace": namespace(entry)}
		if g.chance(10) {
			delete(parent, "group")
		}
		if g.chance(25) {
			parent["port"] = pick(g, 80, 443, 5432)
		}
		backends := []any{g.backend()}
		if g.chance(20) {
			backends = append(backends, g.backend())
			backends[1].(Object)["weight"] = pick(g, 0, 1)
		}
		rule := Object{"backendRefs": backends}
		spec := Object{"parentRefs": []any{parent}, "rules": []any{rule}}
		change(g, rule, spec)
		o := g.add(kind, pick(g, namespace(entry), namespace(entry), pick(g, tenants...)), spec)
		o["apiVersion"] = "gateway.networking.k8s.io/v1"
		return true
	}
}

// backend is mostly the egress gateway.
func (g *generator) backend() Object {
	if g.chance(70) {
		return Object{"name": "istio-egressgateway", "namespace": rootNS, "port": pick(g, 80, 443, 15443)}
	}
	return Object{"group": "networking.istio.io", "kind": "Hostname", "name": g.hosts[0], "port": pick(g, 80, 443, 5432)}
}
