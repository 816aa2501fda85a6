package companion

import (
	"slices"

	"github.com/sallyport-io/sallyport/internal/mesh"
	"github.com/sallyport-io/sallyport/internal/told"
)

// serverOf returns the server that the administrator has named for a wildcard
// at a gateway. Envoy at a gateway dials a name that it was given beforehand,
// never one that a client asks for: only where one server answers for every
// name of a domain can a wildcard be served
// (https://istio.io/latest/docs/tasks/traffic-management/egress/wildcard-egress-hosts/).
func serverOf(gateway mesh.EgressGateway, host string) (server string, ok bool) {
	i := slices.IndexFunc(gateway.Wildcards, func(w mesh.Wildcard) bool { return w.Host == host })
	if i < 0 {
		return "", false
	}
	return gateway.Wildcards[i].Server, true
}

// unnameable refuses the ports of a wildcard whose traffic cannot be told from
// that of other hosts, where a name is needed for it.
func unnameable(s mesh.Settings, entry *mesh.ServiceEntry, host string, ports []upstream) *Refusal {
	if !mesh.IsWildcard(host) {
		return nil
	}
	for _, u := range ports {
		r := &Refusal{Entry: entry.Ref, Path: portField(&claim{entry: entry}, u), ToldFix: "Register the hosts of the port by name."}
		switch {
		case u.class() == mesh.TCPLike:
			r.Told = told.F("port %d is %s, in which a sidecar sees no name: it would take the port for every host, not for those of %s alone",
				u.port, told.Plain(u.protocol), told.Host(host))
			return r
		case u.class() == mesh.HTTPLike && s.Authorization:
			r.Told = told.F("port %d is %s, and the gateway admits by names: it cannot tell those of %s from others that are registered under it",
				u.port, told.Plain(u.protocol), told.Host(host))
			return r
		}
	}
	return nil
}
