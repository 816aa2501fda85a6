package policies

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"k8s.io/apimachinery/pkg/labels"

	"github.com/sallyport-io/sallyport/internal/mesh"
	"github.com/sallyport-io/sallyport/rules"
)

// The parameters that every policy has, beside its own: a policy is rolled out
// by them, never by editing the module.
const (
	severityParameter   = "severity"          // in place of the metadata's
	overridesParameter  = "severityOverrides" // in single namespaces; see [override]
	exceptionsParameter = "exceptions"        // for single objects, until a date; see [exception]
)

var commonParameters = []string{severityParameter, overridesParameter, exceptionsParameter}

// severities are what a policy may have.
var severities = []rules.Severity{rules.Deny, rules.Warn, rules.Audit}

// commonSchemas are the JSON Schemas of the common parameters' values. What
// severity may be is told by [severity].
var commonSchemas = map[string]map[string]any{
	overridesParameter:  overridesSchema,
	exceptionsParameter: exceptionsSchema,
}

// override gives a policy another severity in some namespaces. The first one
// that matches the object's namespace wins.
type override struct {
	Severity   any      `json:"severity"`
	Namespaces []string `json:"namespaces"`
	Selector   string   `json:"selector"`

	severity rules.Severity
	selector labels.Selector
}

var overridesSchema = map[string]any{
	"type":        "array",
	"description": "another severity in some namespaces, by name or by label; the first element that matches wins",
	"items": map[string]any{
		"type":                 "object",
		"additionalProperties": false,
		"required":             []any{"severity"},
		"properties": map[string]any{
			"severity":   map[string]any{},
			"namespaces": map[string]any{"type": "array", "minItems": 1, "items": map[string]any{"type": "string", "minLength": 1}},
			"selector":   map[string]any{"type": "string", "minLength": 1},
		},
	},
}

// severity reads a severity.
func severity(value any) (rules.Severity, error) {
	text, _ := value.(string)
	s := rules.Severity(text)
	if !slices.Contains(severities, s) {
		return "", fmt.Errorf("%v is not one of deny, warn, audit", value)
	}
	return s, nil
}

// readRollout reads the common parameters, whose form has been checked.
func (p *Policy) readRollout() error {
	var errs []error
	fail := func(path string, err error) {
		if err != nil {
			errs = append(errs, fmt.Errorf("policies.parameters.%s.%s: %w", p.Name, path, err))
		}
	}
	if value, ok := p.values[severityParameter]; ok {
		s, err := severity(value)
		p.Severity = s
		fail(severityParameter, err)
	}
	p.overrides, p.exceptions = nil, nil
	fail(overridesParameter, reread(p.values[overridesParameter], &p.overrides))
	for i := range p.overrides {
		o := &p.overrides[i]
		path := fmt.Sprintf("%s[%d]", overridesParameter, i)
		var err error
		o.severity, err = severity(o.Severity)
		fail(path+".severity", err)
		if (o.Selector == "") == (o.Namespaces == nil) {
			fail(path, errors.New("must have either namespaces, a list of names, or selector, as kubectl --selector takes it"))
		}
		o.selector, err = labels.Parse(o.Selector)
		fail(path+".selector", err)
	}
	fail(exceptionsParameter, reread(p.values[exceptionsParameter], &p.exceptions))
	return errors.Join(errs...)
}

// reread gives a value, as a decoder left it, the type of into.
func reread(value, into any) error {
	raw, err := json.Marshal(value)
	if err != nil {
		return err
	}
	return json.Unmarshal(raw, into)
}

// severityFor is the severity of the policy for the write.
func (p *Policy) severityFor(pass *rules.Pass) rules.Severity {
	if len(p.overrides) == 0 {
		return p.Severity
	}
	name, set := namespaceOf(pass)
	for _, o := range p.overrides {
		if slices.Contains(o.Namespaces, name) || o.Namespaces == nil && o.selector.Matches(labels.Set(set)) {
			return o.severity
		}
	}
	return p.Severity
}

// namespaceOf returns the name and the labels of the subject's namespace. A
// Namespace is judged by the labels that it has before the write, or it could
// excuse itself.
func namespaceOf(pass *rules.Pass) (string, map[string]string) {
	if ns, ok := pass.Subject.(*mesh.Namespace); ok {
		if old, ok := pass.Old.(*mesh.Namespace); ok {
			return ns.Name, old.Labels
		}
		return ns.Name, nil
	}
	name := pass.Subject.Metadata().Namespace
	if ns := pass.After.Namespace(name); ns != nil {
		return name, ns.Labels
	}
	return name, nil
}
