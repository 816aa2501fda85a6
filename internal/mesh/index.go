package mesh

import (
	"encoding/binary"
	"math"
	"slices"
	"strings"
	"unsafe"
)

// sep ends each part of an index key. It sorts before every byte that a
// name or host can hold.
const sep = "\x00"

// index holds every object once, and the ways to find it that Paths needs.
// All of it is persistent: a copy of the struct is a copy of the index.
type index struct {
	given    *Settings // as [New] got them
	settings *Settings // with what the mesh configurations say; see revisions.go
	names    *names
	// objects by kind, namespace and name.
	objects tree[Object]
	// entries by host, then by age and namespace (model.SortServicesByCreationTime:
	// the name of a ServiceEntry's service is its host).
	entries hostIndex[*ServiceEntry]
	// routes by host, then by age.
	routes hostIndex[*VirtualService]
	// snis are the VirtualServices by the sniHosts of their tls rules.
	snis hostIndex[*VirtualService]
	// bound are the VirtualServices by gateway ("namespace/name") and age.
	bound tree[*VirtualService]
	// targets are the VirtualServices by destination host, subset and age.
	targets tree[*VirtualService]
	// delegates are the VirtualServices that delegate, by "namespace/name" of the delegate.
	delegates tree[*VirtualService]
	// policies by host, namespace, group and age; see policy.go.
	policies hostIndex[*DestinationRule]
	// subsets by host, namespace, group, name of the subset and age. The
	// name "" stands for a top-level traffic policy.
	subsets tree[*DestinationRule]
	// servers are the servers on approved gateways, by host, gateway, port
	// and age; see server.go.
	servers hostIndex[hostedServer]
	// listeners are the same by gateway, port, whether they are plain text,
	// and age.
	listeners tree[hostedServer]
	// binders are the Gateways on approved gateways that are not Sallyport's;
	// see reserved.go.
	binders tree[*Gateway]
	// aliases are the ExternalName Services by the name they stand for.
	aliases tree[*Service]
	// addresses are the objects that have an address of the cluster, by its 16
	// bytes.
	addresses tree[Object]
	// scopes are the Sidecars by a hash of what they say; see clients.go.
	scopes tree[*Sidecar]
	// attached are the Gateway API routes by what they attach to and, for
	// Gateways, by host.
	attached tree[*Route]
	// led are the routes by the XBackends that they lead to, "namespace/name", and
	// hosted the XBackends by host.
	led    tree[*Route]
	hosted tree[*XBackend]
	// bindings are the ServiceEntries and namespaces that choose a waypoint, by
	// its "namespace/name".
	bindings tree[Object]
	// ambient are the namespaces in ambient mode, injected those with sidecars.
	ambient, injected tree[*Namespace]
	// dying are the objects that are being deleted; see dying.go.
	dying tree[Object]
	// kept are the bytes of the objects by namespace.
	kept tree[int]
}

// names are canonical names that follow from the settings.
type names struct {
	gateways []string // of the approved gateways' Services, in their order
	suffix   string   // of every Service: ".svc." and the cluster domain
}

func namesOf(s *Settings) *names {
	n := &names{suffix: ".svc." + s.ClusterDomain}
	for _, g := range s.Gateways {
		n.gateways = append(n.gateways, g.Host(s.ClusterDomain))
	}
	return n
}

func objectKey(r Ref) string { return r.Kind + sep + r.Namespace + sep + r.Name }

func (x *index) add(e *edit, o Object) {
	set := func() { x.objects.set(e, objectKey(o.Metadata().Ref), o) }
	if ns, ok := o.(*Namespace); ok {
		x.setNamespace(e, ns.Name, set)
	} else {
		set()
	}
	x.weigh(e, o.Metadata(), 1)
	x.visit(o, indexer{e: e, add: true})
}

func (x *index) remove(e *edit, r Ref) {
	o, ok := x.get(r)
	if !ok {
		return
	}
	i := indexer{e: e}
	drop := func() { put(i, &x.objects, o, r.Kind, sep, r.Namespace, sep, r.Name) }
	if r.Kind == "Namespace" {
		x.setNamespace(e, r.Name, drop)
	} else {
		drop()
	}
	x.weigh(e, o.Metadata(), -1)
	x.visit(o, i)
}

// entriesOf is about how many entries the indexes have for an object.
func entriesOf(o Object) int {
	n := 1
	switch o := o.(type) {
	case *ServiceEntry:
		n += len(o.Hosts)
	case *VirtualService:
		n += len(o.Hosts) + len(o.Gateways)
		for r := range o.tlsMatches() {
			n += len(r.SNIHosts)
		}
		var last *Destination
		for d := range o.destinations() {
			if last == nil || d.Host != last.Host || d.Subset != last.Subset { // the same again is quick
				n, last = n+1, d
			}
		}
		for i := range o.HTTP {
			if o.HTTP[i].Delegate != nil {
				n++
			}
		}
		n += (len(o.HTTP) + len(o.TLS) + len(o.TCP)) / indexSteps
	case *DestinationRule:
		n += len(o.Subsets)
		if s := o.WorkloadSelector; s != nil {
			n += len(s.MatchLabels) / 2 // sorted, for the key of the group
		}
	case *Gateway:
		for i := range o.Servers {
			n += 1 + len(o.Servers[i].Hosts)
		}
	case *Sidecar:
		for i := range o.Egress {
			n += 1 + len(o.Egress[i].Hosts)/8
		}
	case *Route:
		n += len(o.ParentRefs)*max(len(o.Hostnames), 1) + len(o.Rules)/indexSteps
		for j := range o.Rules {
			n += len(o.Rules[j].BackendRefs) + len(o.Rules[j].Mirrors)
		}
	case *BackendTLSPolicy:
		n += len(o.TargetRefs)
	}
	return n
}

