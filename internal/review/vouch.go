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

// ends reports whether the fix of a finding, applied, ends that and brings no other.
func (d *mender) ends(steps *budget.Budget, before []rules.Finding, f rules.Finding) (bool, error) {
	fixed := rules.Fixed(f.Fix, d.pass.Raw)
	if len(fixed) != 1 || fixed[0].Object.Metadata().Ref != d.pass.Subject.Metadata().Ref {
		return false, nil
	}
	w := d.write
	w.Object = fixed[0].Raw
	after, err := d.findings(d.pass.Live.Bounded(steps).With(fixed[0].Object), w, fixed[0].Object, d.pass.Old)
	if err != nil {
		return false, err
	}
	counts := func(findings []rules.Finding, f rules.Finding) int {
		n := 0
		for _, other := range findings {
			if other.Rule == f.Rule && other.Message == f.Message {
				n++
			}
		}
		return n
	}
	if was := counts(before, f); was == 0 || counts(after, f) >= was {
		return false, nil
	}
	return !slices.ContainsFunc(after, func(f rules.Finding) bool {
		return (f.Severity == rules.Deny || f.Severity == rules.Warn) && f.Rest.Count == 0 && counts(before, f) == 0
	}), nil
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
