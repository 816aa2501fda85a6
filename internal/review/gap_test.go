package review_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sallyport-io/sallyport/internal/companion"
	"github.com/sallyport-io/sallyport/internal/mesh"
	"github.com/sallyport-io/sallyport/internal/review"
	"github.com/sallyport-io/sallyport/rules"
)

// exportForms are what an entry may say of who sees it.
var exportForms = []string{"", `["."]`, `["*"]`, `["shop"]`, `[".", "istio-system"]`, `["bank"]`, `["~"]`, `[]`}

// gapNamespaces are a world of namespaces that ask for companions and do not.
const gapNamespaces = `
apiVersion: v1
kind: Namespace
metadata: {name: shop}
---
apiVersion: v1
kind: Namespace
metadata: {name: by-hand, labels: {sallyport.io/injection: disabled}}
---
apiVersion: v1
kind: Namespace
metadata: {name: kube-system, labels: {sallyport.io/injection: enabled}}
`

func formOf(namespace, hosts, annotation, exportTo string) string {
	entry := "apiVersion: networking.istio.io/v1\nkind: ServiceEntry\nmetadata: {name: pay, namespace: " + namespace
	if annotation != "" {
		entry += `, annotations: {sallyport.io/export-to: "` + annotation + `"}`
	}
	entry += "}\nspec: {hosts: [" + hosts + "], resolution: DNS, ports: [{number: 443, name: tls, protocol: TLS}]"
	if exportTo != "" {
		entry += ", exportTo: " + exportTo
	}
	return entry + "}\n"
}

// TestNoEntryIsSeenEarly admits a new entry of every form, with and without the
// mutating half of admission: where it comes in, nobody reaches its host
// directly at that moment. The command line, which judges it as a file, says of
// it what the server says.
func TestNoEntryIsSeenEarly(t *testing.T) {
	judge := &review.Judge{Rules: rules.All}
	world := mesh.New(mesh.DefaultSettings(), decode(t, gapNamespaces)...)
	refused := 0
	for _, namespace := range []string{"shop", "by-hand", "kube-system", "istio-system"} {
		for _, annotation := range []string{"", ".", "*"} {
			for _, form := range exportForms {
				for _, standing := range []bool{false, true} {
					name := fmt.Sprintf("%s/annotation=%s/exportTo=%s/companions=%t", namespace, annotation, form, standing)
					raw := document(t, formOf(namespace, "pay.example.com", annotation, form))
					m := world
					if standing { // because of an entry that is there, for whoever this one is for
						other := decode(t, strings.Replace(formOf(namespace, "pay.example.com", "", `["*"]`), "name: pay", "name: older, uid: u1", 1))
						m = m.With(other...)
						m = m.With(companion.For(m, "pay.example.com").Objects...)
					}
					for _, mutated := range []bool{true, false} {
						w := review.Write{Request: rules.Request{Operation: "CREATE", User: "jane"}, Object: raw}
						if mutated {
							w.Object = defaulted(t, m, w)
						}
						out, err := judge.Review(t.Context(), m, w)
						if err != nil {
							t.Fatal(err)
						}
						if gap := findingOf(out, "open-gap"); gap != nil {
							refused++
							missed := !mutated && (form == "" || form == "[]" || annotation != "" && form == `["`+annotation+`"]`)
							if missed != strings.Contains(gap.Fix, "Try again") {
								t.Errorf("%s, mutated %t: the fix is %q", name, mutated, gap.Fix)
							}
						}
						if !out.Denied() {
							if direct := directNow(m.With(decode(t, string(w.Object))...), "pay.example.com"); direct != "" && directNow(m, "pay.example.com") == "" {
								t.Errorf("%s, mutated %t: came in, and %s", name, mutated, direct)
							}
						}
						if !mutated || namespace == "by-hand" || namespace == "istio-system" {
							continue // there a file is judged as it is written
						}
						batch, err := judge.ReviewAll(t.Context(), m, [][]byte{raw})
						if err != nil {
							t.Fatal(err)
						}
						if diff := cmp.Diff(denials(out), denials(batch.Outcomes[0])); diff != "" {
							t.Errorf("%s: (-server +command line):\n%s", name, diff)
						}
					}
				}
			}
		}
	}
	if refused < 20 {
		t.Errorf("%d entries were refused for a gap; want most forms", refused)
	}
}

