package gen

import "fmt"

// lane is the way of one port: how the application speaks, how the sidecar
// speaks to the gateway, and how the gateway routes.
type lane struct {
	port     int    // of the ServiceEntry
	protocol string // of the ServiceEntry's port
	class    string // of the mesh rule: http, tls, tcp
	target   int    // targetPort; 0 for none

	gwPort     int
	gwProtocol string
	gwMode     string // of the server's tls; empty for none
	gwClass    string // of the gateway's rule
	originates bool
}

func (g *generator) httpLane() lane {
	l := lane{
		port: pick(g, 80, 80, 80, 8080), protocol: pick(g, "HTTP", "HTTP", "HTTP", "HTTP2", "GRPC"), class: "http",
		gwPort: 80, gwProtocol: "HTTP", gwClass: "http",
	}
	if g.chance(60) {
		l.gwPort, l.gwProtocol, l.gwMode = pick(g, 443, 443, 15443), "HTTPS", "ISTIO_MUTUAL"
		if g.chance(40) {
			l.target, l.originates = 443, true
		}
	}
	return l
}

func (g *generator) tlsLane() lane {
	l := lane{
		port: pick(g, 443, 443, 443, 8443), protocol: pick(g, "TLS", "HTTPS"), class: "tls",
		gwPort: pick(g, 443, 443, 15443), gwProtocol: "TLS", gwMode: "PASSTHROUGH", gwClass: "tls",
	}
	if g.chance(50) {
		l.gwMode, l.gwClass = "ISTIO_MUTUAL", "tcp"
	}
	return l
}

func (g *generator) tcpLane() lane {
	return lane{
		port: pick(g, 5432, 3306, 27017), protocol: pick(g, "TCP", "TCP", "MONGO"), class: "tcp",
		gwPort: pick(g, 443, 15443, 15443), gwProtocol: "TLS", gwMode: "ISTIO_MUTUAL", gwClass: "tcp",
	}
}

func (g *generator) lanes() []lane {
	switch g.choose(30, 25, 15, 25, 5) {
	case 0:
		return []lane{g.httpLane()}
	case 1:
		return []lane{g.tlsLane()}
	case 2:
		return []lane{g.tcpLane()}
	case 3:
		return []lane{g.httpLane(), g.tlsLane()}
	default:
		return []lane{g.httpLane(), g.tlsLane(), g.tcpLane()}
	}
}

// nextHost is the host of one more set: one that there is already in so many of a
// hundred cases.
func (g *generator) nextHost(again int) string {
	g.sets++
	host := fmt.Sprintf("%s%d.partner.com", pick(g, "api", "db", "www"), g.sets)
	if len(g.hosts) > 0 && g.chance(again) {
		host = pick(g, g.hosts...)
	}
	g.hosts = append(g.hosts, host)
	return host
}

// set adds everything that one host needs, in one of several layouts.
func (g *generator) set() {
	host := g.nextHost(25)
	s := set{generator: g, host: host, lanes: g.lanes(), owner: pick(g, namespaces[:4]...)}
	switch g.choose(45, 35, 10, 10) {
	case 0:
		s.public()
	case 1:
		s.private()
	case 2:
		s.wildcard()
	default:
		s.behindGateway()
	}
}

// set is one host on its way to the gateway.
type set struct {
	*generator
	host    string
	lanes   []lane
	owner   string // namespace of the ServiceEntry
	gateway string // "namespace/name" of the Gateway
	subsets []string
}

// public is one registration for everybody: one ServiceEntry, visible to all,
// with one VirtualService for both hops or two.
func (s *set) public() {
	exportTo := pick(s.generator, nil, nil, strs("*"))
	s.entry(s.owner, exportTo)
	gwNS := pick(s.generator, rootNS, rootNS, s.owner, "egress-cfg")
	routeNS := pick(s.generator, s.owner, s.owner, gwNS, "egress-cfg")
	s.gatewayFor(gwNS, routeNS)
	s.clientRule(rootNS, nil)
	s.origination(rootNS)
	if s.chance(60) {
		s.virtualService(routeNS, exportTo, true, true)
		return
	}
	s.virtualService(routeNS, exportTo, true, false)
	s.virtualService(routeNS, pick(s.generator, nil, strs("*")), false, true)
}

