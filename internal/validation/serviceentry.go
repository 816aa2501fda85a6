package validation

import (
	"slices"
	"strings"

	networking "istio.io/api/networking/v1alpha3"
)

const useWaypoint = "istio.io/use-waypoint"

// serviceEntry checks a ServiceEntry (ValidateServiceEntry).
func (c *checker) serviceEntry(e *networking.ServiceEntry) {
	c.selectorLabels("spec.workloadSelector", e.GetWorkloadSelector())
	hosts, resolution := e.GetHosts(), e.GetResolution()
	if len(hosts) == 0 {
		c.refuse("spec.hosts", "is empty: a ServiceEntry registers at least one host")
	}
	for i, h := range hosts {
		if h != "*" { // the schema has said it
			c.domain(index("spec.hosts", i), h)
		}
	}
	for i, a := range e.GetAddresses() {
		c.subnet(index("spec.addresses", i), a)
	}
	c.servicePorts(e)
	c.endpoints(e)
	if resolution == networking.ServiceEntry_DYNAMIC_DNS {
		c.dynamicDNS(e)
	}
	c.exportTo(e.GetExportTo(), true, false)
}

// servicePorts checks the ports of a ServiceEntry.
func (c *checker) servicePorts(e *networking.ServiceEntry) {
	names, numbers := map[string]int{}, map[uint32]int{}
	for i, p := range e.GetPorts() {
		path := index("spec.ports", i)
		if first, ok := names[p.GetName()]; ok {
			c.refuse(path+".name", "%s is the name of spec.ports[%d] already", p.GetName(), first)
		} else {
			names[p.GetName()] = i
		}
		if first, ok := numbers[p.GetNumber()]; ok {
			c.refuse(path+".number", "%d is the number of spec.ports[%d] already", p.GetNumber(), first)
		} else {
			numbers[p.GetNumber()] = i
		}
		c.portName(path+".name", p.GetName())
		c.protocol(path+".protocol", p.GetProtocol(), true)
		c.port(path+".number", p.GetNumber())
		c.optionalPort(path+".targetPort", p.GetTargetPort())
		if n := len(e.GetHosts()); n > 1 && e.GetResolution() != networking.ServiceEntry_NONE && !isHTTP(p.GetProtocol()) && !isTLS(p.GetProtocol()) {
			c.refuse(path, "traffic of this port does not name its host, and the entry has %d; give each host an entry of its own", n)
		}
	}
}

// endpoints checks the endpoints of a ServiceEntry, and the hosts that are looked up in
// their place.
func (c *checker) endpoints(e *networking.ServiceEntry) {
	names := []string{} // none, and not unknown
	for _, p := range e.GetPorts() {
		names = append(names, p.GetName())
	}
	looksUp := false
	switch e.GetResolution() {
	case networking.ServiceEntry_STATIC:
		for i, w := range e.GetEndpoints() {
			c.workloadEntry(index("spec.endpoints", i), w, names, false)
		}
	case networking.ServiceEntry_DNS, networking.ServiceEntry_DNS_ROUND_ROBIN:
		looksUp = true
	}
	if !looksUp {
		return
	}
	for i, w := range e.GetEndpoints() {
		path := index("spec.endpoints", i)
		if strings.HasPrefix(w.GetAddress(), "*") {
			c.refuse(path+".address", "%q is no name to look up", w.GetAddress())
		} else {
			c.fqdnOrAddress(path+".address", w.GetAddress())
		}
		c.labels(path+".labels", w.GetLabels())
		c.endpointPorts(path+".ports", w.GetPorts(), names)
	}
	if len(e.GetEndpoints()) > 0 {
		return
	}
	for i, h := range e.GetHosts() {
		switch path := index("spec.hosts", i); {
		case strings.HasPrefix(h, "*"):
			c.refuse(path, "resolution %s looks the host up, and %q is no name; give endpoints, or name the hosts", e.GetResolution(), h)
		case notAHost(h, true) == "": // else it is said already
			c.fqdn(path, h)
		}
	}
}

// endpointPorts checks the ports of an endpoint: names of the ports of its entry, where
// there is one.
func (c *checker) endpointPorts(path string, ports map[string]uint32, names []string) {
	for _, name := range sorted(ports) {
		at := key(path, name)
		if names != nil && !slices.Contains(names, name) {
			c.refuse(at, "the entry has no port of that name")
		}
		c.portName(at, name)
		c.port(at, ports[name])
	}
}

