package rules

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"strings"
	"testing"

	"github.com/sallyport-io/sallyport/internal/address"
	"github.com/sallyport-io/sallyport/internal/mesh"
)

// spellings are the ways to write an IPv4 address that some resolver, client or
// network takes for it.
func spellings(ip netip.Addr) []string {
	b := ip.As4()
	n := uint32(b[0])<<24 | uint32(b[1])<<16 | uint32(b[2])<<8 | uint32(b[3])
	hi, lo := fmt.Sprintf("%02x%02x", b[0], b[1]), fmt.Sprintf("%02x%02x", b[2], b[3])
	full := strings.Map(func(r rune) rune {
		switch {
		case '0' <= r && r <= '9':
			return r - '0' + '０'
		case r == '.':
			return '。'
		}
		return r
	}, ip.String())
	return []string{
		ip.String(), ip.String() + ".", fmt.Sprint(n), fmt.Sprintf("0x%x", n), fmt.Sprintf("0X%08X", n), fmt.Sprintf("0%o", n), fmt.Sprintf("000%o", n),
		fmt.Sprintf("%#x.%#x.%#x.%#x", b[0], b[1], b[2], b[3]), fmt.Sprintf("0%o.0%o.0%o.0%o", b[0], b[1], b[2], b[3]),
		fmt.Sprintf("%d.%d", b[0], n&0xffffff), fmt.Sprintf("%d.%d.%d", b[0], b[1], n&0xffff), fmt.Sprintf("%#x.0%o.%d", b[0], b[1], n&0xffff), full,
		"::ffff:" + ip.String(), "::ffff:" + hi + ":" + lo, "::" + hi + ":" + lo, "::ffff:0:" + hi + ":" + lo, "64:ff9b::" + ip.String(),
		"2002:" + hi + ":" + lo + "::1", fmt.Sprintf("2001:0:808:808::%x:%x", ^(n>>16)&0xffff, ^n&0xffff), "2001:0:" + hi + ":" + lo + "::f7f7:f7f7",
	}
}

func TestEverySpellingOfAPrivateAddress(t *testing.T) {
	m := mesh.New(mesh.Settings{ClusterDomain: "cluster.local"}, &mesh.ServiceCIDR{
		Meta: mesh.Meta{Ref: mesh.Ref{Kind: "ServiceCIDR", Name: "kubernetes"}}, CIDRs: []string{"20.0.0.0/16"},
	})
	r := rand.New(rand.NewPCG(1, 2))
	within := func(cidr string) netip.Addr {
		p := netip.MustParsePrefix(cidr)
		b := p.Addr().As4()
		for i := range b {
			if mask := byte(0xff << max(0, min(8, 8*(i+1)-p.Bits()))); i*8+8 > p.Bits() {
				b[i] = b[i]&mask | byte(r.Uint32())&^mask
			}
		}
		return netip.AddrFrom4(b)
	}
	for _, cidr := range []string{
		"10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "127.0.0.0/8", "169.254.0.0/16", "169.254.169.254/32", "100.64.0.0/10", "0.0.0.0/8",
		"224.0.0.0/4", "240.0.0.0/4", "198.18.0.0/15", "255.255.255.255/32", "20.0.0.0/16",
	} {
		for range 20 {
			ip := within(cidr)
			if ip.As4()[0] == 0 {
				continue // ::0.0.0.x is an address of its own
			}
			for _, s := range spellings(ip) {
				host := s
				if strings.Contains(s, ":") {
					host = "[" + s + "]"
				}
				if privateHost(m, s) == "" {
					t.Errorf("%s, of %s, passes for public as %q", ip, cidr, s)
				}
				for _, form := range []string{"http://%s/keys", "HTTPS://%s:8443", "https://%s?x=1"} {
					if text := fmt.Sprintf(form, host); privateURL(m, text) == "" {
						t.Errorf("%s, of %s, passes for public in %q", ip, cidr, text)
					}
				}
				if what := forbidden(ip); what != "" {
					if got, ok := address.Parse(s); ok && forbidden(address.Embedded(got)[0]) == "" && !strings.HasPrefix(s, "2001:0:808") {
						t.Errorf("%s is %s, and as %q not found to be", ip, what, s)
					}
				}
			}
		}
	}
	for _, ip := range []string{"8.8.8.8", "93.184.216.34", "203.0.113.9", "1.2.3.4", "20.1.0.1"} {
		for _, s := range spellings(netip.MustParseAddr(ip)) {
			if what := privateHost(m, s); what != "" {
				t.Errorf("%s, as %q, is public, and found to be %s", ip, s, what)
			}
		}
	}
}

