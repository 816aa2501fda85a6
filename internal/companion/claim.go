package companion

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/sallyport-io/sallyport/internal/mesh"
	"github.com/sallyport-io/sallyport/internal/told"
)

// claim is one ServiceEntry's wish that a host be reached through a gateway.
type claim struct {
	entry    *mesh.ServiceEntry
	rank     int  // see rankOf
	covered  bool // users lead the clients to a gateway by themselves, or nobody has asked
	gateway  mesh.EgressGateway
	exportTo []string // of the entry, once open
	ports    []upstream
}

// claims returns the wishes for a host that Sallyport has to look after, in
// the order in which they take precedence where they contradict each other:
// the platform's first, then those of the host's owners, then the oldest; what users cover by themselves comes
// last and is never refused. m is the mesh as users wrote it, with held entries
// open, and served are the namespaces that have a mesh hop.
func claims(m *mesh.Mesh, host string, served map[string]bool) (accepted []*claim, refused []Refusal) {
	routed := len(m.RoutesFor(host)) > 0
	entries := m.EntriesFor(host)
	asking := asking(entries, served)
	for _, entry := range entries {
		if !m.HasPoints(entry) || onlyAmbient(m, entry) || !injects(m, entry.Namespace, asking) || len(openExport(m, entry)) == 0 {
			continue
		}
		covered := !needed(m, entry, host)
		behind := served[entry.Namespace] || entry.Annotations[mesh.SpareAnnotation] == "true"
		if covered && !(routed && behind) {
			continue
		}
		c, refusals := claimOf(m, entry, host)
		switch {
		case c != nil:
			c.covered = covered
			accepted = append(accepted, c)
		case !covered:
			refused = append(refused, refusals...)
		}
	}
	slices.SortStableFunc(accepted, precedence)
	return accepted, refused
}

// precedence orders claims as [claims] has them.
func precedence(a, b *claim) int {
	switch {
	case a.covered != b.covered:
		if b.covered {
			return -1
		}
		return 1
	case a.rank != b.rank:
		return cmp.Compare(a.rank, b.rank)
	}
	return byAge(a.entry, b.entry)
}

// byAge orders entries as claims are ordered of which neither goes before the other for
// another reason: the oldest first, those without an age last.
func byAge(a, b *mesh.ServiceEntry) int {
	if a.Created.IsZero() != b.Created.IsZero() {
		if b.Created.IsZero() {
			return -1
		}
		return 1
	}
	return cmp.Or(
		a.Created.Compare(b.Created),
		cmp.Compare(a.Namespace, b.Namespace),
		cmp.Compare(a.Name, b.Name),
	)
}

// claimOf returns an entry's claim, or says why it cannot be served.
func claimOf(m *mesh.Mesh, entry *mesh.ServiceEntry, host string) (*claim, []Refusal) {
	refuse := func(message, fix told.Text) []Refusal {
		return []Refusal{{Entry: entry.Ref, Path: hostField(entry, host), Told: message, ToldFix: fix}}
	}
	// What is asked of an entry is asked of all that stands in it.
	m.Spend(portSteps*len(entry.Ports) + len(entry.Hosts) + len(entry.Annotations[mesh.ServiceAccountsAnnotation])/2)
	gateway, problem := GatewayFor(m, entry.Namespace)
	if message, fix := unservable(m, gateway, entry, host); message != "" {
		return nil, refuse(message, fix)
	}
	if problem != "" {
		return nil, refuse(problem, "Ask the platform team for a configured gateway.")
	}
	_, hosted := serverOf(gateway, host)
	if refusal := foreignTo(m, entry, hosted, throughGateway); refusal != nil {
		return nil, []Refusal{*refusal}
	}
	ports, refusals := upstreams(m.Settings(), entry, host, throughGateway)
	if len(refusals) > 0 {
		return nil, refusals
	}
	if refusal := takeOver(m, entry, host, ports); refusal != nil {
		return nil, []Refusal{*refusal}
	}
	if refusal := unnameable(m.Settings(), entry, host, ports); refusal != nil {
		return nil, []Refusal{*refusal}
	}
	if refusal := indistinct(m, entry, host, ports); refusal != nil {
		return nil, []Refusal{*refusal}
	}
	export := openExport(m, entry)
	if refusal := misauthorized(m, entry, export); refusal != nil {
		return nil, []Refusal{*refusal}
	}
	return &claim{
		entry:    entry,
		rank:     rankOf(m, entry.Namespace, host),
		gateway:  gateway,
		exportTo: export,
		ports:    ports,
	}, nil
}

