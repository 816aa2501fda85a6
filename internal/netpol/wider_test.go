package netpol_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/sallyport-io/sallyport/internal/budget"
	"github.com/sallyport-io/sallyport/internal/mesh"
	"github.com/sallyport-io/sallyport/internal/netpol"
)

const nameLabel = "kubernetes.io/metadata.name"

// bigMesh has a walled namespace and so many others in the mesh, each with a label of its own.
func bigMesh(namespaces int) *mesh.Mesh {
	objects := []mesh.Object{namespaceWith("shop", map[string]string{mesh.NetworkPolicyLabel: "enabled", "istio-injection": "enabled"})}
	for i := range namespaces {
		objects = append(objects, namespaceWith(fmt.Sprintf("team-%d", i), map[string]string{"istio-injection": "enabled", "team": fmt.Sprint(i)}))
	}
	return mesh.New(mesh.DefaultSettings(), objects...)
}

func namespaceWith(name string, labels map[string]string) *mesh.Namespace {
	return &mesh.Namespace{Meta: mesh.Meta{Ref: mesh.Ref{Kind: "Namespace", Name: name}, Labels: labels}}
}

// policyOf is a policy of namespace shop with the peers, each in a rule of its own or all in one.
func policyOf(t testing.TB, spread bool, ports []networkingv1.NetworkPolicyPort, peers ...networkingv1.NetworkPolicyPeer) *mesh.NetworkPolicy {
	t.Helper()
	var spec networkingv1.NetworkPolicySpec
	if spread {
		for _, peer := range peers {
			spec.Egress = append(spec.Egress, networkingv1.NetworkPolicyEgressRule{To: []networkingv1.NetworkPolicyPeer{peer}, Ports: ports})
		}
	} else {
		spec.Egress = []networkingv1.NetworkPolicyEgressRule{{To: peers, Ports: ports}}
	}
	raw, err := json.Marshal(networkingv1.NetworkPolicy{
		TypeMeta:   metav1.TypeMeta{APIVersion: "networking.k8s.io/v1", Kind: "NetworkPolicy"},
		ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "tenant"},
		Spec:       spec,
	})
	if err != nil {
		t.Fatal(err)
	}
	o, err := mesh.Decode(raw)
	if err != nil {
		t.Fatal(err)
	}
	return o.(*mesh.NetworkPolicy)
}

// hostilePeers are peers of which each asks about every namespace in another way.
var hostilePeers = map[string]func(i int) networkingv1.NetworkPolicyPeer{
	"not one name": func(i int) networkingv1.NetworkPolicyPeer {
		return except(nameLabel, fmt.Sprintf("nobody-%d", i))
	},
	"not one label": func(i int) networkingv1.NetworkPolicyPeer { return except("team", fmt.Sprint(-i)) },
	"all the same":  func(int) networkingv1.NetworkPolicyPeer { return except("team", "none") },
	"one label": func(i int) networkingv1.NetworkPolicyPeer {
		return networkingv1.NetworkPolicyPeer{NamespaceSelector: &metav1.LabelSelector{MatchLabels: map[string]string{"team": fmt.Sprint(i)}}}
	},
	"one name": func(i int) networkingv1.NetworkPolicyPeer {
		return networkingv1.NetworkPolicyPeer{NamespaceSelector: &metav1.LabelSelector{MatchLabels: map[string]string{nameLabel: fmt.Sprintf("team-%d", i)}}}
	},
	"one address": func(i int) networkingv1.NetworkPolicyPeer {
		return networkingv1.NetworkPolicyPeer{IPBlock: &networkingv1.IPBlock{CIDR: fmt.Sprintf("192.0.%d.%d/32", i/256%256, i%256)}}
	},
}

func except(key, value string) networkingv1.NetworkPolicyPeer {
	return networkingv1.NetworkPolicyPeer{NamespaceSelector: &metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{
		{Key: key, Operator: metav1.LabelSelectorOpNotIn, Values: []string{value}},
	}}}
}

