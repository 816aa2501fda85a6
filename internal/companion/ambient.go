package companion

import (
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/sallyport-io/sallyport/internal/mesh"
	"github.com/sallyport-io/sallyport/internal/told"
)

// ForAmbient computes what leads the clients in ambient mode out to one canonical
// host: all of it beside the waypoint for that ([mesh.Mesh.EgressWaypoint]), where no
// tenant writes. An entry of a namespace in ambient mode is only the request for it. The
// objects are in the order in which they open no path too early: the policy, TLS,
// and the entry that clients see last.
//
// Entries that users lead to a waypoint themselves need nothing. An entry whose
// clients would not go through the waypoint, all objects being there, is refused,
// and nothing of it is in them: the waypoint's objects may be among those of the
// mesh, and are set aside.
func ForAmbient(m *mesh.Mesh, host string) Set {
	m.Spend(planSteps)
	a := atWaypoint{plan: &plan{builder: newBuilder(host), by: throughWaypoint, set: Set{Host: host}}}
	if a.waypoint = m.EgressWaypoint(); a.waypoint != (mesh.WaypointName{}) {
		m = without(m.Draft(), besideWaypoint(m, a.waypoint.Namespace, a.key))
	}
	a.mesh, a.was = m, m
	claims := a.claims()
	agreed, ports := a.agree(nil, claims)
	if served := a.served(agreed, ports); len(served) < len(agreed) {
		agreed, ports = a.agree(nil, served)
	}
	if len(agreed) > 0 {
		a.set.Objects = a.objects(agreed, ports)
	}
	return a.result()
}

// withAmbient adds to what was planned for a host what leads the clients in ambient
// mode out to it. The mesh has the other companions.
func (s Set) withAmbient(after *mesh.Mesh) (*mesh.Mesh, Set) {
	if !after.AnyAmbient() {
		return after, s
	}
	ambient := ForAmbient(after, s.Host)
	s.Objects = slices.Concat(s.Objects, ambient.Objects)
	s.Refused = slices.Concat(s.Refused, ambient.Refused)
	slices.SortStableFunc(s.Refused, byEntry)
	return after.With(ambient.Objects...), s
}

// AtWaypoint reports whether a companion is the entry by which a waypoint knows a host.
func AtWaypoint(o mesh.Object) bool {
	entry, ok := o.(*mesh.ServiceEntry)
	if !ok || !Is(entry.Ref) {
		return false
	}
	_, bound := mesh.UseWaypoint(entry.Labels, entry.Namespace)
	return bound
}

// besideWaypoint are the companions of a key in the namespace of a waypoint.
func besideWaypoint(m *mesh.Mesh, namespace, key string) []mesh.Ref {
	var refs []mesh.Ref
	for _, kind := range Kinds {
		for o := range m.Named(kind, namespace, key) {
			if ref := o.Metadata().Ref; Is(ref) {
				refs = append(refs, ref)
			}
		}
	}
	return refs
}

// onlyAmbient reports whether no sidecar is meant to see an entry: its namespace is
// in ambient mode, and it is for that alone, or there are no sidecars.
func onlyAmbient(m *mesh.Mesh, entry *mesh.ServiceEntry) bool {
	ns := m.Namespace(entry.Namespace)
	return ns.Ambient() && !ns.Injected() && (!m.AnyInjected() || slices.Equal(openExport(m, entry), []string{"."}))
}

// atWaypoint plans what stands beside a waypoint for one host.
type atWaypoint struct {
	*plan
	waypoint mesh.WaypointName
}

// claims are the wishes of namespaces in ambient mode for the host, in their
// order; those that the waypoint cannot serve are refused.
//
// As soon as one entry is served ztunnel leads everybody to the waypoint. Entries for
// which nobody has asked count then as well, after all others: what they register goes
// on working where it can, and nothing is said where it cannot.
func (a *atWaypoint) claims() []*claim {
	var out []*claim
	asked := false
	for _, entry := range a.mesh.EntriesFor(a.host) {
		ns := a.mesh.Namespace(entry.Namespace)
		// Of a namespace that has both, which pods have sidecars is the pods' choice.
		if Is(entry.Ref) || !ns.Ambient() || !a.leaves(entry) || a.led(entry) {
			continue
		}
		serves := Serves(a.mesh, entry)
		refusals := a.unservable(entry)
		var ports []upstream
		if len(refusals) == 0 {
			ports, refusals = upstreams(a.mesh.Settings(), entry, a.host, a.by)
		}
		if len(refusals) == 0 && len(ports) > 0 {
			for i := range ports {
				ports[i].straight()
			}
			asked = asked || serves
			out = append(out, &claim{entry: entry, covered: !serves, rank: rankOf(a.mesh, entry.Namespace, a.host), ports: ports})
		}
		if serves {
			a.set.Refused = append(a.set.Refused, refusals...)
		}
	}
	if !asked {
		return nil
	}
	slices.SortStableFunc(out, precedence)
	return out
}

