package validation

import (
	"strings"

	networking "istio.io/api/networking/v1alpha3"
)

// gateway checks a Gateway (ValidateGateway).
func (c *checker) gateway(g *networking.Gateway) {
	if !isLabel(c.Name) && c.Annotations[gatewaySemantics] != "gateway" {
		c.refuse("metadata.name", "%q is not the name of a Gateway: at most 63 letters, digits and '-'", c.Name)
	}
	if len(g.GetServers()) == 0 {
		c.refuse("spec.servers", "missing: a Gateway has a server")
	}
	seen := map[string]bool{}
	for i, s := range g.GetServers() {
		path := index("spec.servers", i)
		c.server(path, s)
		if s.GetPort() == nil {
			continue
		}
		if name := s.GetPort().GetName(); seen[name] {
			c.refuse(path+".port.name", "%q is the name of another server's port already", name)
		} else {
			seen[name] = true
		}
	}
}

// server checks a server of a Gateway (validateServer).
func (c *checker) server(path string, s *networking.Server) {
	if len(s.GetHosts()) == 0 {
		c.refuse(path+".hosts", "is empty: a server serves at least one host")
	}
	for i, h := range s.GetHosts() {
		c.scopedHost(index(path+".hosts", i), h, true)
	}
	port, tls := s.GetPort(), s.GetTls()
	c.serverTLS(path+".tls", tls)
	onSocket := strings.HasPrefix(s.GetBind(), unix)
	switch {
	case onSocket:
		c.socket(path+".bind", s.GetBind())
		if port.GetNumber() != 0 {
			c.refuse(path+".port.number", "%d, and a server on a Unix domain socket has port 0", port.GetNumber())
		}
	case s.GetBind() != "":
		c.address(path+".bind", s.GetBind())
	}
	if port == nil {
		c.refuse(path+".port", "missing: a server has a port")
		return
	}
	before := len(c.problems)
	c.protocol(path+".port.protocol", port.GetProtocol(), false)
	if port.GetNumber() > 0 || !onSocket {
		c.port(path+".port.number", port.GetNumber())
	}
	if port.GetTargetPort() > 0 { //nolint:staticcheck // deprecated, and refused
		c.refuse(path+".port.targetPort", "a Gateway has none; the Service of its pods does")
	}
	if port.GetName() == "" {
		c.refuse(path+".port.name", "missing: a port has a name")
	}
	if len(c.problems) > before {
		return
	}
	switch protocol := port.GetProtocol(); {
	case isTLS(protocol) && tls == nil:
		c.refuse(path+".tls", "missing: a server of %s says what it does with TLS", protocol)
	case isTLS(protocol) || tls == nil:
	case !isHTTP(protocol):
		c.refuse(path+".tls", "a port of %s has none; write protocol: TLS", protocol)
	case !passes(tls) || tls.GetCaCertificates() != "" || tls.GetPrivateKey() != "" || tls.GetServerCertificate() != "":
		c.refuse(path+".tls", "a port of %s has none but httpsRedirect; write protocol: HTTPS", protocol)
	}
}

// passes reports whether a server hands TLS on.
func passes(tls *networking.ServerTLSSettings) bool {
	return tls.GetMode() == networking.ServerTLSSettings_PASSTHROUGH || tls.GetMode() == networking.ServerTLSSettings_AUTO_PASSTHROUGH
}

// serverTLS checks how TLS is ended (validateTLSOptions).
func (c *checker) serverTLS(path string, tls *networking.ServerTLSSettings) {
	if tls == nil {
		return
	}
	if tls.GetMode() == networking.ServerTLSSettings_ISTIO_MUTUAL {
		for _, f := range []struct {
			name string
			set  bool
		}{
			{"serverCertificate", tls.GetServerCertificate() != ""},
			{"privateKey", tls.GetPrivateKey() != ""},
			{"caCertificates", tls.GetCaCertificates() != ""},
			{"tlsCertificates", len(tls.GetTlsCertificates()) > 0},
			{"credentialName", tls.GetCredentialName() != ""},
			{"credentialNames", len(tls.GetCredentialNames()) > 0},
		} {
			if f.set {
				c.refuse(path+"."+f.name, "cannot stand beside mode ISTIO_MUTUAL, which has Istio's own certificates")
			}
		}
		return
	}
	sources := 0
	for _, given := range []bool{
		tls.GetServerCertificate() != "" && tls.GetPrivateKey() != "", tls.GetCredentialName() != "",
		len(tls.GetCredentialNames()) > 0, len(tls.GetTlsCertificates()) > 0,
	} {
		if given {
			sources++
		}
	}
	if sources > 1 {
		c.refuse(path, "has its certificates from %d places; give one of credentialName, credentialNames, tlsCertificates, and serverCertificate with privateKey", sources)
	}
	ends := tls.GetMode() == networking.ServerTLSSettings_SIMPLE
	asks := tls.GetMode() == networking.ServerTLSSettings_MUTUAL || tls.GetMode() == networking.ServerTLSSettings_OPTIONAL_MUTUAL
	if (ends || asks) && (tls.GetCredentialName() != "" || len(tls.GetCredentialNames()) > 0) {
		return
	}
	if asks && tls.GetCaCertificates() == "" {
		c.refuse(path+".caCertificates", "missing: mode %s checks the certificates of clients", tls.GetMode())
	}
	if ends || asks {
		c.certificates(path, tls)
	}
	if tls.GetCaCrl() != "" && (tls.GetCredentialName() != "" || ends) {
		c.refuse(path+".caCrl", "cannot stand beside credentialName, nor mode SIMPLE")
	}
}

// certificates checks that a server that ends TLS has certificates.
func (c *checker) certificates(path string, tls *networking.ServerTLSSettings) {
	check := func(path, certificate, privateKey string) {
		if certificate == "" {
			c.refuse(path+".serverCertificate", "missing: mode %s shows a certificate; it may be in a Secret that credentialName names", tls.GetMode())
		}
		if privateKey == "" {
			c.refuse(path+".privateKey", "missing: mode %s has the key of its certificate; it may be in a Secret that credentialName names", tls.GetMode())
		}
	}
	if len(tls.GetTlsCertificates()) == 0 {
		check(path, tls.GetServerCertificate(), tls.GetPrivateKey())
	}
	for i, t := range tls.GetTlsCertificates() {
		check(index(path+".tlsCertificates", i), t.GetServerCertificate(), t.GetPrivateKey())
	}
}