// steps is what it costs to ask what a policy opens.
func steps(t testing.TB, m *mesh.Mesh, np *mesh.NetworkPolicy) int64 {
	t.Helper()
	b := budget.New(t.Context(), 1<<50)
	if err := netpol.EachOpening(m.Bounded(b), np, func(netpol.Opening) {}); err != nil {
		t.Fatal(err)
	}
	return b.Spent()
}

// TestWiderIsLinear checks that the cost of a wide policy is at most peers times namespaces, however these are put:
// twice the peers cost twice as much, twice the namespaces too, and what all rules share is not paid for by each.
func TestWiderIsLinear(t *testing.T) {
	const peers, namespaces = 500, 200
	for name, peer := range hostilePeers {
		for _, spread := range []bool{false, true} {
			cost := func(peers, namespaces int) int64 {
				list := make([]networkingv1.NetworkPolicyPeer, peers)
				for i := range list {
					list[i] = peer(i)
				}
				return steps(t, bigMesh(namespaces), policyOf(t, spread, nil, list...))
			}
			one, morePeers, moreNamespaces := cost(peers, namespaces), cost(2*peers, namespaces), cost(peers, 2*namespaces)
			if one < peers {
				t.Errorf("%s, spread %t: %d peers take %d steps: nobody counts", name, spread, peers, one)
			}
			if limit := int64(peers * namespaces * 8); one > limit {
				t.Errorf("%s, spread %t: %d steps, more than %d", name, spread, one, limit)
			}
			if morePeers > one*21/10 || moreNamespaces > one*21/10 {
				t.Errorf("%s, spread %t: %d steps, with twice the peers %d, with twice the namespaces %d", name, spread, one, morePeers, moreNamespaces)
			}
		}
	}
}

// TestWiderCountsWhatIsLong checks that every list that a policy can have is counted: one of twice the length costs
// about twice as much, and never four times.
func TestWiderCountsWhatIsLong(t *testing.T) {
	many := func(n int, name func(i int) string) []string {
		list := make([]string, n)
		for i := range list {
			list[i] = name(i)
		}
		return list
	}
	lists := map[string]func(n int) *mesh.NetworkPolicy{
		"rules without peers": func(n int) *mesh.NetworkPolicy {
			return policyOf(t, true, nil, make([]networkingv1.NetworkPolicyPeer, n)...)
		},
		"peers of the own namespace": func(n int) *mesh.NetworkPolicy {
			return policyOf(t, false, nil, make([]networkingv1.NetworkPolicyPeer, n)...)
		},
		"ports": func(n int) *mesh.NetworkPolicy {
			ports := make([]networkingv1.NetworkPolicyPort, n)
			for i := range ports {
				ports[i].Port = new(intstr.FromInt(i%60000 + 1))
			}
			return policyOf(t, false, ports, except("team", "1"))
		},
		"values": func(n int) *mesh.NetworkPolicy {
			return policyOf(t, false, nil, networkingv1.NetworkPolicyPeer{NamespaceSelector: &metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{
				{Key: "team", Operator: metav1.LabelSelectorOpIn, Values: many(n, func(i int) string { return fmt.Sprint(i) })},
			}}})
		},
		"names": func(n int) *mesh.NetworkPolicy {
			return policyOf(t, false, nil, networkingv1.NetworkPolicyPeer{NamespaceSelector: &metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{
				{Key: nameLabel, Operator: metav1.LabelSelectorOpIn, Values: many(n, func(i int) string { return fmt.Sprintf("team-%d", i) })},
			}}})
		},
		"expressions": func(n int) *mesh.NetworkPolicy {
			var s metav1.LabelSelector
			for i := range n {
				s.MatchExpressions = append(s.MatchExpressions, metav1.LabelSelectorRequirement{Key: fmt.Sprintf("k%d", i), Operator: metav1.LabelSelectorOpDoesNotExist})
			}
			return policyOf(t, false, nil, networkingv1.NetworkPolicyPeer{NamespaceSelector: &s})
		},
		"exceptions": func(n int) *mesh.NetworkPolicy {
			return policyOf(t, false, nil, networkingv1.NetworkPolicyPeer{IPBlock: &networkingv1.IPBlock{
				CIDR: "0.0.0.0/0", Except: many(n, func(i int) string { return fmt.Sprintf("10.0.%d.%d/32", i/256%256, i%256) }),
			}})
		},
	}
	m := bigMesh(50)
	for name, list := range lists {
		const n = 4000
		one, two := steps(t, m, list(n)), steps(t, m, list(2*n))
		if two < one*3/2 {
			t.Errorf("%d %s take %d steps, twice as many %d: they are not counted", n, name, one, two)
		}
		if two > one*5/2 {
			t.Errorf("%d %s take %d steps, twice as many %d: that is not linear", n, name, one, two)
		}
	}
}

