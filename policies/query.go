package policies

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/rego"

	"github.com/sallyport-io/sallyport/rules"
)

// queries are the prepared queries of a set. Preparing is expensive and
// evaluating has a price of its own that is higher than most policies', so
// that the policies which judge a write are asked in one query.
type queries struct {
	single map[string]*query // by the policy's name
	joint  map[write]*query
}

// write is what decides which policies judge.
type write struct{ kind, operation string }

// query asks one or several policies at once.
type query struct {
	policies []*Policy
	prepared rego.PreparedEvalQuery
	base     base
}

// base is what every policy reads under data, in the form that evaluation
// uses. It takes the place of OPA's cache, which every evaluation would fill
// from the store again, and is never written.
type base struct{ data ast.Value }

// Get implements [topdown.BaseCache]; nil refers to the store.
func (b base) Get(ref ast.Ref) ast.Value {
	v, err := b.data.Find(ref[1:])
	if err != nil {
		return nil
	}
	return v
}

// Put implements [topdown.BaseCache].
func (base) Put(ast.Ref, ast.Value) {}

func (s *Set) prepareAll(ctx context.Context, data ast.Value) (*queries, error) {
	q := &queries{single: map[string]*query{}, joint: map[write]*query{}}
	by := map[write][]*Policy{}
	for i := range s.Policies {
		p := &s.Policies[i]
		if !p.Active {
			continue
		}
		single, err := s.prepare(ctx, data, p)
		if err != nil {
			return nil, err
		}
		q.single[p.Name] = single
		for _, kind := range p.Kinds {
			for _, operation := range p.Operations {
				w := write{kind, operation}
				by[w] = append(by[w], p)
			}
		}
	}
	for w, judging := range by {
		joint, err := s.prepare(ctx, data, judging...)
		if err != nil {
			return nil, err
		}
		q.joint[w] = joint
	}
	return q, nil
}

// prepare prepares the entry points of the policies as one query. The result
// has a variable for each; see variable.
func (s *Set) prepare(ctx context.Context, data ast.Value, policies ...*Policy) (*query, error) {
	var text, names []string
	for _, p := range policies {
		names = append(names, p.Name)
		for _, entry := range entryPoints {
			if s.compiler.GetRulesExact(entryRef(p, entry)) != nil {
				text = append(text, variable(p, entry)+" = "+entryRef(p, entry).String())
			}
		}
	}
	prepared, err := rego.New(
		rego.Query(strings.Join(text, "; ")),
		rego.Compiler(s.compiler),
		rego.Store(s.store),
		rego.SetRegoVersion(ast.RegoV1),
		rego.StrictBuiltinErrors(true),
	).PrepareForEval(ctx)
	if err != nil {
		return nil, fmt.Errorf("prepare policies %s: %w", strings.Join(names, ", "), err)
	}
	return &query{policies, prepared, base{data}}, nil
}

func variable(p *Policy, entry string) string { return p.identifier + "_" + entry }

// rule wraps an active policy.
func (s *Set) rule(p *Policy, ask asker) *rules.Rule {
	doc := p.Title
	if p.Description != "" {
		doc += "\n\n" + p.Description
	}
	return &rules.Rule{
		Name:       p.Name,
		Doc:        doc,
		Severity:   p.Severity,
		Operations: p.Operations,
		Kinds:      p.Kinds,
		Check: func(ctx context.Context, pass *rules.Pass) error {
			return p.check(ctx, pass, ask)
		},
	}
}

// asker returns what a policy finds.
type asker func(context.Context, *Policy, *rules.Pass, ast.Value) ([]rules.Finding, error)

// Reference has rules that find what Rules find, the slow way: each policy is
// evaluated by itself, without OPA's rule indexing and early exit. Tests
// compare the two.
func (s *Set) Reference() []*rules.Rule {
	return s.rules(func(ctx context.Context, p *Policy, _ *rules.Pass, in ast.Value) ([]rules.Finding, error) {
		found, err := s.queries.single[p.Name].evaluate(ctx, in, rego.EvalRuleIndexing(false), rego.EvalEarlyExit(false))
		return found[p.Name], err
	})
}

func (s *Set) rules(ask asker) []*rules.Rule {
	var all []*rules.Rule
	for i := range s.Policies {
		if s.Policies[i].Active {
			all = append(all, s.rule(&s.Policies[i], ask))
		}
	}
	return all
}

// answersKey is the key in a Pass's Memo of what the policies of the set find.
type answersKey struct{ set *Set }

// answers are the findings of every policy that judges a write, by name; nil
// where they could not be had together.
type answers map[string][]rules.Finding

// ask returns what the policy finds, from one evaluation for all policies that
// judge the write. Where that fails the policy is evaluated by itself: the
// others' failure is not its own, and its own is to carry its name.
func (s *Set) ask(ctx context.Context, p *Policy, pass *rules.Pass, in ast.Value) ([]rules.Finding, error) {
	pass.Spend(policySteps + len(pass.Paths) + (len(pass.Raw)+len(pass.OldRaw))/64)
	if pass.Memo != nil {
		all, err := pass.Memo.Do(answersKey{s}, func() (any, error) {
			j := s.queries.joint[write{pass.Subject.Metadata().Kind, pass.Request.Operation}]
			found, err := j.evaluate(ctx, in)
			if err != nil {
				return answers(nil), nil // kept, so that it is not tried again
			}
			return found, nil
		})
		if err != nil {
			return nil, err
		}
		if found := all.(answers); found != nil {
			// A rule may change neither what it nor what another one is given.
			return slices.Clone(found[p.Name]), nil
		}
	}
	found, err := s.queries.single[p.Name].evaluate(ctx, in)
	return found[p.Name], err
}
