package report

import (
	"encoding/xml"
	"fmt"
	"io"
	"strings"

	"github.com/sallyport-io/sallyport/rules"
)

// The XML of JUnit, as CI servers read it: a suite a file, a test an object.
type (
	junitSuites struct {
		XMLName  xml.Name     `xml:"testsuites"`
		Name     string       `xml:"name,attr"`
		Tests    int          `xml:"tests,attr"`
		Failures int          `xml:"failures,attr"`
		Suites   []junitSuite `xml:"testsuite"`
	}
	junitSuite struct {
		Name     string      `xml:"name,attr"`
		Tests    int         `xml:"tests,attr"`
		Failures int         `xml:"failures,attr"`
		Cases    []junitCase `xml:"testcase"`
	}
	junitCase struct {
		Name      string         `xml:"name,attr"`
		Classname string         `xml:"classname,attr"`
		File      string         `xml:"file,attr"`
		Line      int            `xml:"line,attr"`
		Failures  []junitFailure `xml:"failure"`
		Output    string         `xml:"system-out,omitempty"`
	}
	junitFailure struct {
		Message string `xml:"message,attr"`
		Type    string `xml:"type,attr"`
		Text    string `xml:",chardata"`
	}
)

func writeJUnit(w io.Writer, r *Review) error {
	doc := junitSuites{Name: "sallyport review", Tests: r.Summary.Objects, Failures: r.Summary.Denied}
	suites := map[string]int{}
	for _, o := range r.Objects {
		i, ok := suites[o.File]
		if !ok {
			i = len(doc.Suites)
			suites[o.File] = i
			doc.Suites = append(doc.Suites, junitSuite{Name: o.File})
		}
		s := &doc.Suites[i]
		c := junitCase{Name: o.title(), Classname: o.File, File: o.File, Line: o.Line}
		var output strings.Builder
		for _, f := range o.Findings {
			where := join(" ", place(o.File, f.Line), f.Path)
			if f.Severity == rules.Deny {
				c.Failures = append(c.Failures, junitFailure{Message: firstLine(f.Message), Type: f.Rule, Text: where + "\n" + f.text()})
				continue
			}
			fmt.Fprintf(&output, "%s: %s: %s (%s)\n", f.Severity, where, f.text(), f.Rule)
		}
		c.Output = output.String()
		s.Tests++
		if o.Verdict == Deny {
			s.Failures++
		}
		s.Cases = append(s.Cases, c)
	}
	if _, err := io.WriteString(w, xml.Header); err != nil {
		return err
	}
	enc := xml.NewEncoder(w)
	enc.Indent("", "  ")
	if err := enc.Encode(doc); err != nil {
		return err
	}
	_, err := io.WriteString(w, "\n")
	return err
}

func firstLine(s string) string {
	line, _, _ := strings.Cut(s, "\n")
	return line
}
