package mesh_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/tools/txtar"

	"github.com/sallyport-io/sallyport/internal/mesh"
)

// paths are all paths of a mesh, for every client that it names.
func paths(m *mesh.Mesh) string {
	var b strings.Builder
	for p := range m.AllPoints() {
		for _, c := range append(m.Clients(p.Host), "shop", "bank", mesh.AnyClient) {
			path := m.Paths(c, p.Host, p.Port)
			fmt.Fprintf(&b, "%s:%d from %s: %s %s\n", p.Host, p.Port, c, path.Verdict, path.Gateway)
		}
	}
	return b.String()
}

// TestFollowedIsRead: a mesh that has followed changes of the mesh configurations
// and of the namespaces that they select is the mesh that its objects make from
// the beginning, whatever came first, what is being deleted included.
func TestFollowedIsRead(t *testing.T) {
	var fixed []mesh.Object
	for _, name := range []string{"discovery-route-unread", "proxy-http-port"} {
		file := "testdata/paths/" + name + ".txtar"
		raw, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, o := range decodeYAML(t, file, txtar.Parse(raw).Files[0].Data) {
			if _, ok := o.(*mesh.IstioConfig); !ok {
				fixed = append(fixed, o)
			}
		}
	}
	decode := func(raw string) mesh.Object { return decodeYAML(t, "changes", []byte(raw))[0] }
	config := func(name, key, text string) mesh.Object {
		return decode(fmt.Sprintf("{apiVersion: v1, kind: ConfigMap, metadata: {name: %s, namespace: istio-system}, data: {%s: %q}}", name, key, text))
	}
	var changes []mesh.Object
	for _, ns := range []string{"shop", "routes", "istio-system"} {
		for _, labels := range []string{"{}", "{mesh: in}", "{mesh: in, istio-injection: enabled}"} {
			changes = append(changes, decode(fmt.Sprintf("{apiVersion: v1, kind: Namespace, metadata: {name: %s, labels: %s}}", ns, labels)))
		}
	}
	changes = append(changes, decode(`{apiVersion: v1, kind: Namespace, metadata: {name: routes, labels: {mesh: in}, deletionTimestamp: "2026-01-01T00:00:00Z"}}`))
	for _, name := range []string{"istio", "istio-canary"} {
		for _, text := range []string{
			"outboundTrafficPolicy: {mode: REGISTRY_ONLY}", "{}", "proxyHttpPort: 3128",
			"discoverySelectors: [{matchLabels: {mesh: in}}]", "defaultVirtualServiceExportTo: ['.']",
			"serviceEntryVisibility: {defaultVisibility: NAMESPACE, applyToSidecars: true}", "rootNamespace: routes",
		} {
			changes = append(changes, config(name, "mesh", text))
		}
	}
	for _, domain := range []string{"cluster.local", "k8s.example"} {
		changes = append(changes, config("istio-sidecar-injector", "values", `{"global":{"proxy":{"clusterDomain":"`+domain+`"}}}`))
	}
	r := rand.New(rand.NewPCG(1, 2))
	followed := mesh.New(mesh.DefaultSettings(), fixed...)
	for i := range 400 {
		o := changes[r.IntN(len(changes))]
		switch r.IntN(4) {
		case 0:
			followed = followed.Without(o.Metadata().Ref)
		case 1:
			followed = followed.Draft().With(o) // as a review would
		default:
			followed = followed.With(o)
		}
		var all []mesh.Object
		for _, kind := range mesh.Kinds() {
			all = slices.AppendSeq(all, followed.All(kind))
		}
		r.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
		if d := cmp.Diff(paths(mesh.New(mesh.DefaultSettings(), all...)), paths(followed)); d != "" {
			t.Fatalf("change %d, %s (-read +followed):\n%s", i, o.Metadata().Ref, d)
		}
	}
}