// seal ends an edit; see [node.seal]. What is changed for one question only
// (see [tree]) is not worth it.
func (x *index) seal(e *edit) {
	if e.draft {
		return
	}
	x.objects.seal(e)
	x.entries.seal(e)
	x.routes.seal(e)
	x.snis.seal(e)
	x.bound.seal(e)
	x.targets.seal(e)
	x.delegates.seal(e)
	x.policies.seal(e)
	x.subsets.seal(e)
	x.servers.seal(e)
	x.listeners.seal(e)
	x.binders.seal(e)
	x.aliases.seal(e)
	x.addresses.seal(e)
	x.scopes.seal(e)
	x.attached.seal(e)
	x.led.seal(e)
	x.hosted.seal(e)
	x.bindings.seal(e)
	x.ambient.seal(e)
	x.injected.seal(e)
	x.dying.seal(e)
	x.kept.seal(e)
}

// weigh adds an object to what is kept of its namespace, or takes it away.
func (x *index) weigh(e *edit, m *Meta, sign int) {
	if m.Size == 0 || m.Namespace == "" || !Kept(m.Kind) {
		return
	}
	have, _ := x.kept.get(m.Namespace)
	if have += sign * m.Size; have == 0 {
		x.kept.delete(e, m.Namespace)
		return
	}
	x.kept.set(e, m.Namespace, have)
}

func (x *index) get(r Ref) (Object, bool) {
	var buf [keySize]byte
	return x.objects.get(borrowed(joined(buf[:0], r.Kind, sep, r.Namespace, sep, r.Name)))
}

// keySize is room for the keys of most entries: look-ups make theirs on the
// stack.
const keySize = 256

func joined(key []byte, parts ...string) []byte {
	for _, p := range parts {
		key = append(key, p...)
	}
	return key
}

// borrowed is a key for the length of a look-up, which keeps no key: whoever
// made the bytes goes on using them.
func borrowed(key []byte) string { return unsafe.String(unsafe.SliceData(key), len(key)) }

// indexer adds entries to indexes or removes them.
type indexer struct {
	e   *edit
	add bool
}

// put puts an entry under the key that the parts make.
func put[V any](i indexer, t *tree[V], v V, parts ...string) {
	var buf [keySize]byte
	putKey(i, t, v, joined(buf[:0], parts...))
}

// putBelow is put for keys that begin with a host.
func putBelow[V any](i indexer, t *tree[V], v V, host string, parts ...string) {
	var buf [keySize]byte
	putKey(i, t, v, joined(appendHost(buf[:0], host), parts...))
}

func putKey[V any](i indexer, t *tree[V], v V, key []byte) {
	if i.add {
		t.set(i.e, string(key), v)
	} else {
		t.delete(i.e, borrowed(key))
	}
}

func putHost[V any](i indexer, x *hostIndex[V], host, key string, v V) {
	if i.add {
		x.add(i.e, host, key, v)
	} else {
		x.remove(i.e, host, key)
	}
}

// visit puts every index entry of an object.
func (x *index) visit(o Object, i indexer) {
	if o.Metadata().Deleting && Missed(o) {
		put(i, &x.dying, o, objectKey(o.Metadata().Ref))
	}
	switch o.(type) {
	case *Service, *Node, *K8sGateway: // an address is the cluster's, whoever reads of it
		x.visitAddresses(o, ofCluster(o), i)
	}
	if x.Reads(o.Metadata().Namespace) {
		x.visitRead(o, i)
	}
}

