package companion

import (
	"slices"

	"github.com/sallyport-io/sallyport/internal/mesh"
	"github.com/sallyport-io/sallyport/internal/told"
)

// issuedPrefix begins the names of the Secrets, and of the Certificates, that
// entries have issued for them.
const issuedPrefix = "sallyport-client-"

// IssuedSecret is the name of the Secret with the client certificate of an
// issuer for a canonical host. An entry's annotation is compared with what the
// administrator has written, and becomes no part of it.
func IssuedSecret(issuer mesh.Issuer, host string) string {
	return issuedPrefix + digest(issuer.Kind+"/"+issuer.Name+"/"+host, hashLength)
}

// Issued are the credentials that cert-manager may be asked for: those that are
// configured with an issuer, and one for every host of every grant.
func Issued(s mesh.Settings) []mesh.Credential {
	var out []mesh.Credential
	for _, c := range s.Credentials {
		if c.Issuer != (mesh.Issuer{}) {
			out = append(out, c)
		}
	}
	for _, g := range s.Grants {
		for _, host := range g.Hosts {
			out = append(out, mesh.Credential{
				Name: g.Issuer.Name, Hosts: []string{host}, Namespaces: g.Namespaces,
				Secret: IssuedSecret(g.Issuer, host), Issuer: g.Issuer,
			})
		}
	}
	return out
}

// grantedTo returns the Secret of the issuer that an entry asks for by name.
// Whether the issuer exists for others is not said.
func grantedTo(s mesh.Settings, entry *mesh.ServiceEntry, host, issuer string) (secret string, refused *Refusal) {
	for _, g := range s.Grants {
		if g.Issuer.Name == issuer && slices.Contains(g.Hosts, host) && slices.Contains(g.Namespaces, entry.Namespace) {
			return IssuedSecret(g.Issuer, host), nil
		}
	}
	return "", &Refusal{
		Entry:   entry.Ref,
		Path:    annotationField(mesh.IssuerAnnotation),
		Told:    told.F("no issuer %q is configured for namespace %s and host %s", entry.Tell().As(issuer), told.Namespace(entry.Namespace), told.Host(host)),
		ToldFix: "Ask the platform team to list it under issuers in Sallyport's configuration, or remove the annotation.",
	}
}

// asksBy is the annotation by which an entry asks for a client certificate.
func asksBy(entry *mesh.ServiceEntry) string {
	if entry.Annotations[mesh.IssuerAnnotation] != "" {
		return mesh.IssuerAnnotation
	}
	return mesh.ClientCertificateAnnotation
}

// AsksForCertificate reports whether an entry wants the gateway to present a
// client certificate.
func AsksForCertificate(entry *mesh.ServiceEntry) bool { return entry.Annotations[asksBy(entry)] != "" }
