package policies

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/util"

	"github.com/sallyport-io/sallyport/internal/mesh"
	"github.com/sallyport-io/sallyport/rules"
)

// What policies cost is not counted one expression at a time: a deadline ends
// those that take too long. What they are given is, and what their reading of it
// comes to.
const (
	inputSteps  = 8   // to convert 16 bytes of an object
	pathSteps   = 60  // to convert a path
	policySteps = 500 // to ask a policy, and for each path and 64 bytes of the object a step more
)

// inputKey is the key of the input in a Pass's Memo.
type inputKey struct{}

// input returns what policies see of the write, converted once for all of
// them. Its form is input.schema.json.
func input(pass *rules.Pass) (ast.Value, error) {
	v, err := pass.Memo.Do(inputKey{}, func() (any, error) { return newInput(pass) })
	if err != nil {
		return nil, err
	}
	return v.(ast.Value), nil
}

func newInput(pass *rules.Pass) (ast.Value, error) {
	pass.Spend(inputSteps * (len(pass.Raw) + len(pass.OldRaw)) / 16)
	pass.Spend(pathSteps * len(pass.Paths))
	written, err := objectValue(pass.Raw)
	if err != nil {
		return nil, fmt.Errorf("object: %w", err)
	}
	before, err := objectValue(pass.OldRaw)
	if err != nil {
		return nil, fmt.Errorf("old object: %w", err)
	}
	r := pass.Request
	return object(inputKeys,
		object(requestKeys, text(r.Operation), ast.Boolean(r.DryRun), text(r.User), texts(r.Groups)),
		written,
		before,
		namespaceValue(pass),
		egressValue(pass, unmasked),
		companionsValue(pass, unmasked),
		text(r.Time),
	), nil
}

// seen is the input as it is for a reader who does not see all of the mesh.
func seen(pass *rules.Pass, in ast.Value, v view) ast.Value {
	all := in.(ast.Object)
	values := make([]ast.Value, len(inputKeys))
	for i, key := range inputKeys {
		switch key.Value {
		case ast.String("egress"):
			values[i] = egressValue(pass, v)
		case ast.String("companions"):
			values[i] = companionsValue(pass, v)
		default: // the write itself, and its namespace
			values[i] = all.Get(key).Value
		}
	}
	return object(inputKeys, values...)
}

func companionsValue(pass *rules.Pass, v view) ast.Value {
	return array(only(pass.Companions, v.object), func(o mesh.Object) ast.Value { return refValue(o.Metadata().Ref) })
}

// objectValue leaves managedFields out: they are often larger than the rest of
// an object, and say nothing about it.
func objectValue(raw []byte) (ast.Value, error) {
	if len(raw) == 0 {
		return ast.NewObject(), nil
	}
	var decoded map[string]any
	if err := util.UnmarshalJSON(raw, &decoded); err != nil {
		return nil, err
	}
	if metadata, ok := decoded["metadata"].(map[string]any); ok {
		delete(metadata, "managedFields")
	}
	return ast.InterfaceToValue(decoded)
}

func namespaceValue(pass *rules.Pass) ast.Value {
	name := pass.Subject.Metadata().Namespace
	if pass.Subject.Metadata().Kind == "Namespace" {
		name = pass.Subject.Metadata().Name
	}
	var labels, annotations map[string]string
	if ns := pass.After.Namespace(name); ns != nil {
		labels, annotations = ns.Labels, ns.Annotations
	}
	hosts := map[string]bool{}
	for o := range pass.After.In("ServiceEntry", name) {
		for _, p := range pass.After.Points(o) {
			hosts[p.Host] = true
		}
	}
	return object(namespaceKeys,
		text(name),
		textMap(labels),
		textMap(annotations),
		ast.Boolean(pass.After.Settings().Platform(name)),
		number(len(hosts)),
	)
}

// point is an egress point together with its paths.
type point struct {
	mesh.Point
	registered bool // by the subject
	paths      []mesh.Path
}

// endpoint is what tells egress points from one another.
type endpoint struct {
	host string
	port int
}

// points are the egress points of the subject and of the write's paths, by
// host and port.
func points(pass *rules.Pass) []*point {
	byKey := map[endpoint]*point{}
	var all []*point
	add := func(p mesh.Point) *point {
		k := endpoint{p.Host, p.Port}
		if byKey[k] == nil {
			byKey[k] = &point{Point: p}
			all = append(all, byKey[k])
		}
		return byKey[k]
	}
	for _, p := range pass.After.Points(pass.Subject) {
		add(p).registered = true
	}
	for _, path := range pass.Explained() {
		p := add(mesh.Point{Host: path.Host, Port: path.Port, Protocol: path.Protocol, Entry: path.Entry})
		p.paths = append(p.paths, path)
	}
	slices.SortFunc(all, func(a, b *point) int {
		return cmp.Or(cmp.Compare(a.Host, b.Host), cmp.Compare(a.Port, b.Port))
	})
	return all
}

