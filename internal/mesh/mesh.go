package mesh

import (
	"cmp"
	"iter"
	"slices"

	"github.com/sallyport-io/sallyport/internal/budget"
)

// Mesh is an immutable set of objects with the indexes that [Mesh.Paths]
// needs. Its zero value is not usable; see [New].
type Mesh struct {
	open   bool           // held entries read as open
	draft  bool           // changes are not meant to last; see tree
	budget *budget.Budget // what questions to it may cost; see Bounded
	*index                // shared by the meshes that read the same objects in these ways
	// rest is what is left once everything that is being deleted has gone; nil
	// where nothing is. See Survivors.
	rest *index
}

// New builds a mesh.
func New(s Settings, objects ...Object) *Mesh {
	m := &Mesh{index: &index{given: &s, settings: &s, names: namesOf(&s)}}
	return m.With(objects...)
}

// Settings returns the settings the mesh was built with and, where it holds
// Istio's mesh configurations, what these say.
func (m *Mesh) Settings() Settings { return *m.settings }

// With returns a mesh in which the objects replace those of the same Ref. It
// shares all that it does not touch, so its cost does not depend on the size
// of the mesh.
func (m *Mesh) With(objects ...Object) *Mesh {
	out := m.copied()
	e := &edit{draft: m.draft}
	settle := false
	for _, o := range objects {
		m.Spend(indexSteps * entriesOf(o))
		switch subject := o.(type) {
		case *Namespace:
			m.spendToReread(subject.Name)
		case *IstioConfig:
			if m.given.Heeds(subject.Ref) {
				m.Spend(len(subject.Text))
				settle, o = true, subject.after(out.Get(subject.Ref))
			}
		case *Workload:
			settle = settle || m.movesIstiod(out.Get(subject.Ref), subject)
		}
		out.remove(e, o.Metadata().Ref)
		out.add(e, o)
	}
	if settle {
		out.resettle(e)
	}
	out.seal(e)
	if out.anyDying() {
		refs := make([]Ref, len(objects))
		for i, o := range objects {
			refs[i] = o.Metadata().Ref
		}
		out.updateSurvivors(m, refs)
	}
	return out
}

// spendToReread takes what it may cost that Istio comes to read a namespace, or no
// longer does.
func (m *Mesh) spendToReread(namespace string) {
	if len(m.settings.Discovery) == 0 {
		return
	}
	for o := range m.Within(namespace) {
		m.Spend(indexSteps * entriesOf(o))
	}
}

// Without returns a mesh that lacks the named objects.
func (m *Mesh) Without(refs ...Ref) *Mesh {
	if !slices.ContainsFunc(refs, func(r Ref) bool { return m.Get(r) != nil }) {
		return m
	}
	out := m.copied()
	e := &edit{draft: m.draft}
	settle := false
	for _, r := range refs {
		if o := m.Get(r); o != nil {
			m.Spend(indexSteps * entriesOf(o))
		}
		switch r.Kind {
		case "Namespace":
			m.spendToReread(r.Name)
		case IstioConfigKind:
			settle = settle || m.given.Heeds(r)
		default:
			settle = settle || m.movesIstiod(m.Get(r), nil)
		}
		out.remove(e, r)
	}
	if settle {
		out.resettle(e)
	}
	out.seal(e)
	if out.anyDying() {
		out.updateSurvivors(m, refs)
	}
	return out
}

// copied returns the same mesh with an index of its own, without survivors.
func (m *Mesh) copied() *Mesh {
	x := *m.index
	return &Mesh{open: m.open, draft: m.draft, budget: m.budget, index: &x}
}

// Draft returns the same mesh for a question of the kind "what if": a few
// changes to it are cheaper, and many of them, or a mesh that is kept for
// long, dearer.
func (m *Mesh) Draft() *Mesh {
	if m.draft {
		return m
	}
	out := *m
	out.draft = true
	return &out
}

// Bounded returns the same mesh for questions that have a budget: what they cost is
// taken from it, as is what is asked of the meshes made from this one. Whoever
// gave it has to expect its end in the middle of any question; see
// [budget.Catch].
func (m *Mesh) Bounded(b *budget.Budget) *Mesh {
	out := *m
	out.budget = b
	return &out
}

// Spend takes steps from the budget of the questions to the mesh, if there is one.
func (m *Mesh) Spend(steps int) { m.budget.Spend(steps) }

// What questions cost beside the loops that count each turn as a step.
const (
	indexSteps  = 30 // to bring an entry into an index, or to take it out
	objectSteps = 2  // to come to the next object
	pointSteps  = 4  // to list an egress point
	lookupSteps = 10 // to look something up in an index
)

// canonical is [CanonicalHost] for one of many: what is not ASCII takes long.
func (m *Mesh) canonical(host string) string {
	m.Spend(1 + len(host)>>5)
	for i := range len(host) {
		if host[i] >= 0x80 {
			m.Spend(8 * len(host))
			break
		}
	}
	return CanonicalHost(host)
}

