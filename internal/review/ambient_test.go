package review_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/sallyport-io/sallyport/internal/companion"
	"github.com/sallyport-io/sallyport/internal/mesh"
	"github.com/sallyport-io/sallyport/internal/meshconfig"
	"github.com/sallyport-io/sallyport/internal/review"
	"github.com/sallyport-io/sallyport/rules"
)

// ambientWorld has tenants in ambient mode, with the platform's waypoint for what
// leaves the mesh.
const ambientWorld = `apiVersion: v1
kind: Namespace
metadata: {name: istio-egress, labels: {istio.io/dataplane-mode: ambient, kubernetes.io/metadata.name: istio-egress}}
---
apiVersion: v1
kind: Namespace
metadata: {name: shop, labels: {istio.io/dataplane-mode: ambient, kubernetes.io/metadata.name: shop}}
---
apiVersion: v1
kind: Namespace
metadata: {name: billing, labels: {istio.io/dataplane-mode: ambient, kubernetes.io/metadata.name: billing}}
---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: waypoint, namespace: istio-egress}
spec:
  gatewayClassName: istio-waypoint
  listeners: [{name: mesh, port: 15008, protocol: HBONE, allowedRoutes: {namespaces: {from: Same}}}]
`

// ambientMesh is that world, of which ztunnel is shown the entries of the waypoint's
// namespace, and those of tenants as the mesh configuration says.
func ambientMesh(t *testing.T, visibility string) *mesh.Mesh {
	t.Helper()
	config, err := meshconfig.Parse("serviceEntryVisibility: {defaultVisibility: " + visibility +
		", policies: [{visibility: PUBLIC, matchingRules: [{namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: istio-egress}}}]}]}")
	if err != nil {
		t.Fatal(err)
	}
	s := mesh.DefaultSettings()
	s.PlatformNamespaces = append(s.PlatformNamespaces, "istio-egress")
	s.Visibility = config.Visibility
	return mesh.New(s, decode(t, ambientWorld)...)
}

// TestAmbientEntryIsARequest has the server admit an entry of a namespace in ambient
// mode: it is held back until what leads out stands beside the waypoint, and judged
// together with that. What cannot be served is denied with the reason, though no
// path of ztunnel's leads by the entry.
func TestAmbientEntryIsARequest(t *testing.T) {
	bare := strings.Replace(entryOf("pay.example.com"), ` exportTo: ["."],`, "", 1)
	for _, tt := range []struct {
		name, visibility, entry string
		denied                  string // by this message, if at all
	}{
		{"hidden from ztunnel", "NONE", bare, ""},
		{"shown to its own namespace", "NAMESPACE", bare, "ztunnel prefers this entry"},
		{"shown to all", "PUBLIC", bare, "ztunnel prefers this entry"},
		{"UDP", "NONE", strings.Replace(bare, "protocol: TLS", "protocol: UDP}, {number: 8443, name: s, protocol: TLS", 1), "is UDP"},
		{"an address", "NONE", strings.Replace(bare, "resolution: DNS", "resolution: DNS, addresses: [198.51.100.7]", 1), "ztunnel would pass on what goes to any other"},
		{"its own endpoints", "NONE", strings.Replace(bare, "resolution: DNS", "resolution: STATIC, endpoints: [{address: 198.51.100.7}]", 1), "brings endpoints"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m, judge := ambientMesh(t, tt.visibility), &review.Judge{Rules: rules.All}
			admit := func(m *mesh.Mesh) (*mesh.ServiceEntry, review.Outcome) {
				w := review.Write{Request: rules.Request{Operation: "CREATE"}, Object: document(t, tt.entry)}
				w.Object = defaulted(t, m, w)
				out, err := judge.Review(t.Context(), m, w)
				if err != nil {
					t.Fatal(err)
				}
				o, err := mesh.Decode(w.Object)
				if err != nil {
					t.Fatal(err)
				}
				return o.(*mesh.ServiceEntry), out
			}
			entry, out := admit(m)
			if !entry.Held() {
				t.Errorf("exported to %v before anything leads out", entry.ExportTo)
			}
			if tt.denied != "" {
				if !slices.ContainsFunc(out.Findings, func(f rules.Finding) bool {
					return f.Severity == rules.Deny && strings.Contains(f.Message, tt.denied) && f.Fix != ""
				}) {
					t.Errorf("not denied for %q: %+v", tt.denied, out.Findings)
				}
				if len(out.Companions) > 0 {
					t.Errorf("%d objects are planned for what is denied", len(out.Companions))
				}
				return
			}
			if len(out.Findings) > 0 {
				t.Errorf("findings: %+v", out.Findings)
			}
			for _, o := range out.Companions {
				if o.Metadata().Namespace != "istio-egress" {
					t.Errorf("%s is not beside the waypoint", o.Metadata().Ref)
				}
			}
			after, _ := companion.Apply(m.With(entry), "pay.example.com")
			if path := after.Paths("shop", "pay.example.com", 443); path.Verdict != mesh.Via {
				t.Errorf("with what is planned the path is %s", path.Verdict)
			}
			if entry, out := admit(m.With(out.Companions...)); entry.Held() || out.Denied() {
				t.Errorf("with all there the entry is exported to %v; %+v", entry.ExportTo, out.Findings)
			}
		})
	}
}

