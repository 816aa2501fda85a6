package mesh

import (
	"cmp"
	"fmt"
	"iter"
	"slices"
	"strings"

	"github.com/sallyport-io/sallyport/internal/meshconfig"
	"github.com/sallyport-io/sallyport/internal/told"
)

// Overrides are what the administrator's configuration says in place of Istio's
// mesh configuration. What is empty is what Istio says.
type Overrides struct {
	RootNamespace string
	ClusterDomain string
	Outbound      string // a mode of outboundTrafficPolicy
	DNSCapture    *bool
	Exports       DefaultExports // nil lists: as Istio says
}

// Note is something about the cluster's mesh configurations, or about the versions
// of what is installed, that whoever runs the mesh has to know.
type Note struct {
	Kind  NoteKind
	Field string // of the mesh configuration, FieldIstio or FieldGatewayAPI; may be empty
	// Ref is the object that it is about; the zero Ref where it is about several or
	// none.
	Ref     Ref
	Message string
}

// NoteKind is what kind of thing a [Note] says.
type NoteKind string

// The kinds of notes.
const (
	NoteOverridden NoteKind = "overridden" // Sallyport's configuration says something else than the cluster
	NoteDifferent  NoteKind = "different"  // revisions do not say the same
	NoteMalformed  NoteKind = "malformed"  // istiod does not take it
	NoteUnknown    NoteKind = "unknown"    // fields that the model does not know
	NoteElsewhere  NoteKind = "elsewhere"  // istiod reads objects from somewhere else
	NoteAbsent     NoteKind = "absent"     // the cluster has none
	NoteUnread     NoteKind = "unread"     // istiod passes over a kind, and over what there is of it
)

// The fields of Sallyport's configuration by which notes are about versions.
const (
	FieldIstio      = "versions.istio"
	FieldGatewayAPI = "versions.gatewayAPI"
)

// NoteKinds are all kinds of notes, sorted.
var NoteKinds = []NoteKind{NoteAbsent, NoteDifferent, NoteElsewhere, NoteMalformed, NoteOverridden, NoteUnknown, NoteUnread}

// Revisions are the mesh configurations that the mesh holds, as istiod takes
// them: that of the ConfigMap istio, if there is one, and then those of other
// revisions, by name. Of those of which istiod takes nothing it has Istio's
// defaults.
func (m *Mesh) Revisions() []meshconfig.Revision { return m.revisions() }

// Notes are what is to be said about the mesh configurations and the versions,
// sorted by kind and field.
func (m *Mesh) Notes() []Note {
	_, notes := m.derived()
	notes = append(notes, m.unreadKinds()...)
	slices.SortStableFunc(notes, func(a, b Note) int {
		return cmp.Or(strings.Compare(string(a.Kind), string(b.Kind)), strings.Compare(a.Field, b.Field), strings.Compare(a.Ref.Name, b.Ref.Name))
	})
	return notes
}

// istioConfigs yields the ConfigMaps that count.
func (x *index) istioConfigs() []*IstioConfig {
	var out []*IstioConfig
	for o := range x.objects.under(IstioConfigKind + sep + x.given.IstioNamespace + sep) {
		if c, ok := o.(*IstioConfig); ok && x.given.Heeds(c.Ref) {
			out = append(out, c)
		}
	}
	return out
}

func (x *index) revisions() []meshconfig.Revision {
	configs := x.istioConfigs()
	var below []string
	for _, c := range configs {
		if c.Name == x.given.SharedMeshConfig && !c.Injector() {
			below = append(below, c.Text)
		}
	}
	var out []meshconfig.Revision
	for _, c := range configs {
		if c.Injector() || c.Name == x.given.SharedMeshConfig {
			continue
		}
		config, err := meshconfig.Parse(c.Text, below...)
		if err != nil { // of two that are good by themselves
			config = meshconfig.Default()
		}
		if c.Problem != "" && c.Text == "" {
			config = meshconfig.Default()
		}
		out = append(out, meshconfig.Revision{Name: c.Name, Config: config})
	}
	return out
}