func TestPrivateHost(t *testing.T) {
	m := mesh.New(mesh.Settings{ClusterDomain: "cluster.local"}, &mesh.Service{Meta: mesh.Meta{Ref: mesh.Ref{Kind: "Service", Namespace: "shop", Name: "web"}}})
	for _, host := range []string{
		"", ".", "localhost", "LOCALHOST.", "a.localhost", "localhost.localdomain", "kubernetes", "kubernetes.default.svc", "x.y.svc.cluster.local", "X.Y.SVC.Cluster.Local.",
		"cluster.local", "web.shop", "WEB.shop.", "web-0.web.shop", "_http._tcp.web.shop", "10-0-0-1.shop.pod", "10-0-0-1.shop.pod.cluster.local", "x.y.svc.clusterset.local",
		"metadata.google.internal", "metadata.goog", "api.metadata.cloud.ibm.com", "168.63.129.16", "host.docker.internal", "printer.local", "router.home.arpa", "1.2.3.4.5", "1.2.3.256", "0x", "example.0x7f", "a b.example.com", "[::1]", "::", "::1",
		"fe80::1%eth0", "fc00::1", "fd00:ec2::254", "fec0::1", "ff02::1", "100::1", "64:ff9b:1::a00:1", "::ffff:127.0.0.1%eth0", "\x00.example.com", "ｌｏｃａｌｈｏｓｔ", "exa_mple\u202e.com",
	} {
		if host == "a b.example.com" || host == "\x00.example.com" {
			continue // no URL has such a host: see below
		}
		if privateHost(m, host) == "" {
			t.Errorf("%q passes for public", host)
		}
	}
	for _, text := range []string{
		"", "x", "//login.example.com", "file:///etc/passwd", "ftp://login.example.com", "http://", "http:///keys", "http:login.example.com", "http://user@login.example.com", "http://login.example.com:80@127.0.0.1/",
		"http://login.example.com\\@127.0.0.1/", "http://127.0.0.1\t.example.com", " http://127.0.0.1", "http://a b.example.com", "http://\x00.example.com", "http://[::1", "http://%31%32%37.0.0.1", "http://login.example.com:port",
	} {
		if privateURL(m, text) == "" {
			t.Errorf("%q passes for a public URL", text)
		}
	}
	for _, text := range []string{
		"https://login.example.com", "HTTPS://Login.Example.COM:8443/a?b=c#d", "https://login.example.com./keys", "https://8.8.8.8/keys", "https://[2606:4700::1111]/keys", "https://bücher.example/keys",
		"https://web.shop.example/keys", "https://shop.web/keys",
	} {
		if what := privateURL(m, text); what != "" {
			t.Errorf("%q is public, and found to be %s", text, what)
		}
	}
}

func FuzzPrivateURL(f *testing.F) {
	f.Add("https://login.example.com")
	f.Add("http://[::ffff:0x7f.1%25eth0]:1/")
	m := mesh.New(mesh.Settings{ClusterDomain: "cluster.local"})
	f.Fuzz(func(t *testing.T, text string) {
		what := privateURL(m, text)
		if what != privateURL(m, text) {
			t.Errorf("%q is judged differently the second time", text)
		}
		privateHost(m, text)
	})
}
