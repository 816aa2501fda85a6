package validation

import (
	"net"
	"slices"
	"strconv"
	"strings"

	networking "istio.io/api/networking/v1alpha3"
)

// sidecar checks a Sidecar (ValidateSidecar).
func (c *checker) sidecar(s *networking.Sidecar) {
	c.selectorLabels("spec.workloadSelector", s.GetWorkloadSelector())
	if len(s.GetEgress()) == 0 && len(s.GetIngress()) == 0 && s.GetOutboundTrafficPolicy() == nil && s.GetInboundConnectionPool() == nil {
		c.refuse("spec", "is empty: a Sidecar has egress, ingress, outboundTrafficPolicy or inboundConnectionPool")
	}
	taken := map[uint32]bool{}
	for i, l := range s.GetIngress() {
		c.ingress(index("spec.ingress", i), l, taken)
	}
	c.connectionPool("spec.inboundConnectionPool", s.GetInboundConnectionPool())
	c.egress(s.GetEgress())
	c.outbound(s.GetOutboundTrafficPolicy())
}

// ingress checks a listener for the workload's own traffic.
func (c *checker) ingress(path string, l *networking.IstioIngressListener, taken map[uint32]bool) {
	port := l.GetPort()
	if port == nil {
		c.refuse(path+".port", "missing: a listener has a port")
		return
	}
	if l.GetBind() != "" {
		c.address(path+".bind", l.GetBind())
	}
	c.sidecarPort(path+".port", port)
	c.port(path+".port.number", port.GetNumber())
	c.once(path+".port.number", port.GetNumber(), taken)
	c.defaultEndpoint(path+".defaultEndpoint", l.GetDefaultEndpoint())
	c.ingressTLS(path, l)
	c.connectionPool(path+".connectionPool", l.GetConnectionPool())
}

// once checks that no other listener has the port.
func (c *checker) once(path string, number uint32, taken map[uint32]bool) {
	if taken[number] {
		c.refuse(path, "%d is the port of another listener already", number)
	}
	taken[number] = true
}

// sidecarPort checks what all ports of a Sidecar have in common.
func (c *checker) sidecarPort(path string, p *networking.SidecarPort) {
	if p.GetName() != "" {
		c.portName(path+".name", p.GetName())
	}
	c.protocol(path+".protocol", p.GetProtocol(), true)
	if p.GetTargetPort() > 0 { //nolint:staticcheck // deprecated, and refused
		c.refuse(path+".targetPort", "a Sidecar's port has none")
	}
}

// defaultEndpoint checks where a listener hands its traffic to.
func (c *checker) defaultEndpoint(path, s string) {
	if s == "" {
		return
	}
	if strings.HasPrefix(s, unix) {
		c.socket(path, s)
		return
	}
	host, port, err := net.SplitHostPort(s)
	if err != nil || !slices.Contains([]string{"", "127.0.0.1", "0.0.0.0", "::1", "::"}, host) {
		c.refuse(path, "%q is none of 127.0.0.1:PORT, 0.0.0.0:PORT, [::1]:PORT, [::]:PORT and unix://PATH", s)
		return
	}
	if n, err := strconv.Atoi(port); err != nil || n < 1 || n > 65535 {
		c.refuse(path, "%q is not a port: 1 to 65535", port)
	}
}

// ingressTLS checks how a listener ends TLS.
func (c *checker) ingressTLS(path string, l *networking.IstioIngressListener) {
	tls := l.GetTls()
	if tls == nil {
		return
	}
	path += ".tls"
	for _, f := range []struct {
		name string
		set  bool
	}{
		{"subjectAltNames", len(tls.GetSubjectAltNames()) > 0},
		{"httpsRedirect", tls.GetHttpsRedirect()},
		{"credentialName", tls.GetCredentialName() != ""},
		{"credentialNames", len(tls.GetCredentialNames()) > 0},
		{"tlsCertificates", len(tls.GetTlsCertificates()) > 0},
	} {
		if f.set {
			c.refuse(path+"."+f.name, "a Sidecar's listener takes none")
		}
	}
	if m := tls.GetMode(); m == networking.ServerTLSSettings_ISTIO_MUTUAL || m == networking.ServerTLSSettings_AUTO_PASSTHROUGH {
		c.refuse(path+".mode", "a Sidecar's listener cannot be %s", m)
	}
	if !isTLS(l.GetPort().GetProtocol()) {
		c.refuse(path, "a port of %q has none; write protocol: TLS or HTTPS", l.GetPort().GetProtocol())
	}
	c.serverTLS(path, tls)
}

// egress checks the listeners for outbound traffic.
func (c *checker) egress(listeners []*networking.IstioEgressListener) {
	taken, sockets := map[uint32]bool{}, map[string]bool{}
	for i, l := range listeners {
		path := index("spec.egress", i)
		switch port := l.GetPort(); {
		case port == nil && i < len(listeners)-1:
			c.refuse(path+".port", "missing: only the last listener may be for all ports")
		case port == nil:
		case port.GetNumber() == 0:
			c.sidecarPort(path+".port", port)
			if strings.HasPrefix(l.GetBind(), unix) {
				c.socket(path+".bind", l.GetBind())
			} else {
				c.refuse(path+".bind", "%q is no unix://PATH, and the port is 0", l.GetBind())
			}
			if m := l.GetCaptureMode(); m != networking.CaptureMode_DEFAULT && m != networking.CaptureMode_NONE {
				c.refuse(path+".captureMode", "%s, and a listener on a Unix domain socket captures nothing", m)
			}
			if sockets[l.GetBind()] {
				c.refuse(path+".bind", "%q is that of another listener already", l.GetBind())
			}
			sockets[l.GetBind()] = true
		default:
			c.sidecarPort(path+".port", port)
			c.port(path+".port.number", port.GetNumber())
			if l.GetBind() != "" {
				c.address(path+".bind", l.GetBind())
			}
			c.once(path+".port.number", port.GetNumber(), taken)
		}
		if len(l.GetHosts()) == 0 {
			c.refuse(path+".hosts", "is empty: a listener is for at least one host")
		}
		for j, h := range l.GetHosts() {
			c.scopedHost(index(path+".hosts", j), h, false)
		}
	}
}

// outbound checks what becomes of traffic that no listener is for
// (validateSidecarOutboundTrafficPolicy).
func (c *checker) outbound(p *networking.OutboundTrafficPolicy) {
	const path = "spec.outboundTrafficPolicy"
	// The mesh's own mode, ALLOW_ANY_DYNAMIC_DNS, is no value of the Sidecar's.
	proxy := p.GetEgressProxy()
	switch {
	case proxy == nil:
	case p.GetMode() != networking.OutboundTrafficPolicy_ALLOW_ANY:
		c.refuse(path+".egressProxy", "needs mode: ALLOW_ANY, not %s", p.GetMode())
	default:
		if c.fqdn(path+".egressProxy.host", proxy.GetHost()); proxy.GetPort() == nil {
			c.refuse(path+".egressProxy.port", "missing: a proxy has a port")
			return
		}
		c.destination(path+".egressProxy", proxy)
	}
}
