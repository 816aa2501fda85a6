package policies

import (
	_ "embed"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/open-policy-agent/opa/v1/ast"
)

var (
	//go:embed input.schema.json
	inputSchema []byte
	//go:embed kinds.schema.json
	kindsSchema []byte
)

// schemas gives the compiler the type of the input, for each combination of
// kinds that some policy judges, and of each policy's parameters.
func schemas(policies []*Policy) (*ast.SchemaSet, error) {
	var kinds map[string]any
	if err := json.Unmarshal(kindsSchema, &kinds); err != nil {
		return nil, fmt.Errorf("kinds.schema.json: %w", err)
	}
	set := ast.NewSchemaSet()
	shared, err := inputSchemaFor(nil, nil)
	if err != nil {
		return nil, err
	}
	set.Put(ast.SchemaRootRef, shared) // for modules in sallyport.lib
	for _, p := range policies {
		ref := inputSchemaRef(p)
		if set.Get(ref) == nil {
			schema, err := inputSchemaFor(p.Kinds, kinds)
			if err != nil {
				return nil, err
			}
			set.Put(ref, schema)
		}
		properties := map[string]any{
			severityParameter:   map[string]any{"type": "string"},
			overridesParameter:  overridesSchema,
			exceptionsParameter: exceptionsSchema,
		}
		for _, parameter := range p.Parameters {
			properties[parameter.Name] = parameter.Schema
		}
		set.Put(parametersSchemaRef(p), plain(map[string]any{
			"type": "object", "properties": properties, "additionalProperties": false,
		}))
	}
	return set, nil
}

// inputSchemaFor is the published schema with the specs of the kinds filled
// in. The kinds that kinds.schema.json lacks have a spec of any form.
func inputSchemaFor(kinds []string, specs map[string]any) (any, error) {
	var schema map[string]any
	if err := json.Unmarshal(inputSchema, &schema); err != nil {
		return nil, fmt.Errorf("input.schema.json: %w", err)
	}
	// An $id would be the base of $ref, which the compiler would try to fetch.
	delete(schema, "$id")
	delete(schema, "$schema")
	var anyOf []any
	open := len(kinds) == 0
	for _, kind := range kinds {
		spec, ok := specs[kind]
		open = open || !ok
		anyOf = append(anyOf, spec)
	}
	object := schema["definitions"].(map[string]any)["object"].(map[string]any)
	switch {
	case open:
		// The object itself is open: a Namespace, Service or Pod has more than spec.
		object["properties"] = map[string]any{}
	case len(anyOf) == 1:
		object["properties"].(map[string]any)["spec"] = anyOf[0]
	default:
		object["properties"].(map[string]any)["spec"] = map[string]any{"anyOf": anyOf}
	}
	return plain(schema), nil
}

// plain rewrites a schema for the compiler's type checker, which takes the
// first of several types for the only one.
func plain(schema any) any {
	switch s := schema.(type) {
	case map[string]any:
		if _, several := s["type"].([]any); several {
			return map[string]any{}
		}
		out := map[string]any{}
		for k, v := range s {
			if k == "default" || k == "enum" || k == "format" {
				continue
			}
			out[k] = plain(v)
		}
		return out
	case []any:
		out := make([]any, len(s))
		for i, v := range s {
			out[i] = plain(v)
		}
		return out
	}
	return schema
}

// withSchemas returns the module with its package's annotation pointing at
// the schemas. The module as parsed stays as it is.
func withSchemas(module *ast.Module, p *Policy) *ast.Module {
	m := module.Copy()
	for _, a := range m.Annotations {
		if a.Scope != "package" {
			continue
		}
		a.Schemas = append(slices.Clone(a.Schemas),
			&ast.SchemaAnnotation{Path: ast.InputRootRef, Schema: inputSchemaRef(p)},
			&ast.SchemaAnnotation{
				Path:   ast.MustParseRef("data.sallyport").Append(ast.StringTerm(p.identifier)),
				Schema: parametersSchemaRef(p),
			})
	}
	return m
}

func inputSchemaRef(p *Policy) ast.Ref {
	kinds := strings.Join(slices.Sorted(slices.Values(p.Kinds)), "+")
	return ast.SchemaRootRef.Copy().Append(ast.StringTerm("input")).Append(ast.StringTerm(kinds))
}

func parametersSchemaRef(p *Policy) ast.Ref {
	return ast.SchemaRootRef.Copy().Append(ast.StringTerm("parameters")).Append(ast.StringTerm(p.identifier))
}
