package review_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/sallyport-io/sallyport/internal/companion"
	"github.com/sallyport-io/sallyport/internal/mesh"
	"github.com/sallyport-io/sallyport/internal/review"
	"github.com/sallyport-io/sallyport/rules"
)

// claimForms are the forms in which an entry may claim ports of a host.
var claimForms = []struct{ ports, annotations string }{
	{"{number: 443, name: p, protocol: TLS}", ""},
	{"{number: 443, name: p, protocol: HTTPS}", ""},
	{"{number: 443, name: p, protocol: HTTP}", ""},
	{"{number: 443, name: p, protocol: TCP}", ""},
	{"{number: 80, name: p, protocol: HTTP}", ""},
	{"{number: 80, name: p, protocol: GRPC}", ""},
	{"{number: 80, name: p, protocol: HTTP, targetPort: 443}", ""},
	{"{number: 80, name: p, protocol: HTTP, targetPort: 8080}", ""},
	{"{number: 80, name: p, protocol: HTTP}", `, sallyport.io/originate-tls: "true"`},
	{"{number: 80, name: p, protocol: HTTP}", `, sallyport.io/originate-tls: "true", sallyport.io/client-certificate: corp`},
	{"{number: 80, name: p, protocol: HTTP}, {number: 443, name: q, protocol: HTTP}", ""},
	{"{number: 80, name: p, protocol: HTTP}, {number: 443, name: q, protocol: TLS}", ""},
	{"{number: 5432, name: p, protocol: TCP}", ""},
	{"{number: 5432, name: p, protocol: MONGO}", ""},
	{"{number: 8443, name: p, protocol: TLS}", ""},
}

func claimSettings(owner string, mutual bool) mesh.Settings {
	s := mesh.DefaultSettings()
	s.Gateways[0].MutualTLS = mutual
	s.Credentials = []mesh.Credential{{Name: "corp", Hosts: []string{"api.partner.example"}, Namespaces: []string{"secret-team", "aaa", "zzz"}, Secret: "corp"}}
	owners := []mesh.Owner{}
	if owner != "" {
		owners = append(owners, mesh.Owner{Hosts: []string{"*.partner.example"}, Namespaces: []string{owner}, Contact: "#the-owners"})
	}
	s.Ownership = mesh.NewOwnership(owners, "#egress", mesh.Subjects{})
	return s
}

// claimed is a held entry of a form.
func claimed(namespace, name string, form int, created time.Time) string {
	f := claimForms[form]
	return fmt.Sprintf(`
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: %s, namespace: %s, uid: %s-%s, creationTimestamp: %q, annotations: {sallyport.io/export-to: "."%s}}
spec: {hosts: [api.partner.example], ports: [%s], resolution: DNS, exportTo: ["~"]}
`, name, namespace, namespace, name, created.Format(time.RFC3339), f.annotations, f.ports)
}

// contradicted are the entries that contradict others, once everything is
// written, but for those that an owner displaces.
func contradicted(m *mesh.Mesh) []string {
	var all []string
	for _, r := range companion.For(m, "api.partner.example").Refused {
		if (r.With != mesh.Ref{}) && !r.Outranked {
			all = append(all, r.Entry.String()+": "+r.Message)
		}
	}
	return all
}

// TestNoContradictionIsFoundAfterwards has a second team register a host in
// every form beside every form that stands, sooner or later by its clock and by
// its name, and then edit either entry into every other form: what is admitted
// contradicts nothing that stands. Who is refused is told whom to ask, and
// nothing about the other team.
func TestNoContradictionIsFoundAfterwards(t *testing.T) {
	t.Parallel()
	judge := &review.Judge{Rules: rules.All}
	at := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	denied, admitted := 0, 0
	for _, mutual := range []bool{true, false} {
		settings := claimSettings("", mutual)
		for first := range claimForms {
			if !mutual && first%3 != 0 {
				continue
			}
			standing := claimed("secret-team", "secret-entry", first, at)
			m := mesh.New(settings, decode(t, standing)...)
			if len(companion.For(m, "api.partner.example").Refused) > 0 {
				continue // it would not be served alone
			}
			m = m.With(companion.For(m, "api.partner.example").Objects...)
			for second := range claimForms {
				for _, namespace := range []string{"aaa", "zzz", "secret-team"} {
					for _, age := range []time.Duration{-time.Hour, 0, time.Hour} {
						raw := document(t, claimed(namespace, "mine", second, at.Add(age)))
						check := func(what string, m *mesh.Mesh, w review.Write, other string) *mesh.Mesh {
							t.Helper()
							out, err := judge.Review(t.Context(), m, w)
							if err != nil {
								t.Fatal(err)
							}
							name := fmt.Sprintf("%s: %v beside %v of %s, %s later, mutual %t", what, claimForms[second], claimForms[first], namespace, age, mutual)
							if found := findingOf(out, "contradicting-claim"); found != nil && found.Severity == rules.Deny {
								denied++
								if namespace != "secret-team" && (strings.Contains(found.Message+found.Fix, other) || !strings.Contains(found.Fix, "ask")) {
									t.Errorf("%s: is told %q, %q", name, found.Message, found.Fix)
								}
							}
							if out.Denied() {
								return m
							}
							admitted++
							after := m.With(decode(t, string(w.Object))...)
							if found := contradicted(after); len(found) > 0 && len(contradicted(m)) == 0 {
								t.Errorf("%s: admitted, and %v", name, found)
							}
							return after
						}
						create := review.Write{Request: rules.Request{Operation: "CREATE", User: "jane"}, Object: raw}
						beside := check("create", m, create, "secret-")
						// The team that was there edits its entry into this form.
						for third := range claimForms {
							edit := review.Write{
								Request:   rules.Request{Operation: "UPDATE", User: "joe"},
								OldObject: document(t, standing), Object: document(t, claimed("secret-team", "secret-entry", third, at)),
							}
							if len(beside.EntriesFor("api.partner.example")) == 2 && first == second && age == 0 {
								check("edit", beside, edit, "mine")
							}
						}
					}
				}
			}
		}
	}
	if denied < 200 || admitted < 200 {
		t.Errorf("%d claims were denied and %d admitted: there is too little of one", denied, admitted)
	}
}

