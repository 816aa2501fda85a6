package rules

import (
	"fmt"

	"github.com/sallyport-io/sallyport/internal/mesh"
	"github.com/sallyport-io/sallyport/internal/meshconfig"
	"github.com/sallyport-io/sallyport/internal/told"
)

var meshConfig = &Rule{
	Name: "mesh-config",
	Doc: `the mesh configuration keeps closed what is closed

What the ConfigMap istio, or istio-REVISION, says holds for every proxy of its
revision. A change is denied that lets traffic for hosts out that nobody
registered (outboundTrafficPolicy), makes every sidecar an HTTP proxy
(proxyHttpPort), has sidecars capture nothing, or is one that istiod does not take:
it goes on with what it had, and after its next start with Istio's defaults, which
are open. So is the end of the last one while there are namespaces in the mesh.
What was open before, or is open in the ConfigMap of a new revision, is warned
about; and so are objects that istiod reads from elsewhere, namespaces in the mesh
that discoverySelectors leave out, and fields that are not known. What a change
does to single paths the other rules say. To make a change that is denied, set sallyport.io/mode: warn on the
namespace of istiod for as long as it takes.`,
	Severity:   Deny,
	Remedy:     "Keep the field as it is; or set the label sallyport.io/mode: warn on the namespace of istiod while you make the change.",
	Kinds:      []string{mesh.IstioConfigKind},
	Operations: everyOperation,
	Check: On(func(p *Pass, subject *mesh.IstioConfig) {
		if !p.Live.Settings().Heeds(subject.Ref) {
			return
		}
		if p.Deleting() {
			lastMeshConfig(p)
			return
		}
		const at = "data.mesh"
		// The mesh has found out what is wrong with it.
		is, _ := p.Live.Get(subject.Ref).(*mesh.IstioConfig)
		if is == nil {
			return
		}
		if is.Problem != "" {
			path := at
			if subject.Injector() {
				path = "data.values"
			}
			p.Report(Finding{Path: path, Told: told.F("istiod does not take it: %s", told.Plain(mesh.Cut(is.Problem, 400)))})
			return
		}
		after := revisionOf(p.Live, subject.Name)
		if after == nil {
			return
		}
		// Without one istiod has its defaults, which are open.
		before := meshconfig.Default()
		if p.Old != nil {
			if was := revisionOf(p.LiveBefore, subject.Name); was != nil {
				before = was
			}
		}
		opened := func(now, then bool, text told.Text) {
			switch {
			case now && then:
				p.Report(Finding{Path: at, Severity: Warn, Told: text})
			case now:
				p.Report(Finding{Path: at, Told: text})
			}
		}
		opened(after.Outbound != meshconfig.RegistryOnly, before.Outbound != meshconfig.RegistryOnly,
			told.F("outboundTrafficPolicy.mode %s lets every pod of this revision reach every host that nobody registered, directly", told.Plain(after.Outbound)))
		opened(after.CapturesNothing, before.CapturesNothing || p.Old == nil, "defaultConfig.interceptionMode NONE has sidecars capture no traffic")
		opened(after.ProxyHTTPPort != 0, before.ProxyHTTPPort != 0 || p.Old == nil,
			told.F("proxyHttpPort %d makes every sidecar an HTTP proxy for its pod: rules for the port of a host do not hold there", after.ProxyHTTPPort))
		warn := func(holds bool, text told.Text) {
			if holds {
				p.Report(Finding{Path: at, Severity: Warn, Told: text})
			}
		}
		warn(after.ReadsElsewhere, "configSources has istiod read objects from other places than the API server, which nobody judges")
		if len(after.Unknown) > 0 {
			warn(true, told.F("fields are not known here, and what they do is not judged: %s", told.Plain(mesh.Few(after.Unknown, len(after.Unknown)))))
		}
		unread(p, at)
		for _, n := range p.Live.Notes() {
			warn(n.Kind == mesh.NoteOverridden || n.Kind == mesh.NoteDifferent, told.F("%s: %s", told.Plain(n.Field), told.Plain(mesh.Cut(n.Message, 400))))
		}
	}),
}

// revisionOf is the mesh configuration of a ConfigMap; nil where it has none.
func revisionOf(m *mesh.Mesh, name string) *meshconfig.Config {
	for _, r := range m.Revisions() {
		if r.Name == name {
			return r.Config
		}
	}
	return nil
}

// unread warns of namespaces whose pods are in the mesh, and whose objects istiod
// does not read; of the gateways' first of all.
func unread(p *Pass, at string) {
	var names []string
	for o := range p.Live.All("Namespace") {
		ns := o.(*mesh.Namespace)
		p.Spend(lookupSteps)
		if !p.Live.Reads(ns.Name) && (ns.InMesh() || p.Live.Settings().GatewayNamespace(ns.Name)) {
			names = append(names, ns.Name)
		}
	}
	if len(names) > 0 {
		p.Report(Finding{Path: at, Severity: Warn, Told: told.F("discoverySelectors leave out %s: routes, entries and Services there do not count", mesh.FewNamespaces("namespace ", names, len(names)))})
	}
}

// lastMeshConfig denies that the last mesh configuration goes while somebody
// depends on it.
func lastMeshConfig(p *Pass) {
	if subject, ok := p.Subject.(*mesh.IstioConfig); !ok || subject.Injector() || len(p.Live.Revisions()) > 0 {
		return
	}
	for o := range p.Live.All("Namespace") {
		p.Spend(1)
		if ns := o.(*mesh.Namespace); ns.InMesh() {
			p.Report(Finding{
				Path:    "metadata.name",
				Told:    told.F("it is the last mesh configuration: without it istiod has Istio's defaults, under which every pod reaches every host, and namespaces such as %s are in the mesh", told.Namespace(ns.Name)),
				ToldFix: told.Plain(fmt.Sprintf("Delete istiod first; or set the label %s=warn on namespace %s.\n", mesh.ModeLabel, p.Subject.Metadata().Namespace)),
			})
			return
		}
	}
}
