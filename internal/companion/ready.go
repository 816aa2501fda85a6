package companion

import (
	"github.com/sallyport-io/sallyport/internal/mesh"
	"github.com/sallyport-io/sallyport/internal/told"
)

// Unready says what keeps a held entry from being opened, in the mesh as it
// stands with the entry open: for each port of the host the first client that
// a path keeps waiting. A path that is direct, or that cannot be told, does so
// for every client the entry is meant for. One that fails does for the
// entry's own namespace where Sallyport keeps companions: the missing half is
// about to be written, and nobody is to meet the host before. Elsewhere a
// path that fails leaks nothing and may be meant, as that of raw TLS to a
// server for HTTP. A path that a Sidecar alone keeps from being direct does not
// count: whoever may write Sidecars may take it away.
func Unready(m *mesh.Mesh, entry *mesh.ServiceEntry, host string) []told.Text {
	var out []told.Text
	injects := Serves(m, entry)
	for _, port := range entry.Ports {
		for _, client := range Clients(m, entry, host) {
			path := m.Paths(client, host, port.Number)
			if path.Verdict != mesh.Direct && m.Confined(client) {
				if bare := m.Unconfined(client, host, port.Number); bare.Verdict == mesh.Direct {
					path = bare
				}
			}
			switch path.Verdict {
			case mesh.Via, mesh.Blocked:
				continue
			case mesh.Broken:
				if !injects || client != entry.Namespace {
					continue
				}
			}
			why := told.Text("")
			if len(path.Because) > 0 {
				why = ": " + path.Because[0].Says()
			}
			out = append(out, told.F("%s port %d is %s%s", told.Host(host), port.Number, told.Plain(string(path.Verdict)), why))
			break
		}
	}
	return out
}