func egressValue(pass *rules.Pass, v view) ast.Value {
	old := map[endpoint]bool{}
	if pass.Old != nil {
		for _, p := range pass.After.Points(pass.Old) {
			old[endpoint{p.Host, p.Port}] = true
		}
	}
	subject, _ := pass.Subject.(*mesh.ServiceEntry)
	var h hostValues
	return array(only(points(pass), v.point), func(p *point) ast.Value {
		if h.name != p.Host || h.registered != p.registered || h.entry != p.Entry {
			h = newHostValues(pass, v, subject, p)
		}
		return object(pointKeys,
			h.host, number(p.Port), text(p.Protocol), h.patterns, h.literal, h.wildcard,
			ast.Boolean(p.registered), ast.Boolean(p.registered && !old[endpoint{p.Host, p.Port}]),
			h.path, h.entryRef, h.addresses, tlsValue(pass, p, h.source), h.claimants, array(only(p.paths, v.path), v.pathValue),
		)
	})
}

// hostValues are what the ports of a host have in common.
type hostValues struct {
	name       string
	registered bool
	entry      mesh.Ref
	source     *mesh.ServiceEntry

	host, patterns, literal, wildcard, path, entryRef, addresses, claimants ast.Value
}

func newHostValues(pass *rules.Pass, v view, subject *mesh.ServiceEntry, p *point) hostValues {
	h := hostValues{name: p.Host, registered: p.registered, entry: p.Entry, source: subject}
	path := ""
	if p.registered {
		path = hostPath(subject, p.Host)
	} else {
		h.source, _ = pass.After.Get(p.Entry).(*mesh.ServiceEntry)
	}
	h.host, h.patterns = text(p.Host), texts(patterns(p.Host))
	h.literal, h.wildcard = ast.Boolean(literal(p.Host)), ast.Boolean(mesh.IsWildcard(p.Host))
	h.path, h.entryRef = text(path), nameValue(p.Entry)
	h.addresses = addressesValue(h.source)
	h.claimants = claimantsValue(pass.After, v, p.Host, pass.Subject.Metadata().Ref)
	return h
}

// patterns are the host and every wildcard that covers it, the narrowest
// first: a list of hosts is then looked up by key instead of searched.
func patterns(host string) []string {
	list := []string{host}
	rest := strings.TrimPrefix(host, "*.")
	if rest == host {
		_, rest, _ = strings.Cut(host, ".")
	} else {
		_, rest, _ = strings.Cut(rest, ".")
	}
	for rest != "" {
		list = append(list, "*."+rest)
		_, rest, _ = strings.Cut(rest, ".")
	}
	if host != "*" {
		list = append(list, "*")
	}
	return list
}

// literal reports whether an address is one, or a range of them, rather than
// a name.
func literal(address string) bool {
	if _, err := netip.ParseAddr(address); err == nil {
		return true
	}
	_, err := netip.ParsePrefix(address)
	return err == nil
}

func hostPath(entry *mesh.ServiceEntry, host string) string {
	if entry == nil {
		return ""
	}
	i := slices.IndexFunc(entry.Hosts, func(h string) bool { return mesh.CanonicalHost(h) == host })
	if i < 0 {
		return ""
	}
	return fmt.Sprintf("spec.hosts[%d]", i)
}

func addressesValue(entry *mesh.ServiceEntry) ast.Value {
	if entry == nil {
		return ast.NewArray()
	}
	var terms []*ast.Term
	add := func(address, path string) {
		terms = append(terms, ast.NewTerm(object(addressKeys, text(address), ast.Boolean(literal(address)), text(path))))
	}
	for i, a := range entry.Addresses {
		add(a, fmt.Sprintf("spec.addresses[%d]", i))
	}
	for i, e := range entry.Endpoints {
		add(e.Address, fmt.Sprintf("spec.endpoints[%d].address", i))
	}
	return ast.NewArray(terms...)
}

func claimantsValue(m *mesh.Mesh, v view, host string, subject mesh.Ref) ast.Value {
	var terms []*ast.Term
	for _, e := range m.EntriesFor(host) {
		// The gateway's own registration is ours, and claims nothing.
		if e.Ref == subject || !v.ref(e.Ref) || e.Labels[mesh.ManagedByLabel] == mesh.ManagedBy {
			continue
		}
		terms = append(terms, ast.NewTerm(nameValue(e.Ref)))
	}
	return ast.NewArray(terms...)
}

func (v view) pathValue(p mesh.Path) ast.Value {
	return object(pathKeys, text(p.Client), text(string(p.Verdict)), text(p.Gateway), pathTLSValue(&p), array(only(p.Because, v.reason), v.reasonValue))
}

func (v view) reasonValue(r mesh.Reason) ast.Value {
	return object(reasonKeys, text(r.Kind), text(r.Namespace), text(r.Name), text(r.Path), text(v.message(r)))
}

func nameValue(r mesh.Ref) ast.Value { return object(nameKeys, text(r.Namespace), text(r.Name)) }

func refValue(r mesh.Ref) ast.Value {
	return object(refKeys, text(r.Kind), text(r.Namespace), text(r.Name))
}
