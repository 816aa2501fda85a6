package review_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/sallyport-io/sallyport/internal/mesh"
	"github.com/sallyport-io/sallyport/internal/review"
	"github.com/sallyport-io/sallyport/rules"
)

// TestAClientAnswersForItself judges a hundred good entries of ten namespaces beside
// one client that lets traffic out by itself, for every way to do that: the entries
// stay clean, whichever comes first, and the client's object is told once, with a fix
// that names it.
func TestAClientAnswersForItself(t *testing.T) {
	for _, tt := range clientCauses() {
		t.Run(tt.name, func(t *testing.T) {
			s := mesh.DefaultSettings()
			s.Injection = mesh.InjectAll
			s.PlatformNamespaces = append(s.PlatformNamespaces, "team0")
			if tt.mesh != nil {
				tt.mesh(&s)
			}
			state, object := mesh.New(s), []byte(tt.object)
			write := review.Write{Request: rules.Request{Operation: "CREATE"}, Object: object}
			if tt.stands != "" {
				o := decoded(t, []byte(tt.stands))
				if state = state.With(o); o.Metadata().Ref == decoded(t, object).Metadata().Ref {
					write.Request.Operation, write.OldObject = "UPDATE", []byte(tt.stands)
				}
			}
			entries := othersEntries()
			judge := &review.Judge{Rules: rules.All}
			batch, err := judge.ReviewAll(t.Context(), state, append([][]byte{object}, entries...))
			if err != nil {
				t.Fatal(err)
			}
			for _, o := range batch.Outcomes[1:] {
				if said := told(o); len(said) > 0 {
					t.Fatalf("%s is charged: %s", o.Ref, said[0].Message)
				}
			}
			if write.OldObject == nil { // a batch knows no edits
				check(t, tt, batch.Outcomes[0])
			}

			// The client comes where the entries are, and an entry where the client is.
			entries, last := entries[:len(entries)-1], entries[len(entries)-1]
			for _, raw := range entries {
				o := decoded(t, raw)
				if se, ok := o.(*mesh.ServiceEntry); ok {
					se.ExportTo = []string{se.Annotations["sallyport.io/export-to"]} // the paths are there
				}
				state = state.With(o)
			}
			out, err := judge.Review(t.Context(), state, write)
			if err != nil {
				t.Fatal(err)
			}
			check(t, tt, out)
			out, err = judge.Review(t.Context(), state.With(decoded(t, object)), review.Write{Request: rules.Request{Operation: "CREATE"}, Object: last})
			if err != nil || len(told(out)) > 0 {
				t.Errorf("an entry that comes later is charged: error %v, %v", err, brief(told(out)))
			}
		})
	}
}

// othersEntries are ten namespaces, with ten entries each that Sallyport serves and
// opens. Those of team0, the platform's, are for everybody.
func othersEntries() [][]byte {
	var out [][]byte
	for i := range 10 {
		to := "."
		if i == 0 {
			to = "*"
		}
		out = append(out, fmt.Appendf(nil, `{"apiVersion":"v1","kind":"Namespace","metadata":{"name":"team%d","labels":{"istio-injection":"enabled","sallyport.io/injection":"enabled"}}}`, i))
		for j := range 10 {
			out = append(out, fmt.Appendf(nil, `{"apiVersion":"networking.istio.io/v1","kind":"ServiceEntry","metadata":{"name":"e%d","namespace":"team%d","annotations":{"sallyport.io/export-to":%q}},
				"spec":{"hosts":["h%d.team%d.example.com"],"exportTo":["~"],"resolution":"DNS","location":"MESH_EXTERNAL","ports":[{"number":443,"name":"tls","protocol":"TLS"}]}}`, j, i, to, j, i))
		}
	}
	return out
}

func decoded(t *testing.T, raw []byte) mesh.Object {
	t.Helper()
	o, err := mesh.Decode(raw)
	if err != nil {
		t.Fatal(err)
	}
	return o
}

// told are the findings that the writer of an object is told.
func told(o review.Outcome) []rules.Finding {
	return slices.DeleteFunc(slices.Clone(o.Findings), func(f rules.Finding) bool {
		return f.Severity != rules.Deny && f.Severity != rules.Warn
	})
}

// brief are findings for a message.
func brief(findings []rules.Finding) []string {
	var out []string
	for _, f := range findings[:min(len(findings), 3)] {
		out = append(out, fmt.Sprintf("%s %s %s: %s", f.Severity, f.Rule, f.Path, f.Message))
	}
	return out
}

// check checks what the client's object is told.
func check(t *testing.T, tt clientCause, o review.Outcome) {
	t.Helper()
	said := told(o)
	if tt.said == "" {
		if len(said) > 0 {
			t.Errorf("want nothing said: %v", brief(said))
		}
		return
	}
	if len(said) != 1 || said[0].Rule != tt.said || tt.path != "" && said[0].Path != tt.path {
		t.Errorf("want one finding of %s: %v", tt.said, brief(said))
		return
	}
	for _, part := range tt.fix {
		if !strings.Contains(said[0].Fix, part) {
			t.Errorf("the fix lacks %q:\n%s", part, said[0].Fix)
		}
	}
	for line := range strings.Lines(said[0].Fix) {
		if at := strings.TrimSpace(line); at == "namespace:" || at == `namespace: ""` {
			t.Errorf("the fix names no namespace:\n%s", said[0].Fix)
		}
	}
}

// TestEveryClientCauseIsTried asks for a cause of each rule that judges nothing but
// clients, and of each annotation that one of these judges.
func TestEveryClientCauseIsTried(t *testing.T) {
	clients := []string{
		"Namespace", "Sidecar", "EnvoyFilter", "ProxyConfig", "TrafficExtension", "WasmPlugin", mesh.IstioConfigKind,
		"Binding", "ControllerRevision", "CronJob", "DaemonSet", "Deployment", "Job", "Pod", "PodTemplate",
		"ReplicaSet", "ReplicationController", "StatefulSet",
		"NetworkPolicy", "CiliumNetworkPolicy", "CalicoNetworkPolicy",
	}
	// What these judge lets nobody out.
	closed := map[string]string{
		"controller-revision": "what the pods of a workload are made of is judged by the rules for pods",
		"network-peers":       "who is within the wall of whom",
		"owner-labels":        "who owns a host",
	}
	said := map[string]bool{}
	for _, c := range clientCauses() {
		said[c.said] = true
	}
	judging := map[string]bool{}
	for _, r := range rules.All {
		if len(r.Kinds) == 0 || slices.ContainsFunc(r.Kinds, func(k string) bool { return !slices.Contains(clients, k) }) {
			continue
		}
		judging[r.Name] = true
		if _, ok := closed[r.Name]; ok == said[r.Name] {
			t.Errorf("rule %s needs a cause, or a reason why it has none", r.Name)
		}
	}
	for name := range closed {
		if !judging[name] {
			t.Errorf("rule %s judges no client", name)
		}
	}
	for key, k := range rules.IstioKeys {
		if _, ok := lettingOut[key]; !ok && slices.ContainsFunc(k.Rules, func(r string) bool { return judging[r] && r != "namespace-labels" }) {
			t.Errorf("annotation %s needs a value that lets out", key)
		}
	}
}
