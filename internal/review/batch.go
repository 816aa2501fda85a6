package review

import (
	"context"
	"errors"
	"fmt"
	"math"
	"runtime/debug"
	"slices"

	"github.com/sallyport-io/sallyport/internal/budget"
	"github.com/sallyport-io/sallyport/internal/companion"
	"github.com/sallyport-io/sallyport/internal/mesh"
	"github.com/sallyport-io/sallyport/rules"
)

// Batch is what Sallyport makes of a set of objects that are written together.
type Batch struct {
	// Outcomes has one element per object, in the order given. They have no Paths: what
	// each object can change would be many times what there is.
	Outcomes []Outcome
	// Objects has the JSON of each object as admission would leave it, with
	// its paths open, in the order given; as it is where the batch is stored.
	Objects [][]byte
	// Paths are the paths of every egress point that the objects register or
	// can change, for every client namespace that the mesh names and for
	// [mesh.AnyClient]; sorted, without those that are blocked but for [Judge.Blocked].
	// Egress points of the state that no object
	// bears on are left out: their number is that of the whole cluster.
	Paths []mesh.Path
	// Companions are what Sallyport would keep beside the objects, by host.
	Companions []mesh.Object
	// Mesh is the mesh that the objects form on top of the state, with the
	// companions of the hosts of Paths.
	Mesh *mesh.Mesh
}

// ObjectError says which object of a batch could not be judged.
type ObjectError struct {
	Index int
	Err   error
}

// Error implements error.
func (e *ObjectError) Error() string { return e.Err.Error() }

// Unwrap returns the cause.
func (e *ObjectError) Unwrap() error { return e.Err }

// ReviewAll judges every object as a write into the mesh that all of them form
// on top of state: as an update where [Judge.Standing] knows what was there before, and
// what was wrong with that already is only warned of. What they open together is charged
// to those among them that open it.
//
// Where Sallyport keeps companions in an object's namespace the object is
// judged as admission leaves it; elsewhere as it is written, which is how
// Istio will read it. Of a batch that is [Judge.Stored] each is judged as it stands:
// nothing is filled in any more, what is held back is closed, and the Paths and the
// Mesh have no companions but those that are there.
//
// The error joins one [*ObjectError] for each object that could not be judged,
// or is a single error of another type that concerns all.
func (j *Judge) ReviewAll(ctx context.Context, state *mesh.Mesh, objects [][]byte) (b Batch, err error) {
	defer func() {
		if v := recover(); v != nil {
			ended, ok := budget.Ended(v)
			if !ok {
				ended = fmt.Errorf("judging: panic: %v\n%s", v, debug.Stack())
			}
			b, err = Batch{}, ended
		}
	}()
	subjects := make([]mesh.Object, len(objects))
	b.Outcomes = make([]Outcome, len(objects))
	b.Objects = slices.Clone(objects)
	judged := map[mesh.Ref]bool{}
	var errs []error
	for i, raw := range objects {
		o, err := mesh.Decode(raw)
		switch {
		case errors.Is(err, mesh.ErrUnknownKind):
			continue
		case err != nil:
			errs = append(errs, &ObjectError{i, err})
			continue
		}
		ref := o.Metadata().Ref
		if err := mesh.CheckWords(o, raw); err != nil {
			errs = append(errs, &ObjectError{i, fmt.Errorf("%s is not judged: %w", mesh.Short(ref.String()), err)})
			continue
		}
		if judged[ref] {
			errs = append(errs, &ObjectError{i, fmt.Errorf("%s is given more than once", ref)})
			continue
		}
		subjects[i], judged[ref] = o, true
		b.Outcomes[i] = Outcome{Ref: ref, Known: true}
	}
	if len(errs) > 0 {
		return Batch{}, errors.Join(errs...)
	}

	old := j.standing(state, subjects)
	live := state.With(slices.DeleteFunc(slices.Clone(subjects), func(o mesh.Object) bool { return o == nil })...)
	if !j.Stored {
		live, err = admit(ctx, live, subjects, b.Objects, old)
		if err != nil {
			return Batch{}, err
		}
	}
	// What is too large for the server is too large here, too, and is found to be
	// so in the same way: alone, into the mesh in which all the others stand. Of one
	// object alone, and of an update, nothing else is said than the server says, unless
	// that holds it back: then it is said what becomes of it when it is opened.
	said := make([]bool, len(subjects)) // what the server finds is what is told
	server := *j
	for i, o := range subjects {
		if o == nil {
			continue
		}
		ref := o.Metadata().Ref
		others, was := live.Without(ref), old[ref]
		if was.object != nil {
			others = live.With(was.object)
		}
		said[i] = !j.Stored && (len(judged) == 1 || was.object != nil)
		server.unmended = !said[i]
		out, held, err := server.alone(ctx, others, was.write(j.Time, objects[i]))
		if err != nil {
			errs = append(errs, &ObjectError{i, err})
		}
		said[i] = said[i] && !held
		out.Paths = nil
		b.Outcomes[i] = out
	}
	if len(errs) > 0 {
		return Batch{}, errors.Join(errs...)
	}
	// What follows lists more than anybody judges one write by. It ends with the
	// context alone.
	unlimited := budget.New(ctx, math.MaxInt64)
	w := newWorld(state.Bounded(unlimited), live.Bounded(unlimited), subjects)
	for i, o := range b.Outcomes {
		if o.Known {
			w.written[o.Ref] = b.Objects[i]
		}
	}
	b.Companions, b.Mesh, b.Paths = w.companions(), w.after.Bounded(nil), w.paths(w.after, j.Blocked, w.path)
	if j.Stored {
		b.Mesh, b.Paths = live, w.paths(w.live, j.Blocked, w.live.Paths)
	}
	for i, o := range subjects {
		if o == nil || said[i] {
			continue
		}
		if err := j.reviewOne(ctx, w, judged, o, old[b.Outcomes[i].Ref].write(j.Time, b.Objects[i]), &b.Outcomes[i]); err != nil {
			errs = append(errs, &ObjectError{i, fmt.Errorf("could not judge: %w", err)})
		}
	}
	if len(errs) > 0 {
		return Batch{}, errors.Join(errs...)
	}
	w.together(b.Outcomes, b.Objects)
	return b, nil
}

