package webhook

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"
	admissionv1 "k8s.io/api/admission/v1"
	authenticationv1 "k8s.io/api/authentication/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/sallyport-io/sallyport/internal/companion"
	"github.com/sallyport-io/sallyport/internal/config"
	"github.com/sallyport-io/sallyport/internal/golden"
	"github.com/sallyport-io/sallyport/internal/mesh"
	"github.com/sallyport-io/sallyport/internal/review"
	"github.com/sallyport-io/sallyport/internal/told"
	"github.com/sallyport-io/sallyport/policies"
	"github.com/sallyport-io/sallyport/rules"
)

// neighbours makes objects of other tenants, of every kind that a finding could be
// about. Every name in them is a token that is in no other place: whatever an
// answer says of them can be seen in it.
type neighbours struct {
	*rand.Rand
	tokens []string
}

func (n *neighbours) token() string {
	const letters = "bcdfghjklmnpqrstvwxz"
	b := []byte("zq")
	for range 8 {
		b = append(b, letters[n.IntN(len(letters))])
	}
	n.tokens = append(n.tokens, string(b))
	return string(b)
}

// objects are those of one tenant. hosts are some that others know as well.
func (n *neighbours) objects(t *testing.T, hosts []string) []mesh.Object {
	t.Helper()
	ns, own := n.token(), n.token()+".example"
	names := []string{own, "*." + n.token() + ".com", n.token() + ".partner.example"}
	if len(hosts) > 0 {
		names = append(names, hosts[n.IntN(len(hosts))])
	}
	protocol := []string{"HTTP", "TLS", "TCP", "HTTPS"}[n.IntN(4)]
	export := []string{`["."]`, `[".", "istio-system"]`}[n.IntN(2)]
	labels := []string{
		`{}`, `{"sallyport.io/network-policy": "enabled", "istio-injection": "enabled"}`,
		`{"istio-injection": "enabled", "` + n.token() + `": "` + n.token() + `"}`, `{"istio.io/dataplane-mode": "ambient"}`,
	}[n.IntN(4)]
	gateway := "istio-egressgateway.istio-system.svc.cluster.local"
	raw := []string{
		fmt.Sprintf(`{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": %q, "labels": %s, "annotations": {%q: %q}}}`, ns, labels, n.token(), n.token()),
	}
	add := func(apiVersion, kind, format string, args ...any) {
		raw = append(raw, fmt.Sprintf(`{"apiVersion": %q, "kind": %q, "metadata": {"namespace": %q, "name": %q, "labels": {%q: %q}, "annotations": {%q: %q}}, "spec": %s}`,
			apiVersion, kind, ns, n.token(), n.token(), n.token(), n.token(), n.token(), fmt.Sprintf(format, args...)))
	}
	const istio = "networking.istio.io/v1"
	for _, host := range names {
		port := []int{80, 443, 8443, 5432}[n.IntN(4)]
		add(istio, "ServiceEntry", `{"hosts": [%q], "exportTo": %s, "resolution": "DNS", "ports": [{"number": %d, "name": %q, "protocol": %q}], "endpoints": [{"address": %q}]}`,
			host, export, port, n.token(), protocol, n.token()+".example")
		switch n.IntN(3) {
		case 0:
			add(istio, "VirtualService", `{"hosts": [%q], "exportTo": %s, "gateways": ["mesh"], "http": [{"name": %q, "match": [{"port": %d, "headers": {%q: {"exact": %q}}}], "route": [{"destination": {"host": %q}}]}],
				"tls": [{"match": [{"port": %d, "sniHosts": [%q]}], "route": [{"destination": {"host": %q, "subset": %q, "port": {"number": 443}}}]}]}`,
				host, export, n.token(), port, n.token(), n.token(), host, port, host, gateway, n.token())
		case 1:
			add(istio, "VirtualService", `{"hosts": [%q], "exportTo": %s, "gateways": ["mesh", %q], "http": [{"match": [{"gateways": ["mesh"], "port": %d}], "route": [{"destination": {"host": %q, "port": {"number": 80}}}]}]}`,
				host, export, "istio-system/"+n.token(), port, gateway)
		}
	}
	add(istio, "Gateway", `{"selector": {"istio": "egressgateway"}, "servers": [{"port": {"number": 443, "name": %q, "protocol": "TLS"}, "hosts": [%q], "tls": {"mode": "ISTIO_MUTUAL"}}]}`, n.token(), "*/"+own)
	add(istio, "DestinationRule", `{"host": %q, "exportTo": %s, "subsets": [{"name": %q, "labels": {%q: %q}}], "trafficPolicy": {"tls": {"mode": "SIMPLE", "sni": %q}}}`, own, export, n.token(), n.token(), n.token(), n.token()+".example")
	add(istio, "DestinationRule", `{"host": %q, "exportTo": %s, "subsets": [{"name": %q}]}`, gateway, export, n.token())
	if n.IntN(2) == 0 {
		add(istio, "Sidecar", `{"egress": [{"hosts": [%q]}], "outboundTrafficPolicy": {"mode": "ALLOW_ANY"}}`, "./"+own)
	}
	if n.IntN(4) == 0 {
		add(istio, "EnvoyFilter", `{"configPatches": []}`)
	}
	add(istio, "WorkloadEntry", `{"address": %q, "labels": {"app": "web"}}`, n.token()+".example")
	add("gateway.networking.k8s.io/v1", "HTTPRoute", `{"parentRefs": [{"group": "networking.istio.io", "kind": "ServiceEntry", "name": %q}], "hostnames": [%q], "rules": [{"backendRefs": [{"group": "networking.istio.io", "kind": "Hostname", "name": %q, "port": 443}]}]}`, n.token(), own, n.token()+".example")
	raw = append(raw, fmt.Sprintf(`{"apiVersion": "v1", "kind": "Service", "metadata": {"namespace": %q, "name": %q, "annotations": {"networking.istio.io/exportTo": "."}}, "spec": {"type": "ExternalName", "externalName": %q, "ports": [{"port": 443, "name": "tls"}]}}`, ns, n.token(), n.token()+".example"))
	var out []mesh.Object
	for _, r := range raw {
		o, err := mesh.Decode([]byte(r))
		if err != nil {
			t.Fatalf("%v\n%s", err, r)
		}
		out = append(out, o)
	}
	return out
}

