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
	object, err := objectValue(pass.Raw)
	if err != nil {
		return nil, fmt.Errorf("object: %w", err)
	}
	oldObject, err := objectValue(pass.OldRaw)
	if err != nil {
		return nil, fmt.Errorf("old object: %w", err)
	}
	r := pass.Request
	companions := make([]*ast.Term, len(pass.Companions))
	for i, c := range pass.Companions {
		companions[i] = refTerm(c.Metadata().Ref)
	}
	return obj(
		"request", obj(
			"operation", text(r.Operation),
			"dryRun", ast.Boolean(r.DryRun),
			"user", text(r.User),
			"groups", texts(r.Groups),
		),
		"object", object,
		"oldObject", oldObject,
		"namespace", namespaceValue(pass),
		"egress", egressValue(pass),
		"companions", ast.NewArray(companions...),
		"time", text(r.Time),
	), nil
}

// objectValue leaves managedFields out: they are often larger than the rest of
// an object, and say nothing about it.
func objectValue(raw []byte) (ast.Value, error) {
	if len(raw) == 0 {
		return ast.NewObject(), nil
	}
	var object map[string]any
	if err := util.UnmarshalJSON(raw, &object); err != nil {
		return nil, err
	}
	if metadata, ok := object["metadata"].(map[string]any); ok {
		delete(metadata, "managedFields")
	}
	return ast.InterfaceToValue(object)
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
	return obj(
		"name", text(name),
		"labels", textMap(labels),
		"annotations", textMap(annotations),
		"platform", ast.Boolean(pass.After.Settings().Platform(name)),
		"hosts", ast.Number(fmt.Sprint(len(hosts))),
	)
}

// point is an egress point together with its paths.
type point struct {
	mesh.Point
	registered bool // by the subject
	paths      []mesh.Path
}

// points are the egress points of the subject and of the write's paths, by
// host and port.
func points(pass *rules.Pass) []*point {
	type key struct {
		host string
		port int
	}
	byKey := map[key]*point{}
	var all []*point
	add := func(p mesh.Point) *point {
		k := key{p.Host, p.Port}
		if byKey[k] == nil {
			byKey[k] = &point{Point: p}
			all = append(all, byKey[k])
		}
		return byKey[k]
	}
	for _, p := range pass.After.Points(pass.Subject) {
		add(p).registered = true
	}
	for _, path := range pass.Paths {
		p := add(mesh.Point{Host: path.Host, Port: path.Port, Protocol: path.Protocol, Entry: path.Entry})
		p.paths = append(p.paths, path)
	}
	slices.SortFunc(all, func(a, b *point) int {
		return cmp.Or(cmp.Compare(a.Host, b.Host), cmp.Compare(a.Port, b.Port))
	})
	return all
}

func egressValue(pass *rules.Pass) ast.Value {
	old := map[string]bool{}
	if pass.Old != nil {
		for _, p := range pass.After.Points(pass.Old) {
			old[p.Host+"\x00"+fmt.Sprint(p.Port)] = true
		}
	}
	subject := pass.Subject.Metadata().Ref
	all := points(pass)
	terms := make([]*ast.Term, len(all))
	for i, p := range all {
		entry, _ := pass.Subject.(*mesh.ServiceEntry)
		path := ""
		if p.registered {
			path = hostPath(entry, p.Host)
		} else {
			entry, _ = pass.After.Get(p.Entry).(*mesh.ServiceEntry)
		}
		terms[i] = ast.NewTerm(obj(
			"host", text(p.Host),
			"port", ast.Number(fmt.Sprint(p.Port)),
			"protocol", text(p.Protocol),
			"patterns", texts(patterns(p.Host)),
			"literal", ast.Boolean(literal(p.Host)),
			"wildcard", ast.Boolean(mesh.IsWildcard(p.Host)),
			"registered", ast.Boolean(p.registered),
			"new", ast.Boolean(p.registered && !old[p.Host+"\x00"+fmt.Sprint(p.Port)]),
			"path", text(path),
			"entry", obj("namespace", text(p.Entry.Namespace), "name", text(p.Entry.Name)),
			"addresses", addressesValue(entry),
			"tls", tlsValue(pass, p, entry),
			"claimants", claimantsValue(pass.After, p.Host, subject),
			"paths", pathsValue(p.paths),
		))
	}
	return ast.NewArray(terms...)
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
		terms = append(terms, ast.NewTerm(obj("address", text(address), "literal", ast.Boolean(literal(address)), "path", text(path))))
	}
	for i, a := range entry.Addresses {
		add(a, fmt.Sprintf("spec.addresses[%d]", i))
	}
	for i, e := range entry.Endpoints {
		add(e.Address, fmt.Sprintf("spec.endpoints[%d].address", i))
	}
	return ast.NewArray(terms...)
}

func claimantsValue(m *mesh.Mesh, host string, subject mesh.Ref) ast.Value {
	var terms []*ast.Term
	for _, e := range m.EntriesFor(host) {
		// The gateway's own registration is ours, and claims nothing.
		if e.Ref == subject || e.Labels[mesh.ManagedByLabel] == mesh.ManagedBy {
			continue
		}
		terms = append(terms, ast.NewTerm(obj("namespace", text(e.Namespace), "name", text(e.Name))))
	}
	return ast.NewArray(terms...)
}

func pathsValue(paths []mesh.Path) ast.Value {
	terms := make([]*ast.Term, len(paths))
	for i, p := range paths {
		because := make([]*ast.Term, len(p.Because))
		for j, r := range p.Because {
			because[j] = ast.NewTerm(obj(
				"kind", text(r.Kind), "namespace", text(r.Namespace), "name", text(r.Name),
				"path", text(r.Path), "message", text(r.Message),
			))
		}
		terms[i] = ast.NewTerm(obj(
			"client", text(p.Client),
			"verdict", text(string(p.Verdict)),
			"gateway", text(p.Gateway),
			"because", ast.NewArray(because...),
		))
	}
	return ast.NewArray(terms...)
}

func refTerm(r mesh.Ref) *ast.Term {
	return ast.NewTerm(obj("kind", text(r.Kind), "namespace", text(r.Namespace), "name", text(r.Name)))
}

// obj builds an object from alternating keys (strings) and values.
func obj(pairs ...any) ast.Value {
	terms := make([][2]*ast.Term, 0, len(pairs)/2)
	for i := 0; i < len(pairs); i += 2 {
		terms = append(terms, [2]*ast.Term{ast.InternedTerm(pairs[i].(string)), ast.NewTerm(pairs[i+1].(ast.Value))})
	}
	return ast.NewObject(terms...)
}

func text(s string) ast.Value { return ast.String(s) }

func texts(list []string) ast.Value {
	terms := make([]*ast.Term, len(list))
	for i, s := range list {
		terms[i] = ast.StringTerm(s)
	}
	return ast.NewArray(terms...)
}

func textMap(m map[string]string) ast.Value {
	o := ast.NewObject()
	for k, v := range m {
		o.Insert(ast.StringTerm(k), ast.StringTerm(v))
	}
	return o
}
