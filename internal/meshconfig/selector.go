package meshconfig

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	meshapi "istio.io/api/mesh/v1alpha1"
	"k8s.io/apimachinery/pkg/api/validate/content"
)

// Selector selects namespaces by their labels.
type Selector struct {
	nothing      bool
	requirements []requirement
}

type requirement struct {
	key, operator string // In, NotIn, Exists or DoesNotExist
	values        []string
}

// selectorOf reads a selector as Istio does (LabelSelectorAsSelector in its
// pkg/config/mesh/labelselector): an absent one matches nothing, an empty one
// everything.
func selectorOf(s *meshapi.LabelSelector) (Selector, error) {
	if s == nil {
		return Selector{nothing: true}, nil
	}
	var out Selector
	for _, key := range slices.Sorted(maps.Keys(s.GetMatchLabels())) {
		out.requirements = append(out.requirements, requirement{key, "In", []string{s.GetMatchLabels()[key]}})
	}
	for _, e := range s.GetMatchExpressions() {
		out.requirements = append(out.requirements, requirement{e.GetKey(), e.GetOperator(), e.GetValues()})
	}
	for _, r := range out.requirements {
		if err := r.check(); err != nil {
			return Selector{}, err
		}
	}
	return out, nil
}

func (r requirement) check() error {
	if msgs := content.IsLabelKey(r.key); len(msgs) > 0 {
		return fmt.Errorf("%q is not the key of a label: %s", r.key, strings.Join(msgs, "; "))
	}
	switch r.operator {
	case "In", "NotIn":
		if len(r.values) == 0 {
			return fmt.Errorf("%s needs values", r.operator)
		}
	case "Exists", "DoesNotExist":
		if len(r.values) > 0 {
			return fmt.Errorf("%s takes no values", r.operator)
		}
	default:
		return fmt.Errorf("%q is no operator of a selector: write In, NotIn, Exists or DoesNotExist", r.operator)
	}
	for _, v := range r.values {
		if msgs := content.IsLabelValue(v); len(msgs) > 0 {
			return errors.New(strings.Join(append([]string{fmt.Sprintf("%q is not the value of a label", v)}, msgs...), ": "))
		}
	}
	return nil
}

// Matches reports whether the selector selects a namespace with these labels.
func (s Selector) Matches(labels map[string]string) bool {
	return !s.nothing && !slices.ContainsFunc(s.requirements, func(r requirement) bool {
		value, has := labels[r.key]
		switch r.operator {
		case "In":
			return !has || !slices.Contains(r.values, value)
		case "NotIn":
			return has && slices.Contains(r.values, value)
		case "Exists":
			return !has
		default:
			return has
		}
	})
}

// String is the selector in the form of kubectl's -l.
func (s Selector) String() string {
	if s.nothing {
		return "nothing"
	}
	if len(s.requirements) == 0 {
		return "everything"
	}
	parts := make([]string, len(s.requirements))
	for i, r := range s.requirements {
		switch r.operator {
		case "In":
			parts[i] = fmt.Sprintf("%s in (%s)", r.key, strings.Join(r.values, ","))
		case "NotIn":
			parts[i] = fmt.Sprintf("%s notin (%s)", r.key, strings.Join(r.values, ","))
		case "Exists":
			parts[i] = r.key
		default:
			parts[i] = "!" + r.key
		}
	}
	return strings.Join(parts, ",")
}