// visitRead puts the index entries that an object has where Istio reads it.
func (x *index) visitRead(o Object, i indexer) {
	switch o := o.(type) {
	case *ServiceEntry:
		for _, h := range o.Hosts {
			putHost(i, &x.entries, CanonicalHost(h), entryKey(&o.Meta), o)
		}
		x.visitWaypoint(o, o.Namespace, i)
	case *VirtualService:
		x.visitVirtual(o, i)
	case *DestinationRule:
		x.visitPolicy(o, i)
	case *Gateway:
		x.visitGateway(o, i)
	case *Sidecar:
		put(i, &x.scopes, o, scopeKey(o))
	case *Service:
		if o.Type == "ExternalName" {
			putBelow(i, &x.aliases, o, CanonicalHost(o.ExternalName), ageKey(&o.Meta))
		}
	case *Namespace:
		x.visitWaypoint(o, o.Name, i)
		if o.Ambient() {
			put(i, &x.ambient, o, o.Name)
		}
		if o.Injected() {
			put(i, &x.injected, o, o.Name)
		}
	case *BackendTLSPolicy:
		x.visitBackendPolicy(o, i)
	case *XBackend:
		if h := o.ExternalHostname.Hostname; h != "" {
			putBelow(i, &x.hosted, o, CanonicalHost(h), ageKey(&o.Meta))
		}
	case *Route:
		x.visitBackends(o, i)
		for _, p := range o.ParentRefs {
			parent := orDefault(p.Kind, "Gateway") + sep + orDefault(p.Namespace, o.Namespace) + sep + p.Name + sep
			age := ageKey(&o.Meta) + sep + o.Kind
			if p.Kind == "ServiceEntry" || len(o.Hostnames) == 0 {
				put(i, &x.attached, o, parent, sep, age)
				continue
			}
			for _, h := range o.Hostnames {
				put(i, &x.attached, o, parent, reversed(CanonicalHost(h)), sep, age)
			}
		}
	}
}

func (x *index) visitVirtual(vs *VirtualService, i indexer) {
	age := ageKey(&vs.Meta)
	for _, h := range vs.Hosts {
		putHost(i, &x.routes, ResolveHost(h, vs.Namespace, x.settings.ClusterDomain), age, vs)
	}
	for _, g := range vs.Gateways {
		if g != meshGateway {
			put(i, &x.bound, vs, gatewayRef(g, vs.Namespace), sep, age)
		}
	}
	for r := range vs.tlsMatches() {
		for _, h := range r.SNIHosts {
			putHost(i, &x.snis, CanonicalHost(h), age, vs)
		}
	}
	var last *Destination
	for d := range vs.destinations() {
		if last != nil && d.Host == last.Host && d.Subset == last.Subset {
			continue // thousands of rules may lead to one destination
		}
		last = d
		host := ResolveHost(d.Host, vs.Namespace, x.settings.ClusterDomain)
		putBelow(i, &x.targets, vs, host, d.Subset, sep, age)
	}
	for j := range vs.HTTP {
		if d := vs.HTTP[j].Delegate; d != nil {
			put(i, &x.delegates, vs, orDefault(d.Namespace, vs.Namespace), "/", d.Name, sep, age)
		}
	}
}

// meshGateway is the name by which a VirtualService binds to the sidecars.
const meshGateway = "mesh"

// BoundGateway is the Gateway that a VirtualService of the namespace means by a
// name in its gateways.
func BoundGateway(name, namespace string) Ref {
	namespace, name, _ = strings.Cut(gatewayRef(name, namespace), "/")
	return Ref{Kind: "Gateway", Namespace: namespace, Name: name}
}

// gatewayRef resolves the name of a gateway in a VirtualService to
// "namespace/name" (resolveGatewayName in Istio's pilot/pkg/model).
func gatewayRef(name, namespace string) string {
	if name == meshGateway || strings.Contains(name, "/") {
		if rest, ok := strings.CutPrefix(name, "./"); ok {
			return namespace + "/" + rest
		}
		return name
	}
	if !strings.Contains(name, ".") {
		return namespace + "/" + name
	}
	// The old form: name.namespace.svc.domain.
	parts := strings.SplitN(name, ".", 3)
	return parts[1] + "/" + parts[0]
}

func orDefault(s, fallback string) string {
	if s == "" {
		return fallback
	}
	return s
}

// created is the time at which Istio believes an object was made, so that its
// bytes sort oldest first. Objects that do not exist yet come last.
func created(m *Meta) string {
	var b [8]byte
	seconds := uint64(math.MaxUint64)
	if !m.Created.IsZero() {
		seconds = uint64(m.Created.Unix()) ^ 1<<63 // so that the order of bytes is that of the signed number
	}
	binary.BigEndian.PutUint64(b[:], seconds)
	return string(b[:])
}

// ageKey sorts objects as Istio does (model.sortConfigByCreationTime): oldest
// first, then by name, then by namespace.
func ageKey(m *Meta) string { return created(m) + m.Name + sep + m.Namespace }

// entryKey sorts the ServiceEntries of one host as Istio does.
func entryKey(m *Meta) string { return created(m) + m.Namespace + sep + m.Name }

// compareAge orders objects as ageKey does, without building keys.
func compareAge(a, b *Meta) int {
	az, bz := a.Created.IsZero(), b.Created.IsZero()
	switch {
	case az != bz && az:
		return 1
	case az != bz:
		return -1
	case !az:
		if c := a.Created.Unix() - b.Created.Unix(); c != 0 {
			return int(max(min(c, 1), -1))
		}
	}
	if c := strings.Compare(a.Name, b.Name); c != 0 {
		return c
	}
	return strings.Compare(a.Namespace, b.Namespace)
}

// distinct sorts objects by age and drops repetitions.
func distinct[T any, P interface {
	*T
	Object
}](objects []P) []P {
	if len(objects) < 2 {
		return objects
	}
	slices.SortFunc(objects, func(a, b P) int { return compareAge(a.Metadata(), b.Metadata()) })
	return slices.CompactFunc(objects, func(a, b P) bool { return a == b })
}
