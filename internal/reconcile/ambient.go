package reconcile

import (
	"context"
	"maps"
	"slices"

	"github.com/sallyport-io/sallyport/internal/companion"
	"github.com/sallyport-io/sallyport/internal/mesh"
	"github.com/sallyport-io/sallyport/internal/told"
)

// What leads the clients in ambient mode out stands beside a waypoint. It is written
// in the stages of the other companions: what refuses strangers, and TLS, before the
// entry that ztunnel sees; and none of it before the waypoint serves, see
// [companion.ForAmbient].

// withdraw holds the requests again that an entry beside a waypoint has served and
// that cannot be served any more, before that entry goes: their owners learn that
// their hosts are closed, and why.
func (c *Companions) withdraw(ctx context.Context, m *mesh.Mesh, ref mesh.Ref, set companion.Set) error {
	if !companion.AtWaypoint(m.Get(ref)) {
		return nil
	}
	for _, request := range users(m, set.Host) {
		if request.Deleting || request.Held() || request.Annotations[mesh.ExportAnnotation] == "" || !m.Namespace(request.Namespace).Ambient() {
			continue
		}
		i := slices.IndexFunc(set.Refused, func(r companion.Refusal) bool { return r.Entry == request.Ref })
		if i < 0 {
			continue
		}
		if err := c.export(ctx, request, "~", clip("held: "+set.Refused[i].Message)); err != nil {
			return err
		}
	}
	return nil
}

// wayOut names what the paths of a namespace's entries lead through, and says why
// nothing of the namespace arrives there.
func wayOut(m *mesh.Mesh, namespace string) (name string, away []told.Text) {
	if !m.Namespace(namespace).Ambient() {
		return "the egress gateway", unreached(m, namespace)
	}
	waypoint := m.EgressWaypoint()
	name = "waypoint " + waypoint.Namespace + "/" + waypoint.Name
	if problem := m.WaypointProblem(waypoint); problem != "" {
		away = append(away, problem)
	} else if !ready(m, waypoint.Namespace, waypoint.Name) { // Istio gives the Service of a waypoint its name
		away = append(away, told.F("no endpoint of %s is ready", told.Plain(name)))
	}
	return name, away
}

// missesWaypoint reports whether namespaces in ambient mode have no waypoint to leave
// by.
func missesWaypoint(m *mesh.Mesh) bool {
	return m.AnyAmbient() && m.WaypointProblem(m.EgressWaypoint()) != ""
}

// turns reports whether a change of a namespace changes which proxies its clients
// have, or which of its entries ztunnel is shown.
func turns(s mesh.Settings, old, new *mesh.Namespace) bool {
	return old.Ambient() != new.Ambient() || old.Injected() != new.Injected() || s.Visibility != nil && !maps.Equal(old.Labels, new.Labels)
}
