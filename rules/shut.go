package rules

import (
	"slices"
	"strings"

	"github.com/sallyport-io/sallyport/internal/mesh"
	"github.com/sallyport-io/sallyport/internal/told"
)

// shut adds to words, which say in a sentence what leads a host through the gateway,
// the YAML that closes the way past it until somebody has done that. It is what is
// left where [lead] has none: nobody can dial the names behind a wildcard, say. It
// takes nothing away but what lets out, and no more than the words where even that
// would cost somebody else his way. What is returned has been tried.
func shut(p *Pass, host string, words told.Text) told.Text {
	if p.Mends == nil || !p.Mendable(host) || p.Deleting() {
		return words
	}
	fix, _ := p.fixes().Do(shutKey{host}, func() (any, error) {
		s := newShutter(p, host)
		for _, try := range [][]func() bool{
			{s.dropMirrors},
			{s.hideEntries},
			{s.dropHost},
			{s.dropPorts},
			{s.dropRoutes},
			{s.dropRoutes, s.hideEntries},
			{s.dropRoutes, s.dropPorts},
			{s.dropMirrors, s.hideEntries},
			{s.hideBroken},
		} {
			p.Spend(fixSteps)
			if text := s.write(try); text != "" && p.Mends(host, applied(text.String()), true) {
				return text, nil
			}
		}
		return told.Text(""), nil
	})
	if fix == told.Text("") {
		return words
	}
	return "# " + words + "# Until then, this keeps the way past the gateway closed:\n" + fix.(told.Text)
}

// mostShut is how many paths of a host's may be looked at to close some of them: what
// is large enough to have more is split up before it is mended.
const mostShut = 96

type shutKey struct{ host string }

// fixes is the memo for what depends on nothing but what is at hand as it was written.
func (p *Pass) fixes() *Memo {
	if p.Fixes != nil {
		return p.Fixes
	}
	return p.Memo
}

// shutter takes away what lets traffic for a host out.
type shutter struct {
	p       *Pass
	m       *mesh.Mesh
	host    string
	entries []*openEntry // those that direct paths are of
	// changed are the objects as they are to be, in the order in which they were
	// looked at.
	changed map[mesh.Ref]map[string]any
	order   []mesh.Ref
}

// openEntry is an entry by which somebody reaches the host directly.
type openEntry struct {
	*mesh.ServiceEntry
	keep  []string     // the namespaces that reach it otherwise
	works []string     // those of them whose way is not broken
	ports map[int]bool // those by which nobody does
}

func newShutter(p *Pass, host string) *shutter {
	s := &shutter{p: p, m: p.After, host: host}
	for _, se := range s.m.EntriesFor(host) {
		if companionEntry(s.m, se.Ref) {
			continue
		}
		e := &openEntry{ServiceEntry: se, ports: map[int]bool{}}
		clients := append(s.m.Clients(host), mesh.AnyClient, se.Namespace)
		slices.Sort(clients)
		if len(se.Ports)*len(clients) > mostShut {
			s.entries = nil
			return s
		}
		open := false
		for _, port := range se.Ports {
			closed := true
			for _, client := range slices.Compact(slices.Clone(clients)) {
				if s.m.Settings().GatewayNamespace(client) {
					continue
				}
				s.m.Spend(lookupSteps + len(e.keep)>>2)
				verdict, entry := s.m.Verdict(client, host, port.Number)
				switch {
				case entry != se.Ref || verdict == mesh.Blocked:
				case verdict == mesh.Direct:
					open = true
				default:
					closed = false
					if !slices.Contains(e.keep, client) {
						e.keep = append(e.keep, client)
					}
					if verdict != mesh.Broken && !slices.Contains(e.works, client) {
						e.works = append(e.works, client)
					}
				}
			}
			e.ports[port.Number] = closed
		}
		if open {
			s.entries = append(s.entries, e)
		}
	}
	return s
}

