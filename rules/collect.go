package rules

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/sallyport-io/sallyport/internal/mesh"
)

// What is found in one object is for people and for logs. An object of a
// megabyte can earn a finding for every few of its bytes, each with a fix, and
// one that quotes a megabyte in each: all of that is bounded where findings are
// made, before it takes memory, and the same for everybody who asks.
const (
	// MaxFindings is how many findings of one object are listed, the gravest.
	MaxFindings = 100
	// maxOfRule is how many of them are one rule's, of one severity.
	maxOfRule = 25
	// The bytes of the texts of a finding.
	maxMessage = 1 << 10
	maxPath    = 512
	maxFix     = 8 << 10
)

// Rest is what a finding stands for that says how many findings of its rule and
// severity are not listed.
type Rest struct {
	Count int    // at least so many
	Sins  string // what the denials among them are about, one [sin] after the other
}

// sin is what a denial is about: its rule, message and subject. The place is left
// out, for the indices in a path move.
type sin [16]byte

func sinOf(f *Finding) (s sin) {
	h := sha256.New()
	for _, part := range []string{f.Rule, f.Message, f.About} {
		fmt.Fprintf(h, "%d:", len(part))
		_, _ = io.WriteString(h, part)
	}
	copy(s[:], h.Sum(nil))
	return s
}

// bound shortens the texts of a finding. What was cut off still tells it from
// others.
func (f *Finding) bound() {
	if len(f.Message) > maxMessage {
		digest := sha256.Sum256([]byte(f.Message))
		f.About += "\x00" + hex.EncodeToString(digest[:])
		f.Message = mesh.Cut(f.Message, maxMessage)
	}
	if len(f.Fix) > maxFix && f.Words != "" {
		f.ToldFix, f.Fix = f.Words, f.Words.String() // half of it would be no fix
	}
	// The marks of the names take some room, and need not be whole.
	f.Told, f.ToldFix = f.Told[:min(len(f.Told), 2*maxMessage)], f.ToldFix[:min(len(f.ToldFix), 2*maxFix)]
	f.Path = mesh.Cut(f.Path, maxPath)
	if len(f.Fix) > maxFix {
		f.Fix = mesh.Cut(f.Fix, maxFix) + fmt.Sprintf("\n# %d bytes more\n", len(f.Fix)-maxFix)
	}
}

// collector takes what rules report, and keeps as much as is listed.
type collector struct {
	mesh  *mesh.Mesh // whose budget pays; nil for none
	kept  []Finding
	tally []tally
	// excused are denials that are none, as they were earned before the write.
	excused Sins
}

// tally counts the findings of one rule and severity.
type tally struct {
	rule     string
	severity Severity
	kept     int
	left     int  // how many are not listed
	sins     Sins // what those are about, of denials
}

// add takes a finding.
func (c *collector) add(f Finding) {
	if c.mesh != nil {
		c.mesh.Spend(1 + (len(f.Message)+len(f.Path)+len(f.Fix)+len(f.About))/16)
	}
	f.bound()
	if f.Severity == Deny && len(c.excused) > 0 && c.excused.Excuse(f) {
		f.Severity = Warn
	}
	t := c.tallyOf(&f)
	if t.kept < maxOfRule {
		t.kept++
		c.kept = append(c.kept, f)
		return
	}
	t.leaveOut(&f)
}

func (c *collector) tallyOf(f *Finding) *tally {
	for i := range c.tally {
		if t := &c.tally[i]; t.severity == f.Severity && t.rule == f.Rule {
			return t
		}
	}
	c.tally = append(c.tally, tally{rule: f.Rule, severity: f.Severity})
	return &c.tally[len(c.tally)-1]
}

func (t *tally) leaveOut(f *Finding) {
	t.left++
	if f.Severity != Deny { // nobody asks what others were
		return
	}
	if t.sins == nil {
		t.sins = Sins{}
	}
	t.sins[sinOf(f)] = true
}

// findings returns what was kept, sorted, and for each rule and severity of
// which something is not listed a finding that says how much. So a denial is
// never lost, however many warnings there are, and whatever comes before it.
func (c *collector) findings() []Finding {
	Sort(c.kept)
	c.kept = slices.CompactFunc(c.kept, sameFinding)
	if len(c.kept) > MaxFindings {
		for i := MaxFindings; i < len(c.kept); i++ {
			c.tallyOf(&c.kept[i]).leaveOut(&c.kept[i])
		}
		c.kept = c.kept[:MaxFindings]
	}
	more := false
	for i := range c.tally {
		if t := &c.tally[i]; t.left > 0 {
			more = true
			c.kept = append(c.kept, Finding{
				Rule: t.rule, Severity: t.severity, Message: moreFindings(t.left), Told: "more findings of this rule are not listed", Rest: Rest{t.left, t.sins.joined()},
			})
		}
	}
	if more {
		Sort(c.kept)
	}
	return c.kept
}

// sameFinding reports whether two findings say the same. What their names are marked
// as makes no other finding of one.
func sameFinding(a, b Finding) bool {
	a.Told, a.ToldFix, b.Told, b.ToldFix = "", "", "", ""
	a.Decided, b.Decided = mesh.Ref{}, mesh.Ref{}
	return a == b
}

// joined are the sins one after the other.
func (s Sins) joined() string {
	var b strings.Builder
	for _, sin := range slices.SortedFunc(maps.Keys(s), func(a, b sin) int { return bytes.Compare(a[:], b[:]) }) {
		b.Write(sin[:])
	}
	return b.String()
}

func moreFindings(n int) string {
	if n == 1 {
		return "1 more finding of this rule is not listed"
	}
	return fmt.Sprintf("%d more findings of this rule are not listed", n)
}

// Sins are what the denials among findings are about.
type Sins map[sin]bool

// SinsOf returns what the denials are about, those that are not listed too.
func SinsOf(findings []Finding) Sins {
	sins := Sins{}
	for i := range findings {
		f := &findings[i]
		switch {
		case f.Severity != Deny:
		case f.Rest.Count > 0:
			for all := []byte(f.Rest.Sins); len(all) >= len(sin{}); all = all[len(sin{}):] {
				sins[sin(all[:len(sin{})])] = true
			}
		default:
			sins[sinOf(f)] = true
		}
	}
	return sins
}

// Excuse reports whether a denial is about one of the sins.
func (s Sins) Excuse(f Finding) bool { return f.Rest.Count == 0 && s[sinOf(&f)] }

// Complete reports whether every denial is listed.
func Complete(findings []Finding) bool {
	return !slices.ContainsFunc(findings, func(f Finding) bool { return f.Severity == Deny && f.Rest.Count > 0 })
}
