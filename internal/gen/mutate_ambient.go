package gen

// mutateAmbient makes one mutation of an ambient mesh.
func (g *generator) mutateAmbient() {
	for range 20 {
		kind := [][]mutation{ambientMutations, entryMutations[:10], routeMutations, ruleMutations, objectMutations, serviceMutations}[g.choose(55, 15, 8, 4, 14, 4)]
		if pick(g, kind...)(g) {
			return
		}
	}
}

// labelled makes a mutation of the labels of a random object.
func labelled(kind string, change func(g *generator, o, labels Object)) mutation {
	return func(g *generator) bool {
		o := g.some(kind)
		if o == nil {
			return false
		}
		meta := o["metadata"].(Object)
		labels, ok := meta["labels"].(Object)
		if !ok {
			labels = Object{}
			meta["labels"] = labels
		}
		change(g, o, labels)
		return true
	}
}

// waypoints makes a mutation of a random waypoint.
func waypoints(change func(g *generator, o Object)) mutation {
	return func(g *generator) bool {
		var found []Object
		for _, o := range g.mesh {
			if o["kind"] == "Gateway" && spec(o)["gatewayClassName"] != nil {
				found = append(found, o)
			}
		}
		if len(found) == 0 {
			return false
		}
		change(g, pick(g, found...))
		return true
	}
}

var ambientMutations = []mutation{
	labelled("ServiceEntry", func(g *generator, o, labels Object) { g.bind(labels, namespace(o)) }),
	labelled("ServiceEntry", func(g *generator, _, labels Object) { delete(labels, "istio.io/use-waypoint") }),
	labelled("ServiceEntry", func(g *generator, o, labels Object) { g.canary(o["metadata"].(Object), labels) }),
	labelled("ServiceEntry", func(g *generator, _, labels Object) { labels["networking.istio.io/enable-autoallocate-ip"] = "false" }),
	labelled("Namespace", func(g *generator, o, labels Object) { g.bind(labels, name(o)) }),
	labelled("Namespace", func(g *generator, _, labels Object) { delete(labels, "istio.io/use-waypoint") }),
	labelled("Namespace", func(g *generator, o, labels Object) { g.canary(o["metadata"].(Object), labels) }),
	labelled("Namespace", func(g *generator, _, labels Object) { // another data plane
		delete(labels, "istio-injection")
		delete(labels, "istio.io/dataplane-mode")
		labels[pick(g, "istio-injection", "istio.io/dataplane-mode")] = pick(g, "enabled", "ambient")
	}),
	waypoints(func(g *generator, o Object) {
		o["metadata"].(Object)["labels"] = Object{"istio.io/waypoint-for": pick(g, "all", "workload", "none")}
	}),
	waypoints(func(g *generator, o Object) {
		spec(o)["gatewayClassName"] = pick(g, "istio", "istio-agentgateway-waypoint")
	}),
	waypoints(func(g *generator, o Object) {
		if l := g.element(spec(o)["listeners"]); l != nil {
			l["allowedRoutes"] = Object{"namespaces": pick(g, Object{"from": "Same"}, Object{"from": "Selector", "selector": Object{"matchLabels": Object{"istio.io/dataplane-mode": "ambient"}}})}
		}
	}),
	waypoints(func(_ *generator, o Object) {
		o["status"] = Object{"conditions": []any{Object{"type": "Programmed", "status": "False"}}}
	}),
	func(g *generator) bool { // a waypoint of a tenant's
		for _, ns := range tenants {
			if !g.has("Gateway", ns, "mine") {
				g.waypoint(ns, "mine")
				return true
			}
		}
		return false
	},
	func(g *generator) bool { // a route
		o := g.some("ServiceEntry")
		if o == nil || len(g.hosts) == 0 {
			return false
		}
		if hosts, _ := spec(o)["hosts"].([]any); len(hosts) == 0 {
			return false
		}
		g.ambientRoute(o)
		return true
	},
	func(g *generator) bool { // another entry, of a host that is there or not
		if len(g.hosts) == 0 {
			return false
		}
		owner := pick(g, ambientNamespaces...)
		o := g.ambientEntry(owner, pick(g, g.hosts...))
		labels := Object{}
		g.bind(labels, owner)
		o["metadata"].(Object)["labels"] = labels
		return true
	},
}

func (g *generator) has(kind, ns, called string) bool {
	for _, o := range g.mesh {
		if o["kind"] == kind && namespace(o) == ns && name(o) == called {
			return true
		}
	}
	return false
}