// resolve is [ResolveHost] for one of many.
func (m *Mesh) resolve(host, namespace string) string {
	return m.canonical(qualify(host, namespace, m.settings.ClusterDomain))
}

// Open returns the mesh as it stands once every ServiceEntry that Sallyport
// holds back is open: exportTo ["~"] together with the annotation
// [ExportAnnotation] reads as what the annotation says.
func (m *Mesh) Open() *Mesh {
	if m.open {
		return m
	}
	out := *m
	out.open = true
	return &out
}

// Get returns the object with that Ref, or nil.
func (m *Mesh) Get(r Ref) Object {
	o, _ := m.get(r)
	return o
}

// All yields every object of one kind, ordered by namespace and name.
func (m *Mesh) All(kind string) iter.Seq[Object] { return m.under(kind + sep) }

// In yields every object of one kind in one namespace, ordered by name.
func (m *Mesh) In(kind, namespace string) iter.Seq[Object] {
	return m.under(kind + sep + namespace + sep)
}

// under yields the objects whose keys begin with a prefix.
func (m *Mesh) under(prefix string) iter.Seq[Object] {
	return func(yield func(Object) bool) {
		m.objects.scan(prefix, prefix, func(e entry[Object]) bool {
			m.Spend(objectSteps)
			return yield(e.val)
		})
	}
}

// Namespace returns the namespace, or nil when the mesh does not hold it.
func (m *Mesh) Namespace(name string) *Namespace {
	ns, _ := m.Get(Ref{Kind: "Namespace", Name: name}).(*Namespace)
	return ns
}

// KeptBytes returns how many bytes of JSON the mesh holds of the namespace's
// objects; see [Meta.Size].
func (m *Mesh) KeptBytes(namespace string) int {
	bytes, _ := m.kept.get(namespace)
	return bytes
}

// EntriesFor returns the ServiceEntries that register exactly this canonical
// host, oldest first.
func (m *Mesh) EntriesFor(host string) []*ServiceEntry {
	entries := slices.Collect(m.entries.exactly(host))
	m.Spend(len(entries))
	return entries
}

// Points returns the egress points that one object registers: for a
// ServiceEntry whose endpoints lie outside the mesh, every (host, port). An
// entry whose endpoint is an approved egress gateway registers egress points
// too: its host is outside.
func (m *Mesh) Points(o Object) []Point {
	se, ok := o.(*ServiceEntry)
	if !ok {
		return nil
	}
	room := min(len(se.Hosts), MaxAffected) * min(len(se.Ports), MaxAffected) // neither the product nor the room without bound
	return uniquePoints(slices.AppendSeq(make([]Point, 0, min(room, MaxAffected)), m.points(se, "")))
}

// HasPoints reports whether an entry registers any egress points.
func (m *Mesh) HasPoints(se *ServiceEntry) bool {
	for range m.points(se, "") {
		return true
	}
	return false
}

// points yields the entry's egress points, some perhaps more than once: those
// whose host shares a name with the given one, all where that is empty.
func (m *Mesh) points(se *ServiceEntry, of string) iter.Seq[Point] {
	return func(yield func(Point) bool) {
		if !m.Reads(se.Namespace) {
			return // to Istio it registers nothing
		}
		alone := m.leavesAlone(se)
		for _, h := range se.Hosts {
			host := m.canonical(h)
			if of != "" && !HostsOverlap(host, of) || !alone && !m.leavesMesh(se, host) {
				continue
			}
			if !m.ports(se, host, yield) {
				return
			}
		}
	}
}

// pointsOf yields the entry's egress points of a canonical host that it is known to
// register.
func (m *Mesh) pointsOf(se *ServiceEntry, host string) iter.Seq[Point] {
	return func(yield func(Point) bool) {
		if m.leavesMesh(se, host) {
			m.ports(se, host, yield)
		}
	}
}

// ports yields an egress point for each port of the entry, and reports whether more
// are wanted.
func (m *Mesh) ports(se *ServiceEntry, host string, yield func(Point) bool) bool {
	for i := range se.Ports {
		p := &se.Ports[i]
		m.Spend(pointSteps)
		if ClassOf(p.Protocol) == UDPLike {
			continue
		}
		if !yield(Point{Host: host, Port: p.Number, Protocol: protocolName(p.Protocol), Entry: se.Ref}) {
			return false
		}
	}
	return true
}

// AllPoints yields every egress point of the mesh, by host and port.
func (m *Mesh) AllPoints() iter.Seq[Point] {
	return func(yield func(Point) bool) {
		var points []Point
		for o := range m.All("ServiceEntry") {
			points = append(points, m.Points(o)...)
		}
		for _, p := range uniquePoints(points) {
			if !yield(p) {
				return
			}
		}
	}
}

// uniquePoints sorts the points and keeps the first of each host and port.
func uniquePoints(points []Point) []Point {
	slices.SortStableFunc(points, func(a, b Point) int {
		return cmp.Or(cmp.Compare(a.Host, b.Host), cmp.Compare(a.Port, b.Port))
	})
	return slices.CompactFunc(points, func(a, b Point) bool { return a.Host == b.Host && a.Port == b.Port })
}