// write makes the changes, and returns the objects with them; it is empty where one
// of the changes has nothing to change.
func (s *shutter) write(changes []func() bool) told.Text {
	s.changed, s.order = map[mesh.Ref]map[string]any{}, nil
	for _, change := range changes {
		if !change() {
			return ""
		}
	}
	edits := make([]edit, len(s.order))
	for i, ref := range s.order {
		edits[i] = edit{ref: ref, text: document(s.changed[ref])}
	}
	return joined(edits)
}

// spec is the spec of an object that is to be changed, nil where the object is not
// at hand.
func (s *shutter) spec(ref mesh.Ref) map[string]any {
	o := s.changed[ref]
	if o == nil {
		if o = s.p.written(ref); o == nil {
			return nil
		}
	}
	spec, _ := o["spec"].(map[string]any)
	if spec != nil && s.changed[ref] == nil {
		s.changed[ref] = o
	}
	return spec
}

// note keeps an object that was changed.
func (s *shutter) note(ref mesh.Ref) {
	s.m.Spend(1 + len(s.order)>>2)
	if !slices.Contains(s.order, ref) {
		s.order = append(s.order, ref)
	}
}

// changeEntries makes a change to every entry that lets out, and reports whether there
// are any and each could be changed.
func (s *shutter) changeEntries(change func(*openEntry, map[string]any) bool) bool {
	for _, e := range s.entries {
		spec := s.spec(e.Ref)
		if spec == nil || !change(e, spec) {
			return false
		}
		s.note(e.Ref)
	}
	return len(s.entries) > 0
}

// hideEntries has the entries be seen by those alone who do not go past the gateway,
// and by nobody where there are none.
func (s *shutter) hideEntries() bool {
	return s.hide(func(e *openEntry) []string { return e.keep })
}

// hideBroken hides the entries from those as well whose way does not work.
func (s *shutter) hideBroken() bool {
	return s.hide(func(e *openEntry) []string { return e.works })
}

func (s *shutter) hide(keep func(*openEntry) []string) bool {
	return s.changeEntries(func(e *openEntry, spec map[string]any) bool {
		seeing := keep(e)
		if slices.Contains(seeing, mesh.AnyClient) {
			return false
		}
		var to []any
		for _, ns := range seeing {
			if ns == e.Namespace {
				ns = "."
			}
			to = append(to, ns)
		}
		if len(to) == 0 {
			to = []any{"~"}
		} else {
			for _, g := range s.m.Settings().Gateways {
				if s.m.SeenFrom(e.ServiceEntry, g.Namespace) && !slices.Contains(to, any(g.Namespace)) {
					to = append(to, g.Namespace)
				}
			}
		}
		spec["exportTo"] = to
		return true
	})
}

// dropHost takes the host out of entries that have others.
func (s *shutter) dropHost() bool {
	return s.changeEntries(func(e *openEntry, spec map[string]any) bool {
		if len(e.keep) > 0 {
			return false
		}
		hosts := slices.DeleteFunc(asList(spec["hosts"]), func(h any) bool {
			s.m.Spend(hostSteps)
			name, _ := h.(string)
			return mesh.CanonicalHost(name) == s.host
		})
		spec["hosts"] = hosts
		return len(hosts) > 0
	})
}

// dropPorts takes those ports away that nobody reaches but directly.
func (s *shutter) dropPorts() bool {
	return s.changeEntries(func(e *openEntry, spec map[string]any) bool {
		ports := asList(spec["ports"])
		left := slices.DeleteFunc(slices.Clone(ports), func(port any) bool {
			s.m.Spend(hostSteps)
			fields, _ := port.(map[string]any)
			number, _ := fields["number"].(float64)
			return e.ports[int(number)]
		})
		spec["ports"] = left
		return len(left) > 0 && len(left) < len(ports)
	})
}

