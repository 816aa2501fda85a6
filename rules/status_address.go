package rules

import (
	"fmt"
	"net/netip"
	"strings"

	jsonv2 "github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/sallyport-io/sallyport/internal/mesh"
	"github.com/sallyport-io/sallyport/internal/rawjson"
	"github.com/sallyport-io/sallyport/internal/told"
)

var statusAddress = &Rule{
	Name: "status-address",
	Doc: `addresses in a status are the cluster's to write

Istio and Kubernetes believe a status. The addresses of a ServiceEntry's are
listened on as if they stood in its spec; those of a Service's load balancer are
led to the Service on every node (CVE-2020-8554); a pod's become endpoints of every
Service that selects it; those of a Gateway of the Gateway API are where ztunnel
sends what is bound to a waypoint, and without one it goes straight out. Whoever
may write a status may write them. That is for the cluster's own machinery:
Kubernetes' controllers, the kubelet of a pod, and the service accounts of platform
namespaces, such as istiod's. A service account of another namespace outside the
mesh, which may be a load balancer's controller, is warned; anybody else is denied.
In files, where nobody knows who will write, addresses that no external host can
have are denied.`,
	Severity: Deny,
	Remedy:   "Leave the status to its controller; if this is one, list its namespace in platformNamespaces of the configuration.",
	Rows:     []string{"K-11", "S-8"},
	Kinds:    []string{"K8sGateway", "Pod", "Service", "ServiceEntry"},
	Check: Each(
		On(func(p *Pass, _ *mesh.ServiceEntry) { judgeStatus(p) }),
		On(func(p *Pass, _ *mesh.Service) { judgeStatus(p) }),
		On(func(p *Pass, _ *mesh.K8sGateway) { judgeStatus(p) }),
		On(func(p *Pass, w *mesh.Workload) {
			// A kubelet reports its own pods: the API server sees to that.
			if !strings.HasPrefix(p.Request.User, "system:node:") {
				judgeStatus(p)
			}
		}),
	),
}

func judgeStatus(p *Pass) {
	now, err := statusAddresses(p.Raw)
	if err != nil {
		p.Reportf("status", "cannot be read") // in words that are the same every time: err's are not
		return
	}
	if p.Request.User == "" {
		for _, a := range now {
			if ip, err := netip.ParseAddr(a.value); err == nil && forbidden(ip.Unmap()) != "" {
				p.Report(Finding{Path: a.path, Severity: p.WarnInPlatform(), Told: told.F("address %s is %s", a.value, told.Plain(forbidden(ip.Unmap())))})
				return // one is enough
			}
		}
		return
	}
	before, _ := statusAddresses(p.OldRaw) // what cannot be read has no addresses that excuse others
	if len(now) == 0 && len(before) == 0 {
		return
	}
	severity, report := p.byMachinery()
	if !report {
		return
	}
	if a, ok := firstWithout(now, before); ok {
		p.Report(Finding{Severity: severity, Path: a.path, Told: told.F(
			"address %s in the status of %s is believed, and user %q is none of those who find it out", a.value, p.Subject.Metadata().Ref, told.Plain(p.Request.User))})
	}
	if _, ok := p.Subject.(*mesh.K8sGateway); !ok {
		return
	}
	if a, ok := firstWithout(before, now); ok {
		p.Report(Finding{Severity: severity, Path: "status.addresses", Told: told.F(
			"without address %s in the status of %s a waypoint counts as not ready, and what is bound to it goes straight out", a.value, p.Subject.Metadata().Ref)})
	}
}

// stated is an address in a status.
type stated struct {
	path, value string
	host        string // for which of an entry's hosts it is
}

// firstWithout returns the first address of a list that another list lacks. One
// is enough to refuse the write.
func firstWithout(list, other []stated) (stated, bool) {
	known := make(map[stated]bool, len(other))
	for _, a := range other {
		known[stated{value: a.value, host: a.host}] = true
	}
	for _, a := range list {
		if !known[stated{value: a.value, host: a.host}] {
			return a, true
		}
	}
	return stated{}, false
}

// statusAddresses returns the addresses in an object's status that somebody
// leads traffic to.
func statusAddresses(raw []byte) ([]stated, error) {
	status := rawjson.Member(raw, "status")
	if len(status) == 0 {
		return nil, nil
	}
	var w struct {
		Addresses []struct { // ServiceEntry, Gateway
			Value string `json:"value"`
			Host  string `json:"host"`
		} `json:"addresses"`
		PodIP  string `json:"podIP"`
		PodIPs []struct {
			IP string `json:"ip"`
		} `json:"podIPs"`
		LoadBalancer struct {
			Ingress []struct {
				IP       string `json:"ip"`
				Hostname string `json:"hostname"`
			} `json:"ingress"`
		} `json:"loadBalancer"`
	}
	if err := jsonv2.Unmarshal(status, &w, jsontext.AllowInvalidUTF8(true)); err != nil {
		return nil, err
	}
	var out []stated
	add := func(value, path string, args ...any) {
		if value != "" {
			out = append(out, stated{path: fmt.Sprintf("status."+path, args...), value: value})
		}
	}
	for i, a := range w.Addresses {
		out = append(out, stated{fmt.Sprintf("status.addresses[%d].value", i), a.Value, a.Host})
	}
	for i, a := range w.LoadBalancer.Ingress {
		add(a.IP, "loadBalancer.ingress[%d].ip", i)
		add(a.Hostname, "loadBalancer.ingress[%d].hostname", i)
	}
	for i, a := range w.PodIPs {
		add(a.IP, "podIPs[%d].ip", i)
	}
	if len(w.PodIPs) == 0 {
		add(w.PodIP, "podIP")
	}
	return out, nil
}
