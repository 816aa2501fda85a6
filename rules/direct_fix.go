package rules

import (
	"fmt"
	"maps"
	"strings"

	"github.com/sallyport-io/sallyport/internal/mesh"
	"github.com/sallyport-io/sallyport/internal/told"
)

// directFix says what closes the path: YAML that was tried, or words.
func directFix(p *Pass, path mesh.Path) told.Text {
	switch {
	case p.Request.Foreground:
		return "Delete the object in the background (kubectl delete --cascade=background): in the foreground what it owns goes before it does.\n"
	case p.Deleting():
		return told.F("Delete %s first, which registers the host; or keep this object until another one routes the host through the gateway.\n", path.Entry)
	}
	if metadataOf(p, path) != nil {
		return mesh.MetadataFix
	}
	if p.After.Namespace(path.Entry.Namespace).Ambient() {
		if fix, ok := lead(p, path.Host, path.Port, path.Protocol); ok {
			return fix
		}
	}
	for _, r := range p.Refusals {
		if r.ToldFix != "" {
			return r.ToldFix
		}
	}
	if path.Verdict == mesh.Undetermined {
		return "Leave spec.workloadSelector out: where pods of the cluster answer for a host, Sallyport keeps no route to it.\n"
	}
	if fix, ok := lead(p, path.Host, path.Port, path.Protocol); ok {
		return hints(p, path) + fix
	}
	return shut(p, path.Host, words(p, path))
}

// hints are shorter ways to the same end, as comments of the YAML.
func hints(p *Pass, path mesh.Path) told.Text {
	if path.Entry != p.Subject.Metadata().Ref {
		return ""
	}
	command := injection(p, path)
	if command == "" {
		return ""
	}
	return told.F("# Let Sallyport keep the route:\n#   %s\n# or write it:\n", command)
}

// injection is the command by which Sallyport comes to lead the host, the one that
// changes least: to annotate the entry, where companions are kept for those that ask, or
// else to label its namespace. It is empty where neither does.
func injection(p *Pass, path mesh.Path) told.Text {
	if p.Injected || p.Platform() || p.Mends == nil || !p.Mendable(path.Host) {
		return ""
	}
	command, _ := p.Memo.Do(injectionKey{path.Host, path.Entry}, func() (any, error) {
		if fix := annotatedEntry(p, path.Entry); fix != nil && p.Mends(path.Host, fix, false) {
			return told.F("kubectl -n %s annotate serviceentry %s %s=enabled", told.Namespace(path.Entry.Namespace), path.Entry.Tell().As(path.Entry.Name), told.Plain(mesh.InjectionAnnotation)), nil
		}
		if p.Mends(path.Host, []Applied{{Object: labelledNamespace(p, path.Entry.Namespace)}}, false) {
			return told.F("kubectl label namespace %s %s=enabled --overwrite", told.Namespace(path.Entry.Namespace), told.Plain(mesh.InjectionLabel)), nil
		}
		return told.Text(""), nil
	})
	return command.(told.Text)
}

// annotatedEntry is an entry that asks for companions; nil where asking is not what it
// takes.
func annotatedEntry(p *Pass, ref mesh.Ref) []Applied {
	se, ok := p.After.Get(ref).(*mesh.ServiceEntry)
	if settings := p.After.Settings(); !ok || se.Asks() || settings.Injection != mesh.InjectNew || settings.InjectionOverride != nil {
		return nil
	}
	p.Spend(len(se.Annotations))
	if ref == p.Subject.Metadata().Ref {
		return Fixed(fmt.Sprintf("metadata:\n  annotations:\n    %s: enabled\n", mesh.InjectionAnnotation), p.Raw)
	}
	return []Applied{{Object: se.Asking()}}
}

// labelledNamespace is a namespace that has companions for all of its entries.
func labelledNamespace(p *Pass, name string) *mesh.Namespace {
	labelled := mesh.Namespace{Meta: mesh.Meta{Ref: mesh.Ref{Kind: "Namespace", Name: name}}}
	if ns := p.After.Namespace(name); ns != nil {
		labelled = *ns
	}
	p.Spend(len(labelled.Labels))
	labels := make(map[string]string, len(labelled.Labels)+1)
	maps.Copy(labels, labelled.Labels)
	labels[mesh.InjectionLabel] = "enabled"
	labelled.Labels = labels
	return &labelled
}

type injectionKey struct {
	host  string
	entry mesh.Ref
}

// ofRange reports whether an entry stands for a range of addresses.
func ofRange(p *Pass, entry mesh.Ref) bool {
	se, ok := p.After.Get(entry).(*mesh.ServiceEntry)
	return ok && se.WideRange() >= 0
}

// words say what closes the path where no YAML can.
func words(p *Pass, path mesh.Path) told.Text {
	host := told.Host(path.Host)
	switch {
	case mesh.IsWildcard(path.Host):
		return told.F("Register every name on its own (hosts: [api%s]), or ask the platform team to name the one server that answers for all of them, under the gateway's wildcards in Sallyport's configuration.\n", host.As(strings.TrimPrefix(path.Host, "*")))
	case p.After.Namespace(path.Client).Ambient(), p.After.Namespace(path.Entry.Namespace).Ambient():
		return ambientWords(path)
	case ofRange(p, path.Entry):
		return mesh.RangeFix
	case mesh.ClassOf(path.Protocol) == mesh.Sniffed:
		return "Give the port a protocol, HTTP or TLS: rules of a VirtualService do not hold for traffic whose protocol Istio has to guess.\n"
	}
	command := injection(p, path)
	switch {
	case command != "":
		return told.F("Let Sallyport keep the route: %s\n", command)
	case !strings.Contains(path.Host, "."):
		return told.F("Register %s by its fully qualified DNS name: the same name without a dot is another Service in every namespace.\n", host)
	}
	if len(path.Because) > 0 && path.Because[0].Ref != p.Subject.Metadata().Ref && path.Because[0].Ref != (mesh.Ref{}) {
		why := path.Because[0]
		return told.F("Have %s lead %s to the egress gateway, or take it away; then apply this.\n", why.Tell().As(strings.TrimSpace(why.Ref.String()+" "+why.Path)), host)
	}
	return told.F("Lead the traffic for %s to the egress gateway before it is let out; where the route is not yours, ask who owns it.\n", host)
}
