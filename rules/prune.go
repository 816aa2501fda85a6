package rules

import (
	"cmp"
	"slices"
	"strconv"
	"strings"

	"github.com/sallyport-io/sallyport/internal/mesh"
	"github.com/sallyport-io/sallyport/internal/told"
)

// pruned is [Pass.changed] by taking away what stands at JSON paths. With the last
// destination goes the rule that has it; what cannot be without the rest stays whole.
func (p *Pass) pruned(ref mesh.Ref, words told.Text, paths ...string) told.Text {
	return p.changed(ref, words, func(o map[string]any) bool {
		// From behind: the places before stay what they are.
		for _, path := range slices.Backward(slices.Compact(slices.SortedFunc(slices.Values(paths), inOrder))) {
			p.Spend(lookupSteps)
			if _, gone := prune(o, stepsOf(path)); gone {
				return false
			}
		}
		spec, _ := o["spec"].(map[string]any)
		for _, needed := range [][]string{{"http", "tls", "tcp"}, {"hosts"}, {"rules"}} {
			had := slices.ContainsFunc(paths, func(path string) bool {
				field := strings.TrimPrefix(path, "spec.")
				return slices.Contains(needed, field[:max(strings.IndexAny(field, "[."), 0)])
			})
			if had && !slices.ContainsFunc(needed, func(field string) bool { return len(asList(spec[field])) > 0 }) {
				return false
			}
		}
		return len(paths) > 0
	})
}

// reportHosts reports what is wrong with hosts of the subject, an entry. What the words
// of a finding say is for its author to do; until then the others can do without them.
func (p *Pass) reportHosts(found []Finding) {
	paths := make([]string, len(found))
	for i, f := range found {
		paths[i] = f.Path
	}
	for _, f := range found {
		f.ToldFix = p.withoutHosts(f.Words, paths)
		p.Report(f)
	}
}

// withoutHosts is [Pass.pruned] of the subject by hosts, given in order. An entry that
// has no others is not wanted at all, which no YAML can say.
func (p *Pass) withoutHosts(words told.Text, paths []string) told.Text {
	if slices.ContainsFunc(paths, func(path string) bool { return !strings.HasPrefix(path, "spec.hosts[") }) {
		return words
	}
	return p.pruned(p.Subject.Metadata().Ref, words, paths...)
}

// inOrder compares JSON paths by where they are: an index as the number that it is.
func inOrder(a, b string) int {
	return slices.CompareFunc(stepsOf(a), stepsOf(b), func(a, b string) int {
		i, err := strconv.Atoi(a)
		j, other := strconv.Atoi(b)
		if err != nil || other != nil {
			return strings.Compare(a, b)
		}
		return cmp.Compare(i, j)
	})
}

// stepsOf are the fields and the indices of a JSON path.
func stepsOf(path string) []string {
	return strings.FieldsFunc(path, func(r rune) bool { return r == '.' || r == '[' || r == ']' })
}

// actions are the fields of a rule of which it needs one.
var actions = []string{"route", "delegate", "redirect", "directResponse", "backendRefs"}

// prune takes away what the steps lead to, and reports whether that was all of v, or
// what it cannot be without.
func prune(v any, steps []string) (left any, gone bool) {
	if len(steps) == 0 {
		return nil, true
	}
	switch v := v.(type) {
	case map[string]any:
		field := steps[0]
		child, ok := v[field]
		if !ok {
			return v, false
		}
		if left, gone = prune(child, steps[1:]); !gone {
			v[field] = left
			return v, false
		}
		delete(v, field)
		return v, len(v) == 0 || slices.Contains(actions, field) && !slices.ContainsFunc(actions, func(a string) bool { return v[a] != nil })
	case []any:
		i, err := strconv.Atoi(steps[0])
		if err != nil || i < 0 || i >= len(v) {
			return v, false
		}
		if left, gone = prune(v[i], steps[1:]); !gone {
			v[i] = left
			return v, false
		}
		v = slices.Delete(slices.Clone(v), i, i+1)
		return v, len(v) == 0
	default:
		return v, false
	}
}

// route is the path of the whole destination, of whose host a finding is.
func (d destination) route() string {
	return strings.TrimSuffix(strings.TrimSuffix(d.path, ".host"), ".destination")
}