// The ranks of claims: those of a lower one go before the others, whichever
// came first.
const (
	platformRank = iota
	ownerRank
	otherRank
)

func rankOf(m *mesh.Mesh, namespace, host string) int {
	switch {
	case m.Settings().Platform(namespace):
		return platformRank
	case m.Title(namespace, host) == mesh.Holder:
		return ownerRank
	default:
		return otherRank
	}
}

func hostField(entry *mesh.ServiceEntry, host string) string {
	i := slices.IndexFunc(entry.Hosts, func(h string) bool { return mesh.CanonicalHost(h) == host })
	return fmt.Sprintf("spec.hosts[%d]", max(i, 0))
}

// Serves reports whether Sallyport keeps companions for an entry, which m need
// not hold. Where it does so for those that ask, one that asks does so for every
// entry of its namespace with that host, for they share the route; and where a
// mesh hop stands they go on being served, though nobody asks any more: to take
// it away would open the way around the gateway.
func Serves(m *mesh.Mesh, entry *mesh.ServiceEntry) bool {
	switch Injects(m, entry.Namespace) {
	case mesh.InjectAll:
		return true
	case mesh.InjectNew:
		return entry.Asks() || slices.ContainsFunc(entry.Hosts, func(h string) bool {
			host := mesh.CanonicalHost(h)
			m.Spend(hostSteps)
			return asking(m.EntriesFor(host), served(m, host, Key(host)))[entry.Namespace]
		})
	default:
		return false
	}
}

// asking are the namespaces that ask for the companions of a host by one of the
// entries for it, or that have a mesh hop.
func asking(entries []*mesh.ServiceEntry, served map[string]bool) map[string]bool {
	out := make(map[string]bool, len(served))
	maps.Copy(out, served)
	for _, entry := range entries {
		if entry.Asks() {
			out[entry.Namespace] = true
		}
	}
	return out
}

func injects(m *mesh.Mesh, namespace string, asking map[string]bool) bool {
	injection := Injects(m, namespace)
	return injection == mesh.InjectAll || injection == mesh.InjectNew && asking[namespace]
}

// Injects returns for which entries of a namespace Sallyport keeps companions. A
// namespace of the platform has to ask for it.
func Injects(m *mesh.Mesh, namespace string) mesh.Injection {
	settings := m.Settings()
	label := ""
	if ns := m.Namespace(namespace); ns != nil {
		label = ns.Labels[mesh.InjectionLabel]
	}
	switch override := settings.InjectionOverride; {
	case settings.Platform(namespace):
		return allIf(label == "enabled")
	case override != nil:
		return allIf(*override)
	case label == "enabled", label == "disabled":
		return mesh.Injection(label)
	default:
		return settings.Injection
	}
}

func allIf(all bool) mesh.Injection {
	if all {
		return mesh.InjectAll
	}
	return mesh.InjectNone
}

// GatewayFor returns the egress gateway that serves a namespace, or says why
// there is none.
func GatewayFor(m *mesh.Mesh, namespace string) (gateway mesh.EgressGateway, problem told.Text) {
	gateways := m.Settings().Gateways
	if len(gateways) == 0 {
		return gateway, "no egress gateway is configured"
	}
	ns := m.Namespace(namespace)
	if ns == nil || ns.Labels[mesh.GatewayLabel] == "" {
		return gateways[0], ""
	}
	name := ns.Labels[mesh.GatewayLabel]
	for _, g := range gateways {
		if g.Name == name {
			return g, ""
		}
	}
	return gateway, told.F("namespace %s chooses the gateway %q by its label %s, and no gateway of that name is configured",
		told.Namespace(namespace), ofNamespace(namespace, name), told.Plain(mesh.GatewayLabel))
}

// ofNamespace is an argument of a message that is a label of a namespace.
func ofNamespace(namespace, value string) told.Arg { return told.Namespace(namespace).As(value) }