// leaves reports whether an entry is for something outside the mesh, be it by ports
// of which Istio routes none.
func (a *atWaypoint) leaves(entry *mesh.ServiceEntry) bool {
	return a.mesh.HasPoints(entry) || a.mesh.Reads(entry.Namespace) && len(entry.Endpoints) == 0 && entry.WorkloadLabels == nil
}

// straight gives the port its own way to the server: there is no route by which
// one port of the entry could lead to another one.
func (u *upstream) straight() {
	if u.to != u.port {
		u.targetPort, u.to = u.to, u.port
	}
}

// led reports whether users lead the clients of an entry to a waypoint themselves.
func (a *atWaypoint) led(entry *mesh.ServiceEntry) bool {
	return !slices.ContainsFunc(entry.Ports, func(p mesh.ServicePort) bool {
		verdict, _ := a.mesh.Verdict(entry.Namespace, a.host, p.Number)
		return verdict != mesh.Via
	})
}

// unservable says what of an entry no waypoint can do, or Istio cannot.
func (a *atWaypoint) unservable(entry *mesh.ServiceEntry) []Refusal {
	a.mesh.Spend(portSteps*len(entry.Ports) + len(entry.Hosts) + len(entry.Annotations[mesh.ServiceAccountsAnnotation])/2)
	refuse := func(path string, message, fix told.Text) []Refusal {
		return []Refusal{{Entry: entry.Ref, Path: path, Told: message, ToldFix: fix}}
	}
	if a.waypoint == (mesh.WaypointName{}) {
		return refuse("metadata.namespace", told.F("namespace %s is in ambient mode, and there is no waypoint that may lead to %s", told.Namespace(entry.Namespace), told.Host(a.host)),
			"Ask the platform team for a waypoint that may lead out of the mesh: one of a platform namespace, or one that Sallyport's configuration lists under ambient.waypoints.")
	}
	if message, fix := a.unnamed(entry); message != "" {
		return refuse(hostField(entry, a.host), message, fix)
	}
	if refusal := foreignTo(a.mesh, entry, false, a.by); refusal != nil {
		return []Refusal{*refusal}
	}
	if len(entry.Addresses) > 0 {
		return refuse("spec.addresses", told.F("the entry lists addresses of %s, and the waypoint serves the host under one that Istio allocates: ztunnel would pass on what goes to any other", told.Host(a.host)),
			"Remove spec.addresses, and have the application connect to the host by its name.")
	}
	if refusal := misnamedAccounts(entry); refusal != nil {
		return []Refusal{*refusal}
	}
	for _, other := range a.mesh.EntriesFor(a.host) {
		a.mesh.Spend(1)
		beside := slices.ContainsFunc(a.mesh.Settings().Gateways, func(g mesh.EgressGateway) bool { return g.Namespace == a.waypoint.Namespace })
		switch {
		case other.Namespace == a.waypoint.Namespace && !Is(other.Ref):
			return refuse(hostField(entry, a.host), told.F("%s registers %s beside the waypoint already, and Istio takes one entry of a namespace for a host", other.Ref, told.Host(a.host)),
				"Ask the platform team to lead that entry to the waypoint, or to remove it.")
		case beside && !onlyAmbient(a.mesh, other) && Serves(a.mesh, other):
			return refuse(hostField(entry, a.host), told.F("%s is registered for sidecars too, whose egress gateway has its own entry for it in the waypoint's namespace, and Istio takes one entry of a namespace for a host", told.Host(a.host)),
				"Ask the platform team for a waypoint in a namespace without an egress gateway.")
		}
	}
	var out []Refusal
	for i, p := range entry.Ports {
		if message, fix := a.unspoken(p); message != "" {
			out = append(out, refuse("spec.ports["+strconv.Itoa(i)+"].protocol", message, fix)...)
		}
	}
	return out
}