// TestAmbientFixWorks applies the fix of an entry whose clients in ambient mode leave
// past the waypoint: with the labels that it adds ztunnel leads there, the denial goes,
// and nothing else of the entry is changed. Where the waypoint admits no entry of a
// tenant's there is no such fix, and words say who can do what.
func TestAmbientFixWorks(t *testing.T) {
	for _, tt := range []struct {
		name      string
		from      string // of allowedRoutes
		injection mesh.Injection
		works     bool
		words     string
	}{
		{"open waypoint, nothing kept", "All", mesh.InjectNone, true, ""},
		{"open waypoint, and an entry that hides what is kept", "All", mesh.InjectAll, true, ""},
		{"closed waypoint, nothing kept", "Same", mesh.InjectNone, false, "In ambient mode no VirtualService"},
		{"closed waypoint, and an entry that hides what is kept", "Same", mesh.InjectAll, false, "serviceEntryVisibility"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := mesh.DefaultSettings()
			s.PlatformNamespaces = append(s.PlatformNamespaces, "istio-egress")
			s.Injection = tt.injection
			m := mesh.New(s, decode(t, strings.Replace(ambientWorld, "from: Same", "from: "+tt.from, 1))...)
			judge := &review.Judge{Rules: rules.All}
			raw := document(t, strings.Replace(entryOf("pay.example.com"), "namespace: shop", "namespace: shop, labels: {team: a}", 1))
			deny := func(raw []byte) (denials []rules.Finding) {
				out, err := judge.Review(t.Context(), m, review.Write{Request: rules.Request{Operation: "CREATE"}, Object: raw})
				if err != nil {
					t.Fatal(err)
				}
				for _, f := range out.Findings {
					if f.Severity == rules.Deny {
						denials = append(denials, f)
					}
				}
				return denials
			}
			denials := deny(raw)
			if len(denials) == 0 {
				t.Fatal("not denied")
			}
			fixed := rules.Fixed(denials[0].Fix, raw)
			if !tt.works {
				if len(fixed) > 0 || !strings.Contains(denials[0].Fix, tt.words) {
					t.Errorf("the fix is\n%s", denials[0].Fix)
				}
				return
			}
			if len(fixed) != 1 {
				t.Fatalf("the fix is\n%s", denials[0].Fix)
			}
			if rest := deny(fixed[0].Raw); len(rest) > 0 {
				t.Errorf("with the fix it is denied: %+v", rest)
			}
			entry := fixed[0].Object.(*mesh.ServiceEntry)
			if path := m.With(entry).Paths("shop", "pay.example.com", 443); path.Verdict != mesh.Via {
				t.Errorf("with the fix the path is %s: %v", path.Verdict, path.Because)
			}
			if entry.Labels["team"] != "a" || len(entry.Labels) != 3 {
				t.Errorf("with the fix it has the labels %v", entry.Labels)
			}
		})
	}
}
