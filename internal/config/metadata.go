package config

import (
	"fmt"
	"strings"

	"k8s.io/apimachinery/pkg/api/validate/content"

	"github.com/sallyport-io/sallyport/internal/expiry"
	"github.com/sallyport-io/sallyport/internal/mesh"
	"github.com/sallyport-io/sallyport/internal/metadata"
)

// MetadataException lets some namespaces reach a metadata service for a time.
type MetadataException struct {
	// Hosts are the names and addresses of the service, each of which an entry
	// may then name: metadata.google.internal, 169.254.169.254.
	Hosts []string `json:"hosts"`
	// Namespaces are those that may register the service, and whose workloads may
	// reach it. "*" is every one.
	Namespaces []string `json:"namespaces"`
	// Until is the exception's last day (2026-12-31, UTC), or the instant of its end
	// (2026-12-31T18:00:00Z). What it admitted is refused again from then on.
	Until string `json:"until"`
	// Reason says why, with a ticket perhaps. Answers repeat it.
	Reason string `json:"reason"`
}

func (e MetadataException) check(path string, fail failure) {
	if len(e.Hosts) == 0 {
		fail(path+".hosts", "must list the names and addresses of the metadata service")
	}
	for i, h := range e.Hosts {
		if m, ok := metadata.Host(mesh.CanonicalHost(h)); !ok || m.Exactly == "" {
			fail(fmt.Sprintf("%s.hosts[%d]", path, i), "%q is no name or address of a metadata service that Sallyport knows; such a host needs no exception", h)
		}
	}
	if len(e.Namespaces) == 0 {
		fail(path+".namespaces", "must list the namespaces that the exception is for, or \"*\"")
	}
	for i, ns := range e.Namespaces {
		if ns == "*" {
			continue
		}
		for _, msg := range content.IsDNS1123Label(ns) {
			fail(fmt.Sprintf("%s.namespaces[%d]", path, i), "%q is neither \"*\" nor the name of a namespace: %s", ns, msg)
		}
	}
	if _, err := expiry.Parse(e.Until); err != nil {
		fail(path+".until", "%v; every exception has an end", err)
	}
	if strings.TrimSpace(e.Reason) == "" {
		fail(path+".reason", "must say why the exception is made")
	}
	checkContact(path+".reason", e.Reason, fail)
}

// settings is the model's view of an exception that was checked.
func (e MetadataException) settings() mesh.MetadataException {
	until, _ := expiry.Parse(e.Until)
	out := mesh.MetadataException{Namespaces: e.Namespaces, Until: until, Reason: e.Reason}
	for _, h := range e.Hosts {
		m, _ := metadata.Host(mesh.CanonicalHost(h))
		out.Hosts = append(out.Hosts, m.Exactly)
	}
	return out
}
