package mesh

// Affected returns the egress points whose paths a write of the object can
// change: the hosts it registers, routes, or gives a DestinationRule or a
// gateway server. It looks at both the mesh and the object, which need not be
// in the mesh, and touches only what the indexes name.
func (m *Mesh) Affected(o Object) []Point { return m.Points(o) }
