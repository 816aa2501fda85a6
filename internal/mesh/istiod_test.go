package mesh

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// istiodPod is a pod of a control plane, as an API server has it.
func istiodPod(t *testing.T, kind, namespace, name, image, label, phase string) Object {
	t.Helper()
	labels := fmt.Sprintf(`{"app":"istiod","app.kubernetes.io/version":%q}`, label)
	spec := fmt.Sprintf(`{"containers":[{"name":"sidecar","image":"a/b:1.29.0"},{"name":"discovery","image":%q}]}`, image)
	apiVersion := "v1"
	if kind == "Deployment" {
		apiVersion, spec = "apps/v1", fmt.Sprintf(`{"template":{"metadata":{"labels":%s},"spec":%s}}`, labels, spec)
	}
	o, err := Decode(fmt.Appendf(nil, `{"apiVersion":%q,"kind":%q,"metadata":{"namespace":%q,"name":%q,"labels":%s},"spec":%s,"status":{"phase":%q}}`,
		apiVersion, kind, namespace, name, labels, spec, phase))
	if err != nil {
		t.Fatal(err)
	}
	return o
}

// TestIstiodVersions: the version is that of the running pods of istiod, or of the
// templates of them; what is given goes before it, and whatever is to be said is
// said.
func TestIstiodVersions(t *testing.T) {
	pod := func(name, image string) Object {
		return istiodPod(t, "Pod", "istio-system", name, image, "", "Running")
	}
	digest := "r/pilot@sha256:00000000000000000000000000000000"
	for _, test := range []struct {
		name    string
		given   IstioVersion
		objects []Object
		want    []IstioVersion
		notes   []NoteKind
	}{
		{"none", IstioVersion{}, nil, []IstioVersion{{}}, nil},
		{"one", IstioVersion{}, []Object{pod("a", "r:5000/istio/pilot:1.31.2-distroless")}, []IstioVersion{{31, 2}}, nil},
		{"two of one version", IstioVersion{}, []Object{pod("a", "pilot:1.31.2"), pod("b", "pilot:1.31.2")}, []IstioVersion{{31, 2}}, nil},
		{"two", IstioVersion{}, []Object{pod("a", "pilot:1.32.0"), pod("b", "pilot:1.30.4")}, []IstioVersion{{30, 4}, {32, 0}}, []NoteKind{NoteDifferent}},
		{"a tag and a digest", IstioVersion{}, []Object{pod("a", "pilot:v1.30.4@sha256:00")}, []IstioVersion{{30, 4}}, nil},
		{"a digest and the label", IstioVersion{}, []Object{istiodPod(t, "Pod", "istio-system", "a", digest, "1.30.1", "Running")}, []IstioVersion{{30, 1}}, nil},
		{"a port is no tag", IstioVersion{}, []Object{pod("a", "r:1.31/pilot")}, []IstioVersion{{}}, []NoteKind{NoteUnknown}},
		{"nothing tells", IstioVersion{}, []Object{pod("a", digest), pod("b", "pilot:1.31.2")}, []IstioVersion{{31, 2}}, []NoteKind{NoteUnknown}},
		{"a template", IstioVersion{}, []Object{istiodPod(t, "Deployment", "istio-system", "a", "pilot:1.30.0", "", "")}, []IstioVersion{{30, 0}}, nil},
		{"one that has ended", IstioVersion{}, []Object{pod("a", "pilot:1.31.2"), istiodPod(t, "Pod", "istio-system", "b", "pilot:1.30.0", "", "Failed")}, []IstioVersion{{31, 2}}, nil},
		{"a tenant's", IstioVersion{}, []Object{istiodPod(t, "Pod", "shop", "a", "pilot:1.30.0", "", "Running")}, []IstioVersion{{}}, nil},
		{"given, the same", IstioVersion{31, 0}, []Object{pod("a", "pilot:1.31.2")}, []IstioVersion{{31, 0}}, nil},
		{"given, another patch", IstioVersion{31, 1}, []Object{pod("a", "pilot:1.31.2")}, []IstioVersion{{31, 1}}, []NoteKind{NoteOverridden}},
		{"given, another", IstioVersion{32, 0}, []Object{pod("a", "pilot:1.31.2")}, []IstioVersion{{32, 0}}, []NoteKind{NoteOverridden}},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := DefaultSettings()
			s.Istio = test.given
			m := New(s, test.objects...)
			check := func(m *Mesh, want []IstioVersion, kinds []NoteKind) {
				t.Helper()
				got := m.Settings()
				if is := got.istios(); !slices.Equal(is, want) {
					t.Errorf("versions %v, want %v", is, want)
				}
				var notes []NoteKind
				for _, n := range m.Notes() {
					if n.Field == FieldIstio {
						notes = append(notes, n.Kind)
					}
				}
				if !slices.Equal(notes, kinds) {
					t.Errorf("notes %v, want %v", m.Notes(), kinds)
				}
			}
			check(m, test.want, test.notes)
			// What goes takes its version along.
			var refs []Ref
			for _, o := range test.objects {
				refs = append(refs, o.Metadata().Ref)
			}
			check(m.Without(refs...), []IstioVersion{test.given}, nil)
			check(m, test.want, test.notes)
		})
	}
}

