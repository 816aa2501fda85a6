package rules

import (
	"cmp"
	"maps"
	"slices"
	"strconv"

	"sigs.k8s.io/yaml"

	"github.com/sallyport-io/sallyport/internal/mesh"
	"github.com/sallyport-io/sallyport/internal/told"
)

// routeEdit leads the rules of one VirtualService to the egress gateway, in the
// form in which it was written.
type routeEdit struct {
	h    *hops
	vs   *mesh.VirtualService
	spec map[string]any
}

// sections are the lists of rules of a VirtualService.
var sections = []string{"http", "tls", "tcp"}

// isForHost reports whether the VirtualService is the sidecars' route of the host.
func (r *routeEdit) isForHost() bool {
	return slices.Contains(r.vs.Gateways, "mesh") && slices.ContainsFunc(r.vs.Hosts, func(name string) bool {
		r.h.m.Spend(hostSteps)
		return mesh.ResolveHost(name, r.vs.Namespace, r.h.m.Settings().ClusterDomain) == r.h.host
	})
}

// lead puts the gateway in the place of the host wherever a rule sends the traffic
// of sidecars to that, and reports whether there was such a place. Of a rule that is
// for a gateway as well one is made that is for sidecars, and one for the gateway.
func (r *routeEdit) lead() (changed bool) {
	for _, section := range sections {
		var rules []any
		for _, rule := range asList(r.spec[section]) {
			led, ok := r.leadRule(section, rule)
			changed = changed || ok
			rules = append(rules, led...)
		}
		if len(rules) > 0 {
			r.spec[section] = rules
		}
	}
	return changed
}

func (r *routeEdit) leadRule(section string, written any) (rules []any, changed bool) {
	rule, _ := written.(map[string]any)
	r.h.m.Spend(destinationSteps)
	straight, anyPort := r.straight(rule)
	if !straight || section == "http" && !r.named(rule) {
		return []any{written}, false
	}
	sidecars, others := r.split(asList(rule["match"]))
	if sidecars == nil {
		return []any{written}, false
	}
	ports := []int{0}
	if anyPort {
		ports = r.portsOf(section, sidecars)
	}
	for _, port := range ports {
		led := clone(rule)
		for _, d := range asList(led["route"]) {
			to, ok := r.destination(d)
			if !ok {
				continue
			}
			lane, ok := r.h.laneOf(section, cmp.Or(portOf(to), port))
			if !ok {
				return []any{written}, false
			}
			maps.Copy(to, r.h.to(lane))
			if lane.door.shared {
				setHeader(d.(map[string]any), lane.port)
			}
		}
		if match := onPort(sidecars, port, len(ports) > 1); len(match) > 0 {
			led["match"] = match
		}
		rules = append(rules, led)
	}
	if len(rules) == 0 {
		return []any{written}, false
	}
	if len(others) > 0 {
		rest := clone(rule)
		rest["match"] = others
		rules = append(rules, rest)
	}
	return rules, true
}

// straight reports whether a rule names the host as a destination, and whether it
// does so without a port.
func (r *routeEdit) straight(rule map[string]any) (straight, anyPort bool) {
	for _, d := range asList(rule["route"]) {
		r.h.m.Spend(destinationSteps)
		if to, ok := r.destination(d); ok {
			straight = true
			anyPort = anyPort || portOf(to) == 0
		}
	}
	return straight, anyPort
}

// named reports whether requests that a rule takes ask for the host by its name, by
// which the gateway routes them, or for another one that is followed as well.
func (r *routeEdit) named(rule map[string]any) bool {
	rewrite, _ := rule["rewrite"].(map[string]any)
	if authority, _ := rewrite["authority"].(string); authority != "" {
		return mesh.CanonicalHost(authority) == r.h.host
	}
	return len(r.vs.Hosts) > 0 && !slices.ContainsFunc(r.vs.Hosts, func(name string) bool {
		r.h.m.Spend(hostSteps)
		host := mesh.ResolveHost(name, r.vs.Namespace, r.h.m.Settings().ClusterDomain)
		return host != r.h.host && len(r.h.m.EntriesFor(host)) == 0
	})
}

// destination is the destination of a route, where that is the host itself. A
// subset of the host is no such place: what it says of the traffic would be lost.
func (r *routeEdit) destination(route any) (map[string]any, bool) {
	fields, _ := route.(map[string]any)
	to, _ := fields["destination"].(map[string]any)
	name, _ := to["host"].(string)
	if subset, _ := to["subset"].(string); name == "" || subset != "" {
		return nil, false
	}
	host, _ := externalHost(r.h.m, name, r.vs.Namespace)
	return to, host == r.h.host
}

func portOf(destination map[string]any) int {
	port, _ := destination["port"].(map[string]any)
	number, _ := port["number"].(float64)
	return int(number)
}

// split divides match blocks into those for sidecars and those for gateways. A block
// that names no gateway is for those of the VirtualService. sidecars is nil where
// none is for them, and empty where there are no blocks and all traffic is theirs.
func (r *routeEdit) split(blocks []any) (sidecars, others []any) {
	if len(blocks) == 0 {
		if !slices.ContainsFunc(r.vs.Gateways, func(g string) bool { return g != "mesh" }) {
			return []any{}, nil
		}
		blocks = []any{map[string]any{}}
	}
	for _, block := range blocks {
		block, ok := block.(map[string]any)
		if !ok {
			return nil, nil
		}
		gateways := r.gatewaysOf(block)
		r.h.m.Spend(1 + len(gateways))
		i := slices.Index(gateways, "mesh")
		if i < 0 {
			others = append(others, block)
			continue
		}
		rest := slices.Delete(slices.Clone(gateways), i, i+1)
		mine := clone(block)
		if len(rest) > 0 {
			mine["gateways"] = []any{"mesh"}
			theirs := clone(block)
			theirs["gateways"] = anyList(rest)
			others = append(others, theirs)
		}
		sidecars = append(sidecars, mine)
	}
	return sidecars, others
}

