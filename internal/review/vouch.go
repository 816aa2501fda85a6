package review

import (
	"slices"

	"github.com/sallyport-io/sallyport/internal/budget"
	"github.com/sallyport-io/sallyport/internal/mesh"
	"github.com/sallyport-io/sallyport/rules"
)

// vouch tries every fix that is YAML and that no rule has tried itself, and puts the
// words in the place of those that leave what was found, or bring something else.
// A nil mender has no room to try any.
func (d *mender) vouch(findings []rules.Finding) {
	type try struct{ fix, message string }
	tried := map[try]bool{}
	var before []rules.Finding
	for i := range findings {
		f := &findings[i]
		if f.Words == "" {
			continue
		}
		key := try{f.Fix, f.Message}
		works, known := tried[key]
		if !known && d != nil && d.room("") {
			err := d.spend(func(steps *budget.Budget) (err error) {
				if before == nil {
					if before, err = d.findings(d.pass.Live.Bounded(steps), d.write, d.pass.Subject, d.pass.Old); err != nil {
						return err
					}
				}
				works, err = d.ends(steps, before, *f)
				return err
			})
			works = works && err == nil
			tried[key] = works
		}
		if !works {
			f.ToldFix, f.Fix = f.Words, f.Words.String()
		}
		f.Words = ""
	}
}

// later is said of a fix that has not been tried together with one before it.
const later = "Apply the other fixes first, and ask again: this one changes what they change.\n"

// oneEach leaves one form for each object among the fixes of one write, of which each
// has been tried by itself: whoever applies them all must not undo by one what another
// does.
func oneEach(findings []rules.Finding, raw []byte) {
	var all []*rules.Finding
	for i := range findings {
		f := &findings[i]
		if f.Severity == rules.Deny && f.Fix != "" && (len(all) == 0 || rules.Bare(all[0].Fix) != rules.Bare(f.Fix)) {
			all = append(all, f)
		}
	}
	if len(all) < 2 {
		return
	}
	written := map[mesh.Ref]string{}
	for _, f := range all {
		settle(f, raw, written)
	}
}

// settle has a fix come later that has another form of an object than those before it.
func settle(f *rules.Finding, raw []byte, written map[mesh.Ref]string) []rules.Applied {
	fixed := rules.Fixed(f.Fix, raw)
	if slices.ContainsFunc(fixed, func(a rules.Applied) bool {
		was, ok := written[a.Object.Metadata().Ref]
		return ok && was != string(a.Raw)
	}) {
		f.ToldFix, f.Fix = later, later
		return nil
	}
	for _, a := range fixed {
		written[a.Object.Metadata().Ref] = string(a.Raw)
	}
	return fixed
}

// together tries the fixes of a batch, of which each has been tried by itself, all at
// once. Where they do not go together the first stays.
func (w *world) together(outcomes []Outcome, raw [][]byte) {
	written := map[mesh.Ref]string{}
	var objects []mesh.Object
	var all []*rules.Finding
	mended, words := map[string]bool{}, map[string]bool{}
	for i := range outcomes {
		for j := range outcomes[i].Findings {
			f := &outcomes[i].Findings[j]
			if f.Severity != rules.Deny {
				continue
			}
			fixed := settle(f, raw[i], written)
			if len(fixed) == 0 {
				words[f.Host] = true
				continue
			}
			all = append(all, f)
			mended[f.Host] = true
			for _, a := range fixed {
				objects = append(objects, a.Object)
			}
		}
	}
	if len(all) == 0 || !slices.ContainsFunc(all, func(f *rules.Finding) bool { return rules.Bare(f.Fix) != rules.Bare(all[0].Fix) }) {
		return
	}
	after, _ := applyWanted(w.live.With(objects...), w.hosts)
	for _, p := range w.points {
		for _, client := range w.clientsOf(p.Host) {
			was, _ := w.after.Verdict(client, p.Host, p.Port)
			is, _ := after.Verdict(client, p.Host, p.Port)
			own := mended[p.Host] && !words[p.Host]
			switch {
			case was == mesh.Direct && is == mesh.Direct && own && !after.Decided(client, p.Host, p.Port).Passed:
			case is == was, is == mesh.Via && was != mesh.Blocked, is == mesh.Blocked && was != mesh.Via:
				continue
			}
			for _, f := range all {
				if rules.Bare(f.Fix) != rules.Bare(all[0].Fix) {
					f.ToldFix, f.Fix = later, later
				}
			}
			return
		}
	}
}

// ends reports whether the fix of a finding, applied, ends that and brings no other, of
// the same rule at least none as grave; and whether it breaks no way that there is.
func (d *mender) ends(steps *budget.Budget, before []rules.Finding, f rules.Finding) (bool, error) {
	live := d.pass.Live.Bounded(steps)
	fixed := live
	w, subject := d.write, d.pass.Subject
	objects := rules.Fixed(f.Fix, d.pass.Raw)
	for _, a := range objects {
		fixed = fixed.With(a.Object)
		if a.Object.Metadata().Ref == subject.Metadata().Ref {
			w.Object, subject = a.Raw, a.Object
		}
	}
	if len(objects) == 0 || d.pass.Deleting() {
		return false, nil
	}
	after, err := d.findings(fixed, w, subject, d.pass.Old)
	if err != nil {
		return false, err
	}
	if was := count(before, f); was == 0 || count(after, f) >= was {
		return false, nil
	}
	if slices.ContainsFunc(after, func(g rules.Finding) bool {
		lighter := g.Rule == f.Rule && f.Severity == rules.Deny && g.Severity != rules.Deny
		return (g.Severity == rules.Deny || g.Severity == rules.Warn) && g.Rest.Count == 0 && count(before, g) == 0 && !lighter
	}) {
		return false, nil
	}
	for _, a := range objects {
		for _, point := range changedBy(fixed, a.Object) {
			for _, client := range (scope{extra: d.pass.Subject.Metadata().Namespace}).clients(live, point) {
				was, _ := live.Verdict(client, point.Host, point.Port)
				is, _ := fixed.Verdict(client, point.Host, point.Port)
				if is != was && is != mesh.Via && is != mesh.Blocked {
					return false, nil
				}
			}
		}
	}
	return true, nil
}

// count is how often a finding is among others.
func count(findings []rules.Finding, f rules.Finding) int {
	n := 0
	for _, other := range findings {
		if other.Rule == f.Rule && other.Message == f.Message {
			n++
		}
	}
	return n
}

// spend has work pay with what is left for fixes.
func (d *mender) spend(work func(*budget.Budget) error) error {
	steps := budget.New(d.ctx, d.left)
	err := within(new(mesh.Ref), func() error { return work(steps) })
	spent := min(steps.Spent(), d.left)
	d.left -= spent
	d.steps.Spend(int(spent))
	return err
}
