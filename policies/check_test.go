package policies

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/rego"

	"github.com/sallyport-io/sallyport/internal/mesh"
	"github.com/sallyport-io/sallyport/rules"
)

// pass is a CREATE of the object into a mesh with the others.
func pass(t testing.TB, object string, others ...string) rules.Pass {
	t.Helper()
	subject := decode(t, object)
	objects := []mesh.Object{subject}
	for _, o := range others {
		objects = append(objects, decode(t, o))
	}
	m := mesh.New(mesh.DefaultSettings(), objects...)
	p := rules.Pass{
		Request: rules.Request{
			Operation: "CREATE", User: "bob", Groups: []string{"dev"}, Time: "2026-07-01T12:00:00Z",
		},
		Subject:    subject,
		Raw:        []byte(object),
		Before:     func() *mesh.Mesh { return m.Without(subject.Metadata().Ref) },
		After:      m,
		Live:       m,
		Companions: []mesh.Object{&mesh.Gateway{Meta: mesh.Meta{Ref: mesh.Ref{Kind: "Gateway", Namespace: "istio-system", Name: "sallyport-1"}}}},
		Memo:       new(rules.Memo),
	}
	for _, point := range m.Points(subject) {
		p.Paths = append(p.Paths, mesh.Path{
			Host: point.Host, Port: point.Port, Protocol: point.Protocol, Client: "shop", Verdict: mesh.Via,
			Gateway: "istio-egressgateway", Entry: point.Entry,
			Hops: []mesh.Hop{
				{TLS: &mesh.ClientTLS{Mode: "ISTIO_MUTUAL", SNI: point.Host}, Subset: "sallyport-1"},
				{TLS: outer(point)},
			},
			Because: []mesh.Reason{{Ref: mesh.Ref{Kind: "VirtualService", Namespace: "shop", Name: "x"}, Path: "spec.http[0]", Message: "routes to the gateway"}},
		})
	}
	return p
}

// outer is what the gateway wraps the traffic of a point in.
func outer(p mesh.Point) *mesh.ClientTLS {
	if p.Protocol != "HTTP" {
		return nil
	}
	return &mesh.ClientTLS{Mode: "SIMPLE", SNI: p.Host, SubjectAltNames: []string{p.Host}}
}

func decode(t testing.TB, object string) mesh.Object {
	t.Helper()
	o, err := mesh.Decode([]byte(object))
	if err != nil {
		t.Fatal(err)
	}
	return o
}

const stripe = `{"apiVersion": "networking.istio.io/v1", "kind": "ServiceEntry",
	"metadata": {"name": "stripe", "namespace": "shop"},
	"spec": {"hosts": ["API.stripe.com", "*.stripe.net"], "addresses": ["203.0.113.0/24"],
		"ports": [{"number": 443, "name": "tls", "protocol": "TLS"}, {"number": 80, "name": "http", "protocol": "HTTP"}],
		"resolution": "STATIC", "endpoints": [{"address": "203.0.113.7"}]}}`

// other claims a host of stripe from another namespace.
const other = `{"apiVersion": "networking.istio.io/v1", "kind": "ServiceEntry",
	"metadata": {"name": "theirs", "namespace": "blog"},
	"spec": {"hosts": ["api.stripe.com"], "ports": [{"number": 443, "name": "tls", "protocol": "TLS"}], "resolution": "DNS"}}`

const shop = `{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop", "labels": {"team": "payments"}, "annotations": {"note": "x"}}}`