// TestEditOfAnOpenEntry edits an entry that is open, in every way that may open
// a path: what works and is left as it was stays in sight, and what is new is
// not reached directly. Where neither can be had the edit is refused, with words
// on how to go about it.
func TestEditOfAnOpenEntry(t *testing.T) {
	const (
		tls  = "{number: 443, name: tls, protocol: TLS}"
		more = "{number: 8443, name: tls-8443, protocol: TLS}"
		http = "{number: 443, name: tls, protocol: HTTP}"
		tcp  = "{number: 5432, name: tcp, protocol: TCP}"
	)
	entry := func(hosts, ports, rest string) string {
		return fmt.Sprintf(`
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: pay, namespace: shop, uid: u1, creationTimestamp: "2026-01-01T00:00:00Z", annotations: {sallyport.io/export-to: "."%s}}
spec: {hosts: [%s], ports: [%s], resolution: DNS, %s}
`, rest, hosts, ports, "%s")
	}
	judge := &review.Judge{Rules: rules.All}
	for _, before := range []struct{ hosts, ports string }{
		{"one.example.com", tls}, {"one.example.com, two.example.com", tls}, {"one.example.com", tls + ", " + more},
	} {
		for _, after := range []struct {
			hosts, ports, rest string
		}{
			{"one.example.com", tls, ""},
			{"one.example.com", tls, ", owner: jane"},
			{"one.example.com, new.example.com", tls, ""},
			{"new.example.com, one.example.com", tls, ""},
			{"new.example.com", tls, ""},
			{"one.example.com", tls + ", " + more, ""},
			{"one.example.com", tls + ", " + tcp, ""},
			{"one.example.com", http, ""},
			{"one.example.com", more, ""},
			{"one.example.com, two.example.com", tls + ", " + more, ""},
		} {
			for _, exportTo := range []string{`exportTo: ["."]`, "", `exportTo: ["*"]`} {
				old := fmt.Sprintf(entry(before.hosts, before.ports, ""), `exportTo: ["."]`)
				edited := fmt.Sprintf(entry(after.hosts, after.ports, after.rest), exportTo)
				_, spec, _ := strings.Cut(edited, "spec:")
				name := strings.TrimSpace(spec) + " after " + before.hosts + before.ports
				m := mesh.New(mesh.DefaultSettings(), decode(t, gapNamespaces)...).With(decode(t, old)...)
				for h := range strings.SplitSeq(before.hosts, ", ") {
					m = m.With(companion.For(m, h).Objects...)
				}
				w := review.Write{Request: rules.Request{Operation: "UPDATE", User: "jane"}, OldObject: document(t, old), Object: document(t, edited)}
				w.Object = defaulted(t, m, w)
				out, err := judge.Review(t.Context(), m, w)
				if err != nil {
					t.Fatal(err)
				}
				if out.Denied() {
					if gap := findingOf(out, "open-gap"); gap != nil && exportTo != `exportTo: ["*"]` && !strings.Contains(gap.Fix, "an entry of its own") {
						t.Errorf("%s: the fix is %q", name, gap.Fix)
					}
					if after.hosts == before.hosts && after.ports == before.ports && exportTo != `exportTo: ["*"]` {
						t.Errorf("%s: denied, though nothing is new: %+v", name, out.Findings)
					}
					continue
				}
				now := m.With(decode(t, string(w.Object))...)
				for _, h := range []string{"one.example.com", "two.example.com", "new.example.com"} {
					if direct := directNow(now, h); direct != "" {
						t.Errorf("%s: came in, and %s", name, direct)
					}
				}
				was, is := m.Get(out.Ref).(*mesh.ServiceEntry), now.Get(out.Ref).(*mesh.ServiceEntry)
				for _, h := range was.Hosts {
					for _, port := range was.Ports {
						if slices.Contains(is.Hosts, h) && slices.Contains(is.Ports, port) && now.Paths("shop", h, port.Number).Verdict != mesh.Via {
							t.Errorf("%s: came in and hides %s:%d", name, h, port.Number)
						}
					}
				}
			}
		}
	}
}

