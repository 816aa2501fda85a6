package release_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/yaml"

	"github.com/sallyport-io/sallyport/internal/companion"
	"github.com/sallyport-io/sallyport/internal/mesh"
	"github.com/sallyport-io/sallyport/internal/release"
	"github.com/sallyport-io/sallyport/internal/review"
	"github.com/sallyport-io/sallyport/rules"
)

// written is what owners wrote, before Sallyport made anything of it.
const written = `
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: two-ports, namespace: shop, uid: e1}
spec: {hosts: [one.example.com, two.example.com], resolution: DNS, ports: [{number: 80, name: http, protocol: HTTP}, {number: 443, name: tls, protocol: TLS}]}
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: explicit, namespace: shop, uid: e2, annotations: {owner: me}}
spec: {hosts: [explicit.example.com], resolution: DNS, exportTo: ["."], ports: [{number: 443, name: tls, protocol: TLS}]}
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: public, namespace: bank, uid: e3}
spec: {hosts: [public.example.com], resolution: DNS, exportTo: ["*"], ports: [{number: 443, name: tls, protocol: TLS}]}
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: rewritten, namespace: bank, uid: e4}
spec: {hosts: [api.example.com], resolution: DNS, ports: [{number: 80, name: http, protocol: HTTP}, {number: 8080, name: other, protocol: HTTP}, {number: 443, name: tls, protocol: TLS}, {number: 5432, name: tcp, protocol: TCP}]}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: rewritten, namespace: bank, annotations: {sallyport.io/rewrite: "true"}}
spec:
  hosts: [api.example.com]
  exportTo: ["."]
  http:
  - match: [{port: 80}]
    timeout: 5s
    route: [{destination: {host: api.example.com, port: {number: 80}}, headers: {request: {set: {x-mine: kept}}, response: {remove: [server]}}}]
  - match: [{port: 8080}]
    route: [{destination: {host: api.example.com, port: {number: 8080}}}]
  tls:
  - match: [{port: 443, sniHosts: [api.example.com]}]
    route: [{destination: {host: api.example.com, port: {number: 443}}}]
  tcp:
  - match: [{port: 5432}]
    route: [{destination: {host: api.example.com, port: {number: 5432}}}]
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: encrypted, namespace: shop, uid: e5, annotations: {sallyport.io/originate-tls: "true"}}
spec: {hosts: [encrypted.example.com], resolution: DNS, ports: [{number: 80, name: http, protocol: HTTP}]}
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: stuck, namespace: legacy, uid: e6}
spec: {hosts: [stuck.example.com], resolution: DNS, ports: [{number: 443, name: tls}]}
`

// cluster is what an API server holds.
type cluster map[mesh.Ref][]byte

func (c cluster) mesh(t *testing.T) *mesh.Mesh {
	t.Helper()
	settings := mesh.DefaultSettings()
	settings.Injection = mesh.InjectNew // admission marks what it sees created
	m := mesh.New(settings)
	for _, raw := range c {
		o, err := mesh.Decode(raw)
		if err != nil {
			t.Fatal(err)
		}
		if companion.Is(o.Metadata().Ref) {
			o.Metadata().Fingerprint = 1 // as it is where Sallyport's field manager has written it
		}
		m = m.With(o)
	}
	return m
}

