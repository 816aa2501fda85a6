package mesh

import "slices"

// maxBelow bounds how many services under a wildcard host are followed to see
// whether a rule for it is in force.
const maxBelow = 16

// reached follows the rules of other hosts that lead the client's traffic to
// this one: an egress point is also reached by whatever is routed or mirrored
// to it. Only what goes there directly is returned.
func (c *client) reached(l *listener, host string, port int) []outcome {
	var out []outcome
	var last *VirtualService
	c.only = host
	defer func() { c.only = "" }()
	for vs := range c.m.targets.under(hostPrefix(host)) {
		c.m.Spend(1)
		if vs == last {
			continue
		}
		last = vs
		for root := range c.m.Roots(vs) {
			if !root.inMesh() || c.m.routeVisibility(root, c.namespace) == hidden || !l.importsVirtual(c, root) {
				continue
			}
			for h := range c.m.hosts(root) {
				for _, o := range c.fromHost(l, h, host, port) {
					if o.verdict == Direct && CanonicalHost(o.host) == host && o.port == port {
						out = append(out, o)
					}
				}
			}
		}
	}
	return out
}

// ignored reports whether traffic to a canonical host is of no interest, for only
// what goes to another one is.
func (c *client) ignored(host string) bool {
	if c.only == "" || host == c.only {
		return false
	}
	alias := c.m.service(host)
	return alias == nil || alias.Type != "ExternalName"
}

// ignores reports whether all destinations of a rule are ignored.
func (c *client) ignores(vs *VirtualService, routes []RouteDestination) bool {
	if c.only == "" {
		return false
	}
	c.m.Spend(2 * len(routes))
	return !slices.ContainsFunc(routes, func(r RouteDestination) bool { return !c.ignored(c.m.host(vs, r.Destination.Host)) })
}

// fromHost follows all traffic for a host that a VirtualService names: on
// every port of every service of that name, or below it. Services of the
// cluster that the mesh does not hold are taken to exist.
func (c *client) fromHost(l *listener, host, except string, port int) []outcome {
	var out []outcome
	names := []string{host}
	if IsWildcard(host) {
		for se := range c.m.entries.below(host) {
			if len(names) >= maxBelow {
				break
			}
			for _, h := range se.Hosts {
				if h = c.m.canonical(h); HostCovers(host, h) && len(names) < maxBelow {
					names = append(names, h)
				}
			}
		}
	}
	known := false
	for _, h := range slices.Backward(names) { // the wildcard last
		s := c.service(l, h)
		if s != nil && !slices.Contains(s.ports(c.m), 80) {
			// Port 80 is listened on for every VirtualService.
			out = append(out, c.http(l, h, 80, 80, false)...)
		}
		known = known || s != nil
		if h == except {
			continue // its own traffic has been followed
		}
		if s == nil {
			if IsWildcard(h) && known {
				continue // only a wildcard over nothing has a virtual host of its own
			}
			out = append(out, c.http(l, h, 80, 80, false)...)
			if port != 80 && !c.m.outsideName(h) {
				out = append(out, c.http(l, h, port, port, false)...)
			}
			continue
		}
		for _, p := range s.ports(c.m) {
			found, _, _ := c.listen(l, h, p)
			out = append(out, found...)
		}
	}
	return out
}
