package companion

import (
	"slices"

	"github.com/sallyport-io/sallyport/internal/told"
)

// maxPorts is how many ports the API server takes in one ServiceEntry.
const maxPorts = 256

// refuseMany refuses a claim with which the host would have so many ports that no
// entry has room for all of them: nobody who registers it would be served.
func (p *plan) refuseMany(c *claim, agreed []*claim, ports int) {
	if ports <= maxPorts || len(agreed) == 0 {
		return
	}
	p.mesh.Spend(len(agreed))
	// Whoever comes last is the one to be told of the others.
	last := slices.MaxFunc(agreed, func(a, b *claim) int { return byAge(a.entry, b.entry) })
	p.refuse(Refusal{
		Entry: c.entry.Ref, Path: "spec.ports",
		Told: told.F("with these ports the claims on %s have %d in all, and the entry by which the %s knows the host has room for %d",
			told.Host(p.host), ports, p.by.proxy, maxPorts),
		ToldFix: told.F("Register the ports that are used, and no others; about the host ask %s.", told.Plain(p.mesh.Contact(c.entry.Namespace, p.host))),
		With:    last.entry.Ref, Outranked: last.rank < c.rank,
		ToldReverse: told.F("with these ports the claims on %s are too many: the entry by which the %s knows the host has room for %d, and another claim is left without",
			told.Host(p.host), p.by.proxy, maxPorts),
		ReversePath: "spec.ports",
	})
}
