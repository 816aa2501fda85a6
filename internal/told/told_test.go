package told_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/sallyport-io/sallyport/internal/told"
)

// only sees the names of which the values are listed.
func only(values ...string) func(told.Name) bool {
	return func(n told.Name) bool {
		return slices.Contains(values, n.Value)
	}
}

func TestText(t *testing.T) {
	object := told.Object("ServiceEntry/bank/ledger")
	tests := []struct {
		name  string
		text  told.Text
		sees  []string
		whole string // for those who may know everything
		told  string
	}{
		{"a constant is for everybody", "nothing is hidden", nil, "nothing is hidden", "nothing is hidden"},
		{"numbers are for everybody", told.F("port %d of %v, 100%%", 443, true), nil, "port 443 of true, 100%", "port 443 of true, 100%"},
		{"a host that is seen", told.F("to %s", told.Host("a.example")), []string{"a.example"}, "to a.example", "to a.example"},
		{"a host that is not", told.F("to %s", told.Host("a.example")), nil, "to a.example", "to a host of another namespace"},
		{"quotes go with the name", told.F("host %q", told.Host("a.example")), nil, `host "a.example"`, "host a host of another namespace"},
		{"what is shown goes by the name", told.F("to %s", told.Host("a.example").As("a.example:443 (TLS)")), nil, "to a.example:443 (TLS)", "to a host of another namespace"},
		{"an object", told.F("by %s", object), nil, "by ServiceEntry/bank/ledger", "by an object of another namespace"},
		{"a detail of an object", told.F("it is %s", object.Detail("TLS to port 8443")), nil, "it is TLS to port 8443", "it is something else"},
		{"a detail of one that is seen", told.F("it is %s", object.Detail("TLS")), []string{"ServiceEntry/bank/ledger"}, "it is TLS", "it is TLS"},
		{"a namespace with its word", told.F("from %s", told.InNamespace("bank")), nil, "from namespace bank", "from another namespace"},
		{"strings are taken for what they may be", told.F("label %q", "secret"), nil, `label "secret"`, "label something of another namespace"},
		{"a text in a text", told.F("%s: %s", told.Host("a.example"), told.F("by %s", object)), []string{"a.example"}, "a.example: by ServiceEntry/bank/ledger", "a.example: by an object of another namespace"},
		{"a name behind a name", told.F("%s", told.Host("a.example").Telling(told.F("from %s", told.Namespace("bank")))), []string{"bank"}, "from bank", "a host of another namespace"},
		{"a text in quotes", told.F("user %q", told.Plain(`a"b`)), nil, `user "a\"b"`, `user "a\"b"`},
		{"a clause", "no" + told.If(told.Host("a.example"), told.F(", for %s", told.Host("a.example"))), nil, "no, for a.example", "no"},
		{"a list", told.List(told.Namespaces, told.Namespace("shop").Text(), told.Namespace("bank").Text(), told.Namespace("mint").Text()), []string{"shop"}, "shop, bank, mint", "shop, other namespaces"},
		{"a list with one that is hidden", told.List(told.Namespaces, told.Namespace("shop").Text(), told.Namespace("bank").Text()), []string{"shop"}, "shop, bank", "shop, another namespace"},
		{"marks that somebody sends", told.F("%s", told.Host("\x0emh\x1fa.example\x0f")), nil, "\uFFFDmh\uFFFDa.example\uFFFD", "a host of another namespace"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := tt.text.String(); got != tt.whole {
				t.Errorf("the whole: %q, want %q", got, tt.whole)
			}
			got, whole := tt.text.To(only(tt.sees...))
			if got != tt.told || whole != (tt.told == tt.whole) {
				t.Errorf("told %q, whole %v; want %q", got, whole, tt.told)
			}
		})
	}
}

// FuzzText looks for a string that gets through where nobody may see anything.
func FuzzText(f *testing.F) {
	for _, s := range []string{"secret", "\x0f", "\x0emh\x1f", "\x1e\x0f", "a\x1fb", "%s", "\x0elh\x1f"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		s = "KEY" + s + "KEY"
		b := new(told.Builder)
		b.Printf("%s %q %v\n", told.Host(s), told.Namespace(s), s)
		b.Write(told.List(told.Hosts, told.Host(s).Text(), told.InNamespace(s).Text()))
		b.Write(told.If(told.Object(s), told.F("%s", told.Host(s).Detail(s))))
		got, whole := b.Text().To(only())
		if whole || strings.Contains(got, "KEY") {
			t.Errorf("told %q, whole %v", got, whole)
		}
		if !strings.Contains(b.Text().String(), "KEY") {
			t.Errorf("the whole lacks it: %q", b.Text())
		}
	})
}
