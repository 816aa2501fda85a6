package rules

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/sallyport-io/sallyport/internal/told"
)

var jwksURI = &Rule{
	Name: "jwks-uri",
	Doc: `istiod fetches keys from public addresses only

The control plane, or the gateway, fetches the jwksUri of a RequestAuthentication,
and where there is neither that nor jwks, the discovery document of the issuer:
whoever writes one chooses what they connect to. A tenant's that names an address
of the cluster, of the node or of the metadata service, in whatever spelling
(decimal, octal, hexadecimal, IPv4 within IPv6), a name of the cluster or another
that is not of the public Internet, or hides behind a user's name, is denied. An
issuer without jwksUri is warned about: what its document says decides. Where a
name resolves to, and where a server redirects to, no object tells; Istio's own block
list (BLOCKED_CIDRS_IN_JWKS_URIS) covers both.`,
	Severity: Deny,
	For:      Tenants,
	Remedy:   "Name the public address of the issuer in jwksUri, or write the keys under jwks.",
	Rows:     []string{"B-E6"},
	Kinds:    []string{"RequestAuthentication"},
	Check: func(_ context.Context, p *Pass) error {
		var object struct {
			Spec struct {
				JWTRules []struct {
					Issuer  string `json:"issuer"`
					JWKSURI string `json:"jwksUri"`
					JWKS    string `json:"jwks"`
				} `json:"jwtRules"`
			} `json:"spec"`
		}
		p.Spend(len(p.Raw) / bytesPerStep)
		if err := json.Unmarshal(p.Raw, &object); err != nil {
			return err
		}
		for i, r := range object.Spec.JWTRules {
			p.Spend(lookupSteps)
			at := fmt.Sprintf("spec.jwtRules[%d]", i)
			switch {
			case r.JWKSURI != "":
				if what := privateURL(p.After, r.JWKSURI); what != "" {
					p.Report(Finding{Path: at + ".jwksUri", About: r.JWKSURI, Told: told.F("makes the control plane fetch from %q: %s", r.JWKSURI, told.Plain(what))})
				}
			case r.JWKS != "" || !fetchable(r.Issuer):
			default:
				// The discovery document is below the issuer.
				if what := privateURL(p.After, r.Issuer); what != "" {
					p.Report(Finding{Path: at + ".issuer", About: r.Issuer, Told: told.F("makes the control plane fetch the issuer's discovery document from %q: %s", r.Issuer, told.Plain(what))})
				} else {
					p.Report(Finding{Path: at + ".issuer", Severity: Warn, About: r.Issuer, Told: told.F("the control plane fetches the discovery document of %q, and then from wherever that says: name the jwksUri", r.Issuer)})
				}
			}
		}
		return nil
	},
}

// fetchable reports whether an issuer is a place: an account's name or a URN is
// nowhere to be found.
func fetchable(issuer string) bool {
	scheme, _, ok := strings.Cut(issuer, ":")
	return ok && (strings.EqualFold(scheme, "http") || strings.EqualFold(scheme, "https"))
}
