package review

import (
	"context"
	"slices"

	"github.com/sallyport-io/sallyport/internal/budget"
	"github.com/sallyport-io/sallyport/internal/companion"
	"github.com/sallyport-io/sallyport/internal/mesh"
	"github.com/sallyport-io/sallyport/rules"
)

// mender tries fixes before they are offered: a fix that leaves the write denied,
// that is denied itself or that changes what nobody complained about is none.
type mender struct {
	judge *Judge
	ctx   context.Context
	// steps pay for the tries: of what is left to the write a part for each, so that
	// a dear fix costs the writer the fix, and not the answer.
	steps *budget.Budget
	write Write
	pass  rules.Pass // of the write
	hosts map[string]bool
	left  int64
}

// Of what is left of its steps a write may spend a part on fixes, for so many hosts:
// more are not read, and to find them all must not make the write too large.
const (
	mendShare = 4
	mendLimit = 600_000
	mendHosts = 8
)

// room is [rules.Pass.Mendable].
func (d *mender) room(host string) bool {
	if d.hosts == nil {
		d.hosts = map[string]bool{}
		d.left = min((d.steps.Limit()-d.steps.Spent())/mendShare, mendLimit)
	}
	if d.left <= 0 || !d.hosts[host] && len(d.hosts) >= mendHosts {
		return false
	}
	d.hosts[host] = true
	return true
}

// mends is [rules.Pass.Mends].
func (d *mender) mends(host string, fix []rules.Applied, shuts bool) bool {
	if len(fix) == 0 || !d.room(host) {
		return false
	}
	var does bool
	err := d.spend(func(steps *budget.Budget) (err error) {
		does, err = d.try(steps, host, fix, shuts)
		return err
	})
	return err == nil && does
}

func (d *mender) try(steps *budget.Budget, host string, fix []rules.Applied, shuts bool) (bool, error) {
	p := &d.pass
	before, live := p.After.Bounded(steps), p.Live.Bounded(steps)
	objects := make([]mesh.Object, len(fix))
	for i, a := range fix {
		if vs, ok := a.Object.(*mesh.VirtualService); ok {
			ops, err := rewrite(live.Draft(), vs) // as admission does
			if err != nil {
				return false, err
			}
			if a.Raw, err = Patched(a.Raw, ops); err != nil {
				return false, err
			}
			if a.Object, err = mesh.Decode(a.Raw); err != nil {
				return false, err
			}
			fix[i] = a
		}
		objects[i] = a.Object
	}
	fixed := live.With(objects...)

	points := fixed.Affected(p.Subject)
	for _, o := range objects {
		points = append(points, changedBy(fixed, o)...)
		if was := live.Get(o.Metadata().Ref); was != nil {
			points = append(points, live.Affected(was)...)
		}
	}
	for _, se := range fixed.EntriesFor(host) {
		points = append(points, fixed.Points(se)...)
	}
	if len(points) >= mesh.MaxAffected {
		return false, nil
	}
	slices.SortFunc(points, comparePoints)
	points = slices.CompactFunc(points, func(a, b mesh.Point) bool { return a.Host == b.Host && a.Port == b.Port })
	hosts := []string{host}
	for _, point := range points {
		hosts = append(hosts, point.Host)
	}
	slices.Sort(hosts)
	hosts = slices.Compact(hosts)
	after, _ := companion.Apply(fixed, hosts...)
	for _, point := range points {
		s := scope{extra: p.Subject.Metadata().Namespace}
		clients := slices.Concat(s.clients(before, point), s.clients(after, point))
		slices.Sort(clients)
		for _, client := range slices.Compact(clients) {
			if !d.mended(before, after, client, point, point.Host == host, shuts) {
				return false, nil
			}
		}
	}

	admitted := fixed.Without(p.Subject.Metadata().Ref)
	subject, raw := p.Subject, p.Raw
	for _, a := range fix {
		ref := a.Object.Metadata().Ref
		switch {
		case ref == p.Subject.Metadata().Ref:
			subject, raw = a.Object, a.Raw
		case live.Get(ref) == nil && a.Raw != nil:
			findings, err := d.findings(admitted, Write{Request: rules.Request{Operation: "CREATE", User: p.Request.User, Groups: p.Request.Groups, Time: p.Request.Time}, Object: a.Raw}, a.Object, nil)
			if err != nil || (Outcome{Findings: findings}).Denied() {
				return false, err
			}
		}
	}
	w := d.write
	w.Object = raw
	findings, err := d.findings(fixed, w, subject, p.Old)
	return err == nil && !slices.ContainsFunc(findings, func(f rules.Finding) bool { return f.Severity == rules.Deny && f.Host == host }), err
}

// changedBy returns the egress points whose ways an object of a fix can change. Nobody
// whose fix it is has complained about those of which it takes the subset away.
func changedBy(m *mesh.Mesh, o mesh.Object) []mesh.Point {
	points := m.Affected(o)
	if dr, ok := o.(*mesh.DestinationRule); ok {
		points = append(points, m.Displaced(dr)...)
	}
	return points
}

// findings are those about one write.
func (d *mender) findings(m *mesh.Mesh, w Write, subject, old mesh.Object) ([]rules.Finding, error) {
	p, err := newPass(d.ctx, m, w, subject, old, false)
	if err != nil {
		return nil, err
	}
	p.Raw, p.OldRaw = w.Object, w.OldObject
	return rules.Run(d.ctx, d.judge.Rules, p)
}

// mended reports whether a client's way for an egress point is as it was, or leads
// through a gateway in the place of past it. Beside that, what was broken of the host
// itself may work; with shuts what was direct or broken of it may be closed. So may be
// what else is direct in a batch, where it is as new and as wrong: names that share a
// listener with the host are let out no longer when that has a route.
func (d *mender) mended(before, after *mesh.Mesh, client string, p mesh.Point, own, shuts bool) bool {
	was, entry := before.Verdict(client, p.Host, p.Port)
	is, _ := after.Verdict(client, p.Host, p.Port)
	switch {
	case was == mesh.Direct && is == mesh.Via:
	case was == mesh.Direct && is == mesh.Blocked && (own && shuts || !own && d.pass.Batch[entry]):
	case was == mesh.Direct && own:
		return is == mesh.Direct && after.Decided(client, p.Host, p.Port).Passed // it is not the host's
	case own && is == mesh.Via && was != mesh.Blocked:
	case own && shuts && was == mesh.Broken && is == mesh.Blocked:
	case is != was:
		return false
	}
	if !after.Confined(client) || is == mesh.Direct {
		return true
	}
	return after.Unconfined(client, p.Host, p.Port).Verdict != mesh.Direct ||
		!own && before.Unconfined(client, p.Host, p.Port).Verdict == mesh.Direct
}