// installed returns the objects as they were written, and as a cluster has them in
// which Sallyport has been at work.
func installed(t *testing.T) (before, now cluster) {
	t.Helper()
	before, now = cluster{}, cluster{}
	for _, ns := range []string{"shop", "bank", "legacy"} {
		ref := mesh.Ref{Kind: "Namespace", Name: ns}
		before[ref] = fmt.Appendf(nil, `{"apiVersion":"v1","kind":"Namespace","metadata":{"name":%q}}`, ns)
		now[ref] = before[ref]
	}
	for doc := range strings.SplitSeq(written, "\n---\n") {
		raw, err := yaml.YAMLToJSON([]byte(doc))
		if err != nil {
			t.Fatal(err)
		}
		o, err := mesh.Decode(raw)
		if err != nil {
			t.Fatal(err)
		}
		ref := o.Metadata().Ref
		m := now.mesh(t)
		ops, _, err := review.Default(t.Context(), m, review.Write{Request: rules.Request{Operation: "CREATE", User: "jane"}, Object: raw})
		if err != nil {
			t.Fatal(err)
		}
		before[ref] = raw
		if now[ref], err = review.Patched(raw, ops); err != nil {
			t.Fatal(err)
		}
		m = now.mesh(t)
		se, ok := m.Get(ref).(*mesh.ServiceEntry)
		if !ok {
			continue
		}
		ready := true
		for _, host := range se.Hosts {
			for _, companion := range companion.For(m, host).Objects {
				now[companion.Metadata().Ref] = rendered(t, companion)
			}
		}
		m = now.mesh(t)
		open := *se
		open.ExportTo = []string{se.Annotations[mesh.ExportAnnotation]}
		for _, host := range se.Hosts {
			ready = ready && len(companion.Unready(m.With(&open), &open, host)) == 0
		}
		if se.Held() && ready {
			now[ref] = []byte(strings.Replace(string(now[ref]), `["~"]`, `["."]`, 1))
		}
	}
	return before, now
}

func rendered(t *testing.T, o mesh.Object) []byte {
	t.Helper()
	text, err := companion.Manifest(o)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := yaml.YAMLToJSON(text)
	if err != nil {
		t.Fatal(err)
	}
	var fields map[string]any
	if err := json.Unmarshal(raw, &fields); err != nil {
		t.Fatal(err)
	}
	var owners []any
	for _, uid := range o.Metadata().Owners {
		owners = append(owners, map[string]any{"apiVersion": "networking.istio.io/v1", "kind": "ServiceEntry", "name": "owner", "uid": uid})
	}
	if owners != nil {
		fields["metadata"].(map[string]any)["ownerReferences"] = owners
	}
	if raw, err = json.Marshal(fields); err != nil {
		t.Fatal(err)
	}
	return raw
}

// do does a step.
func (c cluster) do(t *testing.T, s release.Step) {
	t.Helper()
	if len(s.Edits) == 0 {
		delete(c, s.Ref)
		return
	}
	var ops []review.PatchOp
	for _, e := range s.Edits {
		ops = append(ops, review.PatchOp{Op: "add", Path: e.Pointer, Value: e.Value})
	}
	raw, err := review.Patched(c[s.Ref], ops)
	if err != nil {
		t.Fatal(err)
	}
	c[s.Ref] = raw
}

// arrives returns the traffic that arrives: by whatever way.
func arrives(m *mesh.Mesh) map[string]mesh.Verdict {
	out := make(map[string]mesh.Verdict)
	for p := range m.AllPoints() {
		for _, client := range []string{"shop", "bank", "legacy", mesh.AnyClient} {
			if path := m.Paths(client, p.Host, p.Port); path.Verdict == mesh.Via || path.Verdict == mesh.Direct {
				out[fmt.Sprintf("%s to %s:%d", client, p.Host, p.Port)] = path.Verdict
			}
		}
	}
	return out
}

