package gen

import "strings"

// routeMutations change VirtualServices.
var routeMutations = []mutation{
	field("VirtualService", "exportTo", exports...),
	field("VirtualService", "exportTo", exports...),
	on("VirtualService", func(g *generator, _, spec Object) bool { // gateways
		list, _ := spec["gateways"].([]any)
		switch g.IntN(3) {
		case 0:
			spec["gateways"] = strs("mesh")
		case 1:
			delete(spec, "gateways")
		default:
			if len(list) == 0 {
				return false
			}
			spec["gateways"] = list[1:]
		}
		return true
	}),
	on("VirtualService", func(g *generator, _, spec Object) bool { // hosts
		hosts, _ := spec["hosts"].([]any)
		if len(hosts) == 0 {
			return false // a delegate
		}
		switch g.IntN(3) {
		case 0:
			spec["hosts"] = append(hosts, pick(g, "other.partner.com", "stray.example.com"))
		case 1:
			spec["hosts"] = strs(wider(hosts[0].(string)))
		default:
			spec["hosts"] = strs("other.partner.com")
		}
		return true
	}),
	rule(func(g *generator, spec Object, class string, at int) bool { // drop a rule
		rules := spec[class].([]any)
		if len(rules) == 1 {
			delete(spec, class)
			return true
		}
		spec[class] = append(rules[:at:at], rules[at+1:]...)
		return true
	}),
	rule(func(g *generator, spec Object, class string, at int) bool { // another class
		other := pick(g, "http", "tls", "tcp")
		if other == class {
			return false
		}
		moved := clone(spec[class].([]any)[at].(Object))
		matches, _ := moved["match"].([]any)
		for _, m := range matches {
			if m := m.(Object); other == "tls" {
				m["sniHosts"] = spec["hosts"]
			} else {
				delete(m, "sniHosts")
			}
		}
		rules, _ := spec[other].([]any)
		spec[other] = append(rules, moved)
		return true
	}),
	rule(func(g *generator, spec Object, class string, at int) bool { // a rule before
		rules := spec[class].([]any)
		first := clone(rules[at].(Object))
		m := g.element(first["match"])
		if m == nil {
			return false
		}
		if class == "http" {
			m["uri"] = Object{"prefix": "/first"}
		} else {
			m["sourceLabels"] = Object{"app": "web"}
		}
		if g.chance(60) {
			retarget(g, g.element(first["route"]))
		}
		spec[class] = append([]any{first}, rules...)
		return true
	}),
	match(func(g *generator, _ string, m Object) bool { delete(m, "gateways"); return true }),
	match(func(g *generator, _ string, m Object) bool { delete(m, "port"); return true }),
	match(func(g *generator, _ string, m Object) bool {
		m["port"] = pick(g, 80, 443, 8080, 8443, 15443, 5432)
		return true
	}),
	match(func(g *generator, _ string, m Object) bool {
		m["sourceLabels"] = Object{"app": pick(g, "web", "db")}
		return true
	}),
	match(func(g *generator, _ string, m Object) bool {
		m["sourceNamespace"] = pick(g, tenants...)
		return true
	}),
	match(func(g *generator, class string, m Object) bool { // at request time
		switch class {
		case "http":
			key := pick(g, "uri", "authority", "method", "scheme", "headers", "queryParams", "withoutHeaders")
			m[key] = Object{"exact": "x"}
			switch key {
			case "uri":
				m[key] = pick(g, Object{"prefix": "/"}, Object{"prefix": "/api"}, Object{"regex": ".*"})
			case "headers", "queryParams", "withoutHeaders":
				m[key] = Object{"x-key": Object{"exact": "x"}}
			}
		case "tls":
			if g.chance(50) {
				hosts, _ := m["sniHosts"].([]any)
				if len(hosts) == 0 {
					return false
				}
				m["sniHosts"] = strs(pick(g, "other.partner.com", wider(hosts[0].(string)), "www."+hosts[0].(string)))
				return true
			}
			m["destinationSubnets"] = strs("198.51.100.0/24")
		default:
			if g.chance(50) {
				m["sourceSubnet"] = "10.0.0.0/8"
				return true
			}
			m["destinationSubnets"] = strs("198.51.100.0/24")
		}
		return true
	}),
	rule(func(g *generator, spec Object, class string, at int) bool { // no or another match block
		r := spec[class].([]any)[at].(Object)
		matches, _ := r["match"].([]any)
		if class == "tls" || g.chance(50) {
			if len(matches) == 0 {
				return false
			}
			extra := clone(matches[0].(Object))
			extra["port"] = pick(g, 80, 443, 8080, 8443)
			r["match"] = append(matches, extra)
			return true
		}
		delete(r, "match")
		return true
	}),
	route(func(g *generator, r Object) bool { retarget(g, r); return true }),
	route(func(g *generator, r Object) bool { // other spellings of the gateway's name
		d := r["destination"].(Object)
		if d["host"] != gatewayHost {
			return false
		}
		d["host"] = pick(g, "istio-egressgateway.istio-system", "istio-egressgateway", "istio-egressgateway.istio-system.svc", gatewayHost+".")
		return true
	}),
	on("VirtualService", func(g *generator, o, spec Object) bool { // other spellings of a Gateway's name
		list, _ := spec["gateways"].([]any)
		if len(list) == 0 {
			return false
		}
		i := g.IntN(len(list))
		ns, name, ok := strings.Cut(list[i].(string), "/")
		if !ok {
			return false
		}
		spelled := pick(g, name, "./"+name, name+"."+ns+".svc.cluster.local", namespace(o)+"/"+name)
		spec["gateways"] = copied(spec["gateways"])
		spec["gateways"].([]any)[i] = spelled
		if g.chance(50) { // in the matches too
			replaceAll(spec, ns+"/"+name, spelled)
		}
		return true
	}),
	route(func(g *generator, r Object) bool {
		d := r["destination"].(Object)
		switch g.IntN(3) {
		case 0:
			d["port"] = Object{"number": pick(g, 80, 443, 15443, 8080)}
		case 1:
			delete(d, "port")
		default:
			delete(d, "subset")
		}
		return true
	}),
	rule(func(g *generator, spec Object, class string, at int) bool { // weights
		r := spec[class].([]any)[at].(Object)
		routes, _ := r["route"].([]any)
		if len(routes) != 1 {
			return false
		}
		share := pick(g, 0, 1, 100)
		second := clone(routes[0].(Object))
		retarget(g, second)
		second["weight"] = share
		routes[0].(Object)["weight"] = 100 - share
		r["route"] = append(routes, second)
		return true
	}),
	http(func(g *generator, spec, r Object) { // mirrors
		to := Object{"host": pick(g, append([]string{gatewayHost}, g.hosts...)...)}
		if g.chance(50) {
			to["port"] = Object{"number": pick(g, 80, 443)}
		}
		switch g.IntN(3) {
		case 0:
			r["mirror"] = to
		case 1:
			r["mirror"], r["mirrorPercentage"] = to, Object{"value": pick(g, 0, 0.5, 100)}
		default:
			r["mirrors"] = []any{Object{"destination": to, "percentage": Object{"value": pick(g, 0, 100)}}}
		}
	}),
	http(func(g *generator, spec, r Object) { // answers of the proxy's own
		delete(r, "route")
		if g.chance(50) {
			r["redirect"] = Object{"authority": "elsewhere.example.com"}
		} else {
			r["directResponse"] = Object{"status": 503}
		}
	}),
	http(func(g *generator, spec, r Object) { // rewrite
		r["rewrite"] = Object{"authority": pick(g, "www.example.com", g.hosts[0])}
	}),
	func(g *generator) bool { // a delegate
		root := g.some("VirtualService")
		if root == nil {
			return false
		}
		r := g.element(spec(root)["http"])
		if r == nil || r["route"] == nil {
			return false
		}
		body := Object{"http": []any{Object{"route": copied(r["route"])}}}
		if g.chance(30) {
			retarget(g, g.element(body["http"].([]any)[0].(Object)["route"]))
		}
		if g.chance(30) {
			body["exportTo"] = pick(g, exports...)
		}
		d := g.add("VirtualService", pick(g, namespace(root), pick(g, namespaces...)), body)
		delete(r, "route")
		r["delegate"] = Object{"name": name(d), "namespace": namespace(d)}
		if g.chance(15) {
			r["delegate"] = Object{"name": "missing", "namespace": namespace(d)}
		}
		return true
	},
	func(g *generator) bool { // a competing VirtualService
		o := g.some("VirtualService")
		if o == nil || spec(o)["hosts"] == nil {
			return false
		}
		twin := clone(spec(o))
		if g.chance(60) {
			twin["gateways"] = strs("mesh")
		}
		if g.chance(50) {
			twin["exportTo"] = pick(g, exports...)
		}
		if g.chance(30) {
			twin["hosts"] = strs(wider(twin["hosts"].([]any)[0].(string)))
		}
		if class := classOf(g, twin); class != "" && g.chance(60) {
			if r := g.element(g.element(twin[class])["route"]); r != nil {
				retarget(g, r)
			}
		}
		g.add("VirtualService", pick(g, namespaces...), twin)
		return true
	},
}

