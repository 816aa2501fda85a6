package mesh_test

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/sallyport-io/sallyport/internal/mesh"
)

func owned(t *testing.T, owners ...mesh.Owner) *mesh.Mesh {
	t.Helper()
	s := mesh.DefaultSettings()
	s.Ownership = mesh.NewOwnership(owners, "#egress", mesh.Subjects{Users: []string{"root"}, Groups: []string{"admins"}})
	return mesh.New(s,
		decodeNamespace(t, "by-label", `{"team": "bank", "tier": "core"}`),
		decodeNamespace(t, "half-label", `{"team": "bank"}`),
		decodeNamespace(t, "empty-label", `{"team": "", "tier": "core"}`),
	)
}

func decodeNamespace(t *testing.T, name, labels string) mesh.Object {
	t.Helper()
	o, err := mesh.Decode(fmt.Appendf(nil, `{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": %q, "labels": %s}}`, name, labels))
	if err != nil {
		t.Fatal(err)
	}
	return o
}

func TestTitle(t *testing.T) {
	m := owned(t,
		mesh.Owner{Hosts: []string{"partner.example", "*.partner.example"}, Namespaces: []string{"payments"}, Contact: "#payments"},
		mesh.Owner{Hosts: []string{"api.partner.example", "*.eu.partner.example"}, Namespaces: []string{"api"}},
		mesh.Owner{Hosts: []string{"api.partner.example"}, Namespaces: []string{"mobile"}, Contact: "#mobile"},
		mesh.Owner{Hosts: []string{"bank.example"}, Labels: map[string]string{"team": "bank", "tier": "core"}},
	)
	for _, tt := range []struct {
		namespace, host string
		want            mesh.Title
		contact         string
	}{
		{"payments", "partner.example", mesh.Holder, "#egress"},
		{"shop", "partner.example", mesh.Stranger, "#payments"},
		{"payments", "a.b.c.partner.example", mesh.Holder, "#egress"},
		{"shop", "a.b.c.partner.example", mesh.Stranger, "#payments"},
		{"payments", "api.partner.example", mesh.Stranger, "#mobile"},
		{"api", "api.partner.example", mesh.Holder, "#egress"},
		{"mobile", "api.partner.example", mesh.Holder, "#egress"},
		{"payments", "x.eu.partner.example", mesh.Stranger, "#egress"},
		{"api", "x.eu.partner.example", mesh.Holder, "#egress"},
		{"payments", "eu.partner.example", mesh.Holder, "#egress"}, // the domain is what is below the name
		{"shop", "notpartner.example", mesh.Unowned, "#egress"},
		{"shop", "example", mesh.Unowned, "#egress"},
		{"shop", "partner.example.com", mesh.Unowned, "#egress"},
		// Patterns.
		{"payments", "*.partner.example", mesh.Stranger, "#mobile"}, // it covers others' names
		{"api", "*.eu.partner.example", mesh.Holder, "#egress"},
		{"api", "*.deep.eu.partner.example", mesh.Holder, "#egress"},
		{"payments", "*.us.partner.example", mesh.Holder, "#egress"},
		{"shop", "*.example", mesh.Stranger, ""},
		{"shop", "*", mesh.Stranger, ""},
		{"shop", "*artner.example", mesh.Stranger, ""},
		{"shop", "*i.partner.example", mesh.Stranger, ""},
		{"shop", "*.free.example", mesh.Unowned, "#egress"},
		// Labels: all of them.
		{"by-label", "bank.example", mesh.Holder, "#egress"},
		{"half-label", "bank.example", mesh.Stranger, "#egress"},
		{"empty-label", "bank.example", mesh.Stranger, "#egress"},
		{"no-such-namespace", "bank.example", mesh.Stranger, "#egress"},
	} {
		if got := m.Title(tt.namespace, tt.host); got != tt.want {
			t.Errorf("%s for %s: %d, want %d", tt.namespace, tt.host, got, tt.want)
		}
		if got := m.Contact(tt.namespace, tt.host); tt.contact != "" && got != tt.contact {
			t.Errorf("%s for %s: ask %s, want %s", tt.namespace, tt.host, got, tt.contact)
		}
	}
	nobody := mesh.New(mesh.DefaultSettings())
	if got := nobody.Title("shop", "*"); got != mesh.Unowned {
		t.Errorf("without a configuration * is %d", got)
	}
	if got := nobody.Contact("shop", "partner.example"); got != "your platform team" {
		t.Errorf("without a configuration ask %s", got)
	}
}

// TestTitleOfPatterns compares the title towards a pattern with those towards
// the names it stands for: who may not have every one of them may not have it.
func TestTitleOfPatterns(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	label := func() string { return []string{"a", "b", "ab", "c"}[random.IntN(4)] }
	name := func() string {
		labels := make([]string, 1+random.IntN(4))
		for i := range labels {
			labels[i] = label()
		}
		return strings.Join(labels, ".")
	}
	var names []string
	for range 300 {
		names = append(names, name())
	}
	for range 2000 {
		var owners []mesh.Owner
		for _, ns := range []string{"x", "y", "z"} {
			owner := mesh.Owner{Namespaces: []string{ns}}
			for range random.IntN(3) {
				owner.Hosts = append(owner.Hosts, []string{"", "*."}[random.IntN(2)]+name())
			}
			owners = append(owners, owner)
		}
		s := mesh.DefaultSettings()
		s.Ownership = mesh.NewOwnership(owners, "", mesh.Subjects{})
		m := mesh.New(s)
		pattern := []string{"*.", "*"}[random.IntN(2)] + name()
		got := m.Title("x", pattern)
		for _, n := range names {
			if mesh.HostCovers(pattern, n) && m.Title("x", n) == mesh.Stranger && got != mesh.Stranger {
				t.Fatalf("%s covers %s, which is others', and is not: %+v", pattern, n, owners)
			}
			// What is most specific has the say.
			best, mine := "", false
			for _, o := range owners {
				for _, h := range o.Hosts {
					switch {
					case !mesh.HostCovers(h, n):
					case h == best:
						mine = mine || o.Namespaces[0] == "x"
					case best == "" || h == n || best != n && len(h) > len(best):
						best, mine = h, o.Namespaces[0] == "x"
					}
				}
			}
			want := mesh.Unowned
			if best != "" {
				want = map[bool]mesh.Title{true: mesh.Holder, false: mesh.Stranger}[mine]
			}
			if title := m.Title("x", n); title != want {
				t.Fatalf("%s is %d by %q, want %d: %+v", n, title, best, want, owners)
			}
		}
	}
}