// TestNobodyLosesAPath takes Sallyport out of a cluster step by step: after each
// of them arrives what arrived before. In the end every object is as its owner
// wrote it, and nothing of Sallyport's is left but what is kept for its TLS.
func TestNobodyLosesAPath(t *testing.T) {
	before, now := installed(t)
	was := arrives(now.mesh(t))
	if len(was) < 12 {
		t.Fatalf("little arrives before: %v", was)
	}
	if explicit := now.mesh(t).Get(mesh.Ref{Kind: "ServiceEntry", Namespace: "shop", Name: "explicit"}); explicit.Metadata().Annotations[mesh.InjectionAnnotation] != "enabled" {
		t.Error("no entry bears the mark that is to go")
	}
	steps, kept := release.Plan(now.mesh(t))
	if len(kept) != 1 || kept[0].Ref.Name != "encrypted" {
		t.Errorf("kept are %v", kept)
	}
	stage := release.Walls
	for _, s := range steps {
		if s.Stage < stage {
			t.Errorf("%s comes after its stage", s.Ref)
		}
		stage = s.Stage
		now.do(t, s)
		is := arrives(now.mesh(t))
		for what, how := range was {
			if is[what] == "" {
				t.Fatalf("after %s (%s) %s does not arrive, which went %s", s.Ref, s.Why, what, how)
			}
		}
	}
	if again, _ := release.Plan(now.mesh(t)); len(again) > 0 {
		t.Errorf("there is still to do: %v", again)
	}
	for what, how := range arrives(now.mesh(t)) {
		if through := strings.Contains(what, "encrypted"); through != (how == mesh.Via) {
			t.Errorf("in the end %s goes %s", what, how)
		}
	}
	for ref, raw := range now {
		if ref.Name == "encrypted" {
			continue
		}
		if companion.Is(ref) {
			if companion.KeyOf(ref) != companion.Key("encrypted.example.com") {
				t.Errorf("%s is left", ref)
			}
			continue
		}
		if diff := cmp.Diff(plain(t, before[ref]), plain(t, raw)); diff != "" {
			t.Errorf("%s (-written +left):\n%s", ref, diff)
		}
	}
}

// plain is an object without fields that are there and say nothing.
func plain(t *testing.T, raw []byte) any {
	t.Helper()
	var v any
	if err := json.Unmarshal(raw, &v); err != nil {
		t.Fatal(err)
	}
	return pruned(v)
}

func pruned(v any) any {
	switch v := v.(type) {
	case map[string]any:
		for k, e := range v {
			if v[k] = pruned(e); v[k] == nil {
				delete(v, k)
			}
		}
		if len(v) == 0 {
			return nil
		}
	case []any:
		for i := range v {
			v[i] = pruned(v[i])
		}
	}
	return v
}

// TestBrokenOff takes only the first steps, and plans anew: what is left to do is
// what was left.
func TestBrokenOff(t *testing.T) {
	_, now := installed(t)
	steps, _ := release.Plan(now.mesh(t))
	for i, s := range steps {
		rest, _ := release.Plan(now.mesh(t))
		var want, got []string
		for _, s := range steps[i:] {
			want = append(want, s.Ref.String())
		}
		for _, s := range rest {
			got = append(got, s.Ref.String())
		}
		if !slices.Equal(want, got) {
			t.Fatalf("after %d steps the plan is\n%v, want\n%v", i, got, want)
		}
		now.do(t, s)
	}
}

// TestOthersObjectsStay: what only bears Sallyport's names, or its label, is not
// deleted.
func TestOthersObjectsStay(t *testing.T) {
	m := mesh.New(mesh.DefaultSettings())
	for _, raw := range []string{
		`{"apiVersion":"networking.istio.io/v1","kind":"VirtualService","metadata":{"name":"` + companion.Key("a.example.com") + `-mesh","namespace":"shop","labels":{"app.kubernetes.io/managed-by":"sallyport"}},"spec":{"hosts":["a.example.com"]}}`,
		`{"apiVersion":"networking.istio.io/v1","kind":"Gateway","metadata":{"name":"mine","namespace":"shop","labels":{"app.kubernetes.io/managed-by":"sallyport"}},"spec":{}}`,
		`{"apiVersion":"networking.k8s.io/v1","kind":"NetworkPolicy","metadata":{"name":"sallyport-egress","namespace":"shop"},"spec":{}}`,
		`{"apiVersion":"networking.k8s.io/v1","kind":"NetworkPolicy","metadata":{"name":"mine","namespace":"shop","labels":{"app.kubernetes.io/managed-by":"sallyport"}},"spec":{}}`,
	} {
		o, err := mesh.Decode([]byte(raw))
		if err != nil {
			t.Fatal(err)
		}
		m = m.With(o)
	}
	if steps, _ := release.Plan(m); len(steps) > 0 {
		t.Errorf("%v", steps)
	}
}
