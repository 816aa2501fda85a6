// Package sight decides what of the mesh somebody may be told: see package told,
// which leaves out of a message what he may not.
//
// A reader is a namespace, never a user: whose name stands in a review anybody can
// write who reaches the port. A namespace sees
//
//   - its own objects, and the hosts that they are about;
//   - the platform's objects, but for what Sallyport keeps there for the hosts of
//     others;
//   - what other namespaces export to it, or to everybody;
//   - what it has written in the object under judgement, word by word. What a
//     wildcard or a regular expression in there stands for is not written there.
//
// Of other namespaces it sees not even the names.
package sight

import (
	"encoding/json"
	"net"
	"net/url"
	"slices"
	"strings"
	"sync"

	"github.com/sallyport-io/sallyport/internal/companion"
	"github.com/sallyport-io/sallyport/internal/mesh"
	"github.com/sallyport-io/sallyport/internal/told"
)

// Reader is somebody to whom things are told. It is for one message after the
// other, of one write.
type Reader struct {
	mesh      *mesh.Mesh
	namespace string
	all       bool
	written   func() text
}

// Everything is a reader who may know everything: the platform.
func Everything() *Reader { return &Reader{all: true} }

// From is what a namespace sees, where it has written these objects (JSON). The
// namespace "" is that of a reader of whom nothing is known: he sees what everybody
// does.
func From(m *mesh.Mesh, namespace string, written ...[]byte) *Reader {
	return &Reader{mesh: m, namespace: namespace, written: sync.OnceValue(func() text { return textOf(m, namespace, written) })}
}

// Entry is what the owner of an entry sees who is told about it.
func Entry(m *mesh.Mesh, entry *mesh.ServiceEntry) *Reader {
	raw, err := json.Marshal(map[string]any{"metadata": map[string]any{"annotations": entry.Annotations}, "spec": entry})
	if err != nil {
		raw = nil // then he has written nothing
	}
	return From(m, entry.Namespace, raw)
}

// Sees reports whether the reader may know a name.
func (r *Reader) Sees(name told.Name) bool {
	if r.all || name.Value == "" {
		return true
	}
	switch name.Kind {
	case told.Hosts:
		return r.host(name.Value)
	case told.Namespaces:
		return r.place(name.Value)
	case told.Objects:
		kind, namespace, name := name.Object()
		return r.object(mesh.Ref{Kind: kind, Namespace: namespace, Name: name})
	case told.Words:
		return r.written().words[name.Value]
	default:
		return false
	}
}

// SeesAll reports whether the reader may know everything.
func (r *Reader) SeesAll() bool { return r.all }

// place reports whether the name of a namespace may be told.
func (r *Reader) place(name string) bool {
	return r.own(name) || name == mesh.AnyClient || r.platform(name)
}

func (r *Reader) own(namespace string) bool { return namespace != "" && namespace == r.namespace }

func (r *Reader) platform(namespace string) bool {
	s := r.mesh.Settings()
	return s.Platform(namespace) || s.GatewayNamespace(namespace) || namespace != "" && namespace == s.RootNamespace
}

func (r *Reader) object(ref mesh.Ref) bool {
	switch {
	case ref == mesh.Ref{}:
		return true
	case ref.Kind == "Namespace":
		return r.place(ref.Name)
	case r.own(ref.Namespace), r.written().refs[ref]:
		return true
	case mesh.Reserved(ref.Name):
		return r.madeOfOwn(ref.Name)
	case r.platform(ref.Namespace):
		return true
	}
	o := r.mesh.Get(ref)
	return o != nil && r.mesh.SeenFrom(o, r.namespace)
}

func (r *Reader) host(host string) bool {
	host = mesh.CanonicalHost(host)
	if r.written().hosts[host] {
		return true
	}
	if companion.Internal(host) {
		return r.madeOfOwn(host)
	}
	s := r.mesh.Settings()
	if slices.ContainsFunc(s.Gateways, func(g mesh.EgressGateway) bool { return g.Host(s.ClusterDomain) == host }) {
		return true
	}
	for _, e := range r.mesh.EntriesFor(host) {
		// What Sallyport registers it registers for others.
		if !companion.Is(e.Ref) && r.mesh.SeenFrom(e, r.namespace) {
			return true
		}
	}
	for _, vs := range r.mesh.RoutesFor(host) {
		if r.own(vs.Namespace) {
			return true
		}
	}
	for alias := range r.mesh.AliasesOf(host) {
		if r.own(alias.Namespace) {
			return true
		}
	}
	// A Service, by its whole name.
	if name, ok := strings.CutSuffix(host, ".svc."+s.ClusterDomain); ok {
		if name, namespace, ok := strings.Cut(name, "."); ok {
			return r.own(namespace) || r.service(mesh.Ref{Kind: "Service", Namespace: namespace, Name: name})
		}
	}
	return false
}

func (r *Reader) service(ref mesh.Ref) bool {
	svc := r.mesh.Get(ref)
	return svc != nil && (r.platform(ref.Namespace) || r.mesh.SeenFrom(svc, r.namespace))
}

// madeOfOwn reports whether a name that Sallyport has made of a host is one of a
// host that the reader knows to be there: one that he has written down, or that his
// namespace registers.
func (r *Reader) madeOfOwn(name string) bool {
	for host := range r.written().hosts {
		if companion.MadeOf(name, host) {
			return true
		}
	}
	if r.namespace == "" {
		return false
	}
	for o := range r.mesh.In("ServiceEntry", r.namespace) {
		for _, h := range o.(*mesh.ServiceEntry).Hosts {
			if companion.MadeOf(name, mesh.CanonicalHost(h)) {
				return true
			}
		}
	}
	return false
}

// text is what somebody has written.
type text struct {
	words map[string]bool // every key and every value of all the object
	hosts map[string]bool // every value of its spec that could be one of a host
	refs  map[mesh.Ref]bool
}

func textOf(m *mesh.Mesh, namespace string, objects [][]byte) text {
	t := text{map[string]bool{}, map[string]bool{}, map[mesh.Ref]bool{}}
	for _, raw := range objects {
		var object map[string]any
		if json.Unmarshal(raw, &object) != nil {
			continue
		}
		t.read(object, func(string) {})
		if o, err := mesh.Decode(raw); err == nil && o.Metadata().Namespace == namespace {
			t.refs[o.Metadata().Ref] = true
		}
		spec := map[string]any{}
		for key, value := range object {
			if key != "metadata" && key != "status" {
				spec[key] = value
			}
		}
		t.read(spec, func(s string) { t.host(m, namespace, s) })
	}
	return t
}

// read takes every string below a value.
func (t text) read(value any, also func(string)) {
	switch v := value.(type) {
	case string:
		t.words[v] = true
		for word := range strings.SplitSeq(v, ",") {
			t.words[strings.TrimSpace(word)] = true
		}
		also(v)
	case []any:
		for _, e := range v {
			t.read(e, also)
		}
	case map[string]any:
		for key, e := range v {
			t.words[key] = true
			t.read(e, also)
		}
	}
}

// host takes a string in every form in which Istio may read a host in it.
func (t text) host(m *mesh.Mesh, namespace, s string) {
	if u, err := url.Parse(s); err == nil && u.Host != "" {
		s = u.Hostname()
	} else if host, _, err := net.SplitHostPort(s); err == nil {
		s = host
	}
	if _, host, ok := strings.Cut(s, "/"); ok {
		s = host
	}
	t.hosts[mesh.CanonicalHost(s)] = true
	t.hosts[mesh.ResolveHost(s, namespace, m.Settings().ClusterDomain)] = true
}
