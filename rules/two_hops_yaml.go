package rules

import (
	"cmp"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/sallyport-io/sallyport/internal/mesh"
	"github.com/sallyport-io/sallyport/internal/told"
)

// This file writes the objects of two_hops.go as YAML.

func (h *hops) writeGateway(b *told.Builder) {
	last := ""
	lanes := h.missing()
	slices.SortStableFunc(lanes, func(a, b lane) int { return cmp.Compare(a.door.gateway, b.door.gateway) })
	for _, l := range lanes {
		if l.door.gateway != last {
			if last != "" {
				b.Write("---\n")
			}
			last = l.door.gateway
			gw := mesh.BoundGateway(last, "")
			b.Printf("apiVersion: networking.istio.io/v1\nkind: Gateway\nmetadata:\n  name: %s\n  namespace: %s\nspec:\n  selector:\n", h.named(gw.Name), told.Namespace(gw.Namespace))
			for _, k := range slices.Sorted(maps.Keys(h.gateway.Selector)) {
				b.Printf("    %s: %s\n", told.Plain(k), told.Plain(strconv.Quote(h.gateway.Selector[k])))
			}
			b.Write("  servers:\n")
		}
		protocol, tls := "HTTP", ""
		switch {
		case l.door.mutual && l.class == mesh.HTTPLike:
			protocol, tls = "HTTPS", "ISTIO_MUTUAL"
		case l.door.mutual:
			protocol, tls = "TLS", "ISTIO_MUTUAL"
		case l.class != mesh.HTTPLike:
			protocol, tls = "TLS", "PASSTHROUGH"
		}
		b.Printf("  - port: {number: %d, name: %s-%d, protocol: %s}\n    hosts: [%q]\n", l.door.port, told.Plain(strings.ToLower(protocol)), l.door.port, told.Plain(protocol), h.named(h.namespace+"/"+l.door.name))
		if tls != "" {
			b.Printf("    tls: {mode: %s}\n", told.Plain(tls))
		}
	}
	if last != "" {
		b.Write("---\n")
	}
}

func (h *hops) writeSubset(b *told.Builder) {
	lanes := h.missing()
	if len(lanes) == 0 {
		return
	}
	slices.SortStableFunc(lanes, func(a, b lane) int { return cmp.Compare(a.door.subset, b.door.subset) })
	for _, namespace := range h.subsetNamespaces() {
		h.writeRuleIn(b, namespace, lanes)
	}
}

// subsetNamespaces are where the sidecars of the host's clients look for the
// gateway's DestinationRule.
func (h *hops) subsetNamespaces() []string {
	var namespaces []string
	for _, client := range append([]string{h.namespace, mesh.AnyClient}, h.m.Clients(h.host)...) {
		h.m.Spend(lookupSteps + len(namespaces)>>2)
		if client == mesh.AnyClient && h.exportTo() != nil {
			continue
		}
		if ns := h.subsetNamespace(client); !slices.Contains(namespaces, ns) {
			namespaces = append(namespaces, ns)
		}
	}
	return namespaces
}

func (h *hops) writeRuleIn(b *told.Builder, namespace string, lanes []lane) {
	// Istio merges rules for one host that are exported alike, and takes no other beside
	// them.
	host, exportTo := h.service, []string(nil)
	for dr := range h.doorRules(namespace) {
		host, exportTo = h.ruleHost(dr), dr.ExportTo
		break
	}
	b.Printf("apiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata:\n  name: %s\n  namespace: %s\nspec:\n",
		h.named(h.free("DestinationRule", namespace, h.rule)), told.Namespace(namespace))
	if mesh.IsWildcard(host) {
		b.Printf("  host: %q\n", told.Host(host))
	} else {
		b.Printf("  host: %s\n", told.Host(host))
	}
	if len(exportTo) > 0 {
		b.Printf("  exportTo: [%s]\n", exportList(exportTo))
	}
	b.Write("  subsets:\n")
	last, policy := "", false
	for _, l := range lanes {
		if l.door.subset != last {
			last, policy = l.door.subset, false
			b.Printf("  - name: %s\n", h.named(last))
		}
		if !l.door.mutual {
			continue
		}
		if !policy {
			b.Write("    trafficPolicy:\n      portLevelSettings:\n")
			policy = true
		}
		b.Printf("      - port: {number: %d}\n        tls: {mode: ISTIO_MUTUAL, sni: %s}\n", l.door.port, h.named(l.door.name))
	}
	b.Write("---\n")
}

