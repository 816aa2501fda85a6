package policies

import (
	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/util"
)

// The keys of the input's objects. They are the same in every review, and
// making them anew would cost as much as all the rest of an object.
var (
	inputKeys     = keys("request", "object", "oldObject", "namespace", "egress", "companions", "time")
	requestKeys   = keys("operation", "dryRun", "user", "groups")
	namespaceKeys = keys("name", "labels", "annotations", "platform", "hosts")
	pointKeys     = keys("host", "port", "protocol", "patterns", "literal", "wildcard", "registered", "new",
		"path", "entry", "addresses", "tls", "claimants", "paths")
	addressKeys  = keys("address", "literal", "path")
	tlsKeys      = keys("mesh", "external")
	innerTLSKeys = keys("mode", "sni", "subset")
	outerTLSKeys = keys("mode", "sni", "subjectAltNames", "verified", "credential")
	pathKeys     = keys("client", "verdict", "gateway", "tls", "because")
	reasonKeys   = keys("kind", "namespace", "name", "path", "message")
	nameKeys     = keys("namespace", "name")
	refKeys      = keys("kind", "namespace", "name")
)

func keys(names ...string) []*ast.Term {
	terms := make([]*ast.Term, len(names))
	for i, name := range names {
		terms[i] = ast.StringTerm(name)
	}
	return terms
}

// object has the values under the keys, in their order.
func object(keys []*ast.Term, values ...ast.Value) ast.Value {
	terms := util.NewPtrSlice[ast.Term](len(keys))
	pairs := make([][2]*ast.Term, len(keys))
	for i, key := range keys {
		terms[i].Value = values[i]
		pairs[i] = [2]*ast.Term{key, terms[i]}
	}
	return ast.NewObject(pairs...)
}

// array has the value of each element of the list.
func array[T any](list []T, value func(T) ast.Value) ast.Value {
	terms := util.NewPtrSlice[ast.Term](len(list))
	for i, v := range list {
		terms[i].Value = value(v)
	}
	return ast.NewArray(terms...)
}

func text(s string) ast.Value { return ast.String(s) }

func texts(list []string) ast.Value { return array(list, text) }

func number(n int) ast.Value { return ast.InternedValue(n) }

func textMap(m map[string]string) ast.Value {
	pairs := make([][2]*ast.Term, 0, len(m))
	for k, v := range m {
		pairs = append(pairs, [2]*ast.Term{ast.StringTerm(k), ast.StringTerm(v)})
	}
	return ast.NewObject(pairs...)
}
