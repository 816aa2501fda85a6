package companion

import (
	"fmt"
	"slices"
	"strings"

	"github.com/sallyport-io/sallyport/internal/mesh"
	"github.com/sallyport-io/sallyport/internal/told"
)

// tlsPort is the port on which servers expect TLS.
const tlsPort = 443

// wayOut names, for messages, the proxies on a way out of the mesh.
type wayOut struct {
	client, proxy told.Text
	full          told.Text // the proxy, where the text has not named it before
	guesses       told.Text // what becomes of a port without a protocol
}

var (
	throughGateway = wayOut{
		client: "a sidecar", proxy: "gateway", full: "egress gateway",
		guesses: "a sidecar would guess it from the first bytes and send whatever is not HTTP straight out",
	}
	throughWaypoint = wayOut{
		client: "ztunnel", proxy: "waypoint", full: "waypoint",
		guesses: "a waypoint would guess it from the first bytes of every connection",
	}
)

// upstream is what the gateway does with the traffic for one port of a host.
// Two claims on the port agree exactly when their upstreams are equal.
type upstream struct {
	port       int
	protocol   string // of the gateway's registration
	targetPort int    // where it differs from port, else 0
	to         int    // the port of the registration that the gateway routes to
	originate  bool   // the gateway speaks TLS to the host
	credential string // the Secret with the client certificate that it presents
}

func (u upstream) class() mesh.Class { return mesh.ClassOf(u.protocol) }

// says describes the upstream for a message.
func (u upstream) says(by wayOut) string {
	s := fmt.Sprintf("%s to port %d", u.protocol, max(u.to, u.targetPort))
	if u.originate {
		s += " with TLS originated at the " + string(by.proxy)
	}
	if u.credential != "" {
		s += " and a client certificate" // whose it is is nobody else's business
	}
	return s
}

// upstreams reads an entry's ports. Three forms ask the gateway to originate
// TLS for an HTTP port: targetPort 443, the number 443 itself, and the
// annotation; a fourth is not in the entry, see takeOver.
func upstreams(s mesh.Settings, entry *mesh.ServiceEntry, host string, by wayOut) ([]upstream, []Refusal) {
	if r, ok := steered(entry, by); ok {
		return nil, []Refusal{r}
	}
	credential, err := credentialFor(s, entry, host)
	if err != nil {
		return nil, []Refusal{*err}
	}
	originate := entry.Annotations[mesh.OriginateTLSAnnotation] == "true"
	// An HTTP port numbered 443 is Istio's own way to write "HTTP inside,
	// TLS outside"; its plain sibling 80 is then sent there as well.
	paired := false
	for _, p := range entry.Ports {
		paired = paired || p.Number == tlsPort && mesh.ClassOf(p.Protocol) == mesh.HTTPLike
	}
	var out []upstream
	var refused []Refusal
	for i, p := range entry.Ports {
		u := upstream{port: p.Number, to: p.Number}
		if p.TargetPort != p.Number {
			u.targetPort = p.TargetPort
		}
		switch mesh.ClassOf(p.Protocol) {
		case mesh.HTTPLike:
			u.protocol = strings.ToUpper(p.Protocol)
			switch {
			case p.Number == 80 && p.TargetPort == 0 && paired:
				u.to, u.originate = tlsPort, true
			case p.Number == tlsPort, p.TargetPort == tlsPort:
				u.originate = true
			case originate:
				u.originate = true
				if p.Number == 80 && p.TargetPort == 0 {
					u.targetPort = tlsPort
				}
			}
		case mesh.TLSLike:
			u.protocol = "TLS"
		case mesh.TCPLike:
			u.protocol = "TCP"
		case mesh.UDPLike:
			continue // Istio routes no UDP
		case mesh.Sniffed:
			refused = append(refused, Refusal{
				Entry:   entry.Ref,
				Path:    fmt.Sprintf("spec.ports[%d].protocol", i),
				Told:    told.F("port %d has no protocol that Istio knows: %s", p.Number, by.guesses),
				ToldFix: told.F("protocol: %s", told.Plain(likelyProtocol(p.Number))),
			})
			continue
		}
		if u.originate {
			u.credential = credential
		}
		out = append(out, u)
	}
	if credential != "" && !slices.ContainsFunc(out, func(u upstream) bool { return u.originate }) {
		refused = append(refused, Refusal{
			Entry:   entry.Ref,
			Path:    annotationField(asksBy(entry)),
			Told:    told.F("the entry asks for a client certificate, and for none of its ports does the %s originate TLS", by.proxy),
			ToldFix: mesh.OriginateTLSAnnotation + `: "true"`,
		})
	}
	return out, refused
}