// private is a registration for the owner's namespace and another one for the
// gateway: the layout of Sallyport's own companions.
func (s *set) private() {
	s.entry(s.owner, strs("."))
	s.entry(rootNS, strs("."))
	s.gatewayFor(rootNS, rootNS)
	if s.chance(70) {
		s.clientRule(rootNS, nil)
	} else {
		s.clientRule(s.owner, strs("."))
	}
	s.origination(rootNS)
	s.virtualService(s.owner, strs("."), true, false)
	s.virtualService(rootNS, strs("."), false, true)
}

// wildcard sends every host of a domain to one of them.
func (s *set) wildcard() {
	s.lanes = []lane{s.tlsLane()}
	if s.chance(30) {
		s.lanes[0] = s.httpLane()
		s.lanes[0].originates, s.lanes[0].target = false, 0
	}
	l := s.lanes[0]
	domain, server := "*."+s.host, "www."+s.host
	s.add("ServiceEntry", s.owner, Object{
		"hosts": strs(domain), "resolution": "NONE",
		"ports": []any{Object{"number": l.port, "name": l.class, "protocol": l.protocol}},
	})
	s.host = server
	s.entry(s.owner, nil)
	s.host = domain
	s.gatewayFor(rootNS, s.owner)
	s.clientRule(rootNS, nil)
	spec := Object{"hosts": strs(domain), "gateways": strs("mesh", s.gateway)}
	spec[l.class] = []any{s.rule("mesh", l.class, l.port, gatewayHost, s.subsets[0], l.gwPort)}
	rules, _ := spec[l.gwClass].([]any)
	spec[l.gwClass] = append(rules, s.rule(s.gateway, l.gwClass, l.gwPort, server, "", l.port))
	s.add("VirtualService", s.owner, spec)
}

// behindGateway registers the host to the clients with the gateway as its
// endpoint, and to the gateway with the real one.
func (s *set) behindGateway() {
	s.lanes = []lane{s.httpLane()}
	l := &s.lanes[0]
	l.gwMode, l.gwProtocol, l.gwPort, l.originates, l.target = "", "HTTP", 80, false, 0
	s.add("ServiceEntry", s.owner, Object{
		"hosts": strs(s.host), "exportTo": strs("."), "resolution": "DNS", "location": pick(s.generator, "MESH_EXTERNAL", "MESH_INTERNAL"),
		"ports":     []any{Object{"number": l.port, "name": "http", "protocol": l.protocol}},
		"endpoints": []any{Object{"address": gatewayHost, "ports": Object{"http": 80}}},
	})
	s.entry(rootNS, strs("."))
	s.gatewayFor(rootNS, rootNS)
	s.virtualService(rootNS, strs("."), false, true)
}

func (s *set) entry(ns string, exportTo []any) {
	var ports []any
	var addresses []any
	for i, l := range s.lanes {
		port := Object{"number": l.port, "name": fmt.Sprintf("%s-%d", l.class, i), "protocol": l.protocol}
		if l.target != 0 {
			port["targetPort"] = l.target
		}
		ports = append(ports, port)
		if l.class == "tcp" && !s.chance(25) {
			addresses = strs(fmt.Sprintf("198.51.100.%d", s.sets))
		}
	}
	spec := Object{"hosts": strs(s.host), "ports": ports, "resolution": "DNS"}
	if s.chance(40) {
		spec["location"] = "MESH_EXTERNAL"
	}
	if addresses != nil {
		spec["addresses"] = addresses
	}
	if s.chance(20) {
		spec["resolution"] = "STATIC"
		spec["endpoints"] = []any{Object{"address": fmt.Sprintf("203.0.113.%d", s.sets)}}
	}
	if exportTo != nil {
		spec["exportTo"] = exportTo
	}
	s.add("ServiceEntry", ns, spec)
}

