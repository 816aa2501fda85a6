package policies

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/cover"
	"github.com/open-policy-agent/opa/v1/storage"
	"github.com/open-policy-agent/opa/v1/tester"
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
	modules := maps.Clone(s.modules)
	maps.Copy(modules, s.tests)
	coverage := cover.New()
	compiler := ast.NewCompiler().WithDefaultRegoVersion(ast.RegoV1).WithCapabilities(capabilities()).WithStrict(true)
	txn, err := s.store.NewTransaction(ctx, storage.WriteParams)
	if err != nil {
		return nil, nil, fmt.Errorf("test policies: %w", err)
	}
	defer s.store.Abort(ctx, txn)
	ch, err := tester.NewRunner().
		SetCompiler(compiler).
		SetStore(s.store).
		SetModules(modules).
		SetCoverageQueryTracer(coverage).
		SetTimeout(10*time.Second).
		RaiseBuiltinErrors(true).
		RunTests(ctx, txn)
	if err != nil {
		return nil, nil, explain(err)
	}
	var results []TestResult
	for r := range ch {
		result := TestResult{
			File: r.Location.File, Line: r.Location.Row, Package: r.Package, Name: r.Name, Seconds: r.Duration.Seconds(),
		}
		switch {
		case r.Error != nil:
			result.Failure = r.Error.Error()
		case r.Skip:
			result.Failure = "the name starts with todo_: a test that does not run proves nothing"
		case r.Fail:
			result.Failure = "the test's body is not true"
		}
		results = append(results, result)
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
