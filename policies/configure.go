package policies

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/open-policy-agent/opa/v1/rego"
)

// configure gives every policy its parameters: those of the configuration
// over those of data files over defaults.
func configure(ctx context.Context, policies []*Policy, data map[string]map[string]any, configured map[string]any, optIn map[string]bool) error {
	names := make([]string, 0, len(policies))
	identifiers := make([]string, 0, len(policies))
	for _, p := range policies {
		names, identifiers = append(names, p.Name), append(identifiers, p.identifier)
	}
	var errs []error
	for name := range configured {
		if !slices.Contains(names, name) {
			near, _ := nearest(name, names)
			errs = append(errs, fmt.Errorf("policies.parameters.%s: there is no policy of this name%s", name, didYouMean(near)))
		}
	}
	for identifier := range data {
		if !slices.Contains(identifiers, identifier) {
			near, _ := nearest(identifier, identifiers)
			errs = append(errs, fmt.Errorf("data file: sallyport.%s: there is no policy of this name%s", identifier, didYouMean(near)))
		}
	}
	check, err := newSchemaCheck(ctx)
	if err != nil {
		return err
	}
	for _, p := range policies {
		given, ok := configured[p.Name]
		p.Active = ok || !optIn[p.module]
		values, isObject := given.(map[string]any)
		if given != nil && !isObject {
			errs = append(errs, fmt.Errorf("policies.parameters.%s: must be an object", p.Name))
			continue
		}
		p.values = map[string]any{overridesParameter: []any{}, exceptionsParameter: []any{}}
		for _, parameter := range p.Parameters {
			if !parameter.Required {
				p.values[parameter.Name] = parameter.Default
			}
		}
		maps.Copy(p.values, data[p.identifier])
		maps.Copy(p.values, values)
		errs = append(errs, p.validate(ctx, check)...)
	}
	return errors.Join(errs...)
}

// validate checks the names and the values of the parameters in force.
func (p *Policy) validate(ctx context.Context, check *schemaCheck) []error {
	known := slices.Clone(commonParameters)
	var errs []error
	for _, parameter := range p.Parameters {
		known = append(known, parameter.Name)
		value, ok := p.values[parameter.Name]
		switch {
		case ok:
			errs = append(errs, check.value(ctx, "policies.parameters."+p.Name+"."+parameter.Name, value, parameter.Schema))
		case p.Active:
			errs = append(errs, fmt.Errorf("policies.parameters.%s.%s: missing (%s)", p.Name, parameter.Name, parameter.Description))
		}
	}
	for name := range p.values {
		if !slices.Contains(known, name) {
			near, _ := nearest(name, known)
			errs = append(errs, fmt.Errorf("policies.parameters.%s.%s: the policy has no such parameter%s", p.Name, name, didYouMean(near)))
		}
	}
	var common []error
	for name, schema := range commonSchemas {
		common = append(common, check.value(ctx, "policies.parameters."+p.Name+"."+name, p.values[name], schema))
	}
	if err := errors.Join(common...); err != nil {
		return append(errs, err)
	}
	return append(errs, p.readRollout())
}

// schemaCheck validates values with OPA's own implementation of JSON Schema.
type schemaCheck struct{ query rego.PreparedEvalQuery }

func newSchemaCheck(ctx context.Context) (*schemaCheck, error) {
	q, err := rego.New(
		rego.Query("[_, problems] = json.match_schema(input.value, input.schema)"),
		rego.StrictBuiltinErrors(true),
	).PrepareForEval(ctx)
	if err != nil {
		return nil, fmt.Errorf("prepare the check of parameters: %w", err)
	}
	return &schemaCheck{q}, nil
}

func (c *schemaCheck) value(ctx context.Context, name string, value any, schema map[string]any) error {
	// A value that is not wrapped could be taken for a schema or JSON text by the builtin.
	input := map[string]any{
		"value":  map[string]any{"value": value},
		"schema": map[string]any{"type": "object", "properties": map[string]any{"value": schema}},
	}
	results, err := c.query.Eval(ctx, rego.EvalInput(input))
	if err != nil {
		return fmt.Errorf("%s: the schema in the policy's METADATA is no JSON Schema: %w", name, err)
	}
	var errs []error
	for _, r := range results {
		problems, _ := r.Bindings["problems"].([]any)
		for _, problem := range problems {
			fields, _ := problem.(map[string]any)
			field, _ := fields["field"].(string)
			field = strings.TrimPrefix(field, "value")
			desc, _ := fields["desc"].(string)
			if unknown, ok := strings.CutPrefix(desc, "Additional property "); ok {
				unknown = strings.TrimSuffix(unknown, " is not allowed")
				near, _ := nearest(unknown, propertiesAt(schema, field))
				desc += didYouMean(near)
			}
			errs = append(errs, fmt.Errorf("%s: %s", name+field, desc))
		}
	}
	return errors.Join(errs...)
}

// propertiesAt are the names that the schema has for an object at a path of
// names and indices, each with a dot in front.
func propertiesAt(schema map[string]any, path string) []string {
	for step := range strings.SplitSeq(strings.TrimPrefix(path, "."), ".") {
		properties, _ := schema["properties"].(map[string]any)
		next, ok := properties[step].(map[string]any)
		if !ok {
			next, ok = schema["items"].(map[string]any)
		}
		if !ok {
			next, ok = schema["additionalProperties"].(map[string]any)
		}
		if ok {
			schema = next
		}
	}
	properties, _ := schema["properties"].(map[string]any)
	return slices.Collect(maps.Keys(properties))
}