// TestRollout checks the parameters that every policy has.
func TestRollout(t *testing.T) {
	exception := func(until string) map[string]any {
		return map[string]any{"exceptions": []any{map[string]any{"namespace": "shop", "name": "stripe", "until": until, "ticket": "SEC-9"}}}
	}
	overrides := func(list ...any) map[string]any { return map[string]any{"severityOverrides": list} }
	tests := []struct {
		name       string
		parameters map[string]any
		want       string
	}{
		{"as the metadata says", nil, "deny no; warn perhaps"},
		{"staged", map[string]any{"severity": "warn"}, "warn no; warn perhaps"},
		{"audited", map[string]any{"severity": "audit"}, "audit no; audit perhaps"},
		{"excepted to the end of the day", exception("2026-07-01"), "audit no (excepted until 2026-07-01, SEC-9); audit perhaps (excepted until 2026-07-01, SEC-9)"},
		{"ended the day before", exception("2026-06-30"), "deny no; warn perhaps"},
		{"excepted to the second", exception("2026-07-01T12:00:01Z"), "audit no (excepted until 2026-07-01T12:00:01Z, SEC-9); audit perhaps (excepted until 2026-07-01T12:00:01Z, SEC-9)"},
		{"ended this second", exception("2026-07-01T12:00:00Z"), "deny no; warn perhaps"},
		{"another object", map[string]any{"exceptions": []any{map[string]any{"namespace": "shop", "name": "paypal", "until": "2030-01-01", "ticket": "SEC-9"}}}, "deny no; warn perhaps"},
		{"override by name", overrides(map[string]any{"namespaces": []any{"blog", "shop"}, "severity": "audit"}), "audit no; audit perhaps"},
		{"override by label", overrides(map[string]any{"selector": "team in (payments,cards)", "severity": "warn"}), "warn no; warn perhaps"},
		{"override of others", overrides(map[string]any{"namespaces": []any{"blog"}, "severity": "audit"}, map[string]any{"selector": "team!=payments", "severity": "audit"}), "deny no; warn perhaps"},
		{"the first override wins", overrides(map[string]any{"selector": "team", "severity": "warn"}, map[string]any{"namespaces": []any{"shop"}, "severity": "audit"}), "warn no; warn perhaps"},
		{"an override makes it graver", map[string]any{"severity": "audit", "severityOverrides": []any{map[string]any{"namespaces": []any{"shop"}, "severity": "deny"}}}, "deny no; warn perhaps"},
		{"another namespace", map[string]any{"exceptions": []any{map[string]any{"namespace": "blog", "until": "2030-01-01", "ticket": "SEC-9"}}}, "deny no; warn perhaps"},
	}
	const module = `# METADATA
# title: nothing at all
# description: nothing at all
package sallyport.policies.nothing

deny contains {"msg": "no"} if input.object.spec.hosts

warn contains {"msg": "perhaps"} if input.object.spec.hosts
`
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s, err := load(t.Context(), "nothing.rego", module, map[string]any{"nothing": tt.parameters})
			if err != nil {
				t.Fatal(err)
			}
			findings, err := rules.Run(t.Context(), s.Rules, pass(t, stripe, shop))
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, f := range findings {
				got = append(got, string(f.Severity)+" "+f.Message)
			}
			if d := cmp.Diff(tt.want, strings.Join(got, "; ")); d != "" {
				t.Errorf("findings (-want +got):\n%s", d)
			}
		})
	}
}

