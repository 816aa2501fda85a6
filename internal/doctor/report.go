package doctor

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"strings"
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
	paint := func(s Status, text string) string {
		if !color {
			return text
		}
		return map[Status]string{Pass: "\x1b[32m", Fail: "\x1b[31m", Unknown: "\x1b[33m"}[s] + text + "\x1b[0m"
	}
	group := ""
	for _, o := range r.Checks {
		if o.Group != group {
			group = o.Group
			fmt.Fprintf(b, "%s\n", group)
		}
		// The longest word sets the width.
		pad := strings.Repeat(" ", len(words[Unknown])-len(words[o.Status]))
		fmt.Fprintf(b, "  %s%s  %s: %s", paint(o.Status, words[o.Status]), pad, o.Name, o.Title)
		if o.Status == Pass {
			fmt.Fprintf(b, " (%s)\n", passed(o.Results))
			continue
		}
		fmt.Fprintln(b)
		shown := 0
		for _, res := range o.Results {
			if res.Status == Pass {
				continue
			}
			if shown++; shown > most {
				continue
			}
			mark := ""
			if res.Status != o.Status {
				mark = words[res.Status] + ": "
			}
			fmt.Fprintf(b, "      %s%s%s\n", mark, where(res), res.Message)
			for line := range strings.Lines(strings.TrimRight(res.Remedy, "\n")) {
				fmt.Fprintf(b, "        > %s\n", strings.TrimRight(line, "\n"))
			}
		}
		if shown > most {
			fmt.Fprintf(b, "      and %d more; -o json lists them\n", shown-most)
		}
	}
	fmt.Fprintf(b, "%s: %d pass, %d fail, %d cannot tell\n", count(len(r.Checks), "check"), r.Summary.Passed, r.Summary.Failed, r.Summary.Unknown)
	return b.Flush()
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
