package test

import (
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode"
)

// TestArchitecturePage keeps the rooms of docs/architecture.md true: each package
// of layers, with what its comment says that it is, and what it may import.
func TestArchitecturePage(t *testing.T) {
	cmd := exec.CommandContext(t.Context(), "go", "list", "-f", "{{.ImportPath}}\t{{.Doc}}", "./...")
	cmd.Dir = ".."
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v: %v", cmd, err)
	}
	synopses := map[string]string{}
	for line := range strings.Lines(string(out)) {
		importPath, doc, _ := strings.Cut(strings.TrimSpace(line), "\t")
		name, ok := strings.CutPrefix(importPath, module+"/")
		if !ok {
			continue
		}
		if doc == "" && !strings.HasPrefix(name, "test") {
			t.Errorf("package %s has no comment that says what it is", name)
		}
		// "Package mesh is ..." and "Command sallyport judges ...": the name stands beside it.
		if words := strings.SplitN(doc, " ", 3); len(words) == 3 {
			synopses[name] = strings.ReplaceAll(words[2], "|", `\|`)
		}
	}
	var rooms strings.Builder
	rooms.WriteString("| package | what it is or does | imports |\n|---|---|---|\n")
	for _, name := range slices.Sorted(maps.Keys(layers)) {
		if synopses[name] == "" {
			t.Errorf("layers has package %s, and there is none", name)
		}
		imports := "nothing of this repository"
		if len(layers[name]) > 0 {
			imports = "`" + strings.Join(layers[name], "`, `") + "`"
		}
		fmt.Fprintf(&rooms, "| `%s` | %s | %s |\n", name, synopses[name], imports)
	}
	const page = "../docs/architecture.md"
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	checkPage(t, page, between(t, string(text), "rooms", rooms.String()))
}

// TestDocumentsAreFound sees that every page of docs/ stands in its index, and
// that every link of a page leads to a file of the repository, and to a heading
// of it where it names one.
func TestDocumentsAreFound(t *testing.T) {
	out, err := exec.CommandContext(t.Context(), "git", "-C", "..", "ls-files", "*.md").Output()
	if err != nil {
		t.Fatal(err)
	}
	link := regexp.MustCompile(`\]\(([^)\s]+)\)`)
	linked := map[string]bool{} // by the index
	pages := strings.Fields(string(out))
	for _, page := range pages {
		for _, m := range link.FindAllStringSubmatch(readPage(t, page), -1) {
			target, heading, _ := strings.Cut(m[1], "#")
			if strings.Contains(target, "://") {
				continue
			}
			file := page
			if target != "" {
				file = path.Join(path.Dir(page), target)
			}
			if page == "docs/README.md" {
				linked[file] = true
			}
			if _, err := os.Stat(filepath.Join("..", file)); err != nil {
				t.Errorf("%s links %s, which is not there", page, m[1])
			} else if heading != "" && !hasHeading(readPage(t, file), heading) {
				t.Errorf("%s links %s, and there is no such heading", page, m[1])
			}
		}
	}
	for _, page := range pages {
		if path.Dir(page) == "docs" && page != "docs/README.md" && !linked[page] {
			t.Errorf("docs/README.md, the index, does not link %s", page)
		}
	}
}

func readPage(t *testing.T, file string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", file))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// hasHeading reports whether the page has a heading of that anchor: as a forge
// makes it, in lower case, with hyphens for blanks, and without other signs.
func hasHeading(text, anchor string) bool {
	for line := range strings.Lines(text) {
		title, ok := strings.CutPrefix(strings.TrimLeft(line, "#"), " ")
		if !ok || !strings.HasPrefix(line, "#") {
			continue
		}
		made := strings.Map(func(r rune) rune {
			switch {
			case r == ' ':
				return '-'
			case r == '-' || r == '_' || unicode.IsLetter(r) || unicode.IsDigit(r):
				return unicode.ToLower(r)
			}
			return -1
		}, strings.TrimSpace(title))
		if made == anchor {
			return true
		}
	}
	return false
}