// writeRegistration registers the host for the gateway alone.
func (h *hops) writeRegistration(b *told.Builder) {
	se := h.entries[0]
	name := h.free("ServiceEntry", h.gateway.Namespace, "egress-"+slug(h.host))
	b.Printf("apiVersion: networking.istio.io/v1\nkind: ServiceEntry\nmetadata:\n  name: %s\n  namespace: %s\nspec:\n  hosts: [%q]\n  exportTo: [\".\"]\n  location: MESH_EXTERNAL\n",
		h.named(name), told.Namespace(h.gateway.Namespace), told.Host(h.host))
	resolution := se.Resolution
	if resolution == "NONE" {
		resolution = "DNS" // the gateway has no address of a client's to dial
	}
	b.Printf("  resolution: %s\n  ports:\n", told.Plain(resolution))
	for _, l := range h.lanes {
		b.Printf("  - {number: %d, name: %s-%d, protocol: %s", l.port, told.Plain(strings.ToLower(l.protocol)), l.port, told.Plain(l.protocol))
		if l.target != 0 {
			b.Printf(", targetPort: %d", l.target)
		}
		b.Write("}\n")
	}
	if resolution == "STATIC" {
		b.Write("  endpoints:\n")
		for _, e := range se.Endpoints {
			h.m.Spend(hostSteps)
			b.Printf("  - address: %s\n", se.Tell().As(e.Address))
		}
	}
	b.Write("---\n")
}

// writeVirtualService writes the route at the gateway, and with route that of the
// sidecars.
func (h *hops) writeVirtualService(b *told.Builder, route bool) {
	var gateways []told.Text
	name := slug(h.host)
	if route {
		gateways = append(gateways, "mesh")
	} else {
		name += "-gateway"
	}
	for _, l := range h.lanes {
		h.m.Spend(findingSteps + len(gateways))
		if gateway := h.gatewayOf(l.door).Text(); !slices.Contains(gateways, gateway) {
			gateways = append(gateways, gateway)
		}
	}
	b.Printf("apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata:\n  name: %s\n  namespace: %s\nspec:\n", h.named(h.free("VirtualService", h.namespace, name)), told.Namespace(h.namespace))
	hosts := told.F("%q", told.Host(h.host))
	for _, l := range h.lanes {
		if l.door.name != h.host { // a server must find its name here
			hosts += told.F(", %q", h.named(l.door.name))
		}
	}
	b.Printf("  hosts: [%s]\n  gateways: [%s]\n", hosts, told.List(told.Objects, gateways...))
	if export := h.exportTo(); len(export) > 0 {
		b.Printf("  exportTo: [%s]\n", exportList(export))
	}
	rules := map[mesh.Class]*told.Builder{mesh.HTTPLike: {}, mesh.TLSLike: {}, mesh.TCPLike: {}}
	lanes := slices.Clone(h.lanes)
	slices.SortStableFunc(lanes, func(a, b lane) int { // the header goes before none
		switch {
		case a.door.shared == b.door.shared:
			return 0
		case a.door.shared:
			return -1
		default:
			return 1
		}
	})
	for _, l := range lanes {
		sni, header := "", 0
		if l.class == mesh.TLSLike {
			sni = h.host
		}
		if l.door.shared {
			header = l.port
		}
		if route {
			b := rules[l.class]
			writeMatch(b, told.Namespace("").As("mesh"), l.port, sni, 0)
			if header != 0 {
				b.Printf("    headers: {request: {set: {%s: \"%d\"}}}\n", told.Plain(portHeader), header)
			}
			writeRoute(b, h.service, h.subsetOf(l.door), l.door.port)
		}
		out, outSNI := l.class, sni
		if l.door.mutual && l.class == mesh.TLSLike {
			out, outSNI = mesh.TCPLike, "" // behind ISTIO_MUTUAL a tls rule yields no filter chain
		}
		b := rules[out]
		writeMatch(b, h.gatewayOf(l.door), l.door.port, outSNI, header)
		if header != 0 {
			b.Printf("    headers: {request: {remove: [%s]}}\n", told.Plain(portHeader))
		}
		writeRoute(b, h.host, told.Arg{}, l.port)
	}
	for _, s := range []struct {
		name  string
		class mesh.Class
	}{{"http", mesh.HTTPLike}, {"tls", mesh.TLSLike}, {"tcp", mesh.TCPLike}} {
		if text := rules[s.class].Text(); text != "" {
			b.Printf("  %s:\n%s", told.Plain(s.name), text)
		}
	}
	b.Write("---\n")
}