// TestManyNamesAreAFew checks that no message lists more than a few names, whatever a policy opens.
func TestManyNamesAreAFew(t *testing.T) {
	settings := mesh.DefaultSettings()
	settings.Walls.OwnOnly = true
	m := mesh.New(settings, slices.Collect(bigMesh(300).All("Namespace"))...)
	ports := make([]networkingv1.NetworkPolicyPort, 100)
	for i := range ports {
		ports[i].Port = new(intstr.FromInt(i + 1))
	}
	openings, err := netpol.Wider(m, policyOf(t, false, ports, except("team", "0"), except(nameLabel, "team-299")))
	if err != nil {
		t.Fatal(err)
	}
	const onPorts = " on TCP 1, TCP 2, TCP 3, TCP 4, TCP 5 and 95 more, which the wall closes"
	want := []string{
		"allows namespace team-1, team-10, team-100, team-101, team-102 and 294 more" + onPorts,
		"allows namespace team-0, team-1, team-10, team-100, team-101 and 294 more" + onPorts,
	}
	for i, w := range want {
		if i >= len(openings) || openings[i].Message != w {
			t.Fatalf("openings %v, want %q", openings, want)
		}
	}
	many := make([]networkingv1.NetworkPolicyPeer, 1000)
	for i := range many {
		many[i] = except("team", fmt.Sprint(-i))
	}
	openings, err = netpol.Wider(m, policyOf(t, true, ports, many...))
	if err != nil || len(openings) != 51 || openings[50].Message != "allows 950 more destinations that the wall closes" {
		t.Errorf("%d openings, the last %v, error %v", len(openings), openings[len(openings)-1], err)
	}
}

// TestWiderAgrees compares what is opened to namespaces with what the API's own selectors select, one namespace and
// one door of the wall at a time, for random policies.
func TestWiderAgrees(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	pick := func(list ...string) string { return list[r.IntN(len(list))] }
	seen := map[bool]int{}
	for range 4000 {
		settings := mesh.DefaultSettings()
		settings.Walls.OwnOnly = r.IntN(2) == 0
		settings.Walls.Destinations = []mesh.WallDestination{{NamespaceLabels: map[string]string{"team": "x"}, PodLabels: map[string]string{"app": "a"}}}
		objects := []mesh.Object{namespaceWith("shop", map[string]string{mesh.NetworkPolicyLabel: "enabled"})}
		for i := range 6 {
			l := map[string]string{}
			for _, key := range []string{"istio-injection", "team", "tier"} {
				if r.IntN(2) == 0 {
					l[key] = pick("enabled", "x", "y")
				}
			}
			if r.IntN(3) == 0 {
				l[nameLabel] = pick("n1", fmt.Sprintf("n%d", i)) // what a file says is not to be believed
			}
			objects = append(objects, namespaceWith(fmt.Sprintf("n%d", i), l))
		}
		m := mesh.New(settings, objects...)
		peer := networkingv1.NetworkPolicyPeer{NamespaceSelector: &metav1.LabelSelector{}}
		for range 1 + r.IntN(2) {
			e := metav1.LabelSelectorRequirement{
				Key:      pick("team", "tier", "istio-injection", nameLabel),
				Operator: []metav1.LabelSelectorOperator{"In", "NotIn", "Exists", "DoesNotExist"}[r.IntN(4)],
			}
			if e.Operator == "In" || e.Operator == "NotIn" {
				e.Values = []string{pick("x", "y", "enabled", "n1", "n2", "kube-system"), pick("x", "n1", "n3", "istio-system")}
			}
			peer.NamespaceSelector.MatchExpressions = append(peer.NamespaceSelector.MatchExpressions, e)
		}
		if r.IntN(3) == 0 {
			peer.NamespaceSelector.MatchLabels = map[string]string{pick("team", "tier", nameLabel): pick("x", "y", "n1")}
		}
		if r.IntN(2) == 0 {
			peer.PodSelector = &metav1.LabelSelector{MatchLabels: map[string]string{"app": pick("a", "b")}}
		}
		var ports []networkingv1.NetworkPolicyPort
		if r.IntN(2) == 0 {
			ports = []networkingv1.NetworkPolicyPort{{Port: new(intstr.FromInt(80))}}
		}
		openings, err := netpol.Wider(m, policyOf(t, false, ports, peer))
		if err != nil {
			t.Fatal(err)
		}
		var got string
		for _, o := range openings {
			got += o.Message
		}
		want := openedNamespaces(t, m, peer, ports)
		said := mesh.Few(want, len(want))
		if len(want) == 0 && got != "" || len(want) > 0 && !strings.HasPrefix(got, "allows namespace "+said) {
			t.Fatalf("peer %+v: %q, want %v", peer, got, want)
		}
		seen[len(want) > 0]++
	}
	if seen[true] < 500 || seen[false] < 500 {
		t.Errorf("%d policies open something, %d nothing: the test has lost its aim", seen[true], seen[false])
	}
}