// TestMalformedLosesNothing: what istiod does not take leaves what it took last.
func TestMalformedLosesNothing(t *testing.T) {
	config := func(text string) mesh.Object {
		return decodeYAML(t, "config", fmt.Appendf(nil, "{apiVersion: v1, kind: ConfigMap, metadata: {name: istio, namespace: istio-system}, data: {mesh: %q}}", text))[0]
	}
	bad := config("outboundTrafficPolicy: {mode: REGISTRY}")
	m := mesh.New(mesh.DefaultSettings(), config("outboundTrafficPolicy: {mode: REGISTRY_ONLY}\nrootNamespace: root")).With(bad).With(bad)
	if s := m.Settings(); s.AllowAny || s.RootNamespace != "root" || !s.Platform("root") {
		t.Errorf("after a malformed one: %+v", s)
	}
	if notes := kindsOf(m.Notes()); notes != "malformed" {
		t.Errorf("notes: %s", notes)
	}
	if m = mesh.New(mesh.DefaultSettings(), bad); !m.Settings().AllowAny {
		t.Error("without one before, istiod has its defaults")
	}
	if m = m.With(config("outboundTrafficPolicy: {mode: REGISTRY_ONLY}")); m.Settings().AllowAny || kindsOf(m.Notes()) != "" {
		t.Errorf("after it is mended: %v", m.Notes())
	}
}

// TestOverrides: what the administrator says goes before what the cluster says, and
// where they differ it is said, in each field.
func TestOverrides(t *testing.T) {
	objects := decodeYAML(t, "config", []byte(`{apiVersion: v1, kind: ConfigMap, metadata: {name: istio, namespace: istio-system}, data: {mesh: "{}"}}
---
{apiVersion: v1, kind: ConfigMap, metadata: {name: istio-sidecar-injector, namespace: istio-system}, data: {values: '{"global":{"proxy":{"clusterDomain":"k8s.example"}}}'}}`))
	for field, override := range map[string]func(*mesh.Overrides){
		"rootNamespace":                  func(o *mesh.Overrides) { o.RootNamespace = "root" },
		"clusterDomain":                  func(o *mesh.Overrides) { o.ClusterDomain = "cluster.local" },
		"outboundTrafficPolicy":          func(o *mesh.Overrides) { o.Outbound = "REGISTRY_ONLY" },
		"dnsCapture":                     func(o *mesh.Overrides) { o.DNSCapture = new(true) },
		"defaultServiceExportTo":         func(o *mesh.Overrides) { o.Exports.Services = []string{"."} },
		"defaultVirtualServiceExportTo":  func(o *mesh.Overrides) { o.Exports.VirtualServices = []string{"."} },
		"defaultDestinationRuleExportTo": func(o *mesh.Overrides) { o.Exports.DestinationRules = []string{"."} },
	} {
		s := mesh.DefaultSettings()
		override(&s.Overrides)
		m := mesh.New(s, objects...)
		var fields []string
		for _, n := range m.Notes() {
			if n.Kind == mesh.NoteOverridden {
				fields = append(fields, n.Field)
			}
		}
		if !slices.Equal(fields, []string{field}) {
			t.Errorf("%s is overridden, and said of %v", field, fields)
		}
		bare, is := mesh.New(mesh.DefaultSettings(), objects...).Settings(), m.Settings()
		is.Overrides = mesh.Overrides{}
		if reflect.DeepEqual(bare, is) {
			t.Errorf("%s is overridden, and nothing comes of it", field)
		}
	}
	// What an override and the cluster agree on is not worth a word.
	s := mesh.DefaultSettings()
	s.Overrides = mesh.Overrides{RootNamespace: "istio-system", ClusterDomain: "k8s.example", Outbound: "ALLOW_ANY", DNSCapture: new(false), Exports: mesh.DefaultExports{Services: []string{"*"}}}
	if notes := mesh.New(s, objects...).Notes(); len(notes) > 0 {
		t.Errorf("said for nothing: %v", notes)
	}
}

// TestAbsent: a mesh without a mesh configuration has what the administrator says,
// and that there is none is said.
func TestAbsent(t *testing.T) {
	m := mesh.New(mesh.DefaultSettings())
	if kindsOf(m.Notes()) != "absent" || m.Settings().AllowAny {
		t.Errorf("notes %v, settings %+v", m.Notes(), m.Settings())
	}
}

func kindsOf(notes []mesh.Note) string {
	var kinds []string
	for _, n := range notes {
		kinds = append(kinds, string(n.Kind))
	}
	return strings.Join(kinds, " ")
}