// alone judges an object as the server does where it is written among all others, and
// reports whether it holds it back.
func (j *Judge) alone(ctx context.Context, others *mesh.Mesh, w Write) (out Outcome, held bool, err error) {
	if !j.Stored {
		// Where nothing can be filled in the server judges what was written.
		if ops, _, err := Default(ctx, others, w); err == nil && len(ops) > 0 {
			if w.Object, err = Patched(w.Object, ops); err != nil {
				return out, false, err
			}
			o, err := mesh.Decode(w.Object)
			if err != nil {
				return out, false, err
			}
			entry, ok := o.(*mesh.ServiceEntry)
			held = ok && entry.Held()
		}
	}
	out, err = j.Review(ctx, others, w)
	return out, held, err
}

func (j *Judge) reviewOne(ctx context.Context, w *world, judged map[mesh.Ref]bool, o mesh.Object, write Write, out *Outcome) error {
	mode, judging := modeOf(w.live, o), j.Rules
	if mode == modeOff {
		if judging = always(j.Rules, out.Ref.Kind); len(judging) == 0 {
			return nil
		}
	}
	var old mesh.Object
	if write.OldObject != nil {
		old = w.state.Get(out.Ref)
	}
	p := w.pass(write.Request, o, old)
	p.Raw, p.OldRaw, p.Batch, p.Stored = write.Object, write.OldObject, judged, j.Stored
	p.Written, p.Fixes = func(ref mesh.Ref) []byte { return w.written[ref] }, &w.fixes
	fixes := &mender{judge: j, ctx: ctx, steps: budget.New(ctx, MaxSteps), write: write, pass: p}
	p.Mends, p.Mendable = fixes.mends, fixes.room
	out.Companions = p.Companions
	findings, err := rules.Run(ctx, judging, p)
	if err != nil {
		return err
	}
	if p.Old != nil && (Outcome{Findings: findings}).Denied() {
		if findings, err = j.forgive(ctx, w.state, write, p.Old, p, findings); err != nil {
			return fmt.Errorf("judging the object before the update: %w", err)
		}
	}
	fixes.vouch(findings)
	if mode == modeWarn {
		soften(findings, softened(j.Rules))
	}
	if p.Old == nil {
		soften(findings, opensNothing(o))
	}
	rules.Sort(findings)
	out.Findings = rules.OneCause(findings)
	return nil
}