// disclosureCase is a golden case of the rules: what there is, and what is written.
type disclosureCase struct {
	name     string
	settings mesh.Settings
	world    []mesh.Object
	writes   []review.Write
	hosts    []string
}

func disclosureCases(t *testing.T) []disclosureCase {
	t.Helper()
	files, err := filepath.Glob("../rules/testdata/*.txtar")
	if err != nil || len(files) < 50 {
		t.Fatalf("%d golden cases, %v", len(files), err)
	}
	var all []disclosureCase
	for _, file := range files {
		archive, err := txtar.ParseFile(file)
		if err != nil {
			t.Fatal(err)
		}
		c := disclosureCase{name: strings.TrimSuffix(filepath.Base(file), ".txtar"), settings: config.Default().Settings()}
		// What the cases hold carries no mark of admission, and whatever is told of it
		// is to be seen.
		c.settings.Injection = mesh.InjectAll
		hosts := map[string]bool{}
		for _, f := range archive.Files {
			if f.Name == "config.yaml" {
				cfg, err := config.Parse(f.Name, f.Data)
				if err != nil {
					t.Fatal(err)
				}
				if c.settings = cfg.Settings(); c.settings.Injection == mesh.InjectNew {
					c.settings.Injection = mesh.InjectAll
				}
				continue
			}
			isBad, isGood := strings.HasPrefix(f.Name, "bad"), strings.HasPrefix(f.Name, "good")
			if f.Name != "world.yaml" && !isBad && !isGood {
				continue
			}
			docs, err := golden.Documents(f.Data)
			if err != nil {
				t.Fatal(err)
			}
			for i, raw := range docs {
				o, err := mesh.Decode(raw)
				if err != nil {
					continue
				}
				if se, ok := o.(*mesh.ServiceEntry); ok {
					for _, h := range se.Hosts {
						hosts[mesh.CanonicalHost(h)] = true
					}
				}
				w := review.Write{Request: rules.Request{Operation: "CREATE"}, Object: raw}
				switch {
				case f.Name == "world.yaml":
					c.world = append(c.world, o)
					continue
				case strings.Contains(f.Name, "-update") && i%2 == 0:
					continue
				case strings.Contains(f.Name, "-update"):
					w.Request.Operation, w.OldObject = "UPDATE", docs[i-1]
				case strings.Contains(f.Name, "-delete"):
					w = review.Write{Request: rules.Request{Operation: "DELETE"}, OldObject: raw}
				}
				c.writes = append(c.writes, w)
			}
		}
		c.hosts = slices.Sorted(maps.Keys(hosts))
		all = append(all, c)
	}
	return all
}