// unnamed says why the waypoint cannot serve a host of that name, and what to do
// instead; both are empty where it can.
func (a *atWaypoint) unnamed(entry *mesh.ServiceEntry) (message, fix told.Text) {
	name := a.host
	switch {
	case !slices.Contains(entry.Hosts, a.host):
		return told.F("Istio compares hosts byte by byte, and %s is written otherwise in the entry", told.Host(a.host)),
			told.F("Write the host as %q.", told.Host(a.host))
	case mesh.IsWildcard(name):
		var ok bool
		if name, ok = strings.CutPrefix(name, "*."); !ok {
			return told.F("%s is a wildcard for more than the names of one domain, which Istio does not let out through a waypoint", told.Host(a.host)),
				`Register the names of one domain (hosts: ["*.example.com"]), or every name on its own.`
		}
	}
	return internalName(a.mesh.Settings().ClusterDomain, name, a.by)
}

// unspoken says why a waypoint does not take a port of the host, and what to do
// instead; both are empty where it does (buildWaypointInboundVIP in Istio's
// pilot/pkg/networking/core).
func (a *atWaypoint) unspoken(p mesh.ServicePort) (message, fix told.Text) {
	protocol, tls := strings.ToUpper(p.Protocol), a.mesh.Settings().Ambient.WildcardTLS
	switch {
	case mesh.ClassOf(p.Protocol) == mesh.UDPLike:
		return told.F("port %d of %s is UDP, which neither ztunnel nor a waypoint takes: it would leave the mesh past both", p.Number, told.Host(a.host)),
			"Leave the port out, or use a protocol over TCP."
	case !mesh.IsWildcard(a.host), protocol == "HTTP", tls && mesh.ClassOf(p.Protocol) == mesh.TLSLike:
		return "", ""
	case mesh.ClassOf(p.Protocol) == mesh.TLSLike:
		return told.F("port %d of the wildcard %s is TLS, which a waypoint takes only with istiod's ENABLE_WILDCARD_HOST_SERVICE_ENTRIES_FOR_TLS, and that is off by default, for clients could name one host and reach another", p.Number, told.Host(a.host)),
			"Register every name on its own, or declare the port as HTTP and have the waypoint originate TLS (" + mesh.OriginateTLSAnnotation + `: "true"), or ask the platform team to enable the flag and ambient.wildcardTLS in Sallyport's configuration.`
	default:
		return told.F("port %d of the wildcard %s is %s, and a waypoint takes wildcards for HTTP and TLS only", p.Number, told.Host(a.host), told.Plain(protocol)),
			"Register every name on its own."
	}
}

// served returns the claims whose clients go through the waypoint with all objects
// there, as the model has it, and refuses the others: the waypoint may be missing,
// unready or closed to the entry, and the tenant's own entry may hide the shared one.
func (a *atWaypoint) served(agreed []*claim, ports []upstream) []*claim {
	if len(agreed) == 0 {
		return nil
	}
	after := a.mesh.With(a.objects(agreed, ports)...)
	return slices.DeleteFunc(slices.Clone(agreed), func(c *claim) bool {
		for _, u := range c.ports {
			path := after.Paths(c.entry.Namespace, a.host, u.port)
			if path.Verdict == mesh.Via {
				continue
			}
			if c.covered {
				return true
			}
			r := Refusal{
				Entry: c.entry.Ref, Path: portField(c, u),
				Told:    told.F("port %d of %s would not go through waypoint %s", u.port, told.Host(a.host), told.Plain(a.waypoint.Namespace+"/"+a.waypoint.Name)),
				ToldFix: "Ask the platform team to look after the waypoint that Sallyport's configuration names first under ambient.waypoints.",
			}
			alone := after
			for _, e := range a.mesh.EntriesFor(a.host) {
				a.mesh.Spend(1)
				if e.Namespace == c.entry.Namespace {
					alone = alone.Without(e.Ref)
				}
			}
			if verdict, _ := alone.Verdict(c.entry.Namespace, a.host, u.port); verdict == mesh.Via {
				r.Path = "metadata.namespace"
				r.Told += ": ztunnel prefers this entry, of the clients' own namespace, to the one that leads there"
				r.ToldFix = told.F("Ask the platform team to hide the entries of tenants from ztunnel: meshConfig.serviceEntryVisibility with defaultVisibility: NONE, and a policy with visibility: PUBLIC for namespace %s.", told.Plain(a.waypoint.Namespace))
			} else if len(path.Because) > 0 {
				r.Told += ": " + path.Because[0].Says()
			}
			a.refuse(r)
			return true
		}
		return false
	})
}

