package review

import (
	"context"
	"fmt"
	"slices"
	"sync"

	"github.com/sallyport-io/sallyport/internal/companion"
	"github.com/sallyport-io/sallyport/internal/mesh"
	"github.com/sallyport-io/sallyport/rules"
)

// newPass builds the world around one write. m may or may not hold the object
// already: an informer can be ahead of the admission request.
// The error is that of a context that ended or, where the bound is strict, about
// an object that bears on more egress points than a write is judged by.
func newPass(ctx context.Context, m *mesh.Mesh, w Write, subject, old mesh.Object, strict bool) (rules.Pass, error) {
	m = m.Draft()
	r, ref := w.Request, subject.Metadata().Ref
	prior, live := m.Without(ref), m.With(subject)
	var along []mesh.Object
	switch {
	case r.Operation == "DELETE":
		prior = m.With(subject)
		live, along = w.end(prior, subject)
		r.Foreground = len(along) > 0 && ref.Kind != "Namespace"
	case old != nil:
		prior = m.With(old)
	}

	s := scopeOf(prior, live, subject, old, along)
	if strict && s.full {
		if r.Operation == "CREATE" || s.fuller && refusesFull(subject) && r.Operation == "UPDATE" {
			return rules.Pass{}, &InputError{fmt.Errorf("%s bears on %d egress points (hosts times ports) or more, too many for one write; split it into objects for fewer hosts or ports",
				ref, mesh.MaxAffected)}
		}
		if err := s.decided(prior, live, subject, old, along, r.Operation); err != nil {
			return rules.Pass{}, err
		}
	}
	after, sets := companion.Apply(live, s.hosts...)
	before := sync.OnceValue(func() *mesh.Mesh {
		applied, _ := companion.Apply(prior, s.hosts...)
		return applied
	})
	p := meshes{before: before, after: after, live: live, prior: prior}.pass(r, subject, old, sets)
	p.Explain = func(p mesh.Path) mesh.Path { return after.Paths(p.Client, p.Host, p.Port) }
	displaces := slices.ContainsFunc(sets, func(s companion.Set) bool {
		return slices.ContainsFunc(s.Refused, func(r companion.Refusal) bool { return r.With != mesh.Ref{} })
	})
	var clients []string
	for i, point := range s.points {
		if err := ctx.Err(); err != nil {
			return rules.Pass{}, err
		}
		if i == 0 || point.Host != s.points[i-1].Host || point.Entry.Namespace != s.points[i-1].Entry.Namespace {
			clients = s.clients(after, point)
		}
		p.Paths = slices.Grow(p.Paths, len(clients))
		for _, client := range clients {
			path := after.Decided(client, point.Host, point.Port)
			if displaces && path.Verdict == mesh.Blocked {
				path = stillOpen(prior, live, path)
			}
			p.Paths = append(p.Paths, path)
		}
	}
	return p, ctx.Err()
}

// meshes are the meshes of a Pass, as it calls them; prior is its LiveBefore.
type meshes struct {
	before             func() *mesh.Mesh
	after, live, prior *mesh.Mesh
}

// pass is the Pass of a write, with all that does not depend on whether it is judged
// alone or with others: the caller adds the Paths, the JSON, and how fixes are tried.
// The sets are those of the hosts that the subject bears on, sorted by host.
func (m meshes) pass(r rules.Request, subject, old mesh.Object, sets []companion.Set) rules.Pass {
	p := rules.Pass{
		Request:    r,
		Subject:    subject,
		Old:        old,
		Before:     m.before,
		After:      m.after,
		Live:       m.live,
		LiveBefore: m.prior,
		Standing:   standing(m.prior, m.live, subject),
		Reserved:   companion.Is(subject.Metadata().Ref),
		Injected:   serves(m.live, subject),
		Memo:       new(rules.Memo),
	}
	own := hostsOf(subject)
	_, rule := subject.(*mesh.DestinationRule)
	for _, set := range sets {
		_, registers := slices.BinarySearch(own, set.Host)
		if registers {
			p.Companions = append(p.Companions, set.Objects...)
		}
		if registers || rule { // what a rule asks for of TLS may be what cannot be served
			for _, r := range set.Refused {
				p.Refusals = append(p.Refusals, rules.Refusal(r))
			}
		}
	}
	return p
}

// stillOpen is a path that is closed in the end, because a claim is displaced,
// or the direct one that the write opens until then.
func stillOpen(prior, live *mesh.Mesh, path mesh.Path) mesh.Path {
	if is, _ := live.Verdict(path.Client, path.Host, path.Port); is != mesh.Direct {
		return path
	}
	if was, _ := prior.Verdict(path.Client, path.Host, path.Port); was == mesh.Direct {
		return path
	}
	return live.Decided(path.Client, path.Host, path.Port)
}

// standing is [companion.Standing] for entries that are not held back.
func standing(before, live *mesh.Mesh, subject mesh.Object) func() *mesh.Mesh {
	se, ok := subject.(*mesh.ServiceEntry)
	if !ok || se.Held() {
		return nil
	}
	return sync.OnceValue(func() *mesh.Mesh { return companion.Standing(before, live, se) })
}

// serves reports whether an object is an entry for which Sallyport keeps
// companions.
func serves(m *mesh.Mesh, o mesh.Object) bool {
	se, ok := o.(*mesh.ServiceEntry)
	return ok && companion.Serves(m, se)
}

// hostsOf are the canonical hosts that a ServiceEntry registers, sorted; other
// kinds have no companions of their own.
func hostsOf(o mesh.Object) []string {
	se, ok := o.(*mesh.ServiceEntry)
	if !ok {
		return nil
	}
	hosts := make([]string, len(se.Hosts))
	for i, h := range se.Hosts {
		hosts[i] = mesh.CanonicalHost(h)
	}
	slices.Sort(hosts)
	return slices.Compact(hosts)
}

