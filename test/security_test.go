package test

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
)

// securityPage is where the tables of [threats] and [advisories] are shown,
// each between two lines of comment; what is around them is written by hand.
const securityPage = "../docs/security.md"

// threat is a class of attack, and what holds it.
type threat struct {
	class string   // what an attacker does
	ids   []string // advisories of the class, in whatever product
	// tests hold the class: "folder.TestName", "folder.TestName/case" for a
	// golden case, or the path of a testscript.
	tests []string
	// why says what the tests show, or, where there are none, why the class
	// cannot apply.
	why string
}

// TestSecurityPage holds docs/security.md to the tables; -update writes it.
func TestSecurityPage(t *testing.T) {
	page, err := os.ReadFile(securityPage)
	if err != nil {
		t.Fatal(err)
	}
	want := string(page)
	for name, table := range map[string]string{"threats": table(threats), "advisories": table(advisories)} {
		want = between(t, want, name, table)
	}
	if *update {
		if err := os.WriteFile(securityPage, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if diff := gocmp.Diff(want, string(page)); diff != "" {
		t.Errorf("docs/security.md is stale; run go test ./test -run %s -update (-want +got):\n%s", t.Name(), diff)
	}
}

// between puts text between the lines that begin and end a generated part.
func between(t *testing.T, page, name, text string) string {
	t.Helper()
	begin, end := fmt.Sprintf("<!-- begin %s -->\n", name), fmt.Sprintf("<!-- end %s -->\n", name)
	before, rest, ok := strings.Cut(page, begin)
	_, after, ok2 := strings.Cut(rest, end)
	if !ok || !ok2 {
		t.Fatalf("docs/security.md lacks the lines %q and %q", begin, end)
	}
	return before + begin + text + end + after
}

func table(rows []threat) string {
	var b strings.Builder
	b.WriteString("| class | held by | what that shows |\n|---|---|---|\n")
	for _, r := range rows {
		class := r.class
		if len(r.ids) > 0 {
			class += " (" + strings.Join(r.ids, ", ") + ")"
		}
		held := "cannot apply"
		if len(r.tests) > 0 {
			held = "`" + strings.Join(r.tests, "`, `") + "`"
		}
		fmt.Fprintf(&b, "| %s | %s | %s |\n", class, held, r.why)
	}
	return b.String()
}

// TestThreatsNameTests fails where a row names a test that is not there, or
// neither a test nor a reason.
func TestThreatsNameTests(t *testing.T) {
	there := testNames(t)
	for _, r := range append(append([]threat{}, threats...), advisories...) {
		if r.class == "" || r.why == "" {
			t.Errorf("the row %+v lacks its class or its reason", r)
		}
		for _, name := range r.tests {
			if !there[name] {
				t.Errorf("row %q: there is no test %s", r.class, name)
			}
		}
	}
}

// TestEveryAdvisoryHasARow holds the page to the list of advisories that were
// looked at: each stands in exactly one row.
func TestEveryAdvisoryHasARow(t *testing.T) {
	rows := map[string]int{}
	for _, r := range advisories {
		for _, id := range r.ids {
			rows[id]++
		}
	}
	for _, id := range advisoryIDs {
		if rows[id] != 1 {
			t.Errorf("%s stands in %d rows of docs/security.md, want one", id, rows[id])
		}
		delete(rows, id)
	}
	for id := range rows {
		t.Errorf("%s stands in a row, but not in the list of advisories", id)
	}
}

// testNames are the tests of the repository, as rows name them.
func testNames(t *testing.T) map[string]bool {
	t.Helper()
	names := map[string]bool{}
	err := filepath.WalkDir("..", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			if strings.HasPrefix(d.Name(), ".") && d.Name() != ".." {
				return fs.SkipDir
			}
			return nil
		}
		dir := filepath.ToSlash(strings.TrimPrefix(filepath.Dir(path), "../"))
		switch {
		case strings.HasSuffix(path, "_test.go"):
			file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
			if err != nil {
				return err
			}
			for _, decl := range file.Decls {
				f, ok := decl.(*ast.FuncDecl)
				if ok && f.Recv == nil && (strings.HasPrefix(f.Name.Name, "Test") || strings.HasPrefix(f.Name.Name, "Fuzz")) {
					names[dir+"."+f.Name.Name] = true
				}
			}
		case strings.HasSuffix(path, ".txtar") && strings.HasSuffix(dir, "rules/testdata"):
			names["rules.TestCases/"+strings.TrimSuffix(d.Name(), ".txtar")] = true
		case strings.HasSuffix(path, ".txtar"):
			names[dir+"/"+d.Name()] = true
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return names
}
