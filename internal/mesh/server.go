package mesh

import (
	"encoding/binary"
	"iter"
	"slices"
	"strconv"
	"strings"
)

// hostedServer is one server of a Gateway.
type hostedServer struct {
	gateway *Gateway
	n       int
}

func (h hostedServer) server() *Server { return &h.gateway.Servers[h.n] }

// name is how VirtualServices refer to the Gateway.
func (h hostedServer) name() string { return h.gateway.Namespace + "/" + h.gateway.Name }

func (h hostedServer) reason(field string) Reason {
	return Reason{Ref: h.gateway.Ref, Path: indexed("spec.servers", h.n) + field}
}

// plain reports whether the server expects plain text (the opposite of
// IsTLSServer in Istio's pkg/config/gateway).
func (s *Server) plain() bool { return s.TLS == nil || ClassOf(s.Port.Protocol) == HTTPLike }

// passthrough reports whether the server leaves TLS to the host behind it.
func (s *Server) passthrough() bool {
	return s.TLS != nil && (s.TLS.Mode == "PASSTHROUGH" || s.TLS.Mode == "AUTO_PASSTHROUGH")
}

// routesHTTP reports whether http rules apply to the server: it speaks HTTP,
// or terminates HTTPS.
func (s *Server) routesHTTP() bool {
	return ClassOf(s.Port.Protocol) == HTTPLike || strings.EqualFold(s.Port.Protocol, "HTTPS") && !s.passthrough()
}

// SelectedBy reports whether a Gateway's selector reaches the pods of the approved
// gateway. The configuration names some of the pods' labels, perhaps not all:
// a selector that agrees with those it shares is taken to reach them.
func (g *EgressGateway) SelectedBy(selector map[string]string) bool {
	if len(selector) == 0 {
		return true // every gateway in the mesh
	}
	shared := false
	for k, v := range selector {
		if have, ok := g.Selector[k]; ok {
			if have != v {
				return false
			}
			shared = true
		}
	}
	return shared
}

// serverHost splits a server's host into the namespace whose VirtualServices
// may use it ("*" for all) and the host.
func serverHost(entry, namespace string) (from, host string) {
	from, host, found := strings.Cut(entry, "/")
	if !found {
		return "*", CanonicalHost(entry)
	}
	if from == "." {
		from = namespace
	}
	return from, CanonicalHost(host)
}

func serverKey(gateway, port int) string {
	var buf [keySize]byte
	return string(appendServer(buf[:0], gateway, port))
}

func appendServer(key []byte, gateway, port int) []byte {
	key = append(strconv.AppendInt(key, int64(gateway), 10), sep...)
	return binary.BigEndian.AppendUint32(key, uint32(port))
}

func (x *index) visitGateway(gw *Gateway, i indexer) {
	binds := func(g EgressGateway) bool { return g.SelectedBy(gw.Selector) }
	if !Reserved(gw.Name) && slices.ContainsFunc(x.settings.Gateways, binds) {
		put(i, &x.binders, gw, objectKey(gw.Ref))
	}
	age := ageKey(&gw.Meta)
	for g := range x.settings.Gateways {
		if !x.settings.Gateways[g].SelectedBy(gw.Selector) {
			continue
		}
		for n := range gw.Servers {
			s := &gw.Servers[n]
			h := hostedServer{gw, n}
			at := serverKey(g, s.Port.Number)
			nth := age + sep + strconv.Itoa(n)
			put(i, &x.listeners, h, at, plainKey(s), nth)
			for _, entry := range s.Hosts {
				_, host := serverHost(entry, gw.Namespace)
				putHost(i, &x.servers, host, at+nth, h)
			}
		}
	}
}

func plainKey(s *Server) string {
	if s.plain() {
		return "p"
	}
	return "t"
}

// gatewayIndex is the position of an approved gateway in the settings.
func (m *Mesh) gatewayIndex(g *EgressGateway) int {
	for i := range m.settings.Gateways {
		if &m.settings.Gateways[i] == g {
			return i
		}
	}
	return -1
}

// serversFor yields the servers on a port of a gateway that register exactly
// this host, oldest first.
func (m *Mesh) serversFor(g, port int, host string) iter.Seq[hostedServer] {
	return func(yield func(hostedServer) bool) {
		var buf [keySize]byte
		prefix := borrowed(appendServer(appendHost(buf[:0], host), g, port))
		m.servers.scan(prefix, prefix, func(e entry[hostedServer]) bool { return yield(e.val) })
	}
}

// firstServer returns the oldest server on a port, plain text or TLS.
func (m *Mesh) firstServer(g, port int, plain bool) (hostedServer, bool) {
	kind := "t"
	if plain {
		kind = "p"
	}
	var buf [keySize]byte
	return m.listeners.first(borrowed(append(appendServer(buf[:0], g, port), kind...)))
}

// gatewayService is the Service of an approved gateway, or nil.
func (m *Mesh) gatewayService(g *EgressGateway) *Service {
	svc, _ := m.read(Ref{Kind: "Service", Namespace: g.Namespace, Name: g.Service}).(*Service)
	return svc
}

// targetPort is the port of the gateway's pods behind a port of its Service, nil
// where the mesh does not hold it, and whether the Service has the port.
func (m *Mesh) targetPort(g *EgressGateway, svc *Service, port int) (int, bool) {
	if svc == nil {
		for _, p := range m.assumedPorts(g) {
			if p[0] == port {
				return p[1], true
			}
		}
		return 0, false
	}
	for _, p := range svc.Ports {
		if p.Port != port {
			continue
		}
		if p.TargetPort == "" {
			return port, true
		}
		if n, err := strconv.Atoi(p.TargetPort); err == nil {
			return n, true
		}
		// A named port: only the pods know its number. Taken for one of its own.
		return -port, true
	}
	return 0, false
}

// serverPorts returns the port numbers that a server may give to listen on the
// pods' port behind a port of the Service: Gateways name a port of the
// Service, or else a port of the pods (resolvePorts in Istio's
// pilot/pkg/model/gateway.go).
func (m *Mesh) serverPorts(g *EgressGateway, port int) []int {
	svc := m.gatewayService(g)
	target, ok := m.targetPort(g, svc, port)
	if !ok {
		return nil
	}
	ports := append(make([]int, 0, 2), port)
	if svc != nil {
		for i := range svc.Ports {
			p := &svc.Ports[i]
			if t, _ := m.targetPort(g, svc, p.Port); p.Port != port && t == target {
				ports = append(ports, p.Port)
			}
		}
	}
	if _, ok := m.targetPort(g, svc, target); !ok && target > 0 {
		ports = append(ports, target)
	}
	return ports
}
