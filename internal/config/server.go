package config

import (
	"fmt"
	"path/filepath"
	"strings"
)

// Server is what concerns the server alone; the command line does not read it.
type Server struct {
	// ClientCertificate is how the API server proves that reviews are its own.
	//
	// Default: none; anybody who reaches the port may ask, and reviews are told
	// apart by the address that they come from.
	ClientCertificate *ClientCertificate `json:"clientCertificate,omitempty"`
}

// ClientCertificate is the certificate that the API server presents when it
// calls the webhooks. The API server has to be told, see docs/server.md.
type ClientCertificate struct {
	// CA is the file with the authorities that may have signed the certificate,
	// in PEM. It is read again when it changes.
	CA string `json:"ca"`
	// Names are those that the certificate may have, as its common name, or as
	// a DNS name or URI of its subject alternative names. An authority that signs
	// for others too, as that of the cluster does for every node, proves nothing
	// by itself.
	Names []string `json:"names"`
	// Required is whether reviews without such a certificate are refused. Where
	// they are not, they are answered, but have places of their own and never
	// take one of the API server's.
	//
	// Default: false.
	Required bool `json:"required,omitempty"`
}

func (s *Server) check(fail func(path, format string, args ...any)) {
	c := s.ClientCertificate
	if c == nil {
		return
	}
	const path = "server.clientCertificate"
	switch {
	case c.CA == "":
		fail(path+".ca", "must name the file with the authorities of the API server's client certificate, in PEM")
	case !filepath.IsAbs(c.CA):
		fail(path+".ca", "must be an absolute path, is %q", c.CA)
	}
	if len(c.Names) == 0 {
		fail(path+".names", "must list the names that the API server's client certificate may have, for example kube-apiserver")
	}
	for i, name := range c.Names {
		if strings.TrimSpace(name) != name || name == "" || strings.Contains(name, "*") {
			fail(fmt.Sprintf("%s.names[%d]", path, i), "%q is not a name; give common names, DNS names or URIs as they stand in the certificate, without wildcards", name)
		}
	}
}
