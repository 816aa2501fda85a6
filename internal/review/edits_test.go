package review_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/sallyport-io/sallyport/internal/companion"
	"github.com/sallyport-io/sallyport/internal/mesh"
	"github.com/sallyport-io/sallyport/internal/review"
	"github.com/sallyport-io/sallyport/rules"
)

// spec is a ServiceEntry as its owner edits it.
type spec struct {
	hosts, ports, annotations []string
	resolution, exportTo      string
	rest                      []string
}

func (s spec) manifest() string {
	return fmt.Sprintf(`
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: pay, namespace: shop, uid: u1, creationTimestamp: "2026-01-01T00:00:00Z", annotations: {%s}}
spec: {%s}
`, strings.Join(s.annotations, ", "), strings.Join(append([]string{
		"hosts: [" + strings.Join(s.hosts, ", ") + "]", "ports: [" + strings.Join(s.ports, ", ") + "]",
		"resolution: " + s.resolution, "exportTo: " + s.exportTo,
	}, s.rest...), ", "))
}

// edits are what may become of an entry's fields; the first few are good.
var edits = []struct {
	name string
	edit func(*spec)
}{
	{"a host more", func(s *spec) { s.hosts = append(s.hosts, "new.example.com") }},
	{"a host before", func(s *spec) { s.hosts = append([]string{"new.example.com"}, s.hosts...) }},
	{"a host less", func(s *spec) { s.hosts = s.hosts[1:] }},
	{"a port more", func(s *spec) { s.ports = append(s.ports, "{number: 9443, name: more, protocol: TLS}") }},
	{"a TCP port", func(s *spec) { s.ports = append(s.ports, "{number: 5432, name: tcp, protocol: TCP}") }},
	otherNames: {"other names", func(s *spec) { replace(s.ports, "name: ", "name: x") }},
	{"another word", func(s *spec) { replace(s.ports, "protocol: TLS", "protocol: HTTPS") }},
	{"a UDP port", func(s *spec) { s.ports = append(s.ports, "{number: 53, name: udp, protocol: UDP}") }},
	{"an address", func(s *spec) { s.rest = append(s.rest, "addresses: [192.0.2.7]") }},
	{"an address for a host", func(s *spec) { s.hosts = append(s.hosts, "192.0.2.7") }},
	{"a wildcard", func(s *spec) { s.hosts = append(s.hosts, `"*.example.com"`) }},
	{"a cluster's name", func(s *spec) { s.hosts = append(s.hosts, "db.bank.svc.cluster.local") }},
	{"a name without a dot", func(s *spec) { s.hosts = append(s.hosts, "pay") }},
	{"another spelling", func(s *spec) { s.hosts[0] = strings.ToUpper(s.hosts[0]) }},
	{"a port without a protocol", func(s *spec) { s.ports = append(s.ports, "{number: 9443, name: more}") }},
	{"all ports without", func(s *spec) {
		replace(s.ports, "protocol: TLS", "protocol: \"\"")
		replace(s.ports, "protocol: HTTP", "protocol: \"\"")
	}},
	{"another protocol", func(s *spec) { replace(s.ports, "protocol: TLS", "protocol: TCP") }},
	{"endpoints", func(s *spec) { s.rest = append(s.rest, "endpoints: [{address: 192.0.2.7}]") }},
	{"a selector", func(s *spec) {
		s.resolution = "STATIC"
		s.rest = append(s.rest, "workloadSelector: {labels: {app: pay}}")
	}},
	{"no resolution", func(s *spec) { s.resolution = "NONE" }},
	{"a certificate of nobody's", func(s *spec) { s.annotations = append(s.annotations, "sallyport.io/client-certificate: nobody") }},
	{"an issuer of nobody's", func(s *spec) { s.annotations = append(s.annotations, "sallyport.io/issuer: nobody") }},
	{"accounts of nobody's", func(s *spec) { s.annotations = append(s.annotations, `sallyport.io/service-accounts: "not a name!"`) }},
	{"TLS at the gateway", func(s *spec) { s.annotations = append(s.annotations, `sallyport.io/originate-tls: "true"`) }},
	{"another target", func(s *spec) { replace(s.ports, "}", ", targetPort: 8443}") }},
	{"another export", func(s *spec) { s.exportTo = `["*"]` }},
	{"nothing that says who manages it", func(s *spec) { s.annotations = nil }},
	{"no export", func(s *spec) { s.exportTo = "[]" }},
}

// otherNames is the edit that touches every port and changes none.
const otherNames = 5

func replace(all []string, old, new string) {
	for i := range all {
		all[i] = strings.Replace(all[i], old, new, 1)
	}
}