// dropMirrors takes the copies away that sidecars send to the host.
func (s *shutter) dropMirrors() bool { return s.dropFrom(false) }

// dropRoutes takes the destinations away by which sidecars go straight to the host.
func (s *shutter) dropRoutes() bool { return s.dropFrom(true) }

func (s *shutter) dropFrom(routes bool) bool {
	for vs := range s.m.LeadingTo(s.host) {
		s.m.Spend(lookupSteps)
		if slices.Contains(s.order, vs.Ref) {
			continue
		}
		spec := s.spec(vs.Ref)
		if spec == nil {
			continue
		}
		d := routeEdit{h: &hops{p: s.p, m: s.m, host: s.host}, vs: vs, spec: spec}
		if !d.drop(routes) {
			continue
		}
		s.note(vs.Ref)
	}
	return len(s.order) > 0
}

// drop takes the mirrors, or the routes, away by which sidecars go straight to the
// host, and reports whether there was any and something is left.
func (r *routeEdit) drop(routes bool) (changed bool) {
	left := 0
	for _, section := range sections {
		var rules []any
		for _, written := range asList(r.spec[section]) {
			rule, _ := written.(map[string]any)
			r.h.m.Spend(destinationSteps)
			sidecars, others := r.split(asList(rule["match"]))
			mine := clone(rule)
			if sidecars == nil || !r.strip(mine, routes) {
				rules = append(rules, written)
				continue
			}
			changed = true
			if len(sidecars) > 0 {
				mine["match"] = sidecars
			}
			switch {
			case len(asList(mine["route"])) > 0 || !routes:
				rules = append(rules, mine)
			case section == "http":
				// Without it a later rule would take what is this one's.
				closed := map[string]any{"directResponse": map[string]any{"status": 503}}
				for _, field := range []string{"name", "match"} {
					if value, ok := mine[field]; ok {
						closed[field] = value
					}
				}
				rules = append(rules, closed)
			}
			if len(others) > 0 {
				rest := clone(rule)
				rest["match"] = others
				rules = append(rules, rest)
			}
		}
		left += len(rules)
		if delete(r.spec, section); len(rules) > 0 {
			r.spec[section] = rules
		}
	}
	return changed && left > 0
}

// strip takes the host out of the places of one rule.
func (r *routeEdit) strip(rule map[string]any, routes bool) (changed bool) {
	is := func(destination any) bool {
		to, _ := destination.(map[string]any)
		name, _ := to["host"].(string)
		if name == "" {
			return false
		}
		host, _ := externalHost(r.h.m, name, r.vs.Namespace)
		return host == r.h.host
	}
	if routes {
		route := asList(rule["route"])
		left := slices.DeleteFunc(slices.Clone(route), func(d any) bool {
			r.h.m.Spend(destinationSteps)
			to, _ := d.(map[string]any)
			return is(to["destination"])
		})
		if len(left) == len(route) {
			return false
		}
		if len(left) == 1 {
			if only, ok := left[0].(map[string]any); ok {
				delete(only, "weight")
			}
		}
		rule["route"] = left
		return true
	}
	if is(rule["mirror"]) {
		for _, field := range []string{"mirror", "mirrorPercentage", "mirrorPercent"} {
			delete(rule, field)
		}
		changed = true
	}
	mirrors := asList(rule["mirrors"])
	left := slices.DeleteFunc(slices.Clone(mirrors), func(m any) bool {
		r.h.m.Spend(destinationSteps)
		to, _ := m.(map[string]any)
		return is(to["destination"])
	})
	if len(left) < len(mirrors) {
		changed = true
		if delete(rule, "mirrors"); len(left) > 0 {
			rule["mirrors"] = left
		}
	}
	return changed
}

// Bare is a fix without the comments before it, which say what else would do for one
// object or another.
func Bare(fix string) string {
	for strings.HasPrefix(fix, "#") {
		_, fix, _ = strings.Cut(fix, "\n")
	}
	return fix
}
