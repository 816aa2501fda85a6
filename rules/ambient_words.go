package rules

import (
	"github.com/sallyport-io/sallyport/internal/mesh"
	"github.com/sallyport-io/sallyport/internal/told"
)

// bound are the entries of a host in ambient mode as they were written, with the labels
// by which ztunnel leads to the waypoint that may lead out; empty where there is none.
func bound(p *Pass, host string) told.Text {
	waypoint := p.After.EgressWaypoint()
	if !p.After.AnyAmbient() || waypoint == (mesh.WaypointName{}) {
		return ""
	}
	var b told.Builder
	var names []told.Arg
	for _, se := range p.After.EntriesFor(host) {
		p.Spend(lookupSteps)
		if !p.After.Namespace(se.Namespace).Ambient() || p.After.Waypoint(se) != nil {
			continue
		}
		o := p.written(se.Ref)
		meta, _ := o["metadata"].(map[string]any)
		if meta == nil {
			continue
		}
		labels, _ := meta["labels"].(map[string]any)
		if labels == nil {
			labels = map[string]any{}
			meta["labels"] = labels
		}
		for key, value := range mesh.WaypointLabels(waypoint.Name) {
			labels[key] = value
		}
		if se.Namespace != waypoint.Namespace {
			labels[mesh.WaypointNamespaceLabel] = waypoint.Namespace
		}
		b.Write(document(o))
		names = append(names, se.Tell())
	}
	fix := b.Text().Without("---\n")
	for _, n := range names {
		fix = n.Telling(fix).Text()
	}
	return fix
}

// ambientWords say what closes a path of ztunnel's: which waypoint to choose, or
// what keeps the one that is chosen from serving the entry.
func ambientWords(path mesh.Path) told.Text {
	if len(path.Because) > 0 && path.Because[0].Kind == "K8sGateway" {
		ref := path.Because[0].Ref
		waypoint := ref.Tell().As(ref.Namespace + "/" + ref.Name)
		switch path.Because[0].Path {
		case "spec.listeners":
			return told.F("Have the platform team admit %s to waypoint %s, in allowedRoutes.namespaces of its listener for HBONE; or have the host registered in the waypoint's own namespace.\n",
				told.InNamespace(path.Entry.Namespace), waypoint)
		case "status.conditions":
			return told.F("Wait until waypoint %s is Programmed and has an address, then apply this.\n", waypoint)
		}
	}
	return told.F("In ambient mode no VirtualService of sidecars holds. Label the entry %s and %s with the name and the namespace of a waypoint that the platform team lets lead out: the configuration lists them.\n",
		told.Plain("istio.io/use-waypoint"), told.Plain("istio.io/use-waypoint-namespace"))
}