// TestParameters checks that nothing about parameters goes wrong silently.
func TestParameters(t *testing.T) {
	tests := []struct {
		name       string
		parameters map[string]any
		want       string
	}{
		{"misspelt policy", map[string]any{"alowed-hosts": nil}, "policies.parameters.alowed-hosts: there is no policy of this name; did you mean allowed-hosts?"},
		{"misspelt parameter", map[string]any{"host-limit": map[string]any{"limt": 3}}, "policies.parameters.host-limit.limt: the policy has no such parameter; did you mean limit?"},
		{"missing", map[string]any{"allowed-hosts": nil}, "policies.parameters.allowed-hosts.hosts: missing (for each host, exact"},
		{"wrong type", map[string]any{"host-limit": map[string]any{"limit": "3"}}, "policies.parameters.host-limit.limit: Invalid type. Expected: integer, given: string"},
		{"wrong value", map[string]any{"host-limit": map[string]any{"limit": -1}}, "policies.parameters.host-limit.limit: Must be greater than or equal to 0"},
		{"misspelt inside", map[string]any{"allowed-hosts": map[string]any{"hosts": map[string]any{"a.example.com": []any{map[string]any{"namespace": "shop"}}}}}, "policies.parameters.allowed-hosts.hosts.a.example.com.0: Additional property namespace is not allowed; did you mean namespaces?"},
		{"no date", map[string]any{"allowed-hosts": map[string]any{"hosts": map[string]any{"a.example.com": []any{map[string]any{"namespaces": []any{"shop"}, "expires": "tomorrow"}}}}}, "policies.parameters.allowed-hosts.hosts.a.example.com.0.expires: Does not match pattern"},
		{"host that is not canonical", map[string]any{"allowed-hosts": map[string]any{"hosts": map[string]any{"API.example.com": []any{}}}}, "policies.parameters.allowed-hosts.hosts: Property name of \"API.example.com\" does not match"},
		{"no range", map[string]any{"no-private-endpoints": map[string]any{"allowed": []any{"10.0.0.1"}}}, "policies.parameters.no-private-endpoints.allowed.0: Does not match pattern"},
		{"no regular expression", map[string]any{"owner-annotations": map[string]any{"annotations": map[string]any{"owner": "["}}}, "policies.parameters.owner-annotations.annotations.owner: Does not match format 'regex'"},
		{"no instant", map[string]any{"change-freeze": map[string]any{"windows": []any{map[string]any{"start": "2026-12-24", "end": "2027-01-04T00:00:00Z", "reason": "x"}}}}, "policies.parameters.change-freeze.windows.0.start: Does not match pattern"},
		{"no object", map[string]any{"host-limit": []any{3}}, "policies.parameters.host-limit: must be an object"},
		{"severity", map[string]any{"host-limit": map[string]any{"severity": "fatal"}}, "policies.parameters.host-limit.severity: fatal is not one of deny, warn, audit"},
		{"severity of no policy", map[string]any{"host-limit": map[string]any{"severity": "info"}}, "policies.parameters.host-limit.severity: info is not one of deny, warn, audit"},
		{"severity of an override", map[string]any{"host-limit": map[string]any{"severityOverrides": []any{map[string]any{"namespaces": []any{"shop"}, "severity": "dryrun"}}}}, "policies.parameters.host-limit.severityOverrides[0].severity: dryrun is not one of deny, warn, audit"},
		{"override for nobody", map[string]any{"host-limit": map[string]any{"severityOverrides": []any{map[string]any{"severity": "warn"}}}}, "policies.parameters.host-limit.severityOverrides[0]: must have either namespaces"},
		{"override for both", map[string]any{"host-limit": map[string]any{"severityOverrides": []any{map[string]any{"severity": "warn", "namespaces": []any{"shop"}, "selector": "a=b"}}}}, "policies.parameters.host-limit.severityOverrides[0]: must have either namespaces"},
		{"override with a bad selector", map[string]any{"host-limit": map[string]any{"severityOverrides": []any{map[string]any{"severity": "warn", "selector": "a in"}}}}, "policies.parameters.host-limit.severityOverrides[0].selector: "},
		{"override with a slip", map[string]any{"host-limit": map[string]any{"severityOverrides": []any{map[string]any{"severity": "warn", "namspaces": []any{"shop"}}}}}, "policies.parameters.host-limit.severityOverrides.0: Additional property namspaces is not allowed; did you mean namespaces?"},
		{"severityOverride", map[string]any{"host-limit": map[string]any{"severityOverride": []any{}}}, "the policy has no such parameter; did you mean severityOverrides?"},
		{"exception without end", map[string]any{"host-limit": map[string]any{"exceptions": []any{map[string]any{"namespace": "shop", "ticket": "x"}}}}, "policies.parameters.host-limit.exceptions.0: until is required"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := Load(t.Context(), tt.parameters, Library())
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v, want %q", err, tt.want)
			}
		})
	}
}