// twists are what a tenant who wants to know more makes of an object. Each returns
// false where it changes nothing.
func twists(hostOfOthers string) []func(map[string]any) bool {
	hosts := func(to string) func(map[string]any) bool {
		return func(o map[string]any) bool { return rewrite(o, "hosts", []any{to}) }
	}
	return []func(map[string]any) bool{
		func(map[string]any) bool { return true },
		hosts("*"), hosts("*.example"), hosts("*/*"), hosts(hostOfOthers),
		func(o map[string]any) bool { return rewrite(o, "exportTo", []any{"*"}) },
		func(o map[string]any) bool { return rewrite(o, "host", "*.example") },
		func(o map[string]any) bool {
			return rewrite(o, "namespaceSelector", map[string]any{"matchExpressions": []any{map[string]any{"key": "none", "operator": "DoesNotExist"}}})
		},
		// In the platform's name, which anybody may write into a review.
		func(o map[string]any) bool { return rewrite(o, "namespace", "istio-system") },
		func(o map[string]any) bool {
			return rewrite(o, "namespace", "kube-system") && rewrite(o, "hosts", []any{"*"})
		},
	}
}

// rewrite sets every member of that name.
func rewrite(value any, name string, to any) bool {
	found := false
	switch v := value.(type) {
	case map[string]any:
		for key, e := range v {
			if key == name {
				v[key], found = to, true
			} else {
				found = rewrite(e, name, to) || found
			}
		}
	case []any:
		for _, e := range v {
			found = rewrite(e, name, to) || found
		}
	}
	return found
}

