package netpol

import (
	"fmt"
	"slices"
	"strings"

	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/sallyport-io/sallyport/internal/mesh"
)

// landscape is a walled namespace's view of all others, made once for all that
// is asked about one policy: what the wall opens, and the namespaces in groups
// that no selector tells apart but by their names.
type landscape struct {
	m      *mesh.Mesh
	rules  []networkingv1.NetworkPolicyEgressRule // of the wall
	doors  []door
	groups []*group // made when first asked for; see all
	// byLabel are the groups that have a label, by "key\x00value", and byKey
	// those that have it with any value.
	byLabel, byKey map[string][]*group
}

// door is a peer of the wall: a way out that is open to everybody inside.
type door struct {
	rule       int       // of the wall
	namespaces *selector // nil for addresses
	pods       *selector // nil for all pods
	block      *networkingv1.IPBlock
}

// group is namespaces with the same labels, their names aside, to which the
// same doors lead.
type group struct {
	labels map[string]string
	doors  []int
	names  []string // in order
}

func newLandscape(m *mesh.Mesh, wall *networkingv1.NetworkPolicy) (*landscape, error) {
	l := &landscape{m: m, rules: wall.Spec.Egress}
	for i, rule := range l.rules {
		for _, peer := range rule.To {
			d := door{rule: i, block: peer.IPBlock}
			var err error
			if d.namespaces, err = compileNamespaces(peer.NamespaceSelector); err != nil {
				return nil, err
			}
			if peer.PodSelector != nil {
				if d.pods, err = compile(peer.PodSelector); err != nil {
					return nil, err
				}
			}
			if d.namespaces != nil {
				m.Spend(d.namespaces.size)
			}
			l.doors = append(l.doors, d)
		}
	}
	return l, nil
}

// doorsTo are the doors that lead to pods of the namespace.
func (l *landscape) doorsTo(ns *mesh.Namespace) []int {
	l.m.Spend(len(l.doors))
	var doors []int
	for i := range l.doors {
		if d := &l.doors[i]; d.namespaces != nil && d.namespaces.selectsNamespace(ns.Labels, ns.Name) {
			doors = append(doors, i)
		}
	}
	return doors
}

// all returns every namespace of the mesh, in groups.
func (l *landscape) all() []*group {
	if l.groups != nil {
		return l.groups
	}
	l.byLabel, l.byKey = map[string][]*group{}, map[string][]*group{}
	known := map[string]*group{}
	for o := range l.m.All("Namespace") {
		ns := o.(*mesh.Namespace)
		l.m.Spend(1 + len(ns.Labels))
		doors := l.doorsTo(ns)
		key := groupKey(ns.Labels, doors)
		if g := known[key]; g != nil {
			g.names = append(g.names, ns.Name)
			continue
		}
		g := &group{labels: ns.Labels, doors: doors, names: []string{ns.Name}}
		known[key] = g
		l.groups = append(l.groups, g)
		for k, v := range ns.Labels {
			l.byKey[k] = append(l.byKey[k], g)
			l.byLabel[k+"\x00"+v] = append(l.byLabel[k+"\x00"+v], g)
		}
	}
	return l.groups
}

func groupKey(labels map[string]string, doors []int) string {
	parts := make([]string, 0, len(labels)+1)
	for k, v := range labels {
		if k != nameLabel {
			parts = append(parts, k+"\x00"+v)
		}
	}
	slices.Sort(parts)
	var b strings.Builder
	for _, d := range doors {
		fmt.Fprintf(&b, "%d ", d)
	}
	return b.String() + strings.Join(parts, "\x00")
}

// candidates are the groups that the selector can select: by the requirement
// that leaves the fewest.
func (l *landscape) candidates(s *selector) []*group {
	best := l.all()
	less := func(groups []*group) {
		if len(groups) < len(best) {
			best = groups
		}
	}
	for k, v := range s.pins {
		less(l.byLabel[k+"\x00"+v])
	}
	for i := range s.needs {
		switch r := &s.needs[i]; r.operator {
		case metav1.LabelSelectorOpExists:
			less(l.byKey[r.key])
		case metav1.LabelSelectorOpIn:
			l.m.Spend(len(r.values))
			var groups []*group // a group has one value: none comes twice
			for v := range r.values {
				groups = append(groups, l.byLabel[r.key+"\x00"+v]...)
			}
			less(groups)
		}
	}
	return best
}
