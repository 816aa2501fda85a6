package config

import (
	"fmt"
	"strings"

	"k8s.io/apimachinery/pkg/api/validate/content"

	"github.com/sallyport-io/sallyport/internal/mesh"
	"github.com/sallyport-io/sallyport/internal/metadata"
)

// failure takes one thing that a file says and cannot mean.
type failure func(path, format string, args ...any)

// checkWildcards: the gateways of one namespace share what they know of a host.
func checkWildcards(gateways []Gateway, fail failure) {
	type place struct{ server, path string }
	named := make(map[string]place) // by the gateway's namespace and the host
	for i, g := range gateways {
		namespace, _, _ := strings.Cut(g.Service, "/")
		for j, w := range g.Wildcards {
			path := fmt.Sprintf("gateways[%d].wildcards[%d]", i, j)
			host, server := mesh.CanonicalHost(w.Host), mesh.CanonicalHost(w.Server)
			domain, ok := strings.CutPrefix(host, "*.")
			if !ok || len(content.IsDNS1123Subdomain(domain)) > 0 || !strings.Contains(domain, ".") {
				fail(path+".host", "%q is not a pattern; it must be \"*.\" and a domain below a top-level one, for example *.wikipedia.org", w.Host)
			}
			if len(content.IsDNS1123Subdomain(server)) > 0 || !strings.Contains(server, ".") {
				fail(path+".server", "%q is not the DNS name of a server", w.Server)
			}
			if m, ok := metadata.Host(server); ok {
				fail(path+".server", "%q is a metadata service (%s): a gateway would be told its own credentials", w.Server, m.Service.Cloud)
			}
			key := namespace + "/" + host
			if first, ok := named[key]; ok && first.server != server {
				fail(path+".server", "%s names %s for %s; gateways of one namespace must name the same server", first.path, first.server, host)
			}
			named[key] = place{server, path}
		}
	}
}

func checkCredentials(c *Config, fail failure) {
	names := make(map[string]int)
	for i, cr := range c.Credentials {
		path := fmt.Sprintf("credentials[%d]", i)
		if first, ok := names[cr.Name]; ok {
			fail(path+".name", "%q is the name of credentials[%d] already; give each credential its own", cr.Name, first)
		}
		names[cr.Name] = i
		for _, msg := range content.IsDNS1123Label(cr.Name) {
			fail(path+".name", "%q: %s", cr.Name, msg)
		}
		for _, msg := range content.IsDNS1123Subdomain(cr.Secret) {
			fail(path+".secret", "%q is not the name of a Secret: %s", cr.Secret, msg)
		}
		if i := cr.Issuer; i != nil {
			checkIssuer(path+".issuer", *i, fail)
		}
		checkGranted(path, cr.Hosts, cr.Namespaces, fail)
	}
	issuers := make(map[string]int)
	for i, g := range c.Issuers {
		path := fmt.Sprintf("issuers[%d]", i)
		if first, ok := issuers[g.Name]; ok {
			fail(path+".name", "%q is the name of issuers[%d] already; entries ask for an issuer by its name", g.Name, first)
		}
		issuers[g.Name] = i
		checkIssuer(path, Issuer{Kind: g.Kind, Name: g.Name, CommonName: g.CommonName}, fail)
		checkGranted(path, g.Hosts, g.Namespaces, fail)
	}
}

func checkIssuer(path string, i Issuer, fail failure) {
	if i.Kind != "Issuer" && i.Kind != "ClusterIssuer" {
		fail(path+".kind", "must be Issuer or ClusterIssuer, is %q", i.Kind)
	}
	for _, msg := range content.IsDNS1123Subdomain(i.Name) {
		fail(path+".name", "%q is not the name of an issuer: %s", i.Name, msg)
	}
	if i.CommonName == "" || len(i.CommonName) > 64 {
		fail(path+".commonName", "must have 1 to 64 letters, has %d", len(i.CommonName))
	}
}

// checkGranted checks for which hosts, and to whom, a certificate is given.
func checkGranted(path string, hosts, namespaces []string, fail failure) {
	if len(hosts) == 0 {
		fail(path+".hosts", "must list the hosts to which the certificate may be presented")
	}
	for j, h := range hosts {
		for _, msg := range content.IsDNS1123Subdomain(mesh.CanonicalHost(h)) {
			fail(fmt.Sprintf("%s.hosts[%d]", path, j), "%q is not a host: %s", h, msg)
		}
	}
	if len(namespaces) == 0 {
		fail(path+".namespaces", "must list the namespaces whose entries may ask for the certificate")
	}
	for j, ns := range namespaces {
		for _, msg := range content.IsDNS1123Label(ns) {
			fail(fmt.Sprintf("%s.namespaces[%d]", path, j), "%q is not the name of a namespace: %s", ns, msg)
		}
	}
}
