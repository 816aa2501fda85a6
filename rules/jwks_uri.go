package rules

import (
	"context"
	"encoding/json"
	"fmt"
	"net/netip"
	"net/url"
)

var jwksURI = &Rule{
	Name: "jwks-uri",
	Doc: `istiod fetches keys from public addresses only

The control plane, or the gateway, fetches the jwksUri of a RequestAuthentication:
whoever writes one chooses what they connect to. A tenant's that names an address
of the cluster, of the node or of the metadata service is denied; Istio's own
block list (BLOCKED_CIDRS_IN_JWKS_URIS) covers what a name resolves to.`,
	Severity: Deny,
	Remedy:   "Name the public address of the issuer, or write the keys under jwks.",
	Rows:     []string{"B-E6"},
	Kinds:    []string{"RequestAuthentication"},
	Check: func(_ context.Context, p *Pass) error {
		if !p.ByTenant() {
			return nil
		}
		var object struct {
			Spec struct {
				JWTRules []struct {
					JWKSURI string `json:"jwksUri"`
				} `json:"jwtRules"`
			} `json:"spec"`
		}
		if err := json.Unmarshal(p.Raw, &object); err != nil {
			return err
		}
		for i, r := range object.Spec.JWTRules {
			u, err := url.Parse(r.JWKSURI)
			if err != nil || r.JWKSURI == "" {
				continue
			}
			if ip, err := netip.ParseAddr(u.Hostname()); err == nil && (ip.Unmap().IsPrivate() || forbidden(ip.Unmap()) != "") {
				p.Reportf(fmt.Sprintf("spec.jwtRules[%d].jwksUri", i), "makes the control plane fetch from %s, an address inside the platform", u.Hostname())
			}
		}
		return nil
	},
}
