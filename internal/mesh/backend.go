package mesh

import (
	"iter"
	"strings"
)

// XBackend is the Gateway API's experimental description of what a route may lead
// to (GEP-4894). Since Istio 1.32, with PILOT_ENABLE_ALPHA_GATEWAY_API, a proxy
// that follows the route dials the host of one of type ExternalHostname itself.
type XBackend struct {
	Meta
	Type             string           `json:"type"`
	Port             BackendPort      `json:"port"`
	ExternalHostname ExternalHostname `json:"externalHostname"`
}

// BackendPort is the port that an XBackend is dialled at.
type BackendPort struct {
	Port int `json:"port"`
}

// ExternalHostname is a host outside of the cluster.
type ExternalHostname struct {
	Hostname string `json:"hostname"`
}

// backendSince is the minor release of Istio from which routes may lead to an
// XBackend.
const backendSince = 32

// Backend returns the XBackend that a backend of a route means; nil where it means
// another kind, or one that is not there. A reference across namespaces counts as
// granted.
func (m *Mesh) Backend(r *Route, b BackendRef) *XBackend {
	if !b.isXBackend() {
		return nil
	}
	m.Spend(lookupSteps)
	x, _ := m.Get(Ref{Kind: "XBackend", Namespace: orDefault(b.Namespace, r.Namespace), Name: b.Name}).(*XBackend)
	return x
}

func (b *BackendRef) isXBackend() bool { return b.Group == groupGatewayX && b.Kind == "XBackend" }

// FollowsBackends reports whether Istio is one that follows routes to XBackends.
func (m *Mesh) FollowsBackends() bool { return m.settings.anyIstio(backendSince) }

// RoutesTo yields the routes that lead to an XBackend.
func (m *Mesh) RoutesTo(x *XBackend) iter.Seq[*Route] {
	return func(yield func(*Route) bool) {
		for r := range m.led.under(x.Namespace + "/" + x.Name + sep) {
			if m.Spend(lookupSteps); !yield(r) {
				return
			}
		}
	}
}

// visitBackends puts a route where it is found by the XBackends it leads to.
func (x *index) visitBackends(r *Route, i indexer) {
	for j := range r.Rules {
		for _, refs := range [][]BackendRef{r.Rules[j].BackendRefs, r.Rules[j].Mirrors} {
			for k := range refs {
				if b := &refs[k]; b.isXBackend() {
					put(i, &x.led, r, orDefault(b.Namespace, r.Namespace), "/", b.Name, sep, ageKey(&r.Meta), sep, r.Kind)
				}
			}
		}
	}
}

// described reports whether the host is one that an XBackend describes: Istio knows
// it without any entry.
func (m *Mesh) described(host string) bool {
	if m.hosted.empty() || !m.settings.anyIstio(backendSince) {
		return false
	}
	for range m.hosted.under(hostPrefix(CanonicalHost(host))) {
		return true
	}
	return false
}

// toBackend is what becomes of traffic for a host that no entry registers and an
// XBackend describes.
func (c *client) toBackend(t traffic, host string, reason Reason, hop Hop) outcome {
	verdict := Direct
	via, gateway := c.leadsOutVia()
	if via {
		verdict = Via
	}
	if c.terse {
		return outcome{verdict: verdict, gateway: gateway, host: host, port: t.port}
	}
	return outcome{
		verdict: verdict, gateway: gateway, hops: []Hop{hop}, host: host, port: t.port,
		because: []Reason{reason.with("traffic goes straight to %s, which an XBackend describes", hostAt(host, t.port))},
	}
}

// BackendTLSPolicy is the Gateway API's way to say with which TLS a Service, or
// with Istio a ServiceEntry, is spoken to. Istio makes a DestinationRule of it for
// each host of its targets (pilot/pkg/config/kube/gateway/backend_policies.go).
type BackendTLSPolicy struct {
	Meta
	TargetRefs []PolicyTarget    `json:"targetRefs"`
	Validation BackendValidation `json:"validation"`
}

// PolicyTarget is what a policy of the Gateway API is about, in its own namespace.
type PolicyTarget struct {
	Group       string `json:"group"`
	Kind        string `json:"kind"`
	Name        string `json:"name"`
	SectionName string `json:"sectionName"` // of a port
}

// BackendValidation says by what a server is recognised. Without authorities it is
// by those of the system.
type BackendValidation struct {
	Hostname                string          `json:"hostname"` // the SNI, too
	SubjectAltNames         []BackendName   `json:"subjectAltNames"`
	CACertificateRefs       []CACertificate `json:"caCertificateRefs"`
	WellKnownCACertificates string          `json:"wellKnownCACertificates"`
}

// BackendName is a name of a certificate.
type BackendName struct {
	Type     string `json:"type"` // Hostname or URI
	Hostname string `json:"hostname"`
	URI      string `json:"uri"`
}

// CACertificate names the object with the authorities.
type CACertificate struct {
	Group string `json:"group"`
	Kind  string `json:"kind"`
	Name  string `json:"name"`
}

// ignorePolicies is the annotation of a policy that Istio does not follow.
const ignorePolicies = "istio.io/ignore-policy-attachment"

// tls are the settings that Istio makes of the policy.
func (p *BackendTLSPolicy) tls() *ClientTLS {
	t := &ClientTLS{Mode: "SIMPLE", SNI: p.Validation.Hostname}
	for _, n := range p.Validation.SubjectAltNames {
		if name := orDefault(n.Hostname, n.URI); name != "" {
			t.SubjectAltNames = append(t.SubjectAltNames, name)
		}
	}
	return t
}

// rule is the DestinationRule that Istio makes of the policy for a host. It keeps
// the Ref of the policy.
func (p *BackendTLSPolicy) rule(host string) *DestinationRule {
	return &DestinationRule{Meta: p.Meta, Host: host, TrafficPolicy: &TrafficPolicy{TLS: p.tls()}}
}

// Rules are the DestinationRules that Istio makes of a policy: none of one that
// says not to, and none for a target that is not there.
func (m *Mesh) Rules(p *BackendTLSPolicy) []*DestinationRule {
	if p.ignored() {
		return nil
	}
	var out []*DestinationRule
	for _, t := range p.TargetRefs {
		m.Spend(lookupSteps)
		switch {
		case t.isService():
			out = append(out, p.rule(m.ServiceHost(p.Namespace, t.Name)))
		case t.Group == groupIstio && t.Kind == "ServiceEntry":
			se, ok := m.Get(Ref{Kind: "ServiceEntry", Namespace: p.Namespace, Name: t.Name}).(*ServiceEntry)
			if !ok {
				continue
			}
			for _, h := range se.Hosts {
				m.Spend(hostSteps)
				out = append(out, p.rule(m.canonical(h)))
			}
		}
	}
	return out
}

func (p *BackendTLSPolicy) ignored() bool {
	return strings.EqualFold(p.Annotations[ignorePolicies], "true")
}

func (t *PolicyTarget) isService() bool { return t.Group == "" && t.Kind == "Service" }

// visitBackendPolicy indexes what a policy makes of Services: to a gateway's, the
// sidecars speak TLS by it. What it makes of an entry's hosts bears on no hop but
// the last, which leaves the mesh whatever TLS it speaks.
func (x *index) visitBackendPolicy(p *BackendTLSPolicy, i indexer) {
	if p.ignored() {
		return
	}
	for _, t := range p.TargetRefs {
		if t.isService() {
			x.visitPolicy(p.rule(t.Name+"."+p.Namespace+x.names.suffix), i)
		}
	}
}
