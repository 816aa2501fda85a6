package rules_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/sallyport-io/sallyport/internal/mesh"
	"github.com/sallyport-io/sallyport/rules"
)

// reporter is a rule that reports.
func reporter(name string, report func(*rules.Pass)) *rules.Rule {
	return &rules.Rule{Name: name, Severity: rules.Warn, Check: func(_ context.Context, p *rules.Pass) error {
		report(p)
		return nil
	}}
}

var someEntry = &mesh.ServiceEntry{Meta: mesh.Meta{Ref: mesh.Ref{Kind: "ServiceEntry", Namespace: "shop", Name: "x"}}}

// TestFindingsAreBounded checks that findings are bounded in number and bytes while they are made, that what is not
// listed is counted, and that no denial is lost among them.
func TestFindingsAreBounded(t *testing.T) {
	const many = 10_000
	long := strings.Repeat("long ", 100_000)
	var all []*rules.Rule
	for i := range 8 {
		all = append(all, reporter(fmt.Sprintf("a%d", i), func(p *rules.Pass) {
			for j := range many {
				p.Report(rules.Finding{Path: fmt.Sprintf("spec.hosts[%d]", j), Message: fmt.Sprint("bad ", j)})
			}
		}))
	}
	all = append(all, reporter("z", func(p *rules.Pass) {
		p.Report(rules.Finding{Severity: rules.Deny, Path: long, Message: long + "one", Fix: long})
		p.Report(rules.Finding{Severity: rules.Deny, Path: long, Message: long + "two", Fix: long})
	}))
	got, err := rules.Run(t.Context(), all, rules.Pass{Request: rules.Request{Operation: "CREATE"}, Subject: someEntry})
	if err != nil {
		t.Fatal(err)
	}
	listed, left, denials, bytes := 0, 0, 0, 0
	for i, f := range got {
		bytes += len(f.Path) + len(f.Message) + len(f.Fix)
		if f.Severity == rules.Deny {
			denials++
			if i >= 2 {
				t.Errorf("denial %d comes after warnings", i)
			}
		}
		if left += f.Rest.Count; f.Rest.Count == 0 {
			listed++
		}
	}
	if denials != 2 {
		t.Errorf("%d denials, want both: what was cut off tells them apart", denials)
	}
	if listed != rules.MaxFindings || listed+left != 8*many+2 {
		t.Errorf("%d findings are listed and %d counted, want %d of %d", listed, left, rules.MaxFindings, 8*many+2)
	}
	if bytes > 100_000 {
		t.Errorf("%d bytes", bytes)
	}
	if last := got[len(got)-1]; last.Rule != "a7" || !strings.HasSuffix(last.Message, "more findings of this rule are not listed") {
		t.Errorf("the last is %+v", last)
	}
}

// TestDenialsBeyondTheListStillDeny checks that a rule which denies more than is listed still denies by what is not,
// and that only a sin which was there before excuses it.
func TestDenialsBeyondTheListStillDeny(t *testing.T) {
	denies := func(from, to int) []*rules.Rule {
		return []*rules.Rule{reporter("r", func(p *rules.Pass) {
			for i := from; i < to; i++ {
				p.Report(rules.Finding{Severity: rules.Deny, Path: fmt.Sprint(i - from), Message: fmt.Sprint("sin ", i)})
			}
		})}
	}
	run := func(excused rules.Sins, from, to int) []rules.Finding {
		t.Helper()
		got, err := rules.Run(t.Context(), denies(from, to), rules.Pass{Request: rules.Request{Operation: "CREATE"}, Subject: someEntry, Excused: excused})
		if err != nil {
			t.Fatal(err)
		}
		return got
	}
	denied := func(findings []rules.Finding) (messages []string) {
		for _, f := range findings {
			if f.Severity == rules.Deny {
				messages = append(messages, f.Message)
			}
		}
		return messages
	}
	before := run(nil, 0, 1000)
	if rules.Complete(before) {
		t.Fatal("a thousand denials are listed")
	}
	sins := rules.SinsOf(before)
	if got := denied(run(sins, 500, 1000)); len(got) > 0 {
		t.Errorf("the second half of what was there denies: %v", got)
	}
	if got := denied(run(sins, 500, 1001)); len(got) != 1 || got[0] != "sin 1000" {
		t.Errorf("of old sins and a new one these deny: %v", got)
	}
	if got := denied(run(nil, 0, 26)); len(got) != 26 || got[25] != "1 more finding of this rule is not listed" && got[0] != "1 more finding of this rule is not listed" {
		t.Errorf("without an excuse these deny: %v", got)
	}
}