// retarget sends a route somewhere else: mostly straight to a host.
func retarget(g *generator, route Object) {
	if route == nil {
		return
	}
	host := pick(g, pick(g, g.hosts...), pick(g, g.hosts...), gatewayHost, "unknown.example.com")
	to := Object{"host": host, "port": Object{"number": pick(g, 80, 443, 8080)}}
	if g.chance(10) {
		to["subset"] = pick(g, "s1-0", "missing")
	}
	if g.chance(20) {
		delete(to, "port")
	}
	route["destination"] = to
}

// replaceAll changes a string wherever it stands in a list below v.
func replaceAll(v any, from, to string) {
	switch v := v.(type) {
	case Object:
		for _, child := range v {
			replaceAll(child, from, to)
		}
	case []any:
		for i, child := range v {
			if child == any(from) {
				v[i] = to
			}
			replaceAll(child, from, to)
		}
	}
}

func classOf(g *generator, spec Object) string {
	var classes []string
	for _, c := range []string{"http", "tls", "tcp"} {
		if rules, _ := spec[c].([]any); len(rules) > 0 {
			classes = append(classes, c)
		}
	}
	if len(classes) == 0 {
		return ""
	}
	return pick(g, classes...)
}

// rule makes a mutation of a random rule.
func rule(change func(g *generator, spec Object, class string, at int) bool) mutation {
	return on("VirtualService", func(g *generator, _, spec Object) bool {
		class := classOf(g, spec)
		return class != "" && spec["hosts"] != nil && change(g, spec, class, g.IntN(len(spec[class].([]any))))
	})
}

// match makes a mutation of a random match block.
func match(change func(g *generator, class string, m Object) bool) mutation {
	return rule(func(g *generator, spec Object, class string, at int) bool {
		m := g.element(spec[class].([]any)[at].(Object)["match"])
		return m != nil && change(g, class, m)
	})
}

// route makes a mutation of a random weighted destination.
func route(change func(g *generator, r Object) bool) mutation {
	return rule(func(g *generator, spec Object, class string, at int) bool {
		r := g.element(spec[class].([]any)[at].(Object)["route"])
		return r != nil && change(g, r)
	})
}

// http makes a mutation of a random http rule.
func http(change func(g *generator, spec, r Object)) mutation {
	return on("VirtualService", func(g *generator, _, spec Object) bool {
		r := g.element(spec["http"])
		if r == nil {
			return false
		}
		change(g, spec, r)
		return true
	})
}
