package doctor

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/sallyport-io/sallyport/internal/printable"
)

// Report is what an examination comes to, as a document.
type Report struct {
	APIVersion string    `json:"apiVersion"` // sallyport.io/v1alpha1
	Kind       string    `json:"kind"`       // Diagnosis
	Checks     []Outcome `json:"checks"`
	Summary    Summary   `json:"summary"`
}

// Summary counts checks.
type Summary struct {
	Passed  int `json:"passed"`
	Failed  int `json:"failed"`
	Unknown int `json:"unknown"`
}

// NewReport makes a report of the outcomes.
func NewReport(outcomes []Outcome) Report {
	r := Report{APIVersion: "sallyport.io/v1alpha1", Kind: "Diagnosis", Checks: outcomes}
	for _, o := range outcomes {
		switch o.Status {
		case Pass:
			r.Summary.Passed++
		case Fail:
			r.Summary.Failed++
		case Unknown:
			r.Summary.Unknown++
		}
	}
	return r
}

// Status is the worst of all checks.
func (r Report) Status() Status {
	switch {
	case r.Summary.Failed > 0:
		return Fail
	case r.Summary.Unknown > 0:
		return Unknown
	}
	return Pass
}

// WriteJSON writes the whole report.
func (r Report) WriteJSON(w io.Writer) error {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	return enc.Encode(r)
}

// most is how many results of one check text shows.
const most = 10

var words = map[Status]string{Pass: "pass", Fail: "fail", Unknown: "cannot tell"}

// WriteText writes the report for people. Of a check that passes it shows one
// line, of any other what is wrong and what to do.
func (r Report) WriteText(w io.Writer, color bool) error {
	b := bufio.NewWriter(w)
	if p, ok := w.(*printable.Writer); ok && color {
		p.Colored()
	}
	paint := func(s Status, text string) printable.Raw {
		if !color {
			return printable.Raw(text)
		}
		return printable.Raw(map[Status]string{Pass: "\x1b[32m", Fail: "\x1b[31m", Unknown: "\x1b[33m"}[s] + text + "\x1b[0m")
	}
	group := ""
	for _, o := range r.Checks {
		if o.Group != group {
			group = o.Group
			printable.Fprintf(b, "%s\n", group)
		}
		// The longest word sets the width.
		pad := strings.Repeat(" ", len(words[Unknown])-len(words[o.Status]))
		printable.Fprintf(b, "  %s%s  %s: %s", paint(o.Status, words[o.Status]), pad, o.Name, o.Title)
		if o.Status == Pass {
			printable.Fprintf(b, " (%s)\n", passed(o.Results))
			continue
		}
		fmt.Fprintln(b)
		writeResults(b, o)
	}
	printable.Fprintf(b, "%s: %d pass, %d fail, %d cannot tell\n", count(len(r.Checks), "check"), r.Summary.Passed, r.Summary.Failed, r.Summary.Unknown)
	return b.Flush()
}

// writeResults shows what is wrong. A remedy that several results share comes
// once, after them.
func writeResults(w io.Writer, o Outcome) {
	wrong := slices.DeleteFunc(slices.Clone(o.Results), func(r Result) bool { return r.Status == Pass })
	for i, r := range wrong[:min(most, len(wrong))] {
		mark := ""
		if r.Status != o.Status {
			mark = words[r.Status] + ": "
		}
		printable.Fprintf(w, "      %s%s%s\n", mark, where(r), r.Message)
		if i+1 < min(most, len(wrong)) && wrong[i+1].Remedy == r.Remedy {
			continue
		}
		for line := range strings.Lines(strings.TrimRight(r.Remedy, "\n")) {
			printable.Fprintf(w, "        > %s\n", strings.TrimRight(line, "\n"))
		}
	}
	if len(wrong) > most {
		printable.Fprintf(w, "      and %d more; -o json lists them\n", len(wrong)-most)
	}
}

// passed is what a check that passes says, in one line.
func passed(results []Result) string {
	var list []string
	for _, r := range results {
		list = append(list, r.Message)
	}
	return some(list)
}

// where is the object and the field of a result.
func where(r Result) string {
	var parts []string
	if r.Object.Kind != "" {
		parts = append(parts, strings.TrimSuffix(r.Object.String(), "/"))
	}
	if r.Path != "" {
		parts = append(parts, r.Path)
	}
	if len(parts) == 0 {
		return ""
	}
	return strings.Join(parts, " ") + ": "
}