// gatewayFor adds the Gateway, whose hosts are open to the namespace that
// routes them.
func (s *set) gatewayFor(ns, routeNS string) {
	host := pick(s.generator, s.host, routeNS+"/"+s.host, routeNS+"/"+s.host, "*/"+s.host)
	if ns == routeNS && s.chance(30) {
		host = "./" + s.host
	}
	var servers []any
	for i, l := range s.lanes {
		server := Object{
			"hosts": strs(host),
			"port":  Object{"number": l.gwPort, "name": fmt.Sprintf("p%d-%d", s.sets, i), "protocol": l.gwProtocol},
		}
		if l.gwMode != "" {
			server["tls"] = Object{"mode": l.gwMode}
		}
		servers = append(servers, server)
	}
	gw := s.add("Gateway", ns, Object{"selector": Object{"istio": "egressgateway"}, "servers": servers})
	s.gateway = ns + "/" + name(gw)
}

// clientRule adds the DestinationRule for the hop to the gateway.
func (s *set) clientRule(ns string, exportTo []any) {
	var subsets []any
	s.subsets = nil
	for i, l := range s.lanes {
		subset := Object{"name": fmt.Sprintf("s%d-%d", s.sets, i)}
		if l.gwMode == "ISTIO_MUTUAL" {
			tls := Object{"mode": "ISTIO_MUTUAL", "sni": sniOf(s.host)}
			if s.chance(50) {
				subset["trafficPolicy"] = Object{"tls": tls}
			} else {
				subset["trafficPolicy"] = Object{"portLevelSettings": []any{Object{"port": Object{"number": l.gwPort}, "tls": tls}}}
			}
		}
		subsets = append(subsets, subset)
		s.subsets = append(s.subsets, subset["name"].(string))
	}
	spec := Object{"host": gatewayHost, "subsets": subsets}
	if exportTo != nil {
		spec["exportTo"] = exportTo
	}
	s.add("DestinationRule", ns, spec)
}

// sniOf is an SNI that a server for the host accepts.
func sniOf(host string) string {
	if host[0] == '*' {
		return "any" + host[1:]
	}
	return host
}

func (s *set) origination(ns string) {
	for _, l := range s.lanes {
		if l.originates {
			s.add("DestinationRule", ns, Object{"host": s.host, "exportTo": strs("."), "trafficPolicy": Object{
				"portLevelSettings": []any{Object{"port": Object{"number": l.port}, "tls": Object{"mode": "SIMPLE"}}},
			}})
		}
	}
}

// virtualService routes the mesh hop, the gateway hop, or both.
func (s *set) virtualService(ns string, exportTo []any, mesh, gateway bool) {
	spec := Object{"hosts": strs(s.host)}
	var gateways []string
	if mesh {
		gateways = append(gateways, "mesh")
		for i, l := range s.lanes {
			rules, _ := spec[l.class].([]any)
			spec[l.class] = append(rules, s.rule("mesh", l.class, l.port, gatewayHost, s.subsets[i], l.gwPort))
		}
	}
	if gateway {
		gateways = append(gateways, s.gateway)
		for _, l := range s.lanes {
			rules, _ := spec[l.gwClass].([]any)
			spec[l.gwClass] = append(rules, s.rule(s.gateway, l.gwClass, l.gwPort, s.host, "", l.port))
		}
	}
	spec["gateways"] = strs(gateways...)
	if exportTo != nil {
		spec["exportTo"] = exportTo
	}
	s.add("VirtualService", ns, spec)
}

func (s *set) rule(gateway, class string, port int, host, subset string, toPort int) Object {
	match := Object{"gateways": strs(gateway), "port": port}
	if class == "tls" {
		match["sniHosts"] = strs(s.host)
	}
	destination := Object{"host": host, "port": Object{"number": toPort}}
	if subset != "" {
		destination["subset"] = subset
	}
	return Object{"match": []any{match}, "route": []any{Object{"destination": destination}}}
}
