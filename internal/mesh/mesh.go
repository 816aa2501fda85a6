package mesh

import (
	"errors"
	"iter"
)

// ErrUnknownKind is returned by [Decode] for kinds that the model does not
// hold. Callers that judge treat it as "no opinion", and say so.
var ErrUnknownKind = errors.New("kind is not part of the model")

// Decode turns the JSON of one Kubernetes object, in any served version, into
// the model. Field names are case-sensitive and unknown fields are ignored,
// as the API server has already pruned them; see package manifest for files.
func Decode(raw []byte) (Object, error) { return nil, ErrUnknownKind }

// Mesh is an immutable set of objects with the indexes that [Mesh.Paths]
// needs. Its zero value is not usable; see [New].
type Mesh struct {
	settings Settings
}

// New builds a mesh.
func New(s Settings, objects ...Object) *Mesh { return &Mesh{settings: s} }

// Settings returns the settings the mesh was built with.
func (m *Mesh) Settings() Settings { return m.settings }

// With returns a mesh in which the objects replace those of the same Ref. It
// shares all that it does not touch, so its cost does not depend on the size
// of the mesh.
func (m *Mesh) With(objects ...Object) *Mesh { return m }

// Without returns a mesh that lacks the named objects.
func (m *Mesh) Without(refs ...Ref) *Mesh { return m }

// Get returns the object with that Ref, or nil.
func (m *Mesh) Get(Ref) Object { return nil }

// All yields every object of one kind, ordered by namespace and name.
func (m *Mesh) All(kind string) iter.Seq[Object] { return func(func(Object) bool) {} }

// In yields every object of one kind in one namespace, ordered by name.
func (m *Mesh) In(kind, namespace string) iter.Seq[Object] { return func(func(Object) bool) {} }

// Namespace returns the namespace, or nil when the mesh does not hold it.
func (m *Mesh) Namespace(name string) *Namespace { return nil }

// EntriesFor yields the ServiceEntries that register exactly this canonical
// host, oldest first.
func (m *Mesh) EntriesFor(host string) []*ServiceEntry { return nil }

// Points returns the egress points that one object registers: for a
// ServiceEntry whose endpoints lie outside the mesh, every (host, port).
func (m *Mesh) Points(o Object) []Point { return nil }

// AllPoints yields every egress point of the mesh, by host and port.
func (m *Mesh) AllPoints() iter.Seq[Point] { return func(func(Point) bool) {} }

// Affected returns the egress points whose paths a write of the object can
// change: the hosts it registers, routes, or gives a DestinationRule or a
// gateway server. It looks at both the mesh and the object, which need not be
// in the mesh, and touches only what the indexes name.
func (m *Mesh) Affected(o Object) []Point { return nil }

// Clients returns the namespaces whose path for the host can differ from that
// of [AnyClient]: those that some object which bears on the host singles out.
func (m *Mesh) Clients(host string) []string { return nil }

// Paths returns the verdict for one client namespace ([AnyClient] for a
// namespace that nothing singles out), one host (canonical, may be a
// registered wildcard) and one port. Where workload labels matter, the worst
// verdict of all label sets is given. The result is deterministic.
func (m *Mesh) Paths(client, host string, port int) Path { return Path{} }

// Open returns the mesh as it stands once every ServiceEntry that Sallyport
// holds back is open: exportTo ["~"] together with the annotation
// [ExportAnnotation] reads as what the annotation says.
func (m *Mesh) Open() *Mesh { return m }
