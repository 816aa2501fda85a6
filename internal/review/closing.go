package review

import (
	"fmt"
	"slices"

	"github.com/sallyport-io/sallyport/internal/companion"
	"github.com/sallyport-io/sallyport/internal/mesh"
)

// A write that takes something away may bear on more egress points than a write is
// judged by: a route for many hosts is deleted, a Sidecar is narrowed. Most of these
// points go their way with or without the object. So every point is looked at for
// whether the object decides its way, and those that it decides are judged, all of
// them. Where these are too many as well the write is refused, and its author can
// make it in steps.

// maxLooked bounds how many egress points are looked at.
const maxLooked = 16 * mesh.MaxAffected

// decided leaves in the scope the points whose way the write decides. It fails
// where these are more than a write is judged by. Along with a subject that is
// deleted go other objects.
func (s *scope) decided(prior, live *mesh.Mesh, subject, old mesh.Object, along []mesh.Object, operation string) error {
	before := old
	if before == nil {
		before = subject
	}
	points := append(live.AffectedUpTo(subject, maxLooked), prior.AffectedUpTo(before, maxLooked)...)
	for _, o := range along {
		points = append(points, prior.AffectedUpTo(o, maxLooked)...)
	}
	slices.SortFunc(points, comparePoints)
	points = slices.CompactFunc(points, func(a, b mesh.Point) bool { return comparePoints(a, b) == 0 })
	if len(points) >= maxLooked {
		return tooMany(subject.Metadata().Ref, maxLooked)
	}
	view := closing{prior: prior, live: live, updated: operation == "UPDATE", own: subject.Metadata().Namespace}
	s.points = nil
	var clients []string
	for i, p := range points {
		if i == 0 || p.Host != points[i-1].Host {
			clients = append(s.clients(prior, p), s.clients(live, p)...)
			slices.Sort(clients)
			clients = slices.Compact(clients)
			view.host(p.Host)
		}
		if !slices.ContainsFunc(clients, func(client string) bool { return view.decides(client, p) }) {
			continue
		}
		if s.points = append(s.points, p); len(s.points) > mesh.MaxAffected {
			return tooMany(subject.Metadata().Ref, mesh.MaxAffected)
		}
	}
	s.full = false
	s.nameHosts(subject, old)
	return nil
}

func tooMany(ref mesh.Ref, points int) error {
	return &InputError{fmt.Errorf("%s decides the way of more than %d egress points (hosts times ports), too many for one write; "+
		"narrow it in steps: take out some of its hosts or ports at a time, until nothing is left of it", ref, points)}
}

// closing compares the meshes before and after a write.
type closing struct {
	prior, live *mesh.Mesh
	// bare are the same with every entry open and without the companions of one
	// host: what these hide today they may not hide tomorrow. They are nil where
	// the host has neither.
	barePrior, bareLive *mesh.Mesh
	updated             bool
	own                 string // the subject's namespace
}

func (c *closing) host(host string) {
	c.barePrior, c.bareLive = nil, nil
	kept := slices.ContainsFunc(append(c.prior.RoutesFor(host), c.live.RoutesFor(host)...), func(vs *mesh.VirtualService) bool { return companion.Is(vs.Ref) })
	held := slices.ContainsFunc(append(c.prior.EntriesFor(host), c.live.EntriesFor(host)...), (*mesh.ServiceEntry).Held)
	if kept || held {
		c.barePrior, c.bareLive = companion.Without(c.prior.Open(), host), companion.Without(c.live.Open(), host)
	}
}

// decides reports whether the write changes the client's way for an egress point
// to one that some rule could object to.
func (c *closing) decides(client string, p mesh.Point) bool {
	return c.worse(c.prior, c.live, client, p) || c.bareLive != nil && c.worse(c.barePrior, c.bareLive, client, p)
}

func (c *closing) worse(prior, live *mesh.Mesh, client string, p mesh.Point) bool {
	after, _ := live.Verdict(client, p.Host, p.Port)
	switch {
	case after == mesh.Via:
		return false
	case after == mesh.Blocked && (!c.updated || client == c.own):
		return false // who is closed out complains himself; others may only be so by what stands
	}
	before, _ := prior.Verdict(client, p.Host, p.Port)
	return before != after
}
