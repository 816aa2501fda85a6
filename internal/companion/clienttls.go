package companion

import (
	"slices"

	"github.com/sallyport-io/sallyport/internal/mesh"
	"github.com/sallyport-io/sallyport/internal/told"
)

// takeOver has the gateway speak TLS to the host where the entry's own sidecars
// did, by a DestinationRule of theirs: on the way through the gateway that rule
// is for a destination that they have no more. What the gateway does by itself,
// to verify the host's certificate for the host's name, is all that it can take
// over; what else the rule asks for is refused, for without it the gateway would
// say in plain text, or under another name, what was meant for TLS.
//
// Traffic that is TLS already is the application's own, and needs none of it.
func takeOver(m *mesh.Mesh, entry *mesh.ServiceEntry, host string, ports []upstream) *Refusal {
	for i := range ports {
		u := &ports[i]
		if u.class() == mesh.TLSLike {
			continue
		}
		m.Spend(hostSteps)
		t, rule := m.ClientTLS(entry.Namespace, host, u.port)
		if t == nil || t.Mode != "SIMPLE" && t.Mode != "MUTUAL" || Is(rule) {
			continue
		}
		if why, fix := untaken(u, t, host); why != "" {
			return &Refusal{
				Entry: entry.Ref, Path: portField(&claim{entry: entry}, *u),
				Told:    told.F("sidecars speak TLS to port %d of %s by %s, and the gateway would not: %s", u.port, told.Host(host), rule, why),
				ToldFix: fix,
			}
		}
		u.originate = true
	}
	return nil
}

// untaken says what of a rule's TLS the gateway does not do for a port, and what
// to do instead; both are empty where it does all of it.
func untaken(u *upstream, t *mesh.ClientTLS, host string) (why, fix told.Text) {
	switch {
	case u.class() != mesh.HTTPLike:
		return "it originates TLS for HTTP alone", "Have the application speak TLS, and declare the port as TLS.\n"
	case t.InsecureSkipVerify != nil && *t.InsecureSkipVerify:
		return "it verifies whom it speaks to, and the rule does not", "Take insecureSkipVerify out of the rule.\n"
	case t.Mode == "MUTUAL" && u.credential == "":
		return "it has no client certificate for the entry",
			mesh.ClientCertificateAnnotation + ": NAME   # on the entry; the platform team lists the certificate in Sallyport's configuration\n"
	case t.CACertificates != "" && t.Mode == "SIMPLE":
		return "it verifies by the authorities that everybody knows, and not by caCertificates", "Ask the platform team to register the host beside the gateway, with its authority.\n"
	case t.SNI != "" && mesh.CanonicalHost(t.SNI) != host:
		return told.F("it asks for the host's own name, and not for the sni %s", told.Host(mesh.CanonicalHost(t.SNI))), "Take sni out of the rule.\n"
	case len(t.SubjectAltNames) > 0 && !slices.Contains(t.SubjectAltNames, host):
		return "it verifies the host's own name, and not subjectAltNames", "Take subjectAltNames out of the rule, or list the host among them.\n"
	}
	return "", ""
}
