package review_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sallyport-io/sallyport/internal/golden"
	"github.com/sallyport-io/sallyport/internal/mesh"
	"github.com/sallyport-io/sallyport/internal/review"
	"github.com/sallyport-io/sallyport/rules"
)

// decode returns the objects of a YAML stream.
func decode(t *testing.T, yaml string) []mesh.Object {
	t.Helper()
	var objects []mesh.Object
	for _, raw := range documents(t, yaml) {
		o, err := mesh.Decode(raw)
		if err != nil {
			t.Fatal(err)
		}
		objects = append(objects, o)
	}
	return objects
}

func documents(t *testing.T, yaml string) [][]byte {
	t.Helper()
	docs, err := golden.Documents([]byte(yaml))
	if err != nil {
		t.Fatal(err)
	}
	return docs
}

func document(t *testing.T, yaml string) []byte {
	t.Helper()
	return documents(t, yaml)[0]
}

// tooManyHosts finds every host of an entry wrong.
var tooManyHosts = &rules.Rule{
	Name: "too-many-hosts", Severity: rules.Deny,
	Operations: []string{"CREATE", "UPDATE", "DELETE"},
	Check: rules.On(func(p *rules.Pass, se *mesh.ServiceEntry) {
		for _, h := range se.Hosts {
			p.Reportf("spec.hosts", "host %s", h)
		}
	}),
}

const entry = `
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: pay, namespace: shop}
spec: {hosts: [HOSTS], resolution: DNS, exportTo: ["."], ports: [{number: 443, name: tls, protocol: TLS}]}
`

func entryOf(hosts string) string { return strings.Replace(entry, "HOSTS", hosts, 1) }

func TestReviewSeverity(t *testing.T) {
	namespace := func(labels string) string {
		return "---\napiVersion: v1\nkind: Namespace\nmetadata: {name: shop, labels: {" + labels + "}}\n"
	}
	for _, test := range []struct {
		name, world string
		write       review.Write
		want        []string
	}{
		{
			name:  "create",
			write: review.Write{Request: rules.Request{Operation: "CREATE"}, Object: document(t, entryOf("a.example.com"))},
			want:  []string{"deny: host a.example.com"},
		},
		{
			name: "an old sin is forgiven, a new one is not",
			write: review.Write{
				Request:   rules.Request{Operation: "UPDATE"},
				OldObject: document(t, entryOf("a.example.com")),
				Object:    document(t, entryOf("b.example.com, a.example.com")),
			},
			want: []string{"deny: host b.example.com", "warn: host a.example.com"},
		},
		{
			name: "an old object that cannot be read counts as innocent",
			write: review.Write{
				Request:   rules.Request{Operation: "UPDATE"},
				OldObject: []byte(`{"kind": 7}`),
				Object:    document(t, entryOf("a.example.com")),
			},
			want: []string{"deny: host a.example.com"},
		},
		{
			name:  "delete",
			write: review.Write{Request: rules.Request{Operation: "DELETE"}, OldObject: document(t, entryOf("a.example.com"))},
			want:  []string{"deny: host a.example.com"},
		},
		{
			name:  "mode warn",
			world: namespace("sallyport.io/mode: warn"),
			write: review.Write{Request: rules.Request{Operation: "CREATE"}, Object: document(t, entryOf("a.example.com"))},
			want:  []string{"warn: host a.example.com"},
		},
		{
			name:  "mode off",
			world: namespace("sallyport.io/mode: \"off\""),
			write: review.Write{Request: rules.Request{Operation: "CREATE"}, Object: document(t, entryOf("a.example.com"))},
		},
		{
			name:  "a misspelt mode enforces",
			world: namespace("sallyport.io/mode: wran"),
			write: review.Write{Request: rules.Request{Operation: "CREATE"}, Object: document(t, entryOf("a.example.com"))},
			want:  []string{"deny: host a.example.com"},
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			judge := &review.Judge{Rules: []*rules.Rule{tooManyHosts}}
			out, err := judge.Review(t.Context(), mesh.New(mesh.DefaultSettings(), decode(t, test.world)...), test.write)
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, f := range out.Findings {
				got = append(got, string(f.Severity)+": "+f.Message)
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			wantDenied := len(test.want) > 0 && strings.HasPrefix(test.want[0], "deny")
			if out.Denied() != wantDenied || !out.Known || out.Ref.Name != "pay" {
				t.Errorf("outcome %+v", out)
			}
		})
	}
}

