package istio_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sallyport-io/sallyport/internal/mesh"
)

// TestClientCertificate proves that the gateway presents the listed client
// certificate to the host for which the entry asks it, that it verifies the
// server by the same Secret's authority, and that a neighbour on the same
// gateway is not served by it.
func TestClientCertificate(t *testing.T) {
	settings := mesh.DefaultSettings()
	settings.Credentials = []mesh.Credential{{
		Name: "partner", Hosts: []string{"api.partner.com"}, Namespaces: []string{"shop"}, Secret: "partner-client",
	}}
	const port = "{number: 80, name: http, protocol: HTTP, targetPort: 443}"
	entries := []string{
		strings.Replace(entry("shop", "api.partner.com", port),
			"namespace: shop}", "namespace: shop, annotations: {sallyport.io/client-certificate: partner}}", 1),
		entry("billing", "b.partner.com", port),
	}
	want := map[string]string{
		"shop api.partner.com:80":  "tls sni= certs=[kubernetes://partner-client] ca=kubernetes://partner-client-cacert",
		"billing b.partner.com:80": originated,
	}
	if diff := cmp.Diff(want, exits(t, withCompanions(t, settings, strings.Join(entries, "---\n")))); diff != "" {
		t.Errorf("exits (-want +got):\n%s", diff)
	}
}