// exportTo is that of the routes: whoever sees an entry has to see them, and so
// has the gateway. None stands for everybody.
func (h *hops) exportTo() []string {
	export := []string{h.gateway.Namespace}
	add := func(ns string) {
		h.m.Spend(1 + len(export)>>2)
		switch {
		case ns == h.namespace && export[0] != ".":
			export = slices.Insert(export, 0, ".")
		case ns != h.namespace && !slices.Contains(export, ns):
			export = append(export, ns)
		}
	}
	if len(h.entries) == 0 {
		add(h.namespace)
	}
	for _, se := range h.entries {
		if len(se.ExportTo) == 0 || slices.Contains(se.ExportTo, "*") {
			return nil
		}
		for _, e := range se.ExportTo {
			switch e {
			case "~":
			case ".":
				add(se.Namespace)
			default:
				add(e)
			}
		}
	}
	return export
}

func writeMatch(b *told.Builder, gateway told.Arg, port int, sni string, header int) {
	b.Printf("  - match:\n    - gateways: [%s]\n      port: %d\n", gateway, port)
	if sni != "" {
		b.Printf("      sniHosts: [%q]\n", told.Host(sni))
	}
	if header != 0 {
		b.Printf("      headers: {%s: {exact: \"%d\"}}\n", told.Plain(portHeader), header)
	}
}

func writeRoute(b *told.Builder, host string, subset told.Arg, port int) {
	b.Printf("    route:\n    - destination:\n        host: %s\n", told.Host(host))
	if !subset.None() {
		b.Printf("        subset: %s\n", subset)
	}
	b.Printf("        port: {number: %d}\n", port)
}

// named is a name that is made of the host's.
func (h *hops) named(name string) told.Arg { return told.Host(h.host).As(name) }

// gatewayOf names the Gateway of a door: one that exists, or one that the fix makes.
func (h *hops) gatewayOf(d door) told.Arg {
	if d.exists {
		return told.Object("Gateway/" + d.gateway).As(d.gateway)
	}
	return h.named(d.gateway)
}

// subsetOf names the subset of a door.
func (h *hops) subsetOf(d door) told.Arg {
	switch {
	case d.subset == "":
		return told.Arg{}
	case d.exists:
		return d.rule.Tell().As(d.subset)
	}
	return h.named(d.subset)
}

// exportList is the list of an exportTo.
func exportList(export []string) told.Text {
	items := make([]told.Text, len(export))
	for i, e := range export {
		switch e {
		case ".", "*", "~":
			items[i] = told.F("%q", told.Plain(e))
		default:
			items[i] = told.Namespace(e).Text()
		}
	}
	return told.List(told.Namespaces, items...)
}
