package policies

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/metrics"
	"github.com/open-policy-agent/opa/v1/rego"
	"github.com/open-policy-agent/opa/v1/topdown"

	"github.com/sallyport-io/sallyport/rules"
)

// check judges a write by one policy and reports its findings. Whatever keeps
// the evaluation from ending in well-formed findings is an error: the policy
// could not judge.
func (p *Policy) check(ctx context.Context, pass *rules.Pass, ask asker) error {
	if pass.Request.Time == "" {
		// Expiry dates and freezes would silently not apply.
		return fmt.Errorf("policy %s: the request has no time", p.Name)
	}
	in, err := input(pass)
	if err != nil {
		return fmt.Errorf("policy %s: input: %w", p.Name, err)
	}
	findings, err := ask(ctx, p, pass, in)
	if err != nil {
		return fmt.Errorf("policy %s (%s): %w", p.Name, p.File, err)
	}
	if len(findings) == 0 {
		return nil
	}
	except, err := p.exception(pass)
	if err != nil {
		return fmt.Errorf("policy %s: %w", p.Name, err)
	}
	limit := p.severityFor(pass)
	tellable := p.tellable(ctx, pass, in, ask)
	for _, f := range findings {
		f = tellable(f)
		f.Severity = f.Severity.AtMost(limit)
		if except != nil {
			f.Severity = rules.Audit
			f.Message += fmt.Sprintf(" (excepted until %s, %s)", except.Until, except.Ticket)
		}
		pass.Report(f)
	}
	return nil
}

// evaluate asks the policies of the query.
func (q *query) evaluate(ctx context.Context, in ast.Value, options ...rego.EvalOption) (answers, error) {
	ctx, release := context.WithTimeout(ctx, deadline)
	defer release()
	// Without a cancel of ours OPA starts a goroutine for every evaluation.
	cancel := topdown.NewCancel()
	defer context.AfterFunc(ctx, cancel.Cancel)()
	results, err := q.prepared.Eval(ctx, append(options,
		rego.EvalParsedInput(in),
		rego.EvalBaseCache(q.base),
		rego.EvalExternalCancel(cancel),
		rego.EvalMetrics(metrics.NoOp()),
	)...)
	switch {
	case topdown.IsCancel(err) && errors.Is(ctx.Err(), context.DeadlineExceeded):
		return nil, fmt.Errorf("evaluation took longer than %v; bound its loops or look values up by key", deadline)
	case err != nil:
		return nil, err
	case len(results) != 1:
		// Partial sets are always defined; see checkEntryPoints.
		return nil, fmt.Errorf("an entry point is undefined (%d results)", len(results))
	}
	found := answers{}
	for _, p := range q.policies {
		for _, entry := range entryPoints {
			value, ok := results[0].Bindings[variable(p, entry)]
			if !ok {
				continue
			}
			findings, err := p.findings(entry, value)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", entry, err)
			}
			found[p.Name] = append(found[p.Name], findings...)
		}
	}
	return found, nil
}

// findings reads the value of an entry point.
func (p *Policy) findings(entry string, value any) ([]rules.Finding, error) {
	elements, ok := value.([]any)
	if !ok {
		return nil, fmt.Errorf("the value is a %T, not a set", value)
	}
	var findings []rules.Finding
	for _, element := range elements {
		f, err := finding(element)
		if err != nil {
			return nil, err
		}
		f.Rule, f.Severity = p.Name, rules.Severity(entry)
		findings = append(findings, f)
	}
	return findings, nil
}

// finding reads an element of an entry point.
func finding(element any) (rules.Finding, error) {
	object, ok := element.(map[string]any)
	if !ok {
		return rules.Finding{}, fmt.Errorf("an element is %v, not an object with msg", element)
	}
	fields := map[string]string{}
	for name, value := range object {
		s, ok := value.(string)
		if !ok || !slices.Contains(findingFields, name) {
			return rules.Finding{}, fmt.Errorf("an element has %s: %v; it may have msg, path and fix, all strings", name, value)
		}
		fields[name] = s
	}
	if fields["msg"] == "" {
		return rules.Finding{}, errors.New("an element has no msg")
	}
	return rules.Finding{Message: fields["msg"], Path: fields["path"], Fix: fields["fix"]}, nil
}

// exception returns the exception in force for the subject, or nil.
func (p *Policy) exception(pass *rules.Pass) (*exception, error) {
	for _, e := range p.exceptions {
		ok, err := e.covers(pass.Subject.Metadata().Ref, pass.Request.Time)
		if err != nil || ok {
			return &e, err
		}
	}
	return nil, nil
}
