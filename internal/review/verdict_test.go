package review_test

import (
	"strings"
	"testing"

	"github.com/sallyport-io/sallyport/internal/mesh"
	"github.com/sallyport-io/sallyport/internal/review"
	"github.com/sallyport-io/sallyport/rules"
)

// TestOneVerdict: an entry for which Sallyport keeps no routes gets one verdict,
// from the server, to which it comes alone and to be held back, and from the command
// line, which takes the file for all there is. Led by hand, it gets another, and
// again the same from both.
func TestOneVerdict(t *testing.T) {
	entry := func(change ...string) string {
		bare := strings.Replace(entryOf("pay.example.com"), ` exportTo: ["."],`, "", 1)
		changed := strings.NewReplacer(change...).Replace(bare)
		if len(change) > 0 && changed == bare {
			t.Fatalf("%v changes nothing", change)
		}
		return changed
	}
	const byHand = `
---
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: pay, namespace: istio-system}
spec:
  selector: {istio: egressgateway}
  servers:
  - {port: {number: 443, name: tls, protocol: TLS}, hosts: ["shop/HOST"], tls: {mode: PASSTHROUGH}}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: pay, namespace: shop}
spec:
  hosts: ["HOST"]
  gateways: [mesh, istio-system/pay]
  tls:
  - match: [{gateways: [mesh], port: 443, sniHosts: ["HOST"]}]
    route: [{destination: {host: istio-egressgateway.istio-system.svc.cluster.local, port: {number: 443}}}]
  - match: [{gateways: [istio-system/pay], port: 443, sniHosts: ["HOST"]}]
    route: [{destination: {host: "HOST", port: {number: 443}}}]
`
	for _, test := range []struct {
		name, object, host string
		denied             bool // alone
		mends              bool // routes by hand lead it
	}{
		{"plain", entry(), "pay.example.com", false, true},
		{"wildcard", entry("pay.example.com", "'*.example.com'"), "*.example.com", true, true},
		{"address", entry("resolution: DNS", "resolution: DNS, addresses: [198.51.100.7]"), "pay.example.com", false, true},
		{"address for a host", entry("pay.example.com", "198.51.100.7"), "198.51.100.7", true, true},
		{"endpoints", entry("resolution: DNS", "resolution: STATIC, endpoints: [{address: 198.51.100.7}]"), "pay.example.com", true, true},
		{"no protocol", entry(", protocol: TLS", ""), "pay.example.com", true, false},
		{"no dot", entry("pay.example.com", "pay"), "pay", true, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			one := func(objects ...string) (server, file bool) {
				c := newCluster(true)
				var raw [][]byte
				for _, o := range objects {
					for part := range strings.SplitSeq(o, "\n---\n") {
						if strings.TrimSpace(part) != "" {
							raw = append(raw, document(t, part))
							c = c.apply(t, raw[len(raw)-1])
						}
					}
				}
				b, err := c.judge.ReviewAll(t.Context(), newCluster(true).mesh, raw)
				if err != nil {
					t.Fatal(err)
				}
				for _, o := range b.Outcomes {
					file = file || o.Denied()
				}
				return len(c.denied) > 0, file
			}
			if server, file := one(test.object); server != file || server != test.denied {
				t.Errorf("alone: denied by the server %t, by the command line %t, want %t", server, file, test.denied)
			}
			if server, file := one(strings.ReplaceAll(byHand, "HOST", test.host), test.object); server != file || server == test.mends {
				t.Errorf("led by hand: denied by the server %t, by the command line %t, want %t", server, file, !test.mends)
			}
		})
	}
}

// TestStoredAsItStands: what comes out of a cluster is judged as it stands there. No
// admission has narrowed an entry that is public, no companions lead it that are not
// there, and what is held back is closed.
func TestStoredAsItStands(t *testing.T) {
	bare := strings.Replace(entryOf("pay.example.com"), ` exportTo: ["."],`, "", 1)
	for name, test := range map[string]struct {
		object string
		want   map[bool]mesh.Verdict // by whether it is stored
	}{
		"public":    {bare, map[bool]mesh.Verdict{false: mesh.Via, true: mesh.Direct}},
		"held back": {strings.NewReplacer("resolution: DNS", `resolution: DNS, exportTo: ["~"]`, "namespace: shop", `namespace: shop, annotations: {sallyport.io/export-to: "."}`).Replace(bare), map[bool]mesh.Verdict{false: mesh.Via, true: mesh.Blocked}},
	} {
		for stored, want := range test.want {
			judge := &review.Judge{Rules: rules.All, Stored: stored}
			b, err := judge.ReviewAll(t.Context(), newCluster(true).mesh, [][]byte{document(t, test.object)})
			if err != nil {
				t.Fatal(err)
			}
			if got := b.Mesh.Paths("shop", "pay.example.com", 443).Verdict; got != want {
				t.Errorf("%s, stored %t: %s, want %s", name, stored, got, want)
			}
			for _, p := range b.Paths {
				if p.Client == "shop" && p.Verdict != want {
					t.Errorf("%s, stored %t: listed as %s, want %s", name, stored, p.Verdict, want)
				}
			}
			if denied := b.Outcomes[0].Denied(); denied != (want == mesh.Direct) {
				t.Errorf("%s, stored %t: denied %t: %+v", name, stored, denied, b.Outcomes[0].Findings)
			}
		}
	}
}
