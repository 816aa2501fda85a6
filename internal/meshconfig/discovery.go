package meshconfig

import (
	"fmt"
	"slices"
	"strings"

	meshapi "istio.io/api/mesh/v1alpha1"
)

// Discovery are selectors of namespaces, any of which may match.
type Discovery []Selector

// Reads reports whether Istio reads what is in a namespace with these labels
// (isSelectedLocked in Istio's pkg/kube/namespace). No namespace is excepted,
// not that of istiod either.
func (d Discovery) Reads(namespace map[string]string) bool {
	return len(d) == 0 || slices.ContainsFunc(d, func(s Selector) bool { return s.Matches(namespace) })
}

// String is for messages: what the selectors are, in the form of kubectl's -l.
func (d Discovery) String() string {
	out := make([]string, len(d))
	for i, s := range d {
		out[i] = s.String()
	}
	return fmt.Sprintf("%q", out)
}

// Level is to whom an entry is shown at the most.
type Level int

// The levels, the narrowest first.
const (
	Nobody       Level = iota // NONE
	OwnNamespace              // NAMESPACE
	Everybody                 // PUBLIC, and what says nothing
)

// Visibility is serviceEntryVisibility. It never widens an exportTo.
type Visibility struct {
	// ToSidecars is applyToSidecars: without it sidecars heed exportTo alone.
	ToSidecars bool
	fallback   Level
	policies   []visibilityPolicy
	others     []*Visibility // of other revisions: the widest counts
}

type visibilityPolicy struct {
	level Level
	rules []Selector // all must match
}

// Of is the level of the entries of a namespace with these labels: that of the
// first policy all of whose rules match (VisibilityFor in Istio's
// pilot/pkg/model). Nil shows everything to everybody.
func (v *Visibility) Of(namespace map[string]string) Level {
	if v == nil {
		return Everybody
	}
	level := v.alone(namespace)
	for _, other := range v.others {
		level = max(level, other.alone(namespace))
	}
	return level
}

func (v *Visibility) alone(namespace map[string]string) Level {
	for _, p := range v.policies {
		if !slices.ContainsFunc(p.rules, func(s Selector) bool { return !s.Matches(namespace) }) {
			return p.level
		}
	}
	return v.fallback
}

func visibilityOf(m *meshapi.ServiceEntryVisibility) (*Visibility, error) {
	if m == nil {
		return nil, nil
	}
	v := &Visibility{ToSidecars: m.GetApplyToSidecars(), fallback: levelOf(m.GetDefaultVisibility())}
	for i, p := range m.GetPolicies() {
		policy := visibilityPolicy{level: levelOf(p.GetVisibility())}
		for j, r := range p.GetMatchingRules() {
			// A rule of a kind that is not known matches nothing.
			selector := Selector{nothing: true}
			if _, ok := r.GetMatcher().(*meshapi.ServiceEntryVisibility_MatchRule_NamespaceSelector); ok {
				var err error
				if selector, err = selectorOf(r.GetNamespaceSelector()); err != nil {
					return nil, fmt.Errorf("serviceEntryVisibility.policies[%d].matchingRules[%d]: %w", i, j, err)
				}
			}
			policy.rules = append(policy.rules, selector)
		}
		v.policies = append(v.policies, policy)
	}
	return v, nil
}

func levelOf(v meshapi.ServiceEntryVisibility_Visibility) Level {
	switch v {
	case meshapi.ServiceEntryVisibility_NAMESPACE:
		return OwnNamespace
	case meshapi.ServiceEntryVisibility_NONE:
		return Nobody
	default:
		return Everybody
	}
}

// String is for messages: to whom what is shown.
func (v *Visibility) String() string {
	if v == nil {
		return "not set"
	}
	var b strings.Builder
	for _, p := range v.policies {
		fmt.Fprintf(&b, "%s where %q, ", p.level, p.rules)
	}
	fmt.Fprintf(&b, "%s by default", v.fallback)
	if !v.ToSidecars {
		b.WriteString(", not for sidecars")
	}
	return b.String()
}

// String is the level's name in Istio's API.
func (l Level) String() string { return [...]string{"NONE", "NAMESPACE", "PUBLIC"}[l] }
