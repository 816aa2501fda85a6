package rules_test

import (
	"strings"
	"testing"

	"github.com/sallyport-io/sallyport/rules"
)

func TestOneCause(t *testing.T) {
	deny := func(host string, port int, path, fix string) rules.Finding {
		return rules.Finding{Severity: rules.Deny, Host: host, Port: port, Path: path, Fix: fix, Message: "traffic leaves directly: no rule", Told: "traffic leaves directly: no rule"}
	}
	got := rules.OneCause([]rules.Finding{
		deny("a", 80, "spec.ports[0]", "x"),
		deny("a", 443, "spec.ports[1]", "x"),
		deny("a", 80, "spec.http[0]", "x"),
		deny("a", 80, "spec.http[0]", "x"),
		deny("a", 80, "spec.http[1].mirror", "remove it"),
		deny("b", 80, "spec.ports[0]", "y"),
		{Severity: rules.Deny, Path: "spec.hosts", Fix: "x", Message: "another rule's"},
	})
	if len(got) != 4 {
		t.Fatalf("%d findings, want 4: %+v", len(got), got)
	}
	const also = "; the same goes for port 443 (spec.ports[1]), spec.http[0]"
	if !strings.HasSuffix(got[0].Message, also) || got[0].Told.String() != got[0].Message {
		t.Errorf("%q does not name the other places", got[0].Message)
	}
	for _, f := range got[1:] {
		if strings.Contains(f.Message, "same goes") {
			t.Errorf("%q names places", f.Message)
		}
	}
}

func TestWrap(t *testing.T) {
	for _, line := range rules.Wrap(strings.Repeat("some words ", 40)+strings.Repeat("x", 150), 40) {
		if len(line) > 40 && strings.Contains(line, " ") {
			t.Errorf("%q", line)
		}
	}
	if got := rules.Wrap("", 40); got != nil {
		t.Errorf("%q", got)
	}
}

// TestWrapComments breaks comments alone, and loses no word of them.
func TestWrapComments(t *testing.T) {
	long := strings.TrimSpace(strings.Repeat("word ", 40))
	fix := "# " + long + "\n# short\nspec:\n  note: " + long + "\n  # " + long + "\n"
	got := rules.WrapComments(fix, 60)
	for line := range strings.Lines(got) {
		if strings.HasPrefix(line, "# ") && len(line) > 61 {
			t.Errorf("%d bytes: %s", len(line), line)
		}
	}
	comment, rest, _ := strings.Cut(got, "# short\n")
	if words := strings.Join(strings.Fields(strings.ReplaceAll(comment, "# ", "")), " "); words != long {
		t.Errorf("the comment is %q", words)
	}
	if _, want, _ := strings.Cut(fix, "# short\n"); rest != want {
		t.Errorf("what is no comment of its own has changed: %q", rest)
	}
	if words := "# " + long; rules.WrapComments("spec: {}\n"+words, 60) != "spec: {}\n"+words {
		t.Error("a fix that does not begin with a comment has changed")
	}
}
