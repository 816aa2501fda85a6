package printable_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"unicode"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/yaml"

	"github.com/sallyport-io/sallyport/internal/printable"
)

// hostile are strings that do something to a terminal, a log, a workflow or a
// reader's eye.
var hostile = []string{
	"\x1b[2J\x1b[31mred", "\x1b]0;title\x07", "\u009b31m", "a\rb", "a\bb", "\x00", "\x7f", "\x85", "\u2028x\u2029", "\u202eevil\u202c", "\u2066x\u2069",
	"zero\u200bwidth\u200d\u2060", "\ufeffbom", "soft\u00adhyphen", "\U000e0041\U000e007f", "\u3164", "\u115f", "\u034f", "\ufe0f", "\xff\xfe", "\xc2", "nbsp\u00a0",
	"x\n::error::y", "::set-output name=a::b", "  ::add-mask::x", "a ::stop-commands::b", "##[error]x", "x ##[add-path]y", "\u180e", "\ue000private", "\U0010ffff", "%0A::error::",
}

// shows reports whether nothing in the text is to be escaped.
func shows(s string, more string) error {
	for _, r := range s {
		if !unicode.IsPrint(r) && !strings.ContainsRune(more, r) || strings.ContainsRune("\u3164\u115f\u034f\ufe0f\ufffd", r) {
			return fmt.Errorf("%q holds %U", s, r)
		}
	}
	return nil
}

func TestLine(t *testing.T) {
	for _, s := range hostile {
		if err := shows(printable.Line(s), ""); err != nil {
			t.Error(err)
		}
		if err := shows(printable.Text(s), "\n\t"); err != nil {
			t.Error(err)
		}
	}
	for s, want := range map[string]string{
		"plain": "plain", "grüße, 世界 🎉": "grüße, 世界 🎉", "a\tb\nc\rd": `a\tb\nc\rd`, "\x1b[0m": `\u001b[0m`, "\U000e0041": `\udb40\udc41`, "\xff": `\ufffd`, `\n`: `\n`,
	} {
		if got := printable.Line(s); got != want {
			t.Errorf("Line(%q) = %q, want %q", s, got, want)
		}
	}
	if got := printable.Text("a\n\tb\r"); got != "a\n\tb\\r" {
		t.Errorf("Text: %q", got)
	}
}

func TestWriter(t *testing.T) {
	for _, s := range hostile {
		for chunk := 1; chunk < 4; chunk++ { // signs may come in pieces
			var b bytes.Buffer
			w := printable.NewWriter(&b)
			for rest := []byte(s); len(rest) > 0; {
				n := min(chunk, len(rest))
				if _, err := w.Write(rest[:n]); err != nil {
					t.Fatal(err)
				}
				rest = rest[n:]
			}
			if err := w.Flush(); err != nil {
				t.Fatal(err)
			}
			if err := shows(b.String(), "\n\t"); err != nil {
				t.Error(err)
			}
			for line := range strings.Lines(b.String()) {
				if strings.HasPrefix(strings.TrimSpace(line), "::") || strings.Contains(line, "##[") {
					t.Errorf("%q is written as a command of a workflow: %q", s, line)
				}
			}
		}
	}
	var b bytes.Buffer
	w := printable.NewWriter(&b)
	w.Colored()
	fmt.Fprintf(w, "\x1b[31mred\x1b[0m \x1b[2J \x1b]0;x\x07 \x1b[38;5;1mx\n")
	if got, want := b.String(), "\x1b[31mred\x1b[0m \\u001b[2J \\u001b]0;x\\u0007 \\u001b[38;5;1mx\n"; got != want {
		t.Errorf("in colour: %q, want %q", got, want)
	}
}

func TestFprintf(t *testing.T) {
	type word string
	var b strings.Builder
	printable.Fprintf(&b, "%s %s %d %v %s %s %-4s|%v", "a\nb", word("\x1b"), 7, errors.New("e\r"), []string{"\n"}, printable.Raw("\x1b[0m"), "x", nil)
	if got, want := b.String(), "a\\nb \\u001b 7 e\\r [\\n] \x1b[0m x   |<nil>"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

func checkYAML(t *testing.T, v any) {
	t.Helper()
	data, err := printable.YAML(v)
	if err != nil {
		t.Fatalf("%q: %v", v, err)
	}
	if err := shows(strings.ReplaceAll(string(data), "\ufffd", ""), "\n"); err != nil {
		t.Errorf("YAML: %v", err)
	}
	for line := range strings.Lines(string(data)) {
		if strings.HasPrefix(strings.TrimSpace(line), "::") || strings.Contains(line, "##[") {
			t.Errorf("%q is written as a command of a workflow: %q", v, line)
		}
	}
	want, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	got, err := yaml.YAMLToJSON(data)
	if err != nil {
		t.Fatalf("what is written for %q is not YAML: %v\n%s", v, err, data)
	}
	var w, g any
	if json.Unmarshal(want, &w) != nil || json.Unmarshal(got, &g) != nil {
		t.Fatal("not JSON")
	}
	if diff := cmp.Diff(w, g); diff != "" {
		t.Errorf("YAML loses something (-want +got):\n%s", diff)
	}
}

// TestYAML: whatever a value holds, the YAML shows, is no command, and means
// the same.
func TestYAML(t *testing.T) {
	for _, s := range hostile {
		checkYAML(t, map[string]any{s: s, "list": []any{s, map[string]any{"k": s, "long": strings.Repeat("word ", 40) + s}}, "n": 1, "yes": "no", "empty": map[string]any{}, "none": []any{}, "null": nil})
	}
	data, err := printable.YAML(map[string]any{"a": "x", "cidr": "::/0", "hosts": []string{"::1"}})
	if want := "a: x\ncidr: ::/0\nhosts:\n- ::1\n"; err != nil || string(data) != want {
		t.Errorf("plain values are written as %q, %v; want %q", data, err, want)
	}
}

func FuzzYAML(f *testing.F) {
	for _, s := range hostile {
		f.Add(s, s)
	}
	f.Fuzz(func(t *testing.T, key, value string) {
		checkYAML(t, map[string]any{key: []string{value}, "b" + value: value})
		if err := shows(printable.Line(value), ""); err != nil {
			t.Error(err)
		}
	})
}