// TestCannotJudge checks that whatever keeps an evaluation from ending in findings is an error, never "nothing found".
func TestCannotJudge(t *testing.T) {
	const head = "# METADATA\n# title: a case\n# description: a case\n# custom:\n#  parameters:\n#   value: {type: [object, string, array], default: x, description: anything}\npackage sallyport.policies.broken\n\n"
	tests := []struct{ name, body, want string }{
		{"failing builtin", `deny contains {"msg": "x"} if time.parse_rfc3339_ns(input.object.metadata.name) > 0`, "parsing time"},
		{"endless", `deny contains {"msg": "x"} if { some i in numbers.range(1, 100000); some j in numbers.range(1, 100000); i * j == -1 }`, "longer than 1s"},
		{"element is a string", `deny contains x if { x := data.sallyport.broken.value }`, "not an object with msg"},
		{"element without msg", `deny contains x if { x := json.unmarshal("{\"path\": \"spec\"}") }`, "has no msg"},
		{"element with more", `deny contains x if { x := json.unmarshal("{\"msg\": \"a\", \"mgs\": \"b\"}") }`, "it may have msg, path and fix"},
		{"msg is a number", `deny contains x if { x := json.unmarshal("{\"msg\": 1}") }`, "it may have msg, path and fix"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s, err := load(t.Context(), "broken.rego", head+tt.body+"\n", nil)
			if err != nil {
				t.Fatal(err)
			}
			_, err = rules.Run(t.Context(), s.Rules, pass(t, stripe))
			if err == nil || !strings.Contains(err.Error(), tt.want) || !strings.Contains(err.Error(), "org/broken.rego") {
				t.Errorf("error %v, want %q and the file", err, tt.want)
			}
		})
	}
	t.Run("no time", func(t *testing.T) {
		s, err := Load(t.Context(), everything(), Library())
		if err != nil {
			t.Fatal(err)
		}
		p := pass(t, stripe)
		p.Request.Time = ""
		if _, err := rules.Run(t.Context(), s.Rules, p); err == nil || !strings.Contains(err.Error(), "no time") {
			t.Errorf("error %v", err)
		}
	})
}

// TestIndexingAndEarlyExit evaluates every policy of the library for many writes with OPA's rule indexing and early exit
// on and off: the findings are the same.
func TestIndexingAndEarlyExit(t *testing.T) {
	parameters := everything()
	parameters["allowed-hosts"] = map[string]any{"hosts": manyHosts(50)}
	parameters["change-freeze"] = map[string]any{"windows": []any{map[string]any{"start": "2026-06-01T00:00:00Z", "end": "2026-08-01T00:00:00Z", "reason": "summer"}}}
	s, err := Load(t.Context(), parameters, Library())
	if err != nil {
		t.Fatal(err)
	}
	r := rand.New(rand.NewPCG(1, 2))
	found := map[string]int{}
	for range 100 {
		p := pass(t, randomEntry(r), other, shop)
		if r.IntN(2) == 0 {
			p.Request.Groups = nil
		}
		in, err := input(&p)
		if err != nil {
			t.Fatal(err)
		}
		for i := range s.Policies {
			policy := &s.Policies[i]
			query := s.queries.single[policy.Name]
			fast := findings(t, policy, query, in)
			for _, options := range [][]rego.EvalOption{
				{rego.EvalRuleIndexing(false)},
				{rego.EvalEarlyExit(false)},
				{rego.EvalRuleIndexing(false), rego.EvalEarlyExit(false)},
			} {
				if d := cmp.Diff(fast, findings(t, policy, query, in, options...)); d != "" {
					t.Fatalf("policy %s finds something else without indexing or early exit (-with +without):\n%s\n%s", policy.Name, d, p.Raw)
				}
			}
			found[policy.Name] += len(fast)
		}
	}
	for _, p := range s.Policies {
		if found[p.Name] == 0 && slices.Contains(p.Kinds, "ServiceEntry") && p.Name != "no-public-export" {
			t.Errorf("policy %s never found anything: the test proves nothing about it", p.Name)
		}
	}
}