// derived are the settings that follow from those that were given and from the
// mesh configurations, and what is to be said about them.
func (x *index) derived() (*Settings, []Note) {
	var notes []Note
	note := func(kind NoteKind, field string, ref Ref, format string, args ...any) {
		notes = append(notes, Note{kind, field, ref, fmt.Sprintf(format, args...)})
	}
	s := *x.given
	x.settleVersions(&s, note)
	domain := ""
	for _, c := range x.istioConfigs() {
		if c.Problem != "" {
			then := "it goes on with the last one that it took"
			if !c.Injector() && c.Text == "" {
				then = "it goes on with the last one that it took, which is not known, and after a restart with its defaults: those count"
			}
			note(NoteMalformed, "", c.Ref, "istiod does not take this configuration (%s): %s", c.Problem, then)
		}
		if c.ClusterDomain != "" && domain != "" && c.ClusterDomain != domain {
			note(NoteDifferent, "clusterDomain", Ref{}, "the injectors of two revisions have %s and %s: %[1]s counts", domain, c.ClusterDomain)
			continue
		}
		domain = cmp.Or(c.ClusterDomain, domain)
	}
	revisions := x.revisions()
	if len(revisions) == 0 {
		note(NoteAbsent, "", Ref{}, "there is no mesh configuration: no ConfigMap istio or istio-REVISION in namespace %s; what it would say is taken from Sallyport's configuration and its defaults", s.IstioNamespace)
		if domain != "" && s.Overrides.ClusterDomain == "" {
			s.ClusterDomain = domain
		}
		return &s, notes
	}
	c, differences := meshconfig.Worst(revisions)
	for _, d := range differences {
		note(NoteDifferent, d.Field, Ref{}, "revisions differ: %s; of these counts %s", d.Said, d.Counts)
	}
	where := Ref{Kind: IstioConfigKind, Namespace: s.IstioNamespace, Name: revisions[0].Name}
	if c.ReadsElsewhere {
		note(NoteElsewhere, "configSources", where, "istiod reads objects from other places than the API server, which nobody judges")
	}
	if len(c.Unknown) > 0 {
		note(NoteUnknown, "", where, "it has fields that this version does not know, and whose effect is not judged: %s", Few(c.Unknown, len(c.Unknown)))
	}

	o := s.Overrides
	settle := func(field, override, said string) string {
		if override != "" && said != "" && override != said {
			note(NoteOverridden, field, where, "Sallyport's configuration has %s, and the cluster %s: the configuration counts", override, said)
		}
		return cmp.Or(override, said)
	}
	list := func(field string, override, said []string) []string {
		if override == nil {
			return said
		}
		if !sameSet(override, said) {
			note(NoteOverridden, field, where, "Sallyport's configuration has %q, and the cluster %q: the configuration counts", override, said)
		}
		return override
	}
	root := s.RootNamespace
	s.RootNamespace = settle("rootNamespace", o.RootNamespace, c.RootNamespace)
	if s.RootNamespace != root && s.Platform(root) && !s.Platform(s.RootNamespace) {
		s.PlatformNamespaces = append(slices.Clone(s.PlatformNamespaces), s.RootNamespace)
	}
	s.TrustDomain = c.TrustDomain
	s.ClusterDomain = cmp.Or(settle("clusterDomain", o.ClusterDomain, domain), s.ClusterDomain)
	s.Outbound = settle("outboundTrafficPolicy", o.Outbound, c.Outbound)
	s.AllowAny = s.Outbound != meshconfig.RegistryOnly
	capture := func(on bool) string { return map[bool]string{true: "enabled", false: "disabled"}[on] }
	override := ""
	if o.DNSCapture != nil {
		override = capture(*o.DNSCapture)
	}
	s.DNSCapture = settle("dnsCapture", override, capture(c.DNSCapture)) == capture(true)
	s.DefaultExports.Services = list("defaultServiceExportTo", o.Exports.Services, c.Exports.Services)
	s.DefaultExports.VirtualServices = list("defaultVirtualServiceExportTo", o.Exports.VirtualServices, c.Exports.VirtualServices)
	s.DefaultExports.DestinationRules = list("defaultDestinationRuleExportTo", o.Exports.DestinationRules, c.Exports.DestinationRules)
	s.Discovery, s.Visibility, s.ProxyHTTPPort = c.Discovery, c.Visibility, c.ProxyHTTPPort
	s.MeshConfig = where
	return &s, notes
}