// openedNamespaces are the namespaces that the peer allows, on the ports, and no rule of the wall does.
func openedNamespaces(t *testing.T, m *mesh.Mesh, peer networkingv1.NetworkPolicyPeer, ports []networkingv1.NetworkPolicyPort) (names []string) {
	t.Helper()
	selects := func(s *metav1.LabelSelector, set labels.Set) bool {
		selector, err := metav1.LabelSelectorAsSelector(s)
		if err != nil {
			t.Fatal(err)
		}
		return selector.Matches(set)
	}
	wall := netpol.For(m, "shop")[0]
	for o := range m.All("Namespace") {
		ns := o.Metadata()
		set := labels.Merge(ns.Labels, labels.Set{nameLabel: ns.Name})
		if !selects(peer.NamespaceSelector, set) {
			continue
		}
		open := slices.ContainsFunc(wall.Spec.Egress, func(rule networkingv1.NetworkPolicyEgressRule) bool {
			if len(rule.Ports) > 0 {
				return false // of the control plane: none has port 80
			}
			return slices.ContainsFunc(rule.To, func(door networkingv1.NetworkPolicyPeer) bool {
				return door.NamespaceSelector != nil && selects(door.NamespaceSelector, set) &&
					(door.PodSelector == nil || peer.PodSelector != nil && selects(door.PodSelector, labels.Set(peer.PodSelector.MatchLabels)))
			})
		})
		if !open {
			names = append(names, ns.Name)
		}
	}
	return names
}

// BenchmarkWider prints what a policy of so many peers costs beside so many namespaces of the mesh; see the steps.
func BenchmarkWider(b *testing.B) {
	for _, peers := range []int{300, 1000, 3000} {
		for _, namespaces := range []int{200, 800, 2000} {
			list := make([]networkingv1.NetworkPolicyPeer, peers)
			for i := range list {
				list[i] = hostilePeers["not one name"](i)
			}
			m, np := bigMesh(namespaces), policyOf(b, true, nil, list...)
			b.Run(fmt.Sprintf("peers=%d/namespaces=%d", peers, namespaces), func(b *testing.B) {
				for b.Loop() {
					if err := netpol.EachOpening(m, np, func(netpol.Opening) {}); err != nil {
						b.Fatal(err)
					}
				}
				b.ReportMetric(float64(steps(b, m, np))/float64(peers*namespaces), "steps/peer·namespace")
			})
		}
	}
}