func findings(t *testing.T, p *Policy, q *query, in ast.Value, options ...rego.EvalOption) []rules.Finding {
	t.Helper()
	all, err := q.evaluate(t.Context(), in, options...)
	if err != nil {
		t.Fatalf("policy %s: %v", p.Name, err)
	}
	f := all[p.Name]
	rules.Sort(f)
	return f
}

func manyHosts(n int) map[string]any {
	hosts := map[string]any{"api.stripe.com": []any{map[string]any{"labels": map[string]any{"team": "payments"}}}}
	for i := range n - 1 {
		hosts[fmt.Sprintf("api-%d.example.com", i)] = []any{map[string]any{"namespaces": []any{"shop", "blog"}, "expires": "2026-12-31", "ticket": "SEC-1"}}
	}
	return hosts
}

func randomEntry(r *rand.Rand) string {
	pick := func(list ...string) string { return list[r.IntN(len(list))] }
	var hosts []string
	for range 1 + r.IntN(3) {
		hosts = append(hosts, pick("api.stripe.com", "*.stripe.com", "api-1.example.com", "api-99.example.com", "x.ngrok.io", "203.0.113.9", "pastebin.com"))
	}
	hosts = slices.Compact(slices.Sorted(slices.Values(hosts)))
	if r.IntN(20) == 0 { // more than the limit of host-limit
		for i := range 60 {
			hosts = append(hosts, fmt.Sprintf("h%d.example.com", i))
		}
	}
	quoted, _ := json.Marshal(hosts)
	return fmt.Sprintf(`{"apiVersion": "networking.istio.io/v1", "kind": "ServiceEntry",
		"metadata": {"name": "e", "namespace": %q, "annotations": {"sallyport.io/owner": %q}},
		"spec": {"hosts": %s, "ports": [{"number": %s, "name": "p", "protocol": %q}], "resolution": "STATIC",
			"endpoints": [{"address": %q}]}}`,
		pick("shop", "blog", "ci"), pick("", "team-a"), quoted, pick("80", "443", "8080"), pick("HTTP", "TLS", "TCP", "HTTPS"),
		pick("203.0.113.7", "10.1.2.3", "169.254.169.254", "fd00::1"))
}

// TestTogether checks that policies find the same whether they are asked in one query or each by itself, and that one
// which fails fails alone.
func TestTogether(t *testing.T) {
	parameters := everything()
	s, err := Load(t.Context(), parameters, Library())
	if err != nil {
		t.Fatal(err)
	}
	r := rand.New(rand.NewPCG(3, 4))
	for range 50 {
		p := pass(t, randomEntry(r), other, shop)
		together, err := rules.Run(t.Context(), s.Rules, p)
		if err != nil {
			t.Fatal(err)
		}
		p.Memo = nil
		apart, err := rules.Run(t.Context(), s.Rules, p)
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(apart, together); d != "" {
			t.Fatalf("findings (-apart +together):\n%s", d)
		}
	}
	const head = "# METADATA\n# title: a case\n# description: a case\n"
	s, err = Load(t.Context(), nil, Source{Name: "org", FS: fstest.MapFS{
		"good.rego": {Data: []byte(head + "package sallyport.policies.good\n\ndeny contains {\"msg\": \"found\"} if input.time\n")},
		"bad.rego":  {Data: []byte(head + "package sallyport.policies.bad\n\ndeny contains {\"msg\": \"x\"} if time.parse_rfc3339_ns(input.object.kind) > 0\n")},
	}})
	if err != nil {
		t.Fatal(err)
	}
	p := pass(t, stripe)
	if _, err := rules.Run(t.Context(), s.Rules[:1], p); err == nil || !strings.Contains(err.Error(), "policy bad (org/bad.rego)") {
		t.Errorf("error %v, want one of policy bad", err)
	}
	found, err := rules.Run(t.Context(), s.Rules[1:], p)
	if err != nil || len(found) != 1 || found[0].Message != "found" {
		t.Errorf("policy good finds %v, error %v", found, err)
	}
}