// world is the mesh of a batch, whose companions and paths are computed once
// for all its objects.
type world struct {
	state, live, after *mesh.Mesh
	before             *mesh.Mesh // state with the same hosts' companions
	sets               map[string]companion.Set
	points             []mesh.Point // those that the objects bear on
	hosts              []string
	clients            []string // every namespace that the mesh names
	unusual            []string // those of them that are not as [mesh.Mesh.Usual] has it, in any mesh
	singled            map[string][]string
	known              map[pathKey]mesh.Path
	written            map[mesh.Ref][]byte // the JSON of the objects
	fixes              rules.Memo
}

type pathKey struct {
	client, host string
	port         int
}

func newWorld(state, live *mesh.Mesh, subjects []mesh.Object) *world {
	w := &world{state: state, live: live, sets: map[string]companion.Set{}, singled: map[string][]string{}, known: map[pathKey]mesh.Path{}, written: map[mesh.Ref][]byte{}}
	w.points = pointsOf(state, live, subjects)
	for _, p := range w.points {
		w.hosts = append(w.hosts, p.Host)
	}
	for _, o := range subjects {
		w.hosts = append(w.hosts, hostsOf(o)...)
	}
	slices.Sort(w.hosts)
	w.hosts = slices.Compact(w.hosts)
	var sets []companion.Set
	w.after, sets = applyWanted(live, w.hosts)
	w.before, _ = applyWanted(state, w.hosts)
	for _, s := range sets {
		w.sets[s.Host] = s
	}
	w.clients = append(namespacesOf(live), mesh.AnyClient)
	slices.Sort(w.clients)
	for _, ns := range w.clients {
		if ns == mesh.AnyClient || !w.live.Usual(ns) || !w.after.Usual(ns) {
			w.unusual = append(w.unusual, ns)
		}
	}
	return w
}

// pointsOf returns the egress points whose paths the objects can change, those
// too that an object of the same name in the state bears on; sorted.
func pointsOf(state, live *mesh.Mesh, subjects []mesh.Object) []mesh.Point {
	var points []mesh.Point
	for _, o := range subjects {
		if o == nil {
			continue
		}
		points = append(points, live.Affected(o)...)
		if old := state.Get(o.Metadata().Ref); old != nil {
			points = append(points, live.Affected(old)...)
		}
	}
	slices.SortFunc(points, comparePoints)
	return slices.CompactFunc(points, func(a, b mesh.Point) bool { return comparePoints(a, b) == 0 })
}

// applyWanted is [companion.Apply], but for hosts that Sallyport keeps nothing
// for: there an object that bears a companion's name is as good as any other.
// A file may well hold what "sallyport plan" printed, for a cluster in which
// nobody but Istio reads it.
func applyWanted(m *mesh.Mesh, hosts []string) (*mesh.Mesh, []companion.Set) {
	after, sets := companion.Apply(m, hosts...)
	var wanted []string
	for _, s := range sets {
		if len(s.Objects) > 0 {
			wanted = append(wanted, s.Host)
		}
	}
	if len(wanted) < len(hosts) {
		after, _ = companion.Apply(m, wanted...)
	}
	return after, sets
}