// TestOwnerDisplacesStranger has a stranger's entry stand in every form, open or
// held, when the host's owner registers it in every form: the owner is admitted,
// the companions are of its form, and at no step of what is then written does
// the stranger reach the host directly. The stranger may go on editing what does
// not matter, and cannot come back.
func TestOwnerDisplacesStranger(t *testing.T) {
	t.Parallel()
	judge := &review.Judge{Rules: rules.All}
	at := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	settings := claimSettings("zzz", true)
	displaced := 0
	for first := range claimForms {
		for second := range claimForms {
			for _, annotated := range []bool{true, false} {
				for _, public := range []bool{false, true} {
					if (public || !annotated) && (first+second)%3 != 0 {
						continue // every pair of forms once, and a third of them in every way
					}
					name := fmt.Sprintf("%v of the owner, public %t, after %v, managed %t", claimForms[second], public, claimForms[first], annotated)
					open := strings.Replace(claimed("secret-team", "secret-entry", first, at), `exportTo: ["~"]`, `exportTo: ["."]`, 1)
					if !annotated {
						open = strings.Replace(open, `sallyport.io/export-to: "."`, `a: b`, 1)
					}
					m := mesh.New(settings, decode(t, open)...)
					m = m.With(companion.For(m, "api.partner.example").Objects...)
					own := claimed("zzz", "own", second, at.Add(time.Hour))
					if public {
						own = strings.Replace(own, `export-to: "."`, `export-to: "*"`, 1)
					}
					out, err := judge.Review(t.Context(), m, review.Write{Request: rules.Request{Operation: "CREATE", User: "jane"}, Object: document(t, own)})
					if err != nil {
						t.Fatal(err)
					}
					if out.Denied() {
						t.Errorf("%s: the owner is denied: %v", name, denials(out))
						continue
					}
					m = m.With(decode(t, own)...)
					set := companion.For(m, "api.partner.example")
					for _, r := range set.Refused {
						if r.Entry.Namespace != "secret-team" || r.Entry.Name != "secret-entry" {
							t.Errorf("%s: %s is refused: %s", name, r.Entry, r.Message)
						}
						if strings.Contains(r.Message+r.Fix, "zzz") || !strings.Contains(r.Fix, "#the-owners") || !strings.Contains(r.Message, "the host's owner") {
							t.Errorf("%s: the stranger is told %q, %q", name, r.Message, r.Fix)
						}
						displaced++
					}
					for _, o := range set.Objects { // in the order in which they are written
						m = m.With(o)
						for _, port := range decode(t, open)[0].(*mesh.ServiceEntry).Ports {
							if p := m.Paths("secret-team", "api.partner.example", port.Number); p.Verdict == mesh.Direct {
								t.Fatalf("%s: after %s the stranger reaches port %d directly: %v", name, o.Metadata().Ref, port.Number, p.Because)
							}
						}
					}
					// An edit that changes nothing is no new claim.
					touched := strings.Replace(open, "metadata: {", "metadata: {labels: {a: b}, ", 1)
					out, err = judge.Review(t.Context(), m, review.Write{Request: rules.Request{Operation: "UPDATE", User: "joe"}, OldObject: document(t, open), Object: document(t, touched)})
					if err != nil || out.Denied() {
						t.Errorf("%s: the stranger may not label its entry: %v %v", name, err, denials(out))
					}
					again := strings.Replace(open, "secret-entry", "again", 2)
					out, err = judge.Review(t.Context(), m, review.Write{Request: rules.Request{Operation: "CREATE", User: "joe"}, Object: document(t, again)})
					if found := findingOf(out, "host-owner"); err != nil || found == nil || found.Severity != rules.Deny || !strings.Contains(found.Fix, "#the-owners") {
						t.Errorf("%s: the stranger comes again: %v %+v", name, err, out.Findings)
					}
				}
			}
		}
	}
	if displaced < 50 {
		t.Errorf("%d strangers were displaced; want most pairs of forms", displaced)
	}
}