// unservable says why no companions can route an entry's host through a gateway, and
// what to do instead; both are empty where they can.
func unservable(m *mesh.Mesh, gateway mesh.EgressGateway, entry *mesh.ServiceEntry, host string) (message, fix told.Text) {
	domain := m.Settings().ClusterDomain
	_, hosted := serverOf(gateway, host)
	switch {
	case !slices.Contains(entry.Hosts, host):
		return told.F("Istio compares hosts byte by byte, and no route to %s would be one to this spelling of it", told.Host(host)),
			told.F("Write the host as %q.", told.Host(host))
	case hosted:
		return "", ""
	case mesh.IsWildcard(host):
		return told.F("%s is a wildcard, and Istio's egress gateway has no way to dial the name that a client asked for", told.Host(host)),
			told.F("Register every name on its own (hosts: [api%s]), or ask the platform team to name the one server that answers for all of them, under the gateway's wildcards in Sallyport's configuration.", told.Host(host).As(strings.TrimPrefix(host, "*")))
	}
	return internalName(domain, host, throughGateway)
}

// internalName says why a host is no name of a server outside the mesh, and what to
// do instead; both are empty where it is one.
func internalName(domain, host string, by wayOut) (message, fix told.Text) {
	switch {
	case mesh.IsAddress(host):
		return told.F("%s is an address: %s and %s agree on a host by its name", told.Host(host), by.client, "a "+by.proxy),
			"Register a DNS name, and put the address under spec.addresses."
	case host == domain, strings.HasSuffix(host, "."+domain), strings.HasSuffix(host, ".svc"):
		return told.F("%s is a name of the cluster itself (.%s)", told.Host(host), told.Plain(domain)),
			"Register the host by its external DNS name."
	case !strings.Contains(host, "."):
		return told.F("%s has no dot: the same name is another Service in every namespace", told.Host(host)),
			"Register the host by its fully qualified DNS name."
	case !dnsName(host):
		return told.F("%q is not a DNS name", told.Host(host)), "Register a host of letters, digits, dots and hyphens."
	}
	return "", ""
}

// dnsName reports whether Istio accepts the canonical host as a name
// (ValidateFQDN in Istio's pkg/config/validation/agent).
func dnsName(host string) bool {
	if len(host) > 253 {
		return false
	}
	for label := range strings.SplitSeq(host, ".") {
		if label == "" || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' {
			return false
		}
		for _, c := range []byte(label) {
			if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' && c != '_' {
				return false
			}
		}
	}
	return true
}

// openExport is the exportTo of an entry once it is open: nil, which Istio
// reads as public, becomes ["*"], and the entry's own namespace ["."]. It is
// empty for an entry that its owner shows to nobody. What Sallyport has noted
// counts for an entry that is held; who has written another exportTo since
// means that one.
func openExport(m *mesh.Mesh, entry *mesh.ServiceEntry) []string {
	if open := entry.Annotations[mesh.ExportAnnotation]; entry.Held() || len(entry.ExportTo) == 0 && (open == "." || open == "*") {
		return []string{open}
	}
	export := slices.Clone(m.ExportTo(entry))
	if len(export) == 0 || slices.Contains(export, "*") {
		return []string{"*"}
	}
	if slices.Contains(export, "~") {
		return nil
	}
	for i, to := range export {
		if to == entry.Namespace {
			export[i] = "."
		}
	}
	slices.Sort(export)
	return slices.Compact(export)
}

// needed reports whether some client that the entry is meant for does not
// reach some port of the host through a gateway. For the entry's own
// namespace anything but via counts, so that a path that is blocked today is
// not opened straight to the host tomorrow.
func needed(m *mesh.Mesh, entry *mesh.ServiceEntry, host string) bool {
	for _, client := range Clients(m, entry, host) {
		for _, port := range entry.Ports {
			m.Spend(1)
			if mesh.ClassOf(port.Protocol) == mesh.UDPLike {
				continue
			}
			verdict, seen := m.Verdict(client, host, port.Number)
			switch {
			case verdict == mesh.Via:
			case client == entry.Namespace:
				return true
			case seen == entry.Ref && verdict != mesh.Blocked:
				return true
			}
		}
	}
	return false
}

// Clients are the namespaces that an entry is meant for, once it is open.
func Clients(m *mesh.Mesh, entry *mesh.ServiceEntry, host string) []string {
	var out []string
	m.Spend(hostSteps * len(entry.ExportTo))
	for _, to := range openExport(m, entry) {
		switch to {
		case "*":
			out = append(out, entry.Namespace, mesh.AnyClient)
			out = append(out, m.Clients(host)...)
		case ".":
			out = append(out, entry.Namespace)
		default:
			out = append(out, to)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}
