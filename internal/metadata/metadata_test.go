package metadata

import (
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"testing"
)

// TestEveryServiceIsFound looks for each service in every form in which it can be
// written, and for what merely looks like it.
func TestEveryServiceIsFound(t *testing.T) {
	for _, s := range Services {
		if u, err := url.Parse(s.Source); s.Cloud == "" || err != nil || u.Scheme != "https" || u.Host == "" {
			t.Errorf("%+v has no cloud, or no source", s)
		}
		if len(s.Addresses)+len(s.Names) == 0 {
			t.Errorf("%s has neither address nor name", s.Cloud)
		}
		for _, ip := range s.Addresses {
			for _, host := range []string{ip.String(), ip.StringExpanded(), strings.ToUpper(ip.String())} {
				if m, ok := Host(host); !ok || m.Exactly != ip.String() {
					t.Errorf("%s, as %q: found %v, %q", s.Cloud, host, ok, m.Exactly)
				}
			}
			for bits := 8; bits < ip.BitLen(); bits++ {
				p := netip.PrefixFrom(ip, bits)
				if m, ok := Range(p); !ok || m.Exactly != "" {
					t.Errorf("%s: %s passes for a range of others, or is excepted as %q", s.Cloud, p, m.Exactly)
				}
				if ip.Is4() {
					b := ip.As4()
					nat := [16]byte{1: 0x64, 2: 0xff, 3: 0x9b}
					copy(nat[12:], b[:])
					if p := netip.PrefixFrom(netip.AddrFrom16(nat), 96+bits); ip.BitLen() > bits {
						if _, ok := Range(p); !ok {
							t.Errorf("%s: %s passes", s.Cloud, p)
						}
					}
				}
			}
			if far := ip.Next(); !known(far) {
				if m, ok := Address(far); ok {
					t.Errorf("%s is taken for %s", far, m.Service.Cloud)
				}
			}
		}
		for _, name := range s.Names {
			name = strings.ReplaceAll(name, "*", "eu-west-1")
			if m, ok := Host(name); !ok || m.Exactly != name {
				t.Errorf("%s is not found, or as %q", name, m.Exactly)
			}
			for rest := name; ; {
				_, parent, ok := strings.Cut(rest, ".")
				if !ok {
					break
				}
				if m, ok := Host("*." + parent); !ok || m.Exactly != "" {
					t.Errorf("*.%s covers %s, and is not found", parent, name)
				}
				rest = parent
			}
			for _, other := range []string{"x" + name, name + ".example.com", "x." + name} {
				if m, ok := Host(other); ok {
					t.Errorf("%s is taken for %s", other, m.Service.Cloud)
				}
			}
		}
	}
	if _, ok := Host("*"); !ok {
		t.Error("* covers every name, and is not found")
	}
	for _, s := range Services {
		for _, ip := range s.Addresses {
			if !ip.Is4() {
				continue
			}
			for _, pattern := range []string{
				"*." + ip.String() + ".nip.io", "*.a-" + strings.ReplaceAll(ip.String(), ".", "-") + ".resolver.example",
				"*.nip.io", "*.sslip.io", "*." + ip.String()[strings.LastIndex(ip.String(), ".")+1:] + ".nip.io",
			} {
				if m, ok := Host(pattern); !ok || m.Exactly != "" {
					t.Errorf("%s covers a name of %s, and is not found", pattern, ip)
				}
			}
		}
	}
	for _, host := range []string{"*.10.0.0.1.nip.io", "*.example.nip.io", "app.nip.io", "nip.io", "*.io.example", "", ".", "a..b", "*.", "169.254.169.25.nip.io", "1169.254.169.254.nip.io", "169.254.169.2541.nip.io", "example.com", "*.example.com", "*mydata.google.internal", "127.0.0.1"} {
		if m, ok := Host(host); ok && host != "*." {
			t.Errorf("%q is taken for %s", host, m.Service.Cloud)
		}
	}
}

func known(ip netip.Addr) bool {
	for _, s := range Services {
		if slices.Contains(s.Addresses, ip) {
			return true
		}
	}
	return false
}

func FuzzHost(f *testing.F) {
	f.Add("metadata.google.internal")
	f.Add("*.0xa9fea9fe")
	f.Fuzz(func(t *testing.T, host string) {
		a, ok := Host(host)
		if b, again := Host(host); ok != again || a.Exactly != b.Exactly {
			t.Errorf("%q is found differently the second time", host)
		}
	})
}
