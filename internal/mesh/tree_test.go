package mesh

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestTreeModel compares the persistent tree with a plain map under random
// edits, and checks that every older version stays as it was.
func TestTreeModel(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	type version struct {
		tree  tree[int]
		model map[string]int
	}
	var versions []version
	now := version{model: map[string]int{}}
	for step := range 300 {
		next := version{tree: now.tree, model: maps.Clone(now.model)}
		e := &edit{draft: rnd.IntN(4) > 0}
		for range rnd.IntN(40) {
			key := fmt.Sprintf("%c/%d", 'a'+rnd.IntN(4), rnd.IntN(400))
			if rnd.IntN(5) < 2 {
				next.tree.delete(e, key)
				delete(next.model, key)
			} else {
				next.tree.set(e, key, step)
				next.model[key] = step
			}
		}
		if !e.draft && rnd.IntN(4) > 0 {
			next.tree.seal(e)
		}
		versions = append(versions, next)
		now = next
	}
	for i, v := range versions {
		for _, prefix := range []string{"", "a", "a/", "b/1", "b/12", "zz"} {
			for _, start := range []string{prefix, prefix + "/2", prefix + "7", prefix + "\xff"} {
				want := -1
				for _, k := range slices.Sorted(maps.Keys(v.model)) {
					if k >= start && strings.HasPrefix(k, prefix) {
						want = v.model[k]
						break
					}
				}
				if got, ok := v.tree.next(start, prefix); ok != (want >= 0) || ok && got != want {
					t.Fatalf("version %d: next(%q, %q) = %d, %t; want %d", i, start, prefix, got, ok, want)
				}
			}
			var got, want []string
			for k, val := range v.tree.prefixed(prefix) {
				got = append(got, fmt.Sprint(k, "=", val))
			}
			for _, k := range slices.Sorted(maps.Keys(v.model)) {
				if strings.HasPrefix(k, prefix) {
					want = append(want, fmt.Sprint(k, "=", v.model[k]))
				}
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Fatalf("version %d, prefix %q (-want +got):\n%s", i, prefix, diff)
			}
		}
		for k, want := range v.model {
			if got, ok := v.tree.get(k); !ok || got != want {
				t.Fatalf("version %d: get(%q) = %d, %t; want %d", i, k, got, ok, want)
			}
		}
	}
}

func TestTreeEmptied(t *testing.T) {
	var tr tree[int]
	for i := range 1000 {
		tr.set(new(edit), fmt.Sprint(i), i)
	}
	for i := range 1000 {
		tr.delete(new(edit), fmt.Sprint(i))
	}
	if !tr.empty() {
		t.Errorf("a tree without keys still has nodes: %v", tr)
	}
	tr.delete(new(edit), "absent")
	if _, ok := tr.first(""); ok {
		t.Error("an empty tree has a first entry")
	}
}

// TestTreeEmptiedByDraft: a draft leaves the nodes as they are, and what it takes away
// is gone all the same.
func TestTreeEmptiedByDraft(t *testing.T) {
	var tr tree[int]
	kept, draft := new(edit), &edit{draft: true}
	tr.set(kept, "a", 1)
	tr.seal(kept)
	tr.set(draft, "b", 2)
	for i, key := range []string{"a", "b"} {
		tr.delete(draft, key)
		if empty := tr.empty(); empty != (i == 1) {
			t.Errorf("without %q the tree is empty: %t", key, empty)
		}
	}
	tr.set(draft, "a", 3)
	if tr.empty() {
		t.Error("a tree with a key again is empty")
	}
}

// TestSealed: whatever a mesh is made of, and whatever is changed in it, its
// nodes are packed. One tree that is left out would be forgotten for good.
func TestSealed(t *testing.T) {
	ref := func(kind, namespace, name string) Meta {
		return Meta{Ref: Ref{Kind: kind, Namespace: namespace, Name: name}, Labels: map[string]string{}}
	}
	service := DefaultSettings().Gateways[0].Host(DefaultSettings().ClusterDomain)
	to := []RouteDestination{{Destination: Destination{Host: service, Subset: "s"}}}
	waypoint := Namespace{Meta: ref("Namespace", "", "shop")}
	waypoint.Labels["istio.io/use-waypoint"], waypoint.Labels["istio.io/dataplane-mode"] = "w", "ambient"
	injected := Namespace{Meta: ref("Namespace", "", "cart")}
	injected.Labels["istio-injection"] = "enabled"
	dying := Sidecar{Meta: ref("Sidecar", "cart", "s")}
	dying.Deleting = true
	large := Other{Meta: ref("EnvoyFilter", "shop", "f")}
	large.Size = 1
	m := New(DefaultSettings(),
		&ServiceEntry{Meta: ref("ServiceEntry", "shop", "a"), Hosts: []string{"a.example.com"}},
		&VirtualService{
			Meta: ref("VirtualService", "shop", "a"), Hosts: []string{"a.example.com"}, Gateways: []string{"mesh", "g"},
			HTTP: []HTTPRoute{{Route: to}, {Delegate: &Delegate{Name: "d"}}},
			TLS:  []TLSRoute{{Match: []TLSMatch{{SNIHosts: []string{"a.example.com"}}}, Route: to}},
		},
		&DestinationRule{Meta: ref("DestinationRule", "shop", "a"), Host: service, Subsets: []Subset{{Name: "s"}}},
		&Gateway{
			Meta: ref("Gateway", "istio-system", "g"), Selector: DefaultSettings().Gateways[0].Selector,
			Servers: []Server{{Hosts: []string{"a.example.com"}, Port: ServerPort{Number: 443}}},
		},
		&Service{Meta: ref("Service", "shop", "x"), Type: "ExternalName", ExternalName: "a.example.com"},
		&Service{Meta: ref("Service", "shop", "y"), ClusterIPs: []string{"10.96.0.7"}},
		&Sidecar{Meta: ref("Sidecar", "shop", "s")},
		&Route{
			Meta: ref("HTTPRoute", "shop", "r"), ParentRefs: []ParentRef{{Name: "g"}},
			Rules: []RouteRule{{BackendRefs: []BackendRef{{Group: groupGatewayX, Kind: "XBackend", Name: "b"}}}},
		},
		&XBackend{Meta: ref("XBackend", "shop", "b"), ExternalHostname: ExternalHostname{Hostname: "a.example.com"}},
		&waypoint, &injected, &dying, &large,
	)
	for name, m := range map[string]*Mesh{"New": m, "With": m.With(m.Get(Ref{Kind: "VirtualService", Namespace: "shop", Name: "a"}))} {
		x := reflect.ValueOf(m.index).Elem()
		for i := range x.NumField() {
			tree := x.Field(i)
			if inner := tree; inner.Kind() == reflect.Struct && inner.FieldByName("tree").IsValid() {
				tree = inner.FieldByName("tree") // of a hostIndex
			}
			if tree.Kind() != reflect.Struct || !tree.FieldByName("root").IsValid() {
				continue
			}
			switch root := tree.FieldByName("root"); {
			case root.IsNil():
				t.Errorf("%s: nothing is in %s", name, x.Type().Field(i).Name)
			case !root.Elem().FieldByName("keys").FieldByName("loose").IsNil():
				t.Errorf("%s: %s is not packed", name, x.Type().Field(i).Name)
			}
		}
	}
}
