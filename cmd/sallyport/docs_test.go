package main

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/cobra"

	"github.com/sallyport-io/sallyport/internal/report"
	"github.com/sallyport-io/sallyport/policies"
)

var update = flag.Bool("update", false, "rewrite docs/cli.md and the golden files of testdata/script")

const cliPage = "../../docs/cli.md"

// TestDocs holds docs/cli.md and the commands together.
func TestDocs(t *testing.T) {
	want := page(newRootCommand())
	if *update {
		if err := os.WriteFile(cliPage, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	got, err := os.ReadFile(cliPage)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, string(got)); diff != "" {
		t.Errorf("docs/cli.md is stale; run go test ./cmd/sallyport -update (-want +got):\n%s", diff)
	}
}

// TestHelp: every command says what it is for, and shows it.
func TestHelp(t *testing.T) {
	for cmd := range commands(newRootCommand()) {
		if cmd.Short == "" || cmd.Example == "" {
			t.Errorf("%s: a command needs a short description and an example", cmd.CommandPath())
		}
		if strings.HasSuffix(cmd.Short, ".") {
			t.Errorf("%s: the short description ends with a full stop", cmd.CommandPath())
		}
	}
}

// TestExamplesWork: the commands of the pages that read manifests/ can be given
// as they stand in a clone, where a folder of that name is.
func TestExamplesWork(t *testing.T) {
	t.Chdir("../..")
	ran := 0
	for _, name := range []string{"README.md", "docs/cli.md"} {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(text)) {
			command, _, _ := strings.Cut(line, "#")
			command, _, _ = strings.Cut(command, "|")
			words := strings.Fields(strings.ReplaceAll(command, "'*'", "*"))
			if len(words) < 3 || words[0] != "sallyport" || !slices.Contains(words, "manifests/") {
				continue
			}
			ran++
			var stdout, stderr bytes.Buffer
			if code := run(t.Context(), words, strings.NewReader(""), &stdout, &stderr); code == exitFailed {
				t.Errorf("%s: %s: status %d: %s", name, strings.Join(words, " "), code, stderr.String())
			}
		}
	}
	if ran < 10 {
		t.Errorf("%d commands were run; want all those of the pages", ran)
	}
}

// TestBuiltinNames: no policy may take the name of a finding that comes from
// reading.
func TestBuiltinNames(t *testing.T) {
	for _, r := range report.Builtin {
		if _, err := policies.Scaffold(r.Name); err == nil {
			t.Errorf("a policy may be called %s", r.Name)
		}
	}
}

// commands yields a command and all beneath it.
func commands(cmd *cobra.Command) func(func(*cobra.Command) bool) {
	return func(yield func(*cobra.Command) bool) { visit(cmd, yield) }
}

func visit(cmd *cobra.Command, yield func(*cobra.Command) bool) bool {
	if cmd.Hidden {
		return true
	}
	if !yield(cmd) {
		return false
	}
	for _, sub := range cmd.Commands() {
		if !visit(sub, yield) {
			return false
		}
	}
	return true
}

// page is the reference page of the command line.
func page(root *cobra.Command) string {
	var b strings.Builder
	b.WriteString(`<!-- Generated from cmd/sallyport by "go test ./cmd/sallyport -update". Do not edit. -->
# The command line

Install it with ` + "`go install github.com/sallyport-io/sallyport/cmd/sallyport@latest`" + `. Copied or linked
under the name ` + "`kubectl-sallyport`" + ` into a directory of the PATH it is also a kubectl plugin:
` + "`kubectl sallyport review manifests/`" + `. ` + "`sallyport completion --help`" + ` says how to teach it to a shell.

What is read from a file is read strictly: malformed YAML or JSON, fields that Istio's API does not have, values of
the wrong type, hosts that are no hosts, keys and objects that are given twice end the command with status 2, with
file, line and field. The same input always gives the same output, byte for byte.

Only regular files are read, by a link too, and standard input: a pipe, a device and a socket are refused, and in a
directory a link that leads out of it; give what a command writes as "-". A document, and an object of a List, may
have 4 MiB, a file or standard input 256 MiB, and all of them together 512 MiB. Lists are read object by object: what is
kept is about four times what there is to read.

Ten thousand entries of 400 namespaces, 25 a file, and a dump of the same cluster with the 50,000 companions that Sallyport
keeps for them (40 MB), took on two busy cores on 28 November 2026:

| command | memory, at most | written | CPU time |
|---|---|---|---|
| ` + "`sallyport review -o text files`" + ` | 357 MiB | 1 kB | 19 s |
| ` + "`sallyport review -o json files`" + ` | 441 MiB | 65 MB | 23 s |
| ` + "`sallyport review -o yaml files`" + ` | 450 MiB | 38 MB | 45 s |
| ` + "`sallyport review -o sarif files`" + ` | 360 MiB | 0.1 MB | 20 s |
| ` + "`sallyport review --state dump.yaml change.yaml`" + ` | 295 MiB | 1 kB | 28 s |
| ` + "`sallyport review -o json --state dump.yaml files`" + ` | 729 MiB | 65 MB | 70 s |
| ` + "`sallyport review -o json dump.yaml`" + ` | 868 MiB | 78 MB | 82 s |

(What ` + "`/usr/bin/time -v COMMAND`" + ` calls the maximum resident set. ` + "`--blocked`" + ` adds a path for each host and namespace, four million here.)

What is printed shows: of names, keys, values and file names, whatever moves a cursor, turns the direction of writing,
has no width or ends a line is escaped as in JSON (` + "`\\u001b`" + `), in every format and in errors, and nothing but ` + "`-o github`" + ` writes
commands for GitHub's workflows. JSON and YAML mean what was read all the same.

`)
	for cmd := range commands(root) {
		fmt.Fprintf(&b, "## %s\n\n", cmd.CommandPath())
		text := cmd.Long
		if text == "" {
			text = cmd.Short + "."
		}
		fmt.Fprintf(&b, "%s\n\n", text)
		if cmd.Runnable() && cmd != root {
			fmt.Fprintf(&b, "```text\n%s\n```\n\n", cmd.UseLine())
		}
		if cmd.Example != "" {
			fmt.Fprintf(&b, "```sh\n%s\n```\n\n", unindent(cmd.Example))
		}
		if flags := cmd.NonInheritedFlags(); flags.HasAvailableFlags() {
			fmt.Fprintf(&b, "Flags:\n\n```text\n%s```\n\n", flags.FlagUsages())
		}
	}
	b.WriteString(`## Findings that come from reading

Rules are described in [rules/README.md](../rules/README.md), policies in
[policies/README.md](../policies/README.md). Some findings come from reading the files and not from judging objects:

`)
	for _, r := range report.Builtin {
		title, text, _ := strings.Cut(r.Doc, "\n\n")
		fmt.Fprintf(&b, "### %s\n\n%s (severity %s)\n\n%s\n\n", r.Name, title, r.Severity, text)
	}
	return strings.TrimRight(b.String(), "\n") + "\n"
}

// unindent removes the two blanks by which cobra's examples are set off.
func unindent(s string) string {
	var b strings.Builder
	for line := range strings.Lines(s) {
		b.WriteString(strings.TrimPrefix(line, "  "))
	}
	return b.String()
}