// TestCapabilities shows every builtin and feature that policies may use.
func TestCapabilities(t *testing.T) {
	var b bytes.Buffer
	c := capabilities()
	for _, builtin := range c.Builtins {
		fmt.Fprintln(&b, builtin.Name)
	}
	fmt.Fprintln(&b, "features:", strings.Join(c.Features, " "))
	golden(t, "testdata/capabilities.txt", b.Bytes())
	if c.AllowNet == nil {
		t.Error("AllowNet is nil, which allows every host")
	}
}

// BenchmarkLibrary is the policy part of one review: the whole library, 1,000 allowed hosts, one core.
func BenchmarkLibrary(b *testing.B) {
	parameters := everything()
	parameters["allowed-hosts"] = map[string]any{"hosts": manyHosts(1000)}
	parameters["separation-of-duties"] = map[string]any{"groups": []any{"dev"}}
	s, err := Load(b.Context(), parameters, Library())
	if err != nil {
		b.Fatal(err)
	}
	for _, bench := range []struct {
		name, object string
		findings     bool
	}{
		{"admitted", `{"apiVersion": "networking.istio.io/v1", "kind": "ServiceEntry",
			"metadata": {"name": "api", "namespace": "shop", "annotations": {"sallyport.io/owner": "payments", "sallyport.io/purpose": "cards"}},
			"spec": {"hosts": ["api-7.example.com"], "ports": [{"number": 443, "name": "tls", "protocol": "TLS"}], "resolution": "DNS", "exportTo": ["."]}}`, false},
		{"denied", `{"apiVersion": "networking.istio.io/v1", "kind": "ServiceEntry", "metadata": {"name": "api", "namespace": "shop"},
			"spec": {"hosts": ["pastebin.com"], "ports": [{"number": 80, "name": "http", "protocol": "HTTP"}], "resolution": "DNS"}}`, true},
		// Two hosts at two ports, with addresses and a range of them.
		{"denied-four-points", strings.ReplaceAll(stripe, "*.stripe.net", "pastebin.com"), true},
	} {
		b.Run(bench.name, func(b *testing.B) {
			p := pass(b, bench.object, shop)
			var took []time.Duration
			b.ReportAllocs()
			for b.Loop() {
				start := time.Now()
				p.Memo = new(rules.Memo)
				findings, err := rules.Run(context.Background(), s.Rules, p)
				took = append(took, time.Since(start))
				if err != nil || len(findings) > 0 != bench.findings {
					b.Fatalf("findings %v, error %v", findings, err)
				}
			}
			slices.Sort(took)
			b.ReportMetric(float64(took[len(took)/2].Nanoseconds())/1000, "µs-median")
		})
	}
}

// TestOverridesOfNamespaces checks that a Namespace does not excuse itself by the labels that it brings.
func TestOverridesOfNamespaces(t *testing.T) {
	const module = `# METADATA
# title: nothing at all
# description: nothing at all
# custom: {kinds: [Namespace]}
package sallyport.policies.nothing

deny contains {"msg": "no"} if input.object.kind
`
	s, err := load(t.Context(), "nothing.rego", module, map[string]any{"nothing": map[string]any{
		"severityOverrides": []any{map[string]any{"selector": "team=payments", "severity": "audit"}},
	}})
	if err != nil {
		t.Fatal(err)
	}
	const bare = `{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop"}}`
	for _, tt := range []struct {
		name, old, object string
		want              rules.Severity
	}{
		{"brings the label", "", shop, rules.Deny},
		{"gets the label", bare, shop, rules.Deny},
		{"had the label", shop, bare, rules.Audit},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := pass(t, tt.object)
			if tt.old != "" {
				p.Request.Operation, p.Old, p.OldRaw = "UPDATE", decode(t, tt.old), []byte(tt.old)
			}
			findings, err := rules.Run(t.Context(), s.Rules, p)
			if err != nil || len(findings) != 1 || findings[0].Severity != tt.want {
				t.Errorf("findings %v, error %v; want severity %s", findings, err, tt.want)
			}
		})
	}
}
