package main

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// block is a fenced block of a page.
type block struct {
	language, file string // the words after the fence
	text           string
	line           int
}

func blocks(t *testing.T, page string) []block {
	t.Helper()
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	var all []block
	inside := false
	for i, line := range strings.Split(string(text), "\n") {
		fence, isFence := strings.CutPrefix(line, "```")
		switch {
		case isFence && !inside:
			language, file, _ := strings.Cut(fence, " ")
			all = append(all, block{language: language, file: file, line: i + 1})
			inside = true
		case isFence:
			inside = false
		case inside:
			all[len(all)-1].text += line + "\n"
		}
	}
	return all
}

// TestTutorial does what docs/policies.md says, to the letter: it gives the
// commands, writes the files that are shown, and wants to read what is shown.
func TestTutorial(t *testing.T) {
	all := blocks(t, "../../docs/policies.md")
	t.Chdir(t.TempDir())
	const policy = "org-policies/partner_hosts"
	edit := func(file, from, to string) (undo func()) {
		t.Helper()
		name := filepath.Join(policy, file)
		before, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		after := bytes.Replace(before, []byte(from), []byte(to), 1)
		if bytes.Equal(before, after) {
			t.Fatalf("%s has no %q to change", file, from)
		}
		write(t, name, string(after))
		return func() { write(t, name, string(before)) }
	}
	var said string // by the commands since the last block of them
	command := func(line string) int {
		var out bytes.Buffer
		code := run(t.Context(), strings.Fields(line), strings.NewReader(""), &out, &out)
		said += out.String()
		return code
	}

	// What the cluster holds is not the page's to say.
	entry := ""
	configured := false
	for _, b := range all {
		switch {
		case b.file != "":
			write(t, filepath.Join(policy, b.file), b.text)
			if _, bad, ok := strings.Cut(b.text, "-- bad.yaml --\n"); ok {
				entry = bad
				write(t, "cluster.yaml", bad)
			}
		case b.language == "sh":
			said = ""
			for line := range strings.Lines(b.text) {
				if !strings.HasPrefix(line, "sallyport ") || strings.Contains(line, "decisions.json") {
					continue
				}
				if strings.HasPrefix(line, "sallyport dump ") {
					continue // there is no cluster here, and cluster.yaml is written above
				}
				if code := command(line); code == exitFailed || code == exitDenied && !strings.Contains(line, "replay") {
					t.Errorf("line %d: %s: status %d\n%s", b.line, strings.TrimSpace(line), code, said)
				}
			}
		case b.language == "text" && strings.Contains(b.text, "lables"):
			undo := edit("partner_hosts.rego", "labels.team", "lables.team")
			said = ""
			if code := command("sallyport policy check org-policies"); code != exitFailed || said != b.text {
				t.Errorf("line %d: status %d; the page shows\n%s, and it says\n%s", b.line, code, b.text, said)
			}
			undo()
		case b.language == "text" && strings.HasPrefix(b.text, "FAIL"):
			undo := edit("partner_hosts_test.rego", `is for the payments team"}`, `is for the shop"}`)
			said = ""
			if code := command("sallyport policy test org-policies"); code != exitDenied || !strings.HasPrefix(said, b.text) {
				t.Errorf("line %d: status %d; the page shows\n%s, and it says\n%s", b.line, code, b.text, said)
			}
			undo()
		case b.language == "text" && strings.HasPrefix(b.text, "-- want --"):
			sample, err := os.ReadFile(filepath.Join(policy, "partner_hosts.txtar"))
			if err != nil {
				t.Fatal(err)
			}
			if !strings.HasSuffix(string(sample), b.text) {
				t.Errorf("line %d: the page shows\n%s, and the sample is\n%s", b.line, b.text, sample)
			}
		case b.language == "text":
			if said != b.text {
				t.Errorf("line %d: the page shows\n%s, and the commands say\n%s", b.line, b.text, said)
			}
		case b.language == "yaml":
			configured = true
			write(t, "config.yaml", "apiVersion: sallyport.io/v1alpha1\nkind: Config\n"+b.text)
		}
	}
	if !configured || entry == "" {
		t.Fatal("the page has no configuration, or no sample")
	}
	// It denies by itself, and warns by the page's configuration.
	write(t, "entry.yaml", entry)
	for line, want := range map[string]int{
		"sallyport review --policies org-policies entry.yaml":                      exitDenied,
		"sallyport review --policies org-policies --config config.yaml entry.yaml": exitOK,
	} {
		said = ""
		if code := command(line); code != want || !strings.Contains(said, `host "bank.partner.example" is for the payments team`) {
			t.Errorf("%s: status %d, want %d\n%s", line, code, want, said)
		}
	}
}

// TestNewPolicyInClone: a policy may be begun in the folder policies of a
// clone of this repository, where the library and the templates lie.
func TestNewPolicyInClone(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "policies")
	if err := os.CopyFS(dir, os.DirFS("../../policies")); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"new", "partner-hosts", "--dir", dir}, {"test", dir}, {"check", dir}} {
		var out bytes.Buffer
		if code := run(t.Context(), slices.Concat([]string{"sallyport", "policy"}, args), strings.NewReader(""), &out, &out); code != exitOK {
			t.Errorf("policy %s: status %d\n%s", args[0], code, out.String())
		}
	}
}

func write(t *testing.T, name, text string) {
	t.Helper()
	if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}