// objects are what the claims that agree rest on.
func (a *atWaypoint) objects(agreed []*claim, ports []upstream) []mesh.Object {
	entry := a.registration(a.waypoint.Namespace, ports)
	entry.Labels = maps.Clone(entry.Labels)
	maps.Copy(entry.Labels, mesh.WaypointLabels(a.waypoint.Name))
	if mesh.IsWildcard(a.host) {
		entry.Resolution = "DYNAMIC_DNS"
	}
	out := []mesh.Object{a.policy(agreed, ports)}
	if dr := a.origination(a.waypoint.Namespace, ports); dr != nil {
		out = append(out, dr)
	}
	return append(out, entry)
}

// policy refuses everybody at the waypoint but the namespaces, and the service
// accounts, that have registered the host, each on its ports. In ambient mode
// exportTo admits nobody: who wants the host registers it.
//
// It denies rather than allows, so that no policy of the platform's own for the
// entry is made void. The first rule looks at no port: those who have registered
// none are refused whatever the proxy takes the port for.
func (a *atWaypoint) policy(agreed []*claim, ports []upstream) *mesh.AuthorizationPolicy {
	out := &mesh.AuthorizationPolicy{
		Meta:       a.meta("AuthorizationPolicy", a.waypoint.Namespace, a.key),
		TargetRefs: []mesh.PolicyTarget{{Group: "networking.istio.io", Kind: "ServiceEntry", Name: a.key}},
		Action:     "DENY",
	}
	everybody := a.registrants(agreed, 0)
	out.Rules = []mesh.AuthorizationRule{{From: []mesh.AuthorizationFrom{{Source: everybody}}}}
	for _, u := range ports {
		a.mesh.Spend(len(agreed) + len(out.Rules))
		who, number := a.registrants(agreed, u.port), strconv.Itoa(u.port)
		if same(who, everybody) {
			continue
		}
		i := slices.IndexFunc(out.Rules, func(r mesh.AuthorizationRule) bool { return same(r.From[0].Source, who) })
		if i < 0 {
			out.Rules = append(out.Rules, mesh.AuthorizationRule{
				From: []mesh.AuthorizationFrom{{Source: who}},
				To:   []mesh.AuthorizationTo{{}},
			})
			i = len(out.Rules) - 1
		}
		operation := &out.Rules[i].To[0].Operation
		operation.Ports = append(operation.Ports, number)
	}
	return out
}

// registrants are those who have registered a port of the host, or, for port 0, any.
func (a *atWaypoint) registrants(agreed []*claim, port int) mesh.AuthorizationSource {
	namespaces, accounts := map[string]bool{}, map[string]bool{}
	for _, c := range agreed {
		a.mesh.Spend(1 + len(c.ports))
		if port != 0 && !slices.ContainsFunc(c.ports, func(u upstream) bool { return u.port == port }) {
			continue
		}
		list, restricted := c.entry.Annotations[mesh.ServiceAccountsAnnotation]
		if !restricted {
			namespaces[c.entry.Namespace] = true
			continue
		}
		a.mesh.Spend(len(list) / 2)
		for _, account := range accountsIn(list) {
			accounts[principal(c.entry.Namespace, account)] = true
		}
	}
	return mesh.AuthorizationSource{
		NotNamespaces: slices.Sorted(maps.Keys(namespaces)),
		NotPrincipals: slices.Sorted(maps.Keys(accounts)),
	}
}

func same(a, b mesh.AuthorizationSource) bool {
	return slices.Equal(a.NotNamespaces, b.NotNamespaces) && slices.Equal(a.NotPrincipals, b.NotPrincipals)
}