// TestWorstIstio: of several control planes the one counts by which the verdict is
// the stricter, be it the older or the newer.
func TestWorstIstio(t *testing.T) {
	pods := []Object{istiodPod(t, "Pod", "istio-system", "a", "pilot:1.32.0", "", "Running"), istiodPod(t, "Pod", "istio-system", "b", "pilot:1.30.0", "", "Running")}
	tcp := &Definition{Meta: Meta{Ref: DefinitionOf("TCPRoute"), Annotations: map[string]string{bundleAnnotation: "v1.5.0"}}}
	m := New(DefaultSettings(), append(pods, tcp)...)
	if b := m.Bundle("TCPRoute"); !b.TooOld() || b.Istio != (IstioVersion{32, 0}) {
		t.Errorf("TCPRoute, which Istio 1.32 does not read: %+v", b)
	}
	if !m.FollowsBackends() {
		t.Error("Istio 1.32 follows XBackends")
	}
	if v, open := m.Settings().FailsOpen(); !open || v != (IstioVersion{30, 0}) {
		t.Errorf("Istio 1.30.0 fails open: %v, %v", v, open)
	}
	m = m.Without(pods[0].Metadata().Ref)
	if m.Bundle("TCPRoute").TooOld() || m.FollowsBackends() {
		t.Error("Istio 1.30 alone reads any TCPRoute, and follows no XBackend")
	}
}

// TestGatewayAPIOverridden: what the configuration says counts, and where a
// definition says something else, that is told.
func TestGatewayAPIOverridden(t *testing.T) {
	tls := &Definition{Meta: Meta{Ref: DefinitionOf("TLSRoute"), Annotations: map[string]string{bundleAnnotation: "v1.4.0"}}}
	for given, notes := range map[BundleVersion]int{{}: 0, {1, 4}: 0, {1, 6}: 1} {
		s := DefaultSettings()
		s.GatewayAPI = given
		n := 0
		for _, note := range New(s, tls).Notes() {
			if note.Field == FieldGatewayAPI && note.Kind == NoteOverridden && note.Ref == tls.Ref {
				n++
			}
		}
		if n != notes {
			t.Errorf("%s: %d notes, want %d", given, n, notes)
		}
	}
}

// TestUnreadKinds: where a definition is put back, or another istiod comes, by which
// routes that stand are no longer read, that is told, once for each kind, for as long as
// it is so.
func TestUnreadKinds(t *testing.T) {
	definition := func(kind, version string) Object {
		return &Definition{Meta: Meta{Ref: DefinitionOf(kind), Annotations: map[string]string{bundleAnnotation: version}}}
	}
	unread := func(m *Mesh) string {
		var kinds []string
		for _, n := range m.Notes() {
			if n.Kind == NoteUnread {
				kinds = append(kinds, n.Ref.Name)
			}
		}
		return strings.Join(kinds, ", ")
	}
	for _, kind := range VersionedKinds() {
		route := &Route{Meta: Meta{Ref: Ref{Kind: kind, Namespace: "shop", Name: "a"}}}
		is := DefinitionOf(kind).Name
		m := New(DefaultSettings(), route, definition(kind, "v9.0.0"), istiodPod(t, "Pod", "istio-system", "a", "pilot:1.31.2", "", "Running"))
		if got := unread(m); got != "" {
			t.Errorf("%s, a recent definition: %q", kind, got)
		}
		for _, old := range []string{"v0.1.0", "", "latest"} {
			lowered := m.With(definition(kind, old))
			if got := unread(lowered); got != is {
				t.Errorf("%s, a definition of %q: %q, want %q", kind, old, got, is)
			}
			if got := unread(lowered.Without(route.Ref)); got != "" {
				t.Errorf("%s, of which there is none: %q", kind, got)
			}
			if got := unread(lowered.With(definition(kind, "v9.0.0"))); got != "" {
				t.Errorf("%s, a definition that is put right: %q", kind, got)
			}
		}
	}
	// TCPRoutes are read by an Istio of 1.30 whatever their definition.
	m := New(DefaultSettings(), &Route{Meta: Meta{Ref: Ref{Kind: "TCPRoute", Namespace: "shop", Name: "a"}}}, definition("TCPRoute", "v1.5.0"))
	for image, want := range map[string]string{"pilot:1.30.4": "", "pilot:1.31.2": DefinitionOf("TCPRoute").Name} {
		if got := unread(m.With(istiodPod(t, "Pod", "istio-system", "a", image, "", "Running"))); got != want {
			t.Errorf("%s: %q, want %q", image, got, want)
		}
	}
}
