package review_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/sallyport-io/sallyport/internal/companion"
	"github.com/sallyport-io/sallyport/internal/hostiletest"
	"github.com/sallyport-io/sallyport/internal/mesh"
	"github.com/sallyport-io/sallyport/internal/review"
	"github.com/sallyport-io/sallyport/rules"
)

// TestUpdateLeavesVisibility updates entries of every form in every way in which
// that is done: who sees an entry is afterwards who saw it before, or whom the
// request itself lets see it. Admission takes it from nobody and gives it to
// nobody, and what it lets stand the other half of admission does not refuse.
func TestUpdateLeavesVisibility(t *testing.T) {
	const world = gapNamespaces + `
---
apiVersion: v1
kind: Namespace
metadata: {name: bank}
`
	form := func(namespace, export, exportTo, more, extra string) string {
		s := formOf(namespace, "pay.example.com", "", exportTo)
		var annotations []string
		if export != "" {
			annotations = append(annotations, `sallyport.io/export-to: "`+export+`"`)
		}
		if more != "" {
			annotations = append(annotations, more)
		}
		meta := ", uid: u1, creationTimestamp: \"2026-01-01T00:00:00Z\", annotations: {" + strings.Join(annotations, ", ") + "}" + extra + "}\nspec"
		return strings.Replace(s, "}\nspec", meta, 1)
	}
	judge := &review.Judge{Rules: rules.All}
	updates := 0
	for _, defaults := range [][]string{nil, {"."}} {
		settings := mesh.DefaultSettings()
		settings.DefaultExports.Services, settings.DefaultExports.VirtualServices = defaults, defaults
		for _, namespace := range []string{"shop", "by-hand", "istio-system"} {
			for _, annotation := range []string{"", ".", "*"} {
				for _, exportTo := range exportForms {
					for _, served := range []bool{false, true} {
						if defaults != nil && (served || namespace == "istio-system") {
							continue
						}
						old := form(namespace, annotation, exportTo, "", "")
						m := mesh.New(settings, decode(t, world+"---\n"+old)...)
						if served {
							m = m.With(companion.For(m, "pay.example.com").Objects...)
						}
						for how, object := range map[string]string{
							"a label, by a patch":        form(namespace, annotation, exportTo, "", ", labels: {team: pay}"),
							"a label, by a manifest":     form(namespace, "", "", "", ", labels: {team: pay}"),
							"the exportTo taken out":     form(namespace, annotation, "", "", ""),
							"the annotation taken out":   form(namespace, "", exportTo, "", ""),
							"nothing":                    old,
							"a finalizer":                form(namespace, annotation, exportTo, "", ", finalizers: [example.com/later]"),
							"a status from elsewhere":    form(namespace, annotation, exportTo, `sallyport.io/status: "ready"`, ""),
							"a spare asked for":          form(namespace, annotation, exportTo, `sallyport.io/spare: "true"`, ""),
							"TLS asked for":              form(namespace, annotation, exportTo, `sallyport.io/originate-tls: "true"`, ""),
							"service accounts":           form(namespace, annotation, exportTo, `sallyport.io/service-accounts: "pay"`, ""),
							"another name of the port":   strings.Replace(old, "name: tls,", "name: https,", 1),
							"another word of the class":  strings.Replace(old, "protocol: TLS", "protocol: HTTPS", 1),
							"another host added":         strings.Replace(old, "[pay.example.com]", "[pay.example.com, new.example.com]", 1),
							"another port added":         strings.Replace(old, "ports: [", "ports: [{number: 8443, name: more, protocol: TLS}, ", 1),
							"an address for a host":      strings.Replace(old, "[pay.example.com]", "[pay.example.com, 192.0.2.7]", 1),
							"a port without a protocol":  strings.Replace(old, "ports: [", "ports: [{number: 8443, name: more}, ", 1),
							"a resolution that is other": strings.Replace(old, "resolution: DNS", "resolution: NONE", 1),
						} {
							name := fmt.Sprintf("%s %s annotation=%s exportTo=%s served=%t defaults=%v", how, namespace, annotation, exportTo, served, defaults)
							w := review.Write{Request: rules.Request{Operation: "UPDATE", User: "jane"}, OldObject: document(t, old), Object: document(t, object)}
							raw := defaulted(t, m, w)
							was, wrote, is := decode(t, old)[0], decode(t, string(w.Object))[0], decode(t, string(raw))[0]
							updates++
							for _, viewer := range []string{namespace, "bank", "istio-system", "nobody-named"} {
								before, after := m.SeenFrom(was, viewer), m.SeenFrom(is, viewer)
								if viewer == namespace { // what is its own is seen even where no sidecar sees it
									before, after = !m.Hidden(was.(*mesh.ServiceEntry)), !m.Hidden(is.(*mesh.ServiceEntry))
								}
								switch {
								case after == before, viewer != namespace && after == m.SeenFrom(wrote, viewer):
								case viewer == namespace && after == !m.Hidden(wrote.(*mesh.ServiceEntry)):
								case how == "the exportTo taken out" && annotation != "" && exportTo != "":
									// The entry itself says what is then to be.
								default:
									t.Errorf("%s: %s saw it: %t; and sees it: %t", name, viewer, before, after)
								}
							}
							if how != "a label, by a patch" {
								continue
							}
							w.Object = raw
							if out, err := judge.Review(t.Context(), m, w); err != nil || out.Denied() {
								t.Errorf("%s: denied: %v %+v", name, err, out.Findings)
							}
						}
					}
				}
			}
		}
	}
	if updates < 2500 {
		t.Errorf("%d updates were tried", updates)
	}
}

// TestOtherKindsKeepTheirVisibility: of all the other kinds admission changes no
// exportTo, whatever is done to them.
func TestOtherKindsKeepTheirVisibility(t *testing.T) {
	kinds := make(map[string]bool)
	for o := range hostiletest.Objects(1<<10, false) {
		if o.Kind == "ServiceEntry" {
			continue
		}
		kinds[o.Kind] = true
		for operation, w := range hostileWrites(o.JSON) {
			ops, _, err := review.Default(t.Context(), hostileMesh(), w)
			if err != nil && operation == "DELETE" {
				t.Errorf("%s of %s: %v", operation, o.Name(), err)
			}
			for _, op := range ops {
				if strings.Contains(op.Path, "exportTo") || !strings.HasPrefix(op.Path, "/spec/http/") && !strings.HasPrefix(op.Path, "/spec/tls/") && !strings.HasPrefix(op.Path, "/spec/tcp/") {
					t.Errorf("%s of %s changes %s", operation, o.Name(), op.Path)
				}
			}
		}
	}
	if len(kinds) < 20 {
		t.Errorf("%d kinds were tried", len(kinds))
	}
}
