package review_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/sallyport-io/sallyport/internal/companion"
	"github.com/sallyport-io/sallyport/internal/mesh"
	"github.com/sallyport-io/sallyport/internal/review"
	"github.com/sallyport-io/sallyport/rules"
)

// TestInjection: for which entries Sallyport keeps companions, in every mode of
// the configuration, with every label of the namespace, for marked and unmarked
// entries that are created, updated, or stand.
func TestInjection(t *testing.T) {
	marks := map[string]string{
		"":       "",
		"asks":   `, annotations: {sallyport.io/injection: enabled}`,
		"opened": `, annotations: {sallyport.io/export-to: "."}`,
	}
	for _, mode := range []mesh.Injection{mesh.InjectAll, mesh.InjectNew, mesh.InjectNone} {
		for _, label := range []string{"", "enabled", "disabled"} {
			for _, mark := range []string{"", "asks", "opened"} {
				t.Run(fmt.Sprintf("%s, label %q, %s", mode, label, mark), func(t *testing.T) {
					settings := mesh.DefaultSettings()
					settings.Injection = mode
					effective := mode
					if label != "" {
						effective = mesh.Injection(label)
					}
					m := mesh.New(settings, decode(t, fmt.Sprintf(
						"apiVersion: v1\nkind: Namespace\nmetadata: {name: shop, labels: {istio-injection: enabled, sallyport.io/injection: %q}}\n", label))...)
					// Its owner says who sees it: then nothing but the mark is ours.
					text := strings.Replace(entryOf("pay.example.com"), "namespace: shop", "namespace: shop"+marks[mark], 1)
					object := document(t, text)
					served := func(raw []byte) bool {
						o, err := mesh.Decode(raw)
						if err != nil {
							t.Fatal(err)
						}
						return len(companion.For(m.With(o), "pay.example.com").Objects) > 0
					}

					asked := effective == mesh.InjectAll || effective == mesh.InjectNew && mark != ""
					if served(object) != asked {
						t.Errorf("what stands is served: %v", !asked)
					}
					created := admittedAs(t, m, "CREATE", object, nil)
					if want := asked || effective == mesh.InjectNew; served(created) != want {
						t.Errorf("what is created is served: %v", !want)
					}
					if effective != mesh.InjectNew && mark != "opened" && string(created) != string(object) {
						t.Errorf("nothing is to be marked, but it becomes\n%s", created)
					}
					with := m.With(mustDecode(t, object))
					labelled := document(t, strings.Replace(text, "metadata: {", "metadata: {labels: {a: b}, ", 1))
					updated := admittedAs(t, with, "UPDATE", labelled, object)
					if served(updated) != asked {
						t.Errorf("what is updated is served: %v", !asked)
					}
					if mark == "" && string(updated) != string(labelled) {
						t.Errorf("an update of an older entry becomes\n%s", updated)
					}
					bare := document(t, strings.Replace(entryOf("pay.example.com"), ` exportTo: ["."],`, "", 1))
					if updated := admittedAs(t, with, "UPDATE", bare, object); mark == "" && effective == mesh.InjectNew && string(updated) != string(bare) {
						t.Errorf("an older entry is narrowed by an update:\n%s", updated)
					}
					// The mark goes, by whomever: while admission is there, it comes back.
					unmarked := document(t, entryOf("pay.example.com"))
					if served(admittedAs(t, with, "UPDATE", unmarked, object)) != asked {
						t.Errorf("what loses its mark is served: %v", !asked)
					}
				})
			}
		}
	}
}

// TestLostMark: an entry that is served goes on being served where its mark is
// taken away behind the back of admission, as long as its companions stand, and an
// update to that effect which admission sees opens no direct path.
func TestLostMark(t *testing.T) {
	settings := mesh.DefaultSettings()
	settings.Injection = mesh.InjectNew
	namespace := decode(t, "apiVersion: v1\nkind: Namespace\nmetadata: {name: shop, labels: {istio-injection: enabled}}\n")
	unmarked := document(t, entryOf("pay.example.com"))
	marked := admittedAs(t, mesh.New(settings, namespace...), "CREATE", unmarked, nil)
	m := mesh.New(settings, namespace...).With(mustDecode(t, marked))
	judge := review.Judge{Rules: rules.All}
	update := func(m *mesh.Mesh) review.Outcome {
		t.Helper()
		out, err := judge.Review(t.Context(), m, review.Write{Request: rules.Request{Operation: "UPDATE"}, Object: unmarked, OldObject: marked})
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	direct := func(o review.Outcome) bool {
		return slices.ContainsFunc(o.Paths, func(p mesh.Path) bool { return p.Verdict == mesh.Direct })
	}

	led, _ := companion.Apply(m, "pay.example.com")
	if v, _ := led.Verdict("shop", "pay.example.com", 443); v != mesh.Via {
		t.Fatalf("with companions the host is %s", v)
	}
	lost := led.With(mustDecode(t, unmarked))
	if after, _ := companion.Apply(lost, "pay.example.com"); len(companion.For(lost, "pay.example.com").Objects) == 0 {
		t.Error("the companions of an entry that lost its mark are not kept")
	} else if v, _ := after.Verdict("shop", "pay.example.com", 443); v != mesh.Via {
		t.Errorf("the host of an entry that lost its mark is %s", v)
	}
	if out := update(led); direct(out) || out.Denied() {
		t.Errorf("served, and stays so: %+v", out)
	}
	// Whoever is there first, one that asks has all of the namespace served.
	beside := mustDecode(t, document(t, strings.Replace(entryOf("pay.example.com"), "name: pay,", "name: beside,", 1)))
	if beside.Metadata().Ref == mustDecode(t, marked).Metadata().Ref {
		t.Fatal("there is no other entry")
	}
	both := m.With(beside)
	if !companion.Serves(both, beside.(*mesh.ServiceEntry)) {
		t.Error("an older entry beside one that asks is not served")
	}
	if companion.Serves(mesh.New(settings, namespace...).With(beside), beside.(*mesh.ServiceEntry)) {
		t.Error("an older entry by itself is served")
	}
}

func mustDecode(t *testing.T, raw []byte) mesh.Object {
	t.Helper()
	o, err := mesh.Decode(raw)
	if err != nil {
		t.Fatalf("%v\n%s", err, raw)
	}
	return o
}

// admittedAs is the object as admission's first half leaves it.
func admittedAs(t *testing.T, m *mesh.Mesh, operation string, object, old []byte) []byte {
	t.Helper()
	return defaulted(t, m, review.Write{Request: rules.Request{Operation: operation}, Object: object, OldObject: old})
}