// TestNoEditClosesWhatWorks edits an open entry at random, badly and well. What
// went through the gateway and stands in the entry still does so at that moment
// and when Sallyport has written what the edit needs, or the edit is denied.
func TestNoEditClosesWhatWorks(t *testing.T) {
	judge := &review.Judge{Rules: rules.All}
	admitted, denied := map[string]int{}, map[string]int{}
	for seed := range uint64(4) {
		rnd := rand.New(rand.NewPCG(seed, 20))
		for i := range edits {
			before := spec{
				hosts:       []string{"one.example.com", "two.example.com"}[:1+rnd.IntN(2)],
				ports:       []string{"{number: 443, name: tls, protocol: TLS}", "{number: 80, name: http, protocol: HTTP}", "{number: 8443, name: other, protocol: TLS}"}[:1+rnd.IntN(3)],
				annotations: []string{`sallyport.io/export-to: "."`},
				resolution:  "DNS", exportTo: `["."]`,
			}
			before.hosts, before.ports = slices.Clone(before.hosts), slices.Clone(before.ports)
			after := before
			after.hosts, after.ports, after.annotations = slices.Clone(before.hosts), slices.Clone(before.ports), slices.Clone(before.annotations)
			chosen := []int{i}
			switch { // more than one edit at a time
			case seed == 1:
				chosen = append(chosen, otherNames)
			case seed > 1:
				chosen = append(chosen, rnd.IntN(len(edits)))
			}
			var names []string
			for _, e := range slices.Compact(chosen) { // twice it would write a key twice
				if edits[e].name == "a host less" && len(after.hosts) == 1 {
					continue
				}
				edits[e].edit(&after)
				names = append(names, edits[e].name)
			}
			name := strings.Join(names, " and ") + " of " + strings.TrimSpace(before.manifest())
			m := mesh.New(mesh.DefaultSettings(), decode(t, gapNamespaces)...).With(decode(t, before.manifest())...)
			for _, h := range before.hosts {
				m = m.With(companion.For(m, h).Objects...)
			}
			w := review.Write{Request: rules.Request{Operation: "UPDATE", User: "jane"}, OldObject: document(t, before.manifest()), Object: document(t, after.manifest())}
			w.Object = defaulted(t, m, w)
			out, err := judge.Review(t.Context(), m, w)
			if err != nil || out.Denied() {
				denied[edits[i].name]++
				continue
			}
			admitted[edits[i].name]++
			was, is := m.Get(out.Ref).(*mesh.ServiceEntry), decode(t, string(w.Object))[0].(*mesh.ServiceEntry)
			now := m.With(is)
			later, _ := companion.Apply(now, slices.Concat(was.Hosts, is.Hosts)...)
			for _, h := range was.Hosts {
				for _, port := range was.Ports {
					kept := func(p mesh.ServicePort) bool {
						return p.Number == port.Number && mesh.ClassOf(p.Protocol) == mesh.ClassOf(port.Protocol)
					}
					if !slices.Contains(is.Hosts, h) || !slices.ContainsFunc(is.Ports, kept) {
						continue
					}
					for when, m := range map[string]*mesh.Mesh{"at once": now, "later": later} {
						if p := m.Paths("shop", h, port.Number); p.Verdict != mesh.Via {
							t.Errorf("%s:\n%s:%d is %s %s: %+v", name, h, port.Number, p.Verdict, when, p.Because)
						}
					}
				}
			}
			// One that is held is opened in the end.
			for _, h := range is.Hosts {
				if why := companion.Unready(later, is, h); is.Held() && len(why) > 0 {
					t.Errorf("%s: held for good: %s", name, why)
				}
			}
		}
	}
	for _, e := range edits {
		if admitted[e.name]+denied[e.name] == 0 {
			t.Errorf("%s was not tried", e.name)
		}
	}
	for _, good := range []string{"a host less", "other names", "another word", "a UDP port"} {
		if admitted[good] == 0 {
			t.Errorf("%s was never admitted", good)
		}
	}
	for _, bad := range []string{"an address for a host", "a wildcard", "a port without a protocol", "all ports without", "endpoints", "a selector"} {
		if denied[bad] < 3 { // a second edit may undo it
			t.Errorf("%s was denied %d times and admitted %d", bad, denied[bad], admitted[bad])
		}
	}
}

// TestRuleThatCannotBeTakenOver: a DestinationRule that asks for TLS which the
// gateway does not speak is denied beside an entry that goes through it, and the
// answer says what is the matter. One that the gateway takes over is admitted.
func TestRuleThatCannotBeTakenOver(t *testing.T) {
	const entry = `
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: api, namespace: shop, uid: u1, annotations: {sallyport.io/export-to: "."}}
spec: {hosts: [api.partner.com], ports: [{number: 8080, name: http, protocol: HTTP}], resolution: DNS, exportTo: ["."]}
`
	m := mesh.New(mesh.DefaultSettings(), decode(t, gapNamespaces)...).With(decode(t, entry)...)
	m = m.With(companion.For(m, "api.partner.com").Objects...)
	judge := &review.Judge{Rules: rules.All}
	for tls, denied := range map[string]bool{
		"{mode: SIMPLE}": false, "{mode: DISABLE}": false,
		"{mode: SIMPLE, insecureSkipVerify: true}": true, "{mode: MUTUAL, credentialName: mine}": true,
	} {
		out, err := judge.Review(t.Context(), m, review.Write{Request: rules.Request{Operation: "CREATE", User: "jane"}, Object: document(t, `
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: api, namespace: shop}
spec: {host: api.partner.com, trafficPolicy: {tls: `+tls+`}}
`)})
		if err != nil {
			t.Fatal(err)
		}
		if out.Denied() != denied {
			t.Errorf("%s: denied %t, want %t: %+v", tls, out.Denied(), denied, out.Findings)
		}
		if f := findingOf(out, "direct-path"); denied && (f == nil || !strings.Contains(f.Message, "speak TLS to port 8080") || f.Fix == "") {
			t.Errorf("%s: the answer does not say what is the matter: %+v", tls, f)
		}
	}
}