// scope is what a write can change: the egress points, and the namespaces in
// whose sidecars it can be seen.
type scope struct {
	points []mesh.Point
	hosts  []string
	reach  []string // client namespaces; nil means all of them
	extra  string   // the subject's namespace
	gone   string   // a namespace that is deleted
	fuller bool     // the subject bears on more points than there is room for
	full   bool     // it does, or did
}

// scopeOf returns what the write can change, and what goes along with a subject
// that is deleted. A namespace that is deleted is no client any more: its pods go
// before all else in it.
func scopeOf(prior, live *mesh.Mesh, subject, old mesh.Object, along []mesh.Object) scope {
	for _, o := range []mesh.Object{subject, old} {
		if se, ok := o.(*mesh.ServiceEntry); ok {
			live.Spend(hostSteps * len(se.Hosts)) // read and sorted, several times
		}
	}
	s := scope{extra: subject.Metadata().Namespace, points: live.Affected(subject)}
	s.fuller = len(s.points) >= mesh.MaxAffected
	s.full = s.fuller
	if ns, ok := live.Get(subject.Metadata().Ref).(*mesh.Namespace); ok && ns.Deleting {
		s.gone = ns.Name
	}
	reach, bounded := reachOf(live, subject)
	switch {
	case old != nil:
		was := prior.Affected(old)
		s.full = s.full || len(was) >= mesh.MaxAffected
		s.points = append(s.points, was...)
		more, ok := reachOf(prior, old)
		reach, bounded = append(reach, more...), bounded && ok
	case s.full || !standsAlone(subject):
		was := prior.Affected(subject)
		s.full = s.full || len(was) >= mesh.MaxAffected
		s.points = append(s.points, was...)
	}
	for _, o := range along {
		was := prior.Affected(o)
		s.full = s.full || len(was) >= mesh.MaxAffected
		s.points = append(s.points, was...)
		bounded = false
	}
	if bounded {
		slices.Sort(reach)
		s.reach = slices.Compact(reach)
	}
	slices.SortFunc(s.points, comparePoints)
	s.points = slices.CompactFunc(s.points, func(a, b mesh.Point) bool {
		return a.Host == b.Host && a.Port == b.Port
	})
	s.nameHosts(subject, old)
	return s
}

// nameHosts names the hosts of the points, and those of the objects.
func (s *scope) nameHosts(subject, old mesh.Object) {
	s.hosts = nil
	for _, p := range s.points {
		s.hosts = append(s.hosts, p.Host)
	}
	s.hosts = append(s.hosts, hostsOf(subject)...)
	if old != nil {
		s.hosts = append(s.hosts, hostsOf(old)...)
	}
	slices.Sort(s.hosts)
	s.hosts = slices.Compact(s.hosts)
}

// standsAlone reports whether an object bears on no egress point in the mesh
// without it that it does not bear on with it: what an entry registers and what
// a route is for stands in them.
func standsAlone(o mesh.Object) bool {
	switch o.(type) {
	case *mesh.ServiceEntry, *mesh.VirtualService:
		return true
	default:
		return false
	}
}

// clients returns the namespaces whose path for the point the write can
// change, sorted; [mesh.AnyClient] among them where it can. That of a gateway is
// no client: it holds the door, and what is registered for the gateway alone
// must be reachable from there.
func (s scope) clients(m *mesh.Mesh, point mesh.Point) []string {
	if s.reach != nil {
		return s.reach
	}
	clients := append(m.Clients(point.Host), mesh.AnyClient, s.extra, point.Entry.Namespace)
	m.Spend(clientSteps * len(clients))
	slices.Sort(clients)
	return slices.DeleteFunc(slices.Compact(clients), func(ns string) bool {
		return ns == "" || ns == s.gone || m.Settings().GatewayNamespace(ns)
	})
}

// reachOf returns the client namespaces in which the object can be seen, and
// false where that may be any. It errs on the side of any.
func reachOf(m *mesh.Mesh, o mesh.Object) ([]string, bool) {
	s := m.Settings()
	ns := o.Metadata().Namespace
	own := []string{ns}
	if s.Platform(ns) || ns == s.RootNamespace || s.GatewayNamespace(ns) {
		return nil, false
	}
	switch o := o.(type) {
	case *mesh.Sidecar, *mesh.EnvoyFilter:
		return own, true
	case *mesh.ServiceEntry:
		exportTo := o.ExportTo
		if o.Held() {
			exportTo = []string{o.Annotations[mesh.ExportAnnotation]}
		}
		return own, private(exportTo) && !lends(m, o)
	case *mesh.VirtualService:
		// One without hosts is a delegate: its root may be seen anywhere.
		// One that is bound to a gateway changes what the gateway does.
		return own, len(o.Hosts) > 0 && private(o.ExportTo) && meshOnly(o)
	default:
		return nil, false
	}
}

// lends reports whether another entry of the namespace has a host of the entry:
// whoever sees that one reaches the endpoints of both.
func lends(m *mesh.Mesh, se *mesh.ServiceEntry) bool {
	return slices.ContainsFunc(hostsOf(se), func(host string) bool {
		return slices.ContainsFunc(m.EntriesFor(host), func(other *mesh.ServiceEntry) bool {
			return other.Namespace == se.Namespace && other.Ref != se.Ref
		})
	})
}

func private(exportTo []string) bool {
	return len(exportTo) > 0 && !slices.ContainsFunc(exportTo, func(e string) bool {
		return e != "." && e != "~"
	})
}

func meshOnly(vs *mesh.VirtualService) bool {
	return !slices.ContainsFunc(vs.Gateways, func(g string) bool { return g != "mesh" })
}