// resettle brings the settings in step with the mesh configurations, and with
// them what depends on them.
func (m *Mesh) resettle(e *edit) {
	for _, c := range m.istioConfigs() {
		m.Spend(len(c.Text))
	}
	m.Spend(objectSteps * len(m.istiods()))
	is, _ := m.derived()
	was := m.settings
	if is.ClusterDomain != was.ClusterDomain {
		m.rebuild(e, is)
		return
	}
	m.settings = is
	for o := range m.All("Namespace") {
		labels := o.Metadata().Labels
		if reads := is.Discovery.Reads(labels); reads != was.Discovery.Reads(labels) {
			m.Spend(m.revisit(e, o.Metadata().Name, reads))
		}
	}
}

// rebuild makes the index anew: most of its keys have the names of Services.
func (m *Mesh) rebuild(e *edit, s *Settings) {
	old := m.index
	m.index = &index{given: old.given, settings: s, names: namesOf(s)}
	for o := range old.objects.under("") {
		m.Spend(indexSteps * entriesOf(o))
		m.add(e, o)
	}
}

// Reads reports whether Istio reads what is in a namespace: discoverySelectors of
// the mesh configuration may keep it out. A namespace that the mesh does not hold
// counts as read: who judges files without it must not be told that what is in it
// does not count.
func (x *index) Reads(namespace string) bool {
	if len(x.settings.Discovery) == 0 || namespace == "" {
		return true
	}
	o, ok := x.get(Ref{Kind: "Namespace", Name: namespace})
	return !ok || x.settings.Discovery.Reads(o.Metadata().Labels)
}

// revisit brings what is in a namespace into the indexes of what Istio reads, or
// takes it out, and returns the steps that it took.
func (x *index) revisit(e *edit, namespace string, add bool) (steps int) {
	for _, kind := range Kinds() {
		for o := range x.objects.under(kind + sep + namespace + sep) {
			steps += indexSteps * entriesOf(o)
			x.visitRead(o, indexer{e: e, add: add})
		}
	}
	return steps
}

// setNamespace makes a change of a Namespace, after which Istio may read what is
// in it, or no longer.
func (x *index) setNamespace(e *edit, name string, change func()) {
	before := x.Reads(name)
	change()
	if after := x.Reads(name); after != before {
		x.revisit(e, name, after)
	}
}

// read returns the object with that Ref, or nil where there is none that Istio
// reads.
func (m *Mesh) read(r Ref) Object {
	if !m.Reads(r.Namespace) {
		return nil
	}
	return m.Get(r)
}

// readIn yields every object of one kind in one namespace, if Istio reads it.
func (m *Mesh) readIn(kind, namespace string) iter.Seq[Object] {
	if !m.Reads(namespace) {
		return func(func(Object) bool) {}
	}
	return m.In(kind, namespace)
}

// outboundReason is why sidecars let traffic for unknown hosts out.
func (m *Mesh) outboundReason() Reason {
	r := Reason{}
	if m.settings.Overrides.Outbound == "" && m.settings.MeshConfig != (Ref{}) {
		r.Ref, r.Path = m.settings.MeshConfig, "data.mesh"
	}
	return r.with("meshConfig.outboundTrafficPolicy.mode is %s", told.Plain(cmp.Or(m.settings.Outbound, meshconfig.AllowAny)))
}
