package main

import (
	"encoding/json"
	"encoding/xml"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/rogpeppe/go-internal/txtar"
	"github.com/spf13/cobra"

	"github.com/sallyport-io/sallyport/internal/printable"
	"github.com/sallyport-io/sallyport/internal/report"
	"github.com/sallyport-io/sallyport/internal/sample"
	"github.com/sallyport-io/sallyport/policies"
)

func newPolicyTestCommand() *cobra.Command {
	format := enum[report.Format]{value: report.Text, allowed: []report.Format{report.Text, report.JSON, report.JUnit}, name: "FORMAT"}
	var rewrite bool
	cmd := &cobra.Command{
		Use:   "test [flags] DIR...",
		Short: "Run the tests and samples of policies",
		Long: `Test runs the tests in Rego (NAME_test.rego) and says which lines of the
modules they do not reach; then the samples (NAME.txtar): whole objects,
judged as admission would, compared with the findings that the sample wants,
and with what OPA finds without rule indexing and early exit.

Exit status: 0 everything passes; 1 something fails; 2 the policies do not
load, or there are none.`,
		Example: `  sallyport policy test org-policies
  sallyport policy test org-policies -o junit > policies.xml

  # Take the findings of the samples as they are now
  sallyport policy test org-policies --update`,
		Args: args(cobra.MinimumNArgs(1)),
		RunE: func(cmd *cobra.Command, dirs []string) error {
			set, sources, err := ownPolicies(cmd.Context(), dirs)
			if err != nil {
				return err
			}
			var r testReport
			results, coverage, err := set.Test(cmd.Context())
			if err != nil {
				return err
			}
			r.addTests(results, coverage)
			for i, src := range sources {
				samples, err := sample.Run(cmd.Context(), src)
				if err != nil {
					return err
				}
				if rewrite {
					if err := rewriteSamples(dirs[i], src.Name, samples); err != nil {
						return err
					}
				}
				r.addSamples(samples, rewrite)
			}
			if err := r.write(cmd.OutOrStdout(), format.value); err != nil {
				return err
			}
			if r.Summary.Failed > 0 {
				return errDenied
			}
			return nil
		},
	}
	cmd.Flags().VarP(&format, "output", "o", "format of the results: "+format.list(", "))
	_ = cmd.RegisterFlagCompletionFunc("output", format.complete)
	cmd.Flags().BoolVar(&rewrite, "update", false, "write the findings of the samples into their want sections")
	return cmd
}

func rewriteSamples(dir, source string, samples []sample.Result) error {
	for _, s := range samples {
		file := filepath.Join(dir, filepath.FromSlash(strings.TrimPrefix(s.File, source+"/")))
		if err := os.WriteFile(file, txtar.Format(s.Archive), 0o644); err != nil {
			return fmt.Errorf("rewriting a sample: %w", err)
		}
	}
	return nil
}

// testReport is the outcome of "policy test". It is what -o json prints.
type testReport struct {
	Results  []testResult   `json:"results"`
	Coverage []testCoverage `json:"coverage"`
	Summary  struct {
		Tests  int `json:"tests"`
		Failed int `json:"failed"`
	} `json:"summary"`
}

type testResult struct {
	File    string  `json:"file"`
	Line    int     `json:"line"`
	Name    string  `json:"name"`
	Failure string  `json:"failure"` // empty for a test that passed
	Seconds float64 `json:"seconds"`
}

type testCoverage struct {
	File    string  `json:"file"`
	Percent float64 `json:"percent"`
	Missing []int   `json:"missing"` // lines
}

func (r *testReport) add(t testResult) {
	r.Results = append(r.Results, t)
	r.Summary.Tests++
	if t.Failure != "" {
		r.Summary.Failed++
	}
}

func (r *testReport) addTests(results []policies.TestResult, coverage []policies.Coverage) {
	for _, t := range results {
		r.add(testResult{File: t.File, Line: t.Line, Name: t.Name, Failure: t.Failure, Seconds: t.Seconds})
	}
	r.Coverage = []testCoverage{}
	for _, c := range coverage {
		r.Coverage = append(r.Coverage, testCoverage{File: c.File, Percent: c.Percent, Missing: append([]int{}, c.Missing...)})
	}
}

// addSamples adds a test for each sample. A sample that was rewritten wants
// what it gets.
func (r *testReport) addSamples(samples []sample.Result, rewritten bool) {
	for _, s := range samples {
		failures := slices.DeleteFunc(slices.Clone(s.Failures), func(f string) bool {
			return rewritten && strings.HasPrefix(f, "want:")
		})
		r.add(testResult{File: s.File, Line: 1, Name: "sample", Failure: strings.Join(failures, "\n")})
	}
}

func (r *testReport) write(w io.Writer, format report.Format) error {
	switch format {
	case report.JSON:
		e := json.NewEncoder(w)
		e.SetIndent("", "  ")
		return e.Encode(r)
	case report.JUnit:
		return r.writeJUnit(w)
	}
	var b strings.Builder
	for _, t := range r.Results {
		if t.Failure != "" {
			printable.Fprintf(&b, "FAIL %s:%d: %s\n\t%s\n", t.File, t.Line, t.Name, printable.Raw(printable.Text(strings.ReplaceAll(t.Failure, "\n", "\n\t"))))
		}
	}
	for _, c := range r.Coverage {
		printable.Fprintf(&b, "%s: %.0f%% of the lines are tested", c.File, c.Percent)
		if len(c.Missing) > 0 {
			fmt.Fprintf(&b, ", not %s", strings.Trim(fmt.Sprint(c.Missing), "[]"))
		}
		b.WriteByte('\n')
	}
	fmt.Fprintf(&b, "%d tests and samples, %d failed\n", r.Summary.Tests, r.Summary.Failed)
	_, err := io.WriteString(w, b.String())
	return err
}

func (r *testReport) writeJUnit(w io.Writer) error {
	type failure struct {
		Message string `xml:"message,attr"`
		Text    string `xml:",chardata"`
	}
	type testcase struct {
		Name      string   `xml:"name,attr"`
		Classname string   `xml:"classname,attr"`
		Line      int      `xml:"line,attr"`
		Seconds   string   `xml:"time,attr"`
		Failure   *failure `xml:"failure"`
	}
	type suite struct {
		XMLName  xml.Name   `xml:"testsuite"`
		Name     string     `xml:"name,attr"`
		Tests    int        `xml:"tests,attr"`
		Failures int        `xml:"failures,attr"`
		Cases    []testcase `xml:"testcase"`
	}
	doc := suite{Name: "sallyport policy test", Tests: r.Summary.Tests, Failures: r.Summary.Failed}
	for _, t := range r.Results {
		c := testcase{Name: t.Name, Classname: t.File, Line: t.Line, Seconds: fmt.Sprintf("%.3f", t.Seconds)}
		if t.Failure != "" {
			first, _, _ := strings.Cut(t.Failure, "\n")
			c.Failure = &failure{Message: first, Text: t.Failure}
		}
		doc.Cases = append(doc.Cases, c)
	}
	text, err := xml.MarshalIndent(doc, "", "  ")
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(w, "%s%s\n", xml.Header, text)
	return err
}