// namespacesOf returns every namespace in which the mesh holds an object, but
// for those of the gateways.
func namespacesOf(m *mesh.Mesh) []string {
	var names []string
	for _, kind := range mesh.Kinds() {
		for o := range m.All(kind) {
			name := o.Metadata().Namespace
			if ns, ok := o.(*mesh.Namespace); ok {
				name = ns.Name
			}
			if name != "" && !m.Settings().GatewayNamespace(name) {
				names = append(names, name)
			}
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

func (w *world) path(client, host string, port int) mesh.Path {
	key := pathKey{client, host, port}
	p, ok := w.known[key]
	if !ok {
		p = w.after.Paths(client, host, port)
		if p.Verdict != mesh.Blocked { // those are many, and nothing is said of them
			w.known[key] = p
		}
	}
	return p
}

// clientsOf returns the clients whose paths for the host are listed: those
// that the mesh names, and those that an object singles out, in an exportTo
// say.
func (w *world) clientsOf(host string) []string {
	clients, ok := w.singled[host]
	if !ok {
		clients = append(slices.Clone(w.clients), w.after.Clients(host)...)
		slices.Sort(clients)
		clients = slices.DeleteFunc(slices.Compact(clients), func(ns string) bool {
			return w.live.Settings().GatewayNamespace(ns)
		})
		w.singled[host] = clients
	}
	return clients
}

// clientsAt returns the clients of clientsOf, without most of those that are blocked at
// an egress point where any client is: to every host belong few namespaces, and to ask
// for each of the others takes the square of the time.
func (w *world) clientsAt(m *mesh.Mesh, host string, port int) []string {
	if verdict, _ := m.Verdict(mesh.AnyClient, host, port); verdict != mesh.Blocked {
		return w.clientsOf(host)
	}
	clients := slices.Concat(w.unusual, w.after.Clients(host), m.Clients(host), m.Registers(host))
	slices.Sort(clients)
	return slices.DeleteFunc(slices.Compact(clients), func(ns string) bool {
		return w.live.Settings().GatewayNamespace(ns)
	})
}

// paths returns the path, as asked for, of every egress point for every client in
// the mesh, and of those that are blocked if they are wanted.
func (w *world) paths(m *mesh.Mesh, blocked bool, of func(client, host string, port int) mesh.Path) []mesh.Path {
	var paths []mesh.Path
	for _, point := range w.points {
		clients := w.clientsOf
		if !blocked {
			clients = func(host string) []string { return w.clientsAt(m, host, point.Port) }
		}
		for _, client := range clients(point.Host) {
			if !blocked {
				if verdict, _ := m.Verdict(client, point.Host, point.Port); verdict == mesh.Blocked {
					continue
				}
			}
			p := of(client, point.Host, point.Port)
			if p.Entry == (mesh.Ref{}) || companion.Is(p.Entry) {
				// The client sees no entry of a user's: what counts is what
				// users registered, not how a companion carries it.
				p.Protocol = point.Protocol
			}
			paths = append(paths, p)
		}
	}
	slices.SortFunc(paths, ComparePaths)
	return slices.CompactFunc(paths, func(a, b mesh.Path) bool { return ComparePaths(a, b) == 0 })
}

func (w *world) companions() []mesh.Object {
	var objects []mesh.Object
	for _, h := range w.hosts {
		objects = append(objects, w.sets[h].Objects...)
	}
	// Some companions are shared by several hosts.
	seen := map[mesh.Ref]bool{}
	return slices.DeleteFunc(objects, func(o mesh.Object) bool {
		ref := o.Metadata().Ref
		defer func() { seen[ref] = true }()
		return seen[ref]
	})
}

// pass is the world as one of its objects sees it, old as it was before an update.
func (w *world) pass(r rules.Request, o, old mesh.Object) rules.Pass {
	hosts := hostsOf(o)
	sets := make([]companion.Set, len(hosts))
	for i, h := range hosts {
		sets[i] = w.sets[h]
	}
	p := meshes{before: func() *mesh.Mesh { return w.before }, after: w.after, live: w.live, prior: w.state}.
		pass(r, o, old, sets)
	points := w.live.Affected(o)
	slices.SortFunc(points, comparePoints)
	points = slices.CompactFunc(points, func(a, b mesh.Point) bool { return comparePoints(a, b) == 0 })
	reach, bounded := reachOf(w.live, o)
	for _, point := range points {
		clients := reach
		if !bounded {
			clients = w.clientsAt(w.after, point.Host, point.Port)
		}
		for _, client := range clients {
			p.Paths = append(p.Paths, w.path(client, point.Host, point.Port))
		}
	}
	return p
}
