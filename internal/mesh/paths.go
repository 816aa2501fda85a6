package mesh

// Affected returns the egress points whose paths a write of the object can
// change: the hosts it registers, routes, or gives a DestinationRule or a
// gateway server. It looks at both the mesh and the object, which need not be
// in the mesh, and touches only what the indexes name.
func (m *Mesh) Affected(o Object) []Point { return m.Points(o) }

// Clients returns the namespaces whose path for the host can differ from that
// of [AnyClient]: those that some object which bears on the host singles out.
func (m *Mesh) Clients(host string) []string { return nil }

// Paths returns the verdict for one client namespace ([AnyClient] for a
// namespace that nothing singles out), one host (canonical, may be a
// registered wildcard) and one port. Where workload labels matter, the worst
// verdict of all label sets is given. The result is deterministic.
func (m *Mesh) Paths(client, host string, port int) Path {
	return Path{Host: host, Port: port, Client: client}
}