// TestAdditionInItsOwnEntry follows the words of a refused edit: the new host,
// or port, is registered in an entry of its own, and once that is open the edit
// is admitted. At no step is a path direct, or what was open hidden.
func TestAdditionInItsOwnEntry(t *testing.T) {
	entry := func(name, host string, port int) string {
		return fmt.Sprintf("apiVersion: networking.istio.io/v1\nkind: ServiceEntry\nmetadata: {name: %s, namespace: shop, uid: %s}\nspec: {hosts: [%s], resolution: DNS, ports: [{number: %d, name: tls, protocol: TLS}]}\n",
			name, name, host, port)
	}
	for name, add := range map[string]struct {
		host string
		port int
		edit func(string) string
	}{
		"a host": {"new.example.com", 443, func(s string) string {
			return strings.Replace(s, "[one.example.com]", "[one.example.com, new.example.com]", 1)
		}},
		"a port": {"one.example.com", 8443, func(s string) string {
			return strings.Replace(s, "ports: [", "ports: [{number: 8443, name: tls-8443, protocol: TLS}, ", 1)
		}},
	} {
		t.Run(name, func(t *testing.T) {
			c := newCluster(true).apply(t, document(t, entry("pay", "one.example.com", 443)))
			open := func(name string) string {
				t.Helper()
				se := c.mesh.Get(mesh.Ref{Kind: "ServiceEntry", Namespace: "shop", Name: name}).(*mesh.ServiceEntry)
				if se == nil || se.Held() {
					t.Fatalf("%s is not open: %v", name, c.paths())
				}
				return strings.Replace(entry("pay", "one.example.com", 443), "resolution: DNS", `resolution: DNS, exportTo: ["."]`, 1)
			}
			old := open("pay")
			w := review.Write{Request: rules.Request{Operation: "UPDATE", User: "jane"}, OldObject: document(t, old), Object: document(t, add.edit(old))}
			out, err := c.judge.Review(t.Context(), c.mesh, w)
			if err != nil || findingOf(out, "open-gap") == nil || !out.Denied() {
				t.Fatalf("the edit is not refused: %v, %+v", err, out.Findings)
			}
			c = c.apply(t, document(t, entry("new", add.host, add.port)))
			if direct := c.direct(); direct != "" || len(c.denied) > 0 {
				t.Fatalf("%s %v", direct, c.denied)
			}
			open("pay")
			open("new")
			if out, err = c.judge.Review(t.Context(), c.mesh, w); err != nil || out.Denied() {
				t.Fatalf("the edit is still refused: %v, %+v", err, out.Findings)
			}
			c.mesh = c.mesh.With(decode(t, string(w.Object))...)
			if direct := c.direct(); direct != "" {
				t.Error(direct)
			}
		})
	}
}

// TestOrderOfExplicitSets applies hand-written sets whose entries say
// themselves who sees them, in every order, where Sallyport keeps companions.
// An entry that comes before its routes is refused with a fix; whoever applies
// the set again has it admitted, and at no moment is a path direct. Judged as
// files the set is good.
func TestOrderOfExplicitSets(t *testing.T) {
	for _, name := range goodSets {
		set := readSet(t, name)
		if len(set) > 6 {
			continue
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			entries := 0
			for i, raw := range set {
				if o, err := mesh.Decode(raw); err == nil && o.Metadata().Kind == "ServiceEntry" && len(o.(*mesh.ServiceEntry).ExportTo) == 0 {
					set[i] = document(t, strings.Replace(string(raw), `"spec":{`, `"spec":{"exportTo":["*"],`, 1))
					entries++
				}
			}
			empty := newCluster(true)
			empty.moments = true
			batch, err := empty.judge.ReviewAll(t.Context(), empty.mesh, set)
			if err != nil {
				t.Fatal(err)
			}
			for _, out := range batch.Outcomes {
				if out.Denied() {
					t.Errorf("as a file %s is denied: %+v", out.Ref, out.Findings)
				}
			}
			refused := 0
			empty.everyOrder(t, set, func(order []string, end cluster) {
				refused += len(end.denied)
				for range set { // whoever applies is told, and applies again
					if len(end.denied) == 0 {
						break
					}
					end.denied = nil
					for _, raw := range set {
						if o, _ := mesh.Decode(raw); end.mesh.Get(o.Metadata().Ref) == nil {
							end = end.apply(t, raw)
						}
					}
				}
				if len(end.denied) > 0 {
					t.Fatalf("%v: denied for good: %v", order, end.denied)
				}
				if end.leaked != "" {
					t.Fatalf("%v: %s", order, end.leaked)
				}
				if direct := end.direct(); direct != "" {
					t.Fatalf("%v: %s", order, direct)
				}
			})
			if entries > 0 && refused == 0 {
				t.Error("no order was refused: the entry never came first")
			}
		})
	}
}

func defaulted(t *testing.T, m *mesh.Mesh, w review.Write) []byte {
	t.Helper()
	ops, _, err := review.Default(t.Context(), m, w)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := review.Patched(w.Object, ops)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func findingOf(out review.Outcome, rule string) *rules.Finding {
	for _, f := range out.Findings {
		if f.Rule == rule {
			return &f
		}
	}
	return nil
}

// denials are the rules that deny, and where.
func denials(out review.Outcome) []string {
	var all []string
	for _, f := range out.Findings {
		if f.Severity == rules.Deny {
			all = append(all, f.Rule+" "+f.Path)
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// directNow names a client that reaches the host directly in the mesh as it is.
func directNow(m *mesh.Mesh, host string) string {
	for _, entry := range m.EntriesFor(host) {
		for _, port := range entry.Ports {
			for _, client := range []string{entry.Namespace, "bank", "by-hand", mesh.AnyClient} {
				if m.Settings().GatewayNamespace(client) {
					continue
				}
				if p := m.Paths(client, host, port.Number); p.Verdict == mesh.Direct {
					return fmt.Sprintf("%s reaches %s:%d directly: %v", client, host, port.Number, p.Because)
				}
			}
		}
	}
	return ""
}
