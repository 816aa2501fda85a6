package companion

import (
	"fmt"

	"github.com/sallyport-io/sallyport/internal/mesh"
	"github.com/sallyport-io/sallyport/internal/told"
)

// foreignTo refuses an entry whose traffic means something else once a gateway
// sends it on: for a cloud's metadata service, which answers by who asks, and for a
// range of addresses, of which the gateway does not know the one that was meant. For
// a hosted pattern the platform has said which server answers for all of them.
func foreignTo(m *mesh.Mesh, entry *mesh.ServiceEntry, hosted bool, by wayOut) *Refusal {
	if found := m.MetadataServices(entry); len(found) > 0 {
		what := found[0]
		return &Refusal{
			Entry: entry.Ref, Path: what.Path,
			Told: told.F("%s is a metadata service (%s), which answers with the credentials of whoever asks: through a shared %s, with the %s's",
				entry.Tell().As(what.Written), told.Plain(what.Service.Cloud), by.proxy, by.proxy),
			ToldFix: mesh.MetadataFix,
		}
	}
	if i := entry.WideRange(); i >= 0 && entry.Resolution == "NONE" && !hosted {
		for _, port := range entry.Ports {
			m.Spend(1)
			if mesh.ClassOf(port.Protocol) != mesh.TCPLike {
				continue
			}
			return &Refusal{
				Entry: entry.Ref, Path: fmt.Sprintf("spec.addresses[%d]", i),
				Told: told.F("with resolution NONE a connection goes to whichever address of %s the client has chosen; the %s learns the host's name alone, and would send all of port %d to what that resolves to",
					entry.Tell().As(entry.Addresses[i]), by.proxy, port.Number),
				ToldFix: mesh.RangeFix,
			}
		}
	}
	return nil
}
