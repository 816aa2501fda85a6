package rules

import (
	"bytes"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strings"

	"github.com/rogpeppe/go-internal/txtar"
)

// Reference returns the reference of the rules, in Markdown. Examples are
// taken from the golden cases.
func Reference(all []*Rule, cases fs.FS) ([]byte, error) {
	var b bytes.Buffer
	b.WriteString(`# Rules

What Sallyport judges in Go. This page is generated from the rules by
"make generate"; edit the rule, not the page.

A finding of severity deny stops the write, unless the namespace has the label
sallyport.io/mode: warn. On an update a finding that the old object had already
is a warning. A rule judges the operations that it lists: most say nothing when an
object is deleted.

| rule | severity | what it asks for |
|---|---|---|
`)
	for _, r := range all {
		fmt.Fprintf(&b, "| [%s](#%s) | %s | %s |\n", r.Name, r.Name, r.Severity, r.Title())
	}
	for _, r := range all {
		if err := section(&b, r, cases); err != nil {
			return nil, err
		}
	}
	writeRows(&b, all)
	writeIstioKeys(&b)
	writeLimits(&b)
	return b.Bytes(), nil
}

func section(b *bytes.Buffer, r *Rule, cases fs.FS) error {
	_, text, _ := strings.Cut(r.Doc, "\n\n")
	fmt.Fprintf(b, "\n## %s\n\n**%s** · %s", r.Name, r.Severity, r.Title())
	kinds := "every kind"
	if len(r.Kinds) > 0 {
		kinds = strings.Join(r.Kinds, ", ")
	}
	fmt.Fprintf(b, "\n\n%s\n\nKinds: %s. Operations: %s.", text, kinds, strings.Join(r.operations(), ", "))
	if r.For == Tenants {
		b.WriteString(" It judges the objects of tenants, not the platform's.")
	}
	if len(r.Rows) > 0 {
		fmt.Fprintf(b, " Rows of the [bypass matrix](#the-bypass-matrix): %s.", strings.Join(r.Rows, ", "))
	}
	b.WriteString("\n")

	data, err := fs.ReadFile(cases, r.Name+".txtar")
	if err != nil {
		return fmt.Errorf("the example of rule %s: %w", r.Name, err)
	}
	bad, want := example(txtar.Parse(data))
	fmt.Fprintf(b, "\nAn object that it finds wrong:\n\n```yaml\n%s```\n\nand what it says:\n\n```text\n%s```\n", bad, want)
	return nil
}

// example returns the first bad object of a case and what is found wrong with
// it. Of an update it is the object after it.
func example(a *txtar.Archive) (bad, want string) {
	for _, f := range a.Files {
		if bad == "" && strings.HasPrefix(f.Name, "bad") {
			docs := strings.Split(string(f.Data), "---\n")
			bad = docs[0]
			if strings.Contains(f.Name, "-update") {
				bad = docs[1]
			}
		}
		if f.Name == "want" {
			want = firstObject(string(f.Data))
		}
	}
	return bad, want
}

// firstObject is the part of a want section about the object that it begins
// with, without the name of the file.
func firstObject(want string) string {
	var b strings.Builder
	first := ""
	for line := range strings.Lines(want) {
		if strings.HasPrefix(line, "\t") {
			b.WriteString(line)
			continue
		}
		fields := strings.SplitN(line, ": ", 3)
		if len(fields) < 3 {
			continue
		}
		object := fields[0] + fields[1]
		if first == "" {
			first = object
		}
		if object != first {
			break
		}
		b.WriteString(fields[2])
	}
	return b.String()
}

func writeRows(b *bytes.Buffer, all []*Rule) {
	b.WriteString(`
## The bypass matrix

The ways past an egress gateway that are known, and what becomes of each.

| row | the way | what becomes of it |
|---|---|---|
`)
	for _, row := range Rows {
		var by []string
		for _, r := range all {
			if slices.Contains(r.Rows, row.ID) {
				by = append(by, fmt.Sprintf("[%s](#%s)", r.Name, r.Name))
			}
		}
		answer := strings.Join(by, ", ")
		if row.Elsewhere != "" {
			if answer != "" {
				answer += "; "
			}
			answer += fmt.Sprintf("%s (%s)", row.Elsewhere, row.Reason)
		}
		fmt.Fprintf(b, "| %s | %s | %s |\n", row.ID, row.What, answer)
	}
}

func writeIstioKeys(b *bytes.Buffer) {
	b.WriteString(`
## Istio's annotations and labels

What becomes of each that Istio's API lists, and of those that only its code knows.

| annotation or label | what becomes of it |
|---|---|
`)
	for _, name := range slices.Sorted(maps.Keys(IstioKeys)) {
		k := IstioKeys[name]
		answer := "harmless: " + k.Harmless
		if len(k.Rules) > 0 {
			var by []string
			for _, r := range k.Rules {
				by = append(by, fmt.Sprintf("[%s](#%s)", r, r))
			}
			answer = strings.Join(by, ", ")
		}
		if k.form != nil && len(k.Rules) == 0 {
			answer += "; on pods its value has to be of its form ([istio-keys](#istio-keys))"
		}
		fmt.Fprintf(b, "| \x60%s\x60 | %s |\n", name, answer)
	}
}