// credentialFor returns the Secret with the client certificate that an entry
// asks for, empty where it asks for none. Only what the administrator has
// listed for the namespace and the host is given, and whether there is more is
// not said.
func credentialFor(s mesh.Settings, entry *mesh.ServiceEntry, host string) (secret string, refused *Refusal) {
	name, issuer := entry.Annotations[mesh.ClientCertificateAnnotation], entry.Annotations[mesh.IssuerAnnotation]
	switch {
	case name != "" && issuer != "":
		return "", &Refusal{
			Entry:   entry.Ref,
			Path:    annotationField(mesh.IssuerAnnotation),
			Told:    "the entry asks for a client certificate by name and for one of an issuer",
			ToldFix: "Remove one of the annotations " + mesh.ClientCertificateAnnotation + " and " + mesh.IssuerAnnotation + ".",
		}
	case issuer != "":
		return grantedTo(s, entry, host, issuer)
	case name == "":
		return "", nil
	}
	for _, c := range s.Credentials {
		if c.Name == name && slices.Contains(c.Hosts, host) && slices.Contains(c.Namespaces, entry.Namespace) {
			return c.Secret, nil
		}
	}
	return "", &Refusal{
		Entry:   entry.Ref,
		Path:    annotationField(mesh.ClientCertificateAnnotation),
		Told:    told.F("no client certificate %q is configured for namespace %s and host %s", entry.Tell().As(name), told.Namespace(entry.Namespace), told.Host(host)),
		ToldFix: "Ask the platform team to list it under credentials in Sallyport's configuration, or remove the annotation.",
	}
}

func annotationField(name string) string { return fmt.Sprintf("metadata.annotations[%q]", name) }

func likelyProtocol(port int) string {
	switch port {
	case 80, 8080:
		return "HTTP"
	case tlsPort, 8443:
		return "TLS"
	default:
		return "TCP"
	}
}

// steered refuses a tenant's endpoints: the gateway is shared, and what it
// dials for a host must not be one tenant's choice.
func steered(entry *mesh.ServiceEntry, by wayOut) (Refusal, bool) {
	field, what := "", ""
	switch {
	case len(entry.Endpoints) > 0:
		field, what = "spec.endpoints", "endpoints"
	case entry.WorkloadLabels != nil:
		field, what = "spec.workloadSelector", "a workloadSelector"
	default:
		return Refusal{}, false
	}
	return Refusal{
		Entry:   entry.Ref,
		Path:    field,
		Told:    told.F("the entry brings %s: the %s serves everybody and resolves the host by DNS, so that no entry can steer it", told.Plain(what), by.full),
		ToldFix: told.F("Remove %s and set resolution: DNS, or ask the platform team to register the host with its endpoints beside the %s.", told.Plain(field), by.proxy),
	}, true
}

// portField is the JSON path of a claim's port.
func portField(c *claim, u upstream) string {
	i := slices.IndexFunc(c.entry.Ports, func(p mesh.ServicePort) bool { return p.Number == u.port })
	return fmt.Sprintf("spec.ports[%d]", max(i, 0))
}

// unregistered returns the refusal of a claim's port that the gateway's own
// registration lacks.
func unregistered(c *claim, u upstream, own *claim) Refusal {
	return Refusal{
		Entry:       c.entry.Ref,
		Path:        portField(c, u),
		Told:        told.F("port %d is not among those of %s, by which the gateway knows the host", u.port, own.entry.Ref),
		ToldFix:     told.F("Ask the platform team to add port %d to %s, or to remove that entry.", u.port, own.entry.Ref),
		With:        own.entry.Ref,
		Outranked:   true,
		ToldReverse: told.F("port %d, which another claim on the host has, is not among those of this entry, by which the gateway knows the host", u.port),
		ReversePath: "spec.ports",
	}
}

// contradiction returns the refusal of a claim's port where an earlier claim
// wants something else of it.
func (p *plan) contradiction(c *claim, u upstream, other *claim, have upstream) Refusal {
	return Refusal{
		Entry: c.entry.Ref,
		Path:  portField(c, u),
		Told: told.F("port %d is %s here and %s in %s: the %s can do only one of them",
			u.port, told.Plain(u.says(p.by)), told.Host(p.host).Detail(have.says(p.by)), p.asSeen(c, other), p.by.proxy),
		ToldFix: told.F("Declare the port as it is there, or use another port; about the host ask %s.",
			told.Plain(p.mesh.Contact(c.entry.Namespace, p.host))),
		With:      other.entry.Ref,
		Outranked: other.rank < c.rank,
		ToldReverse: told.F("port %d is %s here and %s in %s: the %s can do only one of them",
			u.port, told.Plain(have.says(p.by)), told.Host(p.host).Detail(u.says(p.by)), p.asSeen(other, c), p.by.proxy),
		ReversePath: portField(other, have),
	}
}

// asSeen names another claim to the owner of one. What is in another namespace,
// unless it is the platform's, is nobody else's business.
func (p *plan) asSeen(c, other *claim) told.Text {
	switch {
	case other.entry.Namespace == c.entry.Namespace, other.rank == platformRank:
		return other.entry.Tell().Text()
	case other.rank == ownerRank && c.rank > ownerRank:
		return "an entry of the host's owner"
	default:
		return "an entry of another namespace"
	}
}
