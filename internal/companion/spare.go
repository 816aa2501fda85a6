package companion

import (
	"time"

	"github.com/sallyport-io/sallyport/internal/mesh"
)

// A spare is the mesh hop of a host that a user's own VirtualService leads to
// the gateway. Istio does not look at it: of the routes that a sidecar sees for
// a host the private ones come first, then those exported by name, then the
// public ones, and of each the oldest (SelectVirtualServices in Istio's
// pilot/pkg/model). A spare is as public as the user's route and younger. When
// that is deleted, or leaves a port out, the spare is what Istio finds next, at
// the very same version of the cluster: nobody has to write anything first.
//
// Its name carries the user's route, so that a route that takes the place of
// another gets a spare that is younger than itself.
func (p *plan) spare(namespace string, hop *mesh.VirtualService) {
	var youngest *mesh.VirtualService
	for _, vs := range p.mesh.RoutesFor(p.host) {
		rank, seen := p.mesh.RouteRank(vs, namespace)
		if !seen {
			continue
		}
		if rank > 0 {
			hop.ExportTo = []string{"*"}
		}
		if youngest == nil || !younger(youngest, vs) {
			youngest = vs
		}
	}
	mark := ""
	if youngest != nil {
		mark = youngest.Ref.String() + "/" + youngest.UID
		if after := youngest.Created.Truncate(time.Second).Add(time.Second); after.After(p.set.SparesAfter) && !youngest.Created.IsZero() {
			p.set.SparesAfter = after
		}
	}
	hop.Name = p.key + spareMark + digest(mark, markLength)
	p.hops = append(p.hops, hop)
}

// younger compares ages as Istio does, to the second; what has no age yet is
// the youngest.
func younger(a, b *mesh.VirtualService) bool {
	switch {
	case a.Created.IsZero() || b.Created.IsZero():
		return a.Created.IsZero() && !b.Created.IsZero()
	default:
		return a.Created.Unix() > b.Created.Unix()
	}
}

// served are the namespaces in which a mesh hop for the host stands. Where a
// user's route comes to cover such a host with a set of its own, the companions
// stay behind it; where it did so from the start there are none.
func served(m *mesh.Mesh, host, key string) map[string]bool {
	var out map[string]bool
	for _, entry := range m.EntriesFor(host) {
		for o := range m.Named("VirtualService", entry.Namespace, key) {
			if meta := o.Metadata(); Is(meta.Ref) && MeshHop(meta.Ref) && !meta.Deleting {
				if out == nil {
					out = make(map[string]bool)
				}
				out[entry.Namespace] = true
			}
		}
	}
	return out
}