// dynamicDNS checks an entry whose hosts are looked up when they are called.
func (c *checker) dynamicDNS(e *networking.ServiceEntry) {
	for i, h := range e.GetHosts() {
		if !strings.HasPrefix(h, "*") {
			c.refuse(index("spec.hosts", i), "resolution DYNAMIC_DNS is for hosts with a wildcard; write resolution: DNS")
		}
	}
	if len(e.GetAddresses()) > 0 {
		c.refuse("spec.addresses", "resolution DYNAMIC_DNS takes none")
	}
	if len(e.GetEndpoints()) > 0 {
		c.refuse("spec.endpoints", "resolution DYNAMIC_DNS takes none")
	}
	for i, p := range e.GetPorts() {
		if !slices.Contains([]string{"http", "tls", "grpc", "http2"}, strings.ToLower(p.GetProtocol())) {
			c.refuse(index("spec.ports", i)+".protocol", "resolution DYNAMIC_DNS takes HTTP, HTTP2, GRPC and TLS alone")
		}
	}
	if w := c.Labels[useWaypoint]; e.GetLocation() == networking.ServiceEntry_MESH_INTERNAL && w != "" && !strings.EqualFold(w, "none") {
		c.refuse("spec.location", "MESH_INTERNAL with resolution DYNAMIC_DNS cannot have a waypoint, and the label %s names one", useWaypoint)
	}
}

// workloadEntry checks an endpoint that may stand alone (validateWorkloadEntry). The names
// are those of the ports of its entry, nil where there is none.
func (c *checker) workloadEntry(path string, w *networking.WorkloadEntry, names []string, byName bool) {
	address := w.GetAddress()
	switch {
	case address == "" && w.GetNetwork() == "":
		c.refuse(path+".address", "missing: an endpoint needs an address or a network")
		return
	case address == "" || isAddress(address):
	case strings.HasPrefix(address, unix):
		c.socket(path+".address", address)
		if len(w.GetPorts()) > 0 {
			c.refuse(path+".ports", "a Unix domain socket has no ports")
		}
		if names != nil && len(names) != 1 {
			c.refuse(path+".address", "a Unix domain socket serves one port, and the entry has %d", len(names))
		}
	case byName:
		c.fqdn(path+".address", address)
	default:
		c.refuse(path+".address", "%q is no IP address, and resolution STATIC looks no name up; write resolution: DNS", address)
	}
	c.endpointPorts(path+".ports", w.GetPorts(), names)
	c.labels(path+".labels", w.GetLabels())
}

// workloadGroup checks a WorkloadGroup (ValidateWorkloadGroup).
func (c *checker) workloadGroup(g *networking.WorkloadGroup) {
	c.labels("spec.metadata.labels", g.GetMetadata().GetLabels())
	probe := g.GetProbe()
	if probe == nil {
		return
	}
	const path = "spec.probe"
	switch m := probe.GetHealthCheckMethod().(type) {
	case *networking.ReadinessProbe_HttpGet:
		c.port(path+".httpGet.port", m.HttpGet.GetPort())
		if s := m.HttpGet.GetScheme(); s != "" && s != "HTTP" && s != "HTTPS" {
			c.refuse(path+".httpGet.scheme", "%q is neither HTTP nor HTTPS", s)
		}
		for i, h := range m.HttpGet.GetHttpHeaders() {
			if !probeHeader.MatchString(h.GetName()) {
				c.refuse(index(path+".httpGet.httpHeaders", i)+".name", "%q is not the name of a header", h.GetName())
			}
		}
	case *networking.ReadinessProbe_TcpSocket:
		c.port(path+".tcpSocket.port", m.TcpSocket.GetPort())
	case *networking.ReadinessProbe_Exec:
		if len(m.Exec.GetCommand()) == 0 {
			c.refuse(path+".exec.command", "missing: a probe runs a command")
		}
	default:
		// A gRPC probe too: Istio's webhook does not know it.
		c.refuse(path, "has neither httpGet, nor tcpSocket, nor exec")
	}
}