func twisted(t *testing.T, raw []byte, twist func(map[string]any) bool) []byte {
	if len(raw) == 0 {
		return nil
	}
	var object map[string]any
	if err := json.Unmarshal(raw, &object); err != nil {
		t.Fatal(err)
	}
	if !twist(object) {
		return nil
	}
	out, err := json.Marshal(object)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// review is the write as an API server, or somebody who plays one, sends it.
func reviewOf(t *testing.T, w review.Write, n int) *admissionv1.AdmissionRequest {
	raw := w.Object
	if w.Request.Operation == "DELETE" {
		raw = w.OldObject
	}
	var object struct {
		metav1.TypeMeta   `json:",inline"`
		metav1.ObjectMeta `json:"metadata"`
	}
	if err := json.Unmarshal(raw, &object); err != nil {
		t.Fatal(err)
	}
	group, version, ok := strings.Cut(object.APIVersion, "/")
	if !ok {
		group, version = "", group
	}
	return &admissionv1.AdmissionRequest{
		UID:  "7f1c",
		Kind: metav1.GroupVersionKind{Group: group, Version: version, Kind: object.Kind}, Namespace: object.Namespace, Name: object.Name,
		Operation: admissionv1.Operation(w.Request.Operation), DryRun: new(n%2 == 0),
		// Groups and users count for nothing.
		UserInfo: authenticationv1.UserInfo{Username: "system:admin", Groups: []string{"system:masters"}},
		Object:   runtime.RawExtension{Raw: w.Object}, OldObject: runtime.RawExtension{Raw: w.OldObject},
	}
}

// TestAnswersTellNothingOfOthers has a tenant write whatever the golden cases of
// the rules have, and worse, beside random neighbours: no name of theirs is in any
// byte of an answer that it has not written itself. The decision log has them.
func TestAnswersTellNothingOfOthers(t *testing.T) {
	set, err := policies.Load(t.Context(), map[string]any{"allowed-hosts": map[string]any{"hosts": map[string]any{}}}, policies.Library())
	if err != nil {
		t.Fatal(err)
	}
	judge := &review.Judge{Rules: slices.Concat(rules.All, set.Rules)}
	const seed = 12
	about := map[string]int{} // rules of which the log names what the answer does not
	answers := 0
	for i, c := range disclosureCases(t) {
		n := &neighbours{Rand: rand.New(rand.NewPCG(seed, uint64(i)))}
		objects := slices.Clone(c.world)
		for range 3 {
			objects = append(objects, n.objects(t, c.hosts)...)
		}
		m := mesh.New(c.settings, objects...)
		for _, o := range objects[len(c.world):] {
			if se, ok := o.(*mesh.ServiceEntry); ok && n.IntN(2) == 0 {
				m, _ = companion.Apply(m, mesh.CanonicalHost(se.Hosts[0])) // kept for some of them
			}
		}
		o := options(t)
		o.Mesh, o.Judge = func() *mesh.Mesh { return m }, func() *review.Judge { return judge }
		var requests []*admissionv1.AdmissionRequest
		for j, w := range c.writes {
			for k, twist := range twists(n.tokens[1] + ".example") {
				object, old := twisted(t, w.Object, twist), twisted(t, w.OldObject, twist)
				if (object == nil) != (len(w.Object) == 0) || (old == nil) != (len(w.OldObject) == 0) {
					continue
				}
				requests = append(requests, reviewOf(t, review.Write{Request: w.Request, Object: object, OldObject: old}, j+k))
			}
		}
		lines, responses := logged(t, o, false, requests...)
		for j, resp := range responses {
			answers++
			answer, err := json.Marshal(resp)
			if err != nil {
				t.Fatal(err)
			}
			written := strings.ToLower(string(requests[j].Object.Raw) + string(requests[j].OldObject.Raw))
			said := strings.ToLower(string(answer))
			for _, token := range n.tokens {
				if strings.Contains(said, token) && !strings.Contains(written, token) {
					t.Errorf("seed %d: %s: %s %s/%s: the answer has %s\nanswer: %s\nlog: %s\nwritten: %s", seed, c.name, requests[j].Operation, requests[j].Kind.Kind, requests[j].Name, token, answer, lines[j], written)
					break
				}
			}
			for _, f := range decode(t, lines[j]).Findings {
				for _, token := range n.tokens {
					if strings.Contains(f.Message, token) && !strings.Contains(written, token) {
						about[f.Rule]++
						break
					}
				}
			}
		}
	}
	t.Logf("%d answers; findings about others, by rule: %v", answers, about)
	if about["direct-path"] == 0 || about["foreign-host-route"] == 0 || len(about) < 5 {
		t.Errorf("seed %d: hardly a finding was about a neighbour: the test shows nothing", seed)
	}
}

// TestPlatformIsToldWhereItIsProved checks who is told of others: nobody by the
// name of a user or a namespace, the platform where a certificate proves that an API
// server asks.
func TestPlatformIsToldWhereItIsProved(t *testing.T) {
	n := &neighbours{Rand: rand.New(rand.NewPCG(1, 2))}
	objects := n.objects(t, nil)
	tests := []struct {
		name      string
		namespace string
		sender    sender
		host      string // asked for
		sees      bool
	}{
		{"a tenant", "shop", apiServer, n.tokens[1] + ".example", false},
		{"the platform, proved", "istio-system", apiServer, n.tokens[1] + ".example", true},
		{"something of the cluster, proved", "", apiServer, n.tokens[1] + ".example", true},
		{"the platform, not proved", "istio-system", unproven, n.tokens[1] + ".example", false},
		{"something of the cluster, not proved", "", unproven, n.tokens[1] + ".example", false},
		{"the owner", n.tokens[0], unproven, n.tokens[1] + ".example", true},
		{"the owner's name, without the proof that is asked for", n.tokens[0], stranger, n.tokens[1] + ".example", false},
		{"the platform's name, without the proof that is asked for", "istio-system", stranger, n.tokens[1] + ".example", false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			o := options(t, objects...)
			r := request(`{"apiVersion":"networking.istio.io/v1","kind":"VirtualService","metadata":{"name":"all"},"spec":{"hosts":["*"]}}`)
			r.Namespace, r.Kind.Kind = tt.namespace, "VirtualService"
			r.UserInfo.Groups = []string{"system:masters"}
			c := newCall(o, admissionRequest(r), "validate")
			c.sender = tt.sender
			reader := c.readerOf(o.Mesh())
			if got := reader.Sees(told.Name{Kind: told.Hosts, Value: tt.host}); got != tt.sees {
				t.Errorf("sees %s: %v, want %v", tt.host, got, tt.sees)
			}
		})
	}
	for _, tt := range []struct {
		asked, proven bool
		want          sender
	}{{false, false, unproven}, {true, true, apiServer}, {true, false, stranger}} {
		g := newGates(tt.asked)
		r := new(http.Request).WithContext(context.WithValue(t.Context(), provenKey{}, tt.proven))
		if got := g.senderOf(g.visit(r)); got != tt.want {
			t.Errorf("asked for a proof %v, with one %v: the sender is %v, want %v", tt.asked, tt.proven, got, tt.want)
		}
	}
}
