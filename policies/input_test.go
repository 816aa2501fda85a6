package policies

import (
	"encoding/json"
	"testing"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/rego"

	"github.com/sallyport-io/sallyport/rules"
)

// TestInputMatchesSchema checks the input against the published schema, in both directions: nothing that the schema does
// not describe, and everything that it does.
func TestInputMatchesSchema(t *testing.T) {
	var schema map[string]any
	if err := json.Unmarshal(inputSchema, &schema); err != nil {
		t.Fatal(err)
	}
	p := pass(t, stripe, other, shop)
	p.Request.Operation, p.Old, p.OldRaw = "UPDATE", decode(t, stripe), []byte(stripe)
	v, err := input(&p)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := ast.JSON(v)
	if err != nil {
		t.Fatal(err)
	}
	delete(schema, "$id")
	query, err := rego.New(rego.Query("[ok, problems] = json.match_schema(input.value, input.schema)"), rego.StrictBuiltinErrors(true)).PrepareForEval(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	results, err := query.Eval(t.Context(), rego.EvalInput(map[string]any{"value": raw, "schema": schema}))
	if err != nil {
		t.Fatal(err)
	}
	if ok := results[0].Bindings["ok"]; ok != true {
		t.Errorf("the input does not match its schema: %v", results[0].Bindings["problems"])
	}
	for _, missing := range undescribed(schema, raw, "input") {
		t.Errorf("the schema has %s; the input of a test that should have everything has not", missing)
	}
}

// undescribed lists the properties of the schema that the value never has.
func undescribed(schema any, value any, at string) []string {
	s, _ := schema.(map[string]any)
	var missing []string
	if properties, ok := s["properties"].(map[string]any); ok {
		object, _ := value.(map[string]any)
		for name, sub := range properties {
			v, ok := object[name]
			if !ok {
				missing = append(missing, at+"."+name)
				continue
			}
			missing = append(missing, undescribed(sub, v, at+"."+name)...)
		}
	}
	if items, ok := s["items"]; ok {
		list, _ := value.([]any)
		if len(list) == 0 {
			return append(missing, at+"[0]")
		}
		// The element with the most fields speaks for all.
		best := undescribed(items, list[0], at+"[]")
		for _, v := range list[1:] {
			if m := undescribed(items, v, at+"[]"); len(m) < len(best) {
				best = m
			}
		}
		missing = append(missing, best...)
	}
	return missing
}

// TestInput is the input of one write, whole.
func TestInput(t *testing.T) {
	p := pass(t, stripe, other, shop)
	v, err := input(&p)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := ast.JSON(v)
	if err != nil {
		t.Fatal(err)
	}
	text, err := json.MarshalIndent(raw, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "testdata/input.json", append(text, '\n'))
}

// TestOneConversion checks that the input is converted once for all policies.
func TestOneConversion(t *testing.T) {
	s, err := Load(t.Context(), everything(), Library())
	if err != nil {
		t.Fatal(err)
	}
	p := pass(t, stripe)
	if _, err := rules.Run(t.Context(), s.Rules, p); err != nil {
		t.Fatal(err)
	}
	p.Raw = []byte("not JSON") // would fail if it were read again
	if _, err := rules.Run(t.Context(), s.Rules, p); err != nil {
		t.Error(err)
	}
}