func (r *routeEdit) gatewaysOf(block map[string]any) []string {
	var names []string
	for _, g := range asList(block["gateways"]) {
		if name, ok := g.(string); ok {
			names = append(names, name)
		}
	}
	if len(names) == 0 {
		return r.vs.Gateways
	}
	return names
}

// portsOf are the ports of the host that a rule is for which names none itself.
func (r *routeEdit) portsOf(section string, blocks []any) []int {
	var ports []int
	for _, l := range r.h.lanes {
		if _, ok := r.h.laneOf(section, l.port); !ok {
			continue
		}
		if len(blocks) == 0 || len(onPort(blocks, l.port, false)) > 0 {
			ports = append(ports, l.port)
		}
	}
	return ports
}

// onPort are the match blocks that are for a port, with the port named in each
// where that is asked for.
func onPort(blocks []any, port int, name bool) []any {
	if len(blocks) == 0 && name {
		blocks = []any{map[string]any{}}
	}
	var out []any
	for _, block := range blocks {
		block := block.(map[string]any)
		if number, ok := block["port"].(float64); ok && number != 0 && port != 0 && int(number) != port {
			continue
		}
		block = clone(block)
		if name {
			block["port"] = port
		}
		out = append(out, block)
	}
	return out
}

// complete adds a rule for each port of the host that has none for whatever comes,
// and reports whether there was such a port.
func (r *routeEdit) complete() (changed bool) {
	for _, l := range r.h.lanes {
		section, match := "tcp", map[string]any{"gateways": []any{"mesh"}, "port": l.port}
		switch l.class {
		case mesh.HTTPLike:
			section = "http"
		case mesh.TLSLike:
			section = "tls"
			match["sniHosts"] = []any{r.h.host}
		}
		rules := asList(r.spec[section])
		if slices.ContainsFunc(rules, func(rule any) bool { return r.takes(rule, l) }) {
			continue
		}
		route := map[string]any{"destination": r.h.to(l)}
		if l.door.shared {
			setHeader(route, l.port)
		}
		r.spec[section] = append(rules, map[string]any{"match": []any{match}, "route": []any{route}})
		changed = true
	}
	return changed
}

// takes reports whether a rule takes all of the sidecars' traffic for a port.
func (r *routeEdit) takes(written any, l lane) bool {
	rule, _ := written.(map[string]any)
	blocks := asList(rule["match"])
	if len(blocks) == 0 {
		return true
	}
	return slices.ContainsFunc(blocks, func(written any) bool {
		r.h.m.Spend(destinationSteps)
		block, _ := written.(map[string]any)
		if !slices.Contains(r.gatewaysOf(block), "mesh") {
			return false
		}
		for field, value := range block {
			number, _ := value.(float64)
			switch {
			case field == "gateways", field == "name", field == "statPrefix":
			case field == "port" && int(number) == l.port:
			case field == "sniHosts" && slices.Contains(asList(value), any(r.h.host)):
			default:
				return false
			}
		}
		return true
	})
}

// laneOf is the lane of a port, where rules of the section are for such traffic.
func (h *hops) laneOf(section string, port int) (lane, bool) {
	i := slices.IndexFunc(h.lanes, func(l lane) bool { return l.port == port && (section == "http") == (l.class == mesh.HTTPLike) })
	if i < 0 {
		return lane{}, false
	}
	return h.lanes[i], true
}

// to is the destination by which sidecars reach the door of a lane.
func (h *hops) to(l lane) map[string]any {
	d := map[string]any{"host": h.service, "port": map[string]any{"number": l.door.port}}
	if l.door.subset != "" {
		d["subset"] = l.door.subset
	}
	return d
}

// setHeader says in a header which port a route's requests are for.
func setHeader(route map[string]any, port int) {
	at := route
	for _, field := range []string{"headers", "request", "set"} {
		next, _ := at[field].(map[string]any)
		if next == nil {
			next = map[string]any{}
			at[field] = next
		}
		at = next
	}
	at[portHeader] = strconv.Itoa(port)
}

// document is an object as a document of YAML.
func document(o map[string]any) told.Text {
	raw, err := yaml.Marshal(o)
	if err != nil {
		return "" // it was JSON
	}
	return told.Plain(string(raw) + "---\n")
}

// clone is a deep copy of decoded JSON.
func clone(o map[string]any) map[string]any { return copied(o).(map[string]any) }

func copied(v any) any {
	switch v := v.(type) {
	case map[string]any:
		out := make(map[string]any, len(v))
		for k, field := range v {
			out[k] = copied(field)
		}
		return out
	case []any:
		out := make([]any, len(v))
		for i, item := range v {
			out[i] = copied(item)
		}
		return out
	default:
		return v
	}
}

func anyList(names []string) []any {
	out := make([]any, len(names))
	for i, n := range names {
		out[i] = n
	}
	return out
}
