package policies

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/cover"
	"github.com/open-policy-agent/opa/v1/storage"
	"github.com/open-policy-agent/opa/v1/tester"
	"github.com/open-policy-agent/opa/v1/topdown"
)

// TestResult is the outcome of one Rego test.
type TestResult struct {
	File    string
	Line    int
	Package string
	Name    string
	Seconds float64
	// Failure is empty for a test that passed.
	Failure string
}

// Coverage is how much of one module its tests evaluate.
type Coverage struct {
	File string
	// Percent of the module's lines with something to evaluate.
	Percent float64
	// Missing are the lines that no test evaluated.
	Missing []int
}

// Test runs the _test.rego files of the sources, with the checks of [Load]
// switched on, and measures what they cover.
func (s *Set) Test(ctx context.Context) ([]TestResult, []Coverage, error) {
	coverage := cover.New()
	ran, err := s.runTests(ctx, tester.NewRunner().SetCoverageQueryTracer(coverage))
	if err != nil {
		return nil, nil, err
	}
	var results []TestResult
	failed := false
	for _, r := range ran {
		result := TestResult{
			File: r.Location.File, Line: r.Location.Row, Package: r.Package, Name: r.Name, Seconds: r.Duration.Seconds(),
		}
		switch {
		case r.Error != nil:
			result.Failure = r.Error.Error()
		case r.Skip:
			result.Failure = "the name starts with todo_: a test that does not run proves nothing"
		case r.Fail:
			failed, result.Failure = true, notTrue
		}
		if result.Failure != "" && len(r.Output) > 0 {
			result.Failure += "\nprinted: " + strings.TrimSpace(string(r.Output))
		}
		results = append(results, result)
	}
	if failed {
		if err := s.explainFailures(ctx, results); err != nil {
			return nil, nil, err
		}
	}
	slices.SortFunc(results, func(a, b TestResult) int {
		return cmp.Or(cmp.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line), cmp.Compare(a.Name, b.Name))
	})
	report := coverage.Report(s.modules)
	var covered []Coverage
	for _, file := range slices.Sorted(maps.Keys(s.modules)) {
		c := Coverage{File: file}
		if f := report.Files[file]; f != nil {
			c.Percent = f.Coverage
			for _, r := range f.NotCovered {
				for line := r.Start.Row; line <= r.End.Row; line++ {
					c.Missing = append(c.Missing, line)
				}
			}
		}
		covered = append(covered, c)
	}
	return results, covered, nil
}

const notTrue = "the test's body is not true"

func (s *Set) runTests(ctx context.Context, runner *tester.Runner) ([]*tester.Result, error) {
	modules := maps.Clone(s.modules)
	maps.Copy(modules, s.tests)
	compiler := ast.NewCompiler().WithDefaultRegoVersion(ast.RegoV1).WithCapabilities(capabilities()).WithStrict(true).WithEnablePrintStatements(true)
	txn, err := s.store.NewTransaction(ctx, storage.WriteParams)
	if err != nil {
		return nil, fmt.Errorf("test policies: %w", err)
	}
	defer s.store.Abort(ctx, txn)
	ch, err := runner.
		SetCompiler(compiler).
		SetStore(s.store).
		SetModules(modules).
		SetTimeout(10*time.Second).
		RaiseBuiltinErrors(true).
		RunTests(ctx, txn)
	if err != nil {
		return nil, explain(err)
	}
	var results []*tester.Result
	for r := range ch {
		results = append(results, r)
	}
	return results, nil
}

// explainFailures runs the tests that are not true once more, traced, and adds
// the expression that failed with the values of its variables.
func (s *Set) explainFailures(ctx context.Context, results []TestResult) error {
	traced, err := s.runTests(ctx, tester.NewRunner().EnableTracing(true))
	if err != nil {
		return err
	}
	for i := range results {
		t := &results[i]
		if !strings.HasPrefix(t.Failure, notTrue) {
			continue
		}
		for _, r := range traced {
			if r.Package == t.Package && r.Name == t.Name && r.Location.Row == t.Line {
				t.Failure = strings.Replace(t.Failure, notTrue, notTrue+failedExpression(r.Trace), 1)
			}
		}
	}
	return nil
}

// failedExpression renders the last expression that failed.
func failedExpression(trace []*topdown.Event) string {
	for _, e := range slices.Backward(trace) {
		if e.Op != topdown.FailOp || e.Location == nil || e.QueryID == 0 {
			continue
		}
		if expr, ok := e.Node.(*ast.Expr); ok {
			if _, ok := expr.Terms.(*ast.Every); ok {
				continue // the expression within it says more
			}
		}
		var b strings.Builder
		if topdown.PrettyEvent(&b, e, topdown.PrettyEventOpts{PrettyVars: true}) != nil {
			return ""
		}
		return fmt.Sprintf("; line %d:\n", e.Location.Row) + dedent(b.String())
	}
	return ""
}

// dedent moves a text to the left margin.
func dedent(text string) string {
	lines := strings.Split(strings.TrimRight(text, "\n"), "\n")
	margin := lines[0][:len(lines[0])-len(strings.TrimLeft(lines[0], " \t"))]
	for i, line := range lines {
		lines[i] = strings.TrimPrefix(line, margin)
	}
	return strings.Join(lines, "\n")
}
