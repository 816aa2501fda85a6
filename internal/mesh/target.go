package mesh

// TargetClass is what a destination of a VirtualService is.
type TargetClass int

// The classes of targets.
const (
	// TargetUnknown: nobody registers the name for the VirtualService's
	// namespace; it may come to be anything.
	TargetUnknown TargetClass = iota
	// TargetGateway: an approved egress gateway, or an entry all of whose
	// endpoints are one.
	TargetGateway
	// TargetExternal: outside the mesh.
	TargetExternal
	// TargetAlias: an ExternalName Service whose name is outside the mesh.
	TargetAlias
	// TargetInMesh: a service in the mesh.
	TargetInMesh
)

// Target is one destination of a VirtualService, resolved.
type Target struct {
	// Owner is the VirtualService whose field it is: this one or a delegate
	// of it. Path is the JSON path of the destination there.
	Owner Ref
	Path  string
	// Host is the canonical name; of an alias, the name it stands for.
	Host   string
	Subset string
	Port   int // 0 where the rule leaves it to the listener
	Weight int // as written
	Mirror bool
	// Mesh is true where sidecars follow the rule, false where only gateways do.
	Mesh    bool
	Class   TargetClass
	Gateway string // configured name, for TargetGateway
}

// Targets resolves every destination of a VirtualService that gets traffic,
// delegates and mirrors included, as clients in its own namespace see them.
func (m *Mesh) Targets(vs *VirtualService) []Target {
	c := &client{m: m, namespace: vs.Namespace}
	var out []Target
	add := func(owner *VirtualService, d *Destination, path string, weight int, mirror, inMesh bool) {
		t := Target{Owner: owner.Ref, Path: path, Host: m.host(owner, d.Host), Subset: d.Subset, Weight: weight, Mirror: mirror, Mesh: inMesh}
		if d.Port != nil {
			t.Port = d.Port.Number
		}
		c.classify(&t)
		out = append(out, t)
	}
	routes := func(owner *VirtualService, list []RouteDestination, path string, inMesh bool) {
		for j := range list {
			if len(list) == 1 || list[j].Weight > 0 {
				add(owner, &list[j].Destination, path+owner.destinationPath(j), list[j].Weight, false, inMesh)
			}
		}
	}
	for _, r := range m.httpRules(vs) {
		path := r.path()
		inMesh := len(r.Match) == 0 && vs.inMesh()
		for i := range r.Match {
			inMesh = inMesh || vs.binds(r.Match[i].Gateways)
		}
		routes(r.owner, r.Route, path, inMesh)
		if r.Mirror != nil && r.mirrored() {
			add(r.owner, r.Mirror, path+".mirror", 0, true, inMesh)
		}
		for j := range r.Mirrors {
			if d := r.Mirrors[j].Destination; d != nil {
				add(r.owner, d, path+indexed(".mirrors", j)+".destination", 0, true, inMesh)
			}
		}
	}
	for i := range vs.TLS {
		inMesh := false
		for j := range vs.TLS[i].Match {
			inMesh = inMesh || vs.binds(vs.TLS[i].Match[j].Gateways)
		}
		routes(vs, vs.TLS[i].Route, vs.rulePath("tls", i), inMesh)
	}
	for i := range vs.TCP {
		inMesh := len(vs.TCP[i].Match) == 0 && vs.inMesh()
		for j := range vs.TCP[i].Match {
			inMesh = inMesh || vs.binds(vs.TCP[i].Match[j].Gateways)
		}
		routes(vs, vs.TCP[i].Route, vs.rulePath("tcp", i), inMesh)
	}
	return out
}

// binds reports whether sidecars follow a match that names these gateways.
func (vs *VirtualService) binds(gateways []string) bool {
	return vs.inMesh() && (len(gateways) == 0 || namesGateway(gateways, vs, meshGateway))
}

func (c *client) classify(t *Target) {
	s := c.destination(importAll, t.Host)
	if s != nil && s.k8s != nil && s.k8s.Type == "ExternalName" {
		t.Host = CanonicalHost(s.k8s.ExternalName)
		t.Class = TargetInMesh
		if c.m.outsideName(t.Host) {
			t.Class = TargetAlias
		}
		return
	}
	if s == nil {
		if len(c.m.EntriesFor(t.Host)) > 0 && c.m.outsideName(t.Host) {
			t.Class = TargetExternal
		}
		return
	}
	port := t.Port
	if ports := s.ports(c.m); port == 0 && len(ports) > 0 {
		port = ports[0]
	}
	if g := c.m.gatewayBehind(s, port); g.to != nil {
		t.Class, t.Gateway = TargetGateway, g.to.Name
		return
	}
	t.Class = TargetInMesh
	if c.m.outsideService(s) {
		t.Class = TargetExternal
	}
}
