package mesh

import "testing"

func TestCanonicalHost(t *testing.T) {
	tests := map[string]string{
		"api.partner.com":    "api.partner.com",
		"API.Partner.COM":    "api.partner.com",
		"api.partner.com.":   "api.partner.com",
		"*.Partner.com":      "*.partner.com",
		"bücher.example":     "xn--bcher-kva.example",
		"*.Bücher.example":   "*.xn--bcher-kva.example",
		"XN--BCHER-KVA.test": "xn--bcher-kva.test",
		"":                   "",
		".":                  ".",
		"*":                  "*",
		"203.0.113.9":        "203.0.113.9",
	}
	for in, want := range tests {
		if got := CanonicalHost(in); got != want {
			t.Errorf("CanonicalHost(%q) = %q, want %q", in, got, want)
		}
		if again := CanonicalHost(want); again != want {
			t.Errorf("CanonicalHost(%q) = %q: not idempotent", want, again)
		}
	}
}

func TestHostCovers(t *testing.T) {
	tests := []struct {
		pattern, host string
		want          bool
	}{
		{"a.com", "a.com", true},
		{"a.com", "b.a.com", false},
		{"*.a.com", "b.a.com", true},
		{"*.a.com", "c.b.a.com", true},
		{"*.a.com", "a.com", false},
		{"*.a.com", "*.b.a.com", true},
		{"*.b.a.com", "*.a.com", false},
		{"*a.com", "ba.com", true},
		{"*a.com", "a.com", true},
		{"*", "a.com", true},
		{"*", "*", true},
		{"a.com", "*", false},
	}
	for _, tt := range tests {
		if got := HostCovers(tt.pattern, tt.host); got != tt.want {
			t.Errorf("HostCovers(%q, %q) = %t, want %t", tt.pattern, tt.host, got, tt.want)
		}
	}
}

func TestResolveHost(t *testing.T) {
	tests := map[string]string{
		"reviews":     "reviews.shop.svc.cluster.local",
		"Reviews":     "reviews.shop.svc.cluster.local",
		"api.example": "api.example",
		"*":           "*",
		"10.0.0.1":    "10.0.0.1",
		"::1":         "::1",
		"":            "",
	}
	for in, want := range tests {
		if got := ResolveHost(in, "shop", "cluster.local"); got != want {
			t.Errorf("ResolveHost(%q) = %q, want %q", in, got, want)
		}
	}
}

// TestPatterns checks that every wildcard over a host is found, whatever stands
// behind its star, and none after it is gone.
func TestPatterns(t *testing.T) {
	var x hostIndex[int]
	hosts := []string{"*.a.com", "*a.com", "*.com", "*", "*.b.a.com", "a.com", "b.a.com", "*.other"}
	for i, h := range hosts {
		x.add(new(edit), h, "k", i)
		x.add(new(edit), h, "k", i) // the same entry once more counts once
	}
	var got []int
	for v := range x.covering("b.a.com") {
		got = append(got, v)
	}
	if len(got) != 4 || got[0] != 0 || got[1] != 1 || got[2] != 2 || got[3] != 3 {
		t.Errorf("wildcards over b.a.com: %v, want 0 1 2 3, the most specific first", got)
	}
	before := x
	for _, h := range hosts {
		x.remove(new(edit), h, "k")
		x.remove(new(edit), h, "k")
	}
	for v := range x.covering("b.a.com") {
		t.Errorf("%d is still found", v)
	}
	for p := range x.patterns("b.a.com") {
		t.Errorf("%s is still a pattern", p)
	}
	n := 0
	for range before.covering("b.a.com") {
		n++
	}
	if n != 4 {
		t.Errorf("the version before has %d wildcards over the host, want 4", n)
	}
}
