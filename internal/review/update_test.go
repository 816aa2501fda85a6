package review_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/sallyport-io/sallyport/internal/mesh"
	"github.com/sallyport-io/sallyport/internal/review"
	"github.com/sallyport-io/sallyport/rules"
)

// TestBatchUpdatesWhatStands writes entries that the state holds already, alone and with
// others, and compares what a batch says with what the server does with such an update:
// an entry from before Sallyport has no companions, and what was wrong with it is no
// reason to refuse an edit.
func TestBatchUpdatesWhatStands(t *testing.T) {
	settings := mesh.DefaultSettings()
	settings.Injection = mesh.InjectNew
	namespace := decode(t, "apiVersion: v1\nkind: Namespace\nmetadata: {name: shop, labels: {istio-injection: enabled}}\n")
	entry := func(annotations, hosts, ports, export string) []byte {
		return document(t, fmt.Sprintf("apiVersion: networking.istio.io/v1\nkind: ServiceEntry\nmetadata: {name: pay, namespace: shop%s}\n"+
			"spec: {hosts: [%s], ports: [%s], resolution: DNS%s}\n", annotations, hosts, ports, export))
	}
	const host, tls, http = "pay.example.com", "{number: 443, name: tls, protocol: TLS}", "{number: 80, name: http, protocol: HTTP}"
	edits := map[string]func(marks, export string) []byte{
		"nothing":            func(marks, export string) []byte { return entry(marks, host, tls, export) },
		"a label":            func(marks, export string) []byte { return entry(", labels: {a: b}"+marks, host, tls, export) },
		"the marks are gone": func(_, export string) []byte { return entry("", host, tls, export) },
		"exportTo is gone":   func(marks, _ string) []byte { return entry(marks, host, tls, "") },
		"one more host":      func(marks, export string) []byte { return entry(marks, host+", more.example.com", tls, export) },
		"one more port":      func(marks, export string) []byte { return entry(marks, host, tls+", "+http, export) },
		"a bare port":        func(marks, export string) []byte { return entry(marks, host, tls+", {number: 9000, name: x}", export) },
		"a wildcard":         func(marks, export string) []byte { return entry(marks, host+", '*.example.org'", tls, export) },
		"another host":       func(marks, export string) []byte { return entry(marks, "other.example.com", tls, export) },
	}
	beside := document(t, strings.NewReplacer("name: pay", "name: beside", "pay.", "beside.", "namespace: shop", "namespace: mall").Replace(entryOf("pay.example.com")))
	for _, marks := range []string{"", ", annotations: {sallyport.io/injection: enabled}", ", annotations: {sallyport.io/export-to: '.'}"} {
		for _, export := range []string{"", ", exportTo: ['.']", ", exportTo: ['*']"} {
			stands := entry(marks, host, tls, export)
			state := mesh.New(settings, namespace...).With(mustDecode(t, stands))
			for name, edit := range edits {
				t.Run(fmt.Sprintf("%s, marks %q, export %q", name, marks, export), func(t *testing.T) {
					object := edit(marks, export)
					w := review.Write{Request: rules.Request{Operation: "UPDATE"}, Object: object, OldObject: stands}
					w.Object = defaulted(t, state, w)
					judge := review.Judge{Rules: rules.All, Standing: func(ref mesh.Ref) []byte {
						if ref == mustDecode(t, stands).Metadata().Ref {
							return stands
						}
						return nil
					}}
					server, err := judge.Review(t.Context(), state, w)
					if err != nil {
						t.Fatal(err)
					}
					for _, objects := range [][][]byte{{object}, {object, beside}} {
						batch, err := judge.ReviewAll(t.Context(), state, objects)
						if err != nil {
							t.Fatal(err)
						}
						if got := batch.Outcomes[0]; got.Denied() != server.Denied() {
							t.Errorf("of %d: denied %t, by the server %t:\n%v\n%v", len(objects), got.Denied(), server.Denied(), got.Findings, server.Findings)
						}
						if served, want := len(batch.Outcomes[0].Companions) > 0, len(server.Companions) > 0; served != want {
							t.Errorf("of %d: has companions %t, of the server %t", len(objects), served, want)
						}
						was, is := mustDecode(t, w.Object).(*mesh.ServiceEntry), mustDecode(t, batch.Objects[0]).(*mesh.ServiceEntry)
						if is.Asks() != was.Asks() || is.Held() || !was.Held() && strings.Join(is.ExportTo, ",") != strings.Join(was.ExportTo, ",") {
							t.Errorf("of %d: becomes\n%s\nand by admission\n%s", len(objects), batch.Objects[0], w.Object)
						}
					}
				})
			}
		}
	}
}

// TestSmallestRemedyFirst: an entry from before Sallyport is served by an annotation of
// its own, and that is offered, where it does; else the label of the namespace.
func TestSmallestRemedyFirst(t *testing.T) {
	for _, test := range []struct {
		injection mesh.Injection
		want      string
	}{
		{mesh.InjectNew, "kubectl -n shop annotate serviceentry pay sallyport.io/injection=enabled"},
		{mesh.InjectNone, "kubectl label namespace shop sallyport.io/injection=enabled --overwrite"},
	} {
		settings := mesh.DefaultSettings()
		settings.Injection = test.injection
		judge := review.Judge{Rules: rules.All, Stored: true}
		batch, err := judge.ReviewAll(t.Context(), mesh.New(settings, decode(t, "apiVersion: v1\nkind: Namespace\nmetadata: {name: shop, labels: {istio-injection: enabled}}\n")...),
			[][]byte{document(t, entryOf("pay.example.com"))})
		if err != nil {
			t.Fatal(err)
		}
		out := batch.Outcomes[0]
		if !out.Denied() || !strings.Contains(out.Findings[0].Fix, "\n#   "+test.want+"\n") {
			t.Errorf("injection %s: want %q in %+v", test.injection, test.want, out.Findings)
		}
	}
}
