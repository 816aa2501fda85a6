package netpol

import (
	"maps"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/sallyport-io/sallyport/internal/mesh"
)

// selector is a selector of labels, read once: to ask it costs one look-up for
// each of its requirements, however many values these have.
type selector struct {
	pins  map[string]string // labels that must have these values
	needs []requirement
	// named are the requirements on [nameLabel], which tell one namespace from
	// another that has the same labels.
	named []requirement
	size  int // how much there is to read
}

type requirement struct {
	key      string
	operator metav1.LabelSelectorOperator
	values   map[string]bool
}

// compile reads a selector of the API for pods: nil selects nothing, an empty
// one everything.
func compile(s *metav1.LabelSelector) (*selector, error) { return compileBut(s, "") }

// compileNamespaces reads one for namespaces, whose names are told apart from
// their other labels.
func compileNamespaces(s *metav1.LabelSelector) (*selector, error) { return compileBut(s, nameLabel) }

func compileBut(s *metav1.LabelSelector, special string) (*selector, error) {
	// What is no selector to the API is none here.
	if _, err := metav1.LabelSelectorAsSelector(s); err != nil {
		return nil, err
	}
	if s == nil {
		return nil, nil
	}
	out := &selector{pins: s.MatchLabels, size: 1 + len(s.MatchLabels)}
	if name, ok := s.MatchLabels[special]; ok {
		out.pins = maps.Clone(out.pins)
		delete(out.pins, special)
		out.named = append(out.named, requirement{special, metav1.LabelSelectorOpIn, map[string]bool{name: true}})
	}
	for _, e := range s.MatchExpressions {
		r := requirement{key: e.Key, operator: e.Operator, values: make(map[string]bool, len(e.Values))}
		for _, v := range e.Values {
			r.values[v] = true
		}
		out.size += 1 + len(e.Values)
		if e.Key == special {
			out.named = append(out.named, r)
		} else {
			out.needs = append(out.needs, r)
		}
	}
	return out, nil
}

// empty reports whether the selector selects everything.
func (s *selector) empty() bool { return s != nil && len(s.pins)+len(s.needs)+len(s.named) == 0 }

// requirements is how many look-ups it takes to ask the selector.
func (s *selector) requirements() int {
	if s == nil {
		return 1
	}
	return 1 + len(s.pins) + len(s.needs) + len(s.named)
}

// selectsNamespace reports whether a namespace with that name and those labels,
// whatever they say of its name, is selected.
func (s *selector) selectsNamespace(labels map[string]string, name string) bool {
	return s.selects(labels) && s.selectsName(name)
}

// selects reports whether the labels are selected; of a selector of namespaces,
// but for what it says of their names.
func (s *selector) selects(labels map[string]string) bool {
	if s == nil {
		return false
	}
	for key, value := range s.pins {
		if have, ok := labels[key]; !ok || have != value {
			return false
		}
	}
	for i := range s.needs {
		value, ok := labels[s.needs[i].key]
		if !s.needs[i].met(value, ok) {
			return false
		}
	}
	return true
}

// selectsName reports whether what is required of a namespace's name is met.
func (s *selector) selectsName(name string) bool {
	for i := range s.named {
		if !s.named[i].met(name, true) {
			return false
		}
	}
	return true
}

func (r *requirement) met(value string, ok bool) bool {
	switch r.operator {
	case metav1.LabelSelectorOpIn:
		return ok && r.values[value]
	case metav1.LabelSelectorOpNotIn:
		return !ok || !r.values[value]
	case metav1.LabelSelectorOpExists:
		return ok
	default: // DoesNotExist: compile has refused the rest
		return !ok
	}
}

// names returns the namespaces that alone can be selected, where the selector
// lists them; in the order of the mesh.
func (s *selector) names(m *mesh.Mesh) (list []*mesh.Namespace, ok bool) {
	var shortest *requirement
	for i := range s.named {
		if r := &s.named[i]; r.operator == metav1.LabelSelectorOpIn && (shortest == nil || len(r.values) < len(shortest.values)) {
			shortest = r
		}
	}
	if shortest == nil {
		return nil, false
	}
	m.Spend(len(shortest.values))
	for name := range shortest.values {
		if ns := m.Namespace(name); ns != nil {
			list = append(list, ns)
		}
	}
	slices.SortFunc(list, func(a, b *mesh.Namespace) int { return strings.Compare(a.Name, b.Name) })
	return list, true
}