// TestOldSinIsTheSame has a rule that says the same of everything: what it says
// it of decides whether an old sin excuses a new one.
func TestOldSinIsTheSame(t *testing.T) {
	filter := func(meta, patch string) []byte {
		return document(t, fmt.Sprintf(`
apiVersion: networking.istio.io/v1alpha3
kind: EnvoyFilter
metadata: {name: f, namespace: shop%s}
spec: {configPatches: [{applyTo: CLUSTER, patch: {operation: ADD, value: {name: %s}}}]}
`, meta, patch))
	}
	for want, new := range map[bool][]byte{false: filter(", labels: {a: b}", "old"), true: filter("", "new")} {
		out, err := (&review.Judge{Rules: rules.All}).Review(t.Context(), mesh.New(mesh.DefaultSettings()), review.Write{
			Request: rules.Request{Operation: "UPDATE"}, OldObject: filter("", "old"), Object: new,
		})
		if err != nil || out.Denied() != want {
			t.Errorf("%s: denied %t, want %t, error %v", new, out.Denied(), want, err)
		}
	}
}

// TestNamespaceCannotExcuseItself judges a Namespace by the labels before the
// write.
func TestNamespaceCannotExcuseItself(t *testing.T) {
	const before = "apiVersion: v1\nkind: Namespace\nmetadata: {name: shop}\n"
	const after = "apiVersion: v1\nkind: Namespace\nmetadata: {name: shop, labels: {sallyport.io/mode: \"off\"}}\n"
	any := &rules.Rule{Name: "any", Severity: rules.Deny, Check: func(_ context.Context, p *rules.Pass) error {
		if p.Old != nil {
			p.Reportf("metadata", "found")
		}
		return nil
	}}
	judge := &review.Judge{Rules: []*rules.Rule{any}}
	out, err := judge.Review(t.Context(), mesh.New(mesh.DefaultSettings(), decode(t, before)...), review.Write{
		Request: rules.Request{Operation: "UPDATE"}, OldObject: document(t, before), Object: document(t, after),
	})
	if err != nil || !out.Denied() {
		t.Errorf("outcome %+v, error %v; want a denial", out, err)
	}
}

func TestCannotJudge(t *testing.T) {
	failing := &rules.Rule{Name: "failing", Check: func(context.Context, *rules.Pass) error { return errors.New("no data") }}
	panicking := &rules.Rule{Name: "panicking", Check: func(context.Context, *rules.Pass) error { panic("lost") }}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	good := document(t, entryOf("a.example.com"))
	for _, test := range []struct {
		name   string
		ctx    context.Context
		rule   *rules.Rule
		object []byte
		want   string
	}{
		{"malformed JSON", t.Context(), tooManyHosts, []byte(`{"apiVersion":`), "decoding the object"},
		{"no object", t.Context(), tooManyHosts, nil, "decoding the object"},
		{"a field of the wrong type", t.Context(), tooManyHosts, []byte(`{"apiVersion":"networking.istio.io/v1","kind":"ServiceEntry","metadata":{"name":"x","namespace":"shop"},"spec":{"hosts":"a"}}`), "hosts"},
		{"a rule that fails", t.Context(), failing, good, "rule failing on ServiceEntry/shop/pay: no data"},
		{"a rule that panics", t.Context(), panicking, good, "rule panicking on ServiceEntry/shop/pay: panic: lost"},
		{"a context that ended", ended, tooManyHosts, good, "context canceled"},
	} {
		t.Run(test.name, func(t *testing.T) {
			judge := &review.Judge{Rules: []*rules.Rule{test.rule}}
			out, err := judge.Review(test.ctx, mesh.New(mesh.DefaultSettings()), review.Write{Request: rules.Request{Operation: "CREATE"}, Object: test.object})
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("error %v; want one that says %q", err, test.want)
			}
			if len(out.Findings) > 0 {
				t.Errorf("findings %v beside an error", out.Findings)
			}
		})
	}
}

func TestUnknownKind(t *testing.T) {
	judge := &review.Judge{Rules: rules.All}
	raw := []byte(`{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"x","namespace":"shop"}}`)
	out, err := judge.Review(t.Context(), mesh.New(mesh.DefaultSettings()), review.Write{Request: rules.Request{Operation: "CREATE"}, Object: raw})
	if err != nil || out.Known || len(out.Findings) > 0 {
		t.Errorf("outcome %+v, error %v", out, err)
	}
	batch, err := judge.ReviewAll(t.Context(), mesh.New(mesh.DefaultSettings()), [][]byte{raw})
	if err != nil || batch.Outcomes[0].Known {
		t.Errorf("batch %+v, error %v", batch, err)
	}
}

func TestReviewAllNamesTheObject(t *testing.T) {
	judge := &review.Judge{Rules: rules.All}
	good := document(t, entryOf("a.example.com"))
	for name, objects := range map[string][][]byte{
		"malformed": {good, []byte(`{`)},
		"twice":     {good, good},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := judge.ReviewAll(t.Context(), mesh.New(mesh.DefaultSettings()), objects)
			object, ok := errors.AsType[*review.ObjectError](err)
			if !ok || object.Index != 1 {
				t.Errorf("error %v; want one about object 1", err)
			}
		})
	}
}
