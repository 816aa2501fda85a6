package doctor

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/labels"

	"github.com/sallyport-io/sallyport/internal/mesh"
)

// setting is one TLS setting of a DestinationRule for the gateway, where and
// to what it applies.
type setting struct {
	path string
	tls  *mesh.ClientTLS // nil: nothing is said
}

// settings are the TLS settings that a DestinationRule makes: its own, those
// of single ports, and those of subsets, which have the rule's own where they
// have none (getSubsetTrafficPolicy in Istio's pilot/pkg/networking/core).
func settings(dr *mesh.DestinationRule) []setting {
	var all []setting
	top := of("spec.trafficPolicy", dr.TrafficPolicy)
	subsets := dr.Subsets
	if len(subsets) == 0 {
		return top
	}
	for i, s := range subsets {
		own := of(fmt.Sprintf("spec.subsets[%d].trafficPolicy", i), s.TrafficPolicy)
		if len(own) == 1 && own[0].tls == nil {
			own = top
		}
		all = append(all, own...)
	}
	return all
}

func of(path string, p *mesh.TrafficPolicy) []setting {
	if p == nil {
		return []setting{{path: path}}
	}
	var all []setting
	for i, port := range p.PortLevelSettings {
		if port.TLS != nil {
			all = append(all, setting{fmt.Sprintf("%s.portLevelSettings[%d].tls", path, i), port.TLS})
		}
	}
	if p.TLS != nil || len(all) == 0 {
		all = append(all, setting{path + ".tls", p.TLS})
	}
	return all
}

// rulesFor are the DestinationRules for a gateway's Service, of whatever
// namespace: each holds for somebody.
func (f *Facts) rulesFor(g mesh.EgressGateway) []*mesh.DestinationRule {
	var drs []*mesh.DestinationRule
	domain := f.Mesh().Settings().ClusterDomain
	host := g.Host(domain)
	for o := range f.Mesh().All("DestinationRule") {
		dr := o.(*mesh.DestinationRule)
		if mesh.HostCovers(mesh.ResolveHost(dr.Host, dr.Namespace, domain), host) {
			drs = append(drs, dr)
		}
	}
	return drs
}

var gatewayMutualTLS = &Check{
	Name:  "gateway-mutual-tls",
	Group: groupGateway,
	Doc: `sidecars and egress gateway speak mutual TLS

Only with mutual TLS does the gateway know which workload sends, and can nobody
read or forge what goes between. Sallyport's configuration must ask for it
(mutualTLS), no DestinationRule for the gateway's Service may turn it off, no
PeerAuthentication may disable it for the gateway's pods, and every server of a
Gateway on it must ask for the client's certificate.`,
	Sources: []string{taskPage + "#troubleshooting", "https://istio.io/latest/docs/reference/config/security/peer_authentication/"},
	Steps:   []int{1},
	Check: func(e *Exam) {
		if !e.need(kinds("DestinationRule", "PeerAuthentication", "Gateway", "Service", "Pod")...) {
			return
		}
		var without []string // revisions whose sidecars do not choose mutual TLS themselves
		for _, m := range e.readable() {
			if !m.AutoMTLS {
				without = append(without, m.ref.Name)
			}
		}
		for _, g := range e.Settings.Gateways {
			at, mark := serviceRef(g), e.mark()
			if !g.MutualTLS {
				e.fail(at, "", "Remove mutualTLS: false of gateway "+g.Name+" from Sallyport's configuration; companions follow.", "the configuration says that sidecars speak to this gateway without mutual TLS")
				continue
			}
			e.clientSettings(g, without)
			e.peerSettings(g)
			e.servers(g)
			e.passed(mark, at, "", "ISTIO_MUTUAL on both sides, PeerAuthentication %s", e.effective(g, ""))
		}
	},
}

// clientSettings looks at what sidecars are told.
func (e *Exam) clientSettings(g mesh.EgressGateway, withoutAuto []string) {
	for _, dr := range e.rulesFor(g) {
		for _, s := range settings(dr) {
			edit := kubectl("-n %s edit destinationrule %s   # tls: {mode: ISTIO_MUTUAL, sni: HOST}", dr.Namespace, dr.Name)
			switch {
			case s.tls == nil && len(withoutAuto) > 0:
				e.fail(dr.Ref, s.path, edit, "it says nothing about TLS, and enableAutoMtls is false in %s: traffic goes in clear", strings.Join(withoutAuto, ", "))
			case s.tls != nil && s.tls.Mode == "DISABLE":
				e.fail(dr.Ref, s.path+".mode", edit, "DISABLE: sidecars speak to the gateway in clear")
			case s.tls != nil && s.tls.Mode != "ISTIO_MUTUAL":
				e.fail(dr.Ref, s.path+".mode", edit, "%s: sidecars do not show the gateway the identity that Istio gave them", s.tls.Mode)
			}
		}
	}
}

// peerSettings looks at what the gateway's pods are told.
func (e *Exam) peerSettings(g mesh.EgressGateway) {
	for _, p := range e.peersFor(g) {
		at := ref("PeerAuthentication", &p.ObjectMeta)
		edit := kubectl("-n %s edit peerauthentication %s   # mtls: {mode: STRICT}", p.Namespace, p.Name)
		if p.Spec.MTLS.Mode == "DISABLE" {
			e.fail(at, "spec.mtls.mode", edit, "DISABLE: sidecars that choose by themselves speak to the gateway's pods in clear")
		}
		for _, port := range slices.Sorted(maps.Keys(p.Spec.PortLevelMTLS)) {
			if p.Spec.PortLevelMTLS[port].Mode == "DISABLE" {
				e.fail(at, fmt.Sprintf("spec.portLevelMtls[%q].mode", port), edit, "DISABLE: sidecars that choose by themselves speak to port %s of the gateway's pods in clear", port)
			}
		}
	}
}

// peersFor are the PeerAuthentications in force for a gateway's pods: the one
// that selects them, else its namespace's, else the mesh's. The oldest of
// several counts (ComposePeerAuthentication in Istio's
// pilot/pkg/security/authn); one that leaves the mode unset passes the
// question on.
func (f *Facts) peersFor(g mesh.EgressGateway) []*peerAuthentication {
	var own, namespace, root *peerAuthentication
	older := func(p, than *peerAuthentication) bool {
		return than == nil || p.CreationTimestamp.Before(&than.CreationTimestamp)
	}
	for i := range f.peers {
		p := &f.peers[i]
		selects := p.Spec.Selector != nil && len(p.Spec.Selector.MatchLabels) > 0
		switch {
		case selects && p.Namespace == g.Namespace && f.selectsGateway(p.Spec.Selector.MatchLabels, g):
			if older(p, own) {
				own = p
			}
		case selects:
		case p.Namespace == g.Namespace:
			if older(p, namespace) {
				namespace = p
			}
		case p.Namespace == f.Mesh().Settings().RootNamespace:
			if older(p, root) {
				root = p
			}
		}
	}
	var chain []*peerAuthentication
	for _, p := range []*peerAuthentication{own, namespace, root} {
		if p == nil {
			continue
		}
		chain = append(chain, p)
		if p.Spec.MTLS.Mode != "" && p.Spec.MTLS.Mode != "UNSET" {
			break
		}
	}
	return chain
}

// selectsGateway reports whether the labels select the gateway's pods, or its
// configured labels where there is none.
func (f *Facts) selectsGateway(with map[string]string, g mesh.EgressGateway) bool {
	selector := labels.SelectorFromSet(with)
	return selector.Matches(labels.Set(g.Selector)) || slices.ContainsFunc(f.gatewayPods(g), func(p *pod) bool {
		return selector.Matches(labels.Set(p.Labels))
	})
}

// effective is the mode in force for a gateway's pods.
func (f *Facts) effective(g mesh.EgressGateway, none string) string {
	mode := none
	for _, p := range f.peersFor(g) {
		mode = p.Spec.MTLS.Mode
	}
	return cmp.Or(strings.TrimPrefix(mode, "UNSET"), "PERMISSIVE")
}

// servers looks at whom the gateway lets in.
func (e *Exam) servers(g mesh.EgressGateway) {
	for gw := range e.binders(g) {
		for i, s := range gw.Servers {
			edit := kubectl("-n %s edit gateway.networking.istio.io %s   # tls: {mode: ISTIO_MUTUAL}", gw.Namespace, gw.Name)
			path := fmt.Sprintf("spec.servers[%d].tls", i)
			switch {
			case s.TLS == nil:
				e.fail(gw.Ref, path, edit, "the server on port %d takes traffic in clear, from anybody", s.Port.Number)
			case s.TLS.Mode != "ISTIO_MUTUAL" && s.TLS.Mode != "MUTUAL":
				e.fail(gw.Ref, path+".mode", edit, "%s: the server on port %d does not ask who sends", s.TLS.Mode, s.Port.Number)
			}
		}
	}
}

var gatewayIdentity = &Check{
	Name:  "gateway-identity",
	Group: groupGateway,
	Doc: `the egress gateway has an identity that nobody shares

The certificate of a workload names its service account: the SAN is
spiffe://TRUST-DOMAIN/ns/NAMESPACE/sa/ACCOUNT. Whoever runs under the gateway's
account is the gateway to everybody who trusts it. Where DestinationRules for the
gateway list subjectAltNames, that name must be among them, or sidecars refuse the
gateway. The name is derived from the pods and the mesh configuration; the command
of the task page's second step shows the certificate itself.`,
	Sources: []string{taskPage + "#troubleshooting", "https://istio.io/latest/docs/concepts/security/#istio-identity"},
	Steps:   []int{2},
	Check: func(e *Exam) {
		if !e.need(kinds("Pod", "DestinationRule", "Service")...) {
			return
		}
		domains := map[string]bool{}
		for _, m := range e.readable() {
			domains[m.TrustDomain] = true
		}
		for _, g := range e.Settings.Gateways {
			at, mark := serviceRef(g), e.mark()
			accounts := map[string]bool{}
			for _, p := range e.gatewayPods(g) {
				accounts[cmp.Or(p.Spec.ServiceAccountName, "default")] = true
			}
			if len(accounts) == 0 {
				e.unknown(at, "", kubectl("-n %s get pod -l %s", g.Namespace, selectorText(g.Selector)), "the egress gateway %s has no pod to ask for its account", g.Name)
				continue
			}
			var names []string
			for _, account := range slices.Sorted(maps.Keys(accounts)) {
				e.account(g, account)
				for _, domain := range slices.Sorted(maps.Keys(domains)) {
					names = append(names, fmt.Sprintf("spiffe://%s/ns/%s/sa/%s", domain, g.Namespace, account))
				}
			}
			if len(names) == 0 {
				continue // there is no mesh configuration, which has been said
			}
			e.trusted(g, names)
			e.passed(mark, at, "", "%s", strings.Join(names, ", "))
		}
	},
}

// account looks at who else runs under a gateway's service account.
func (e *Exam) account(g mesh.EgressGateway, account string) {
	if account == "default" {
		e.fail(serviceRef(g), "", "Give the pod template of the gateway a serviceAccountName of its own.", "the gateway runs as the service account default, as every pod of namespace %s does that names none", g.Namespace)
		return
	}
	var others []string
	for i := range e.pods {
		p := &e.pods[i]
		if p.Namespace == g.Namespace && p.Spec.ServiceAccountName == account && !finished(p) && !e.gateway(p) {
			others = append(others, p.Name)
		}
	}
	if len(others) > 0 {
		slices.Sort(others)
		e.fail(mesh.Ref{Kind: "ServiceAccount", Namespace: g.Namespace, Name: account}, "", "Give those pods a service account of their own.", "pods that are not the gateway share its identity: %s", some(others))
	}
}

// trusted looks at whom sidecars take for the gateway.
func (e *Exam) trusted(g mesh.EgressGateway, names []string) {
	for _, dr := range e.rulesFor(g) {
		for _, s := range settings(dr) {
			if s.tls == nil || len(s.tls.SubjectAltNames) == 0 {
				continue
			}
			for _, name := range names {
				if !slices.Contains(s.tls.SubjectAltNames, name) {
					e.fail(dr.Ref, s.path+".subjectAltNames", kubectl("-n %s edit destinationrule %s   # subjectAltNames: [%s]", dr.Namespace, dr.Name, name),
						"sidecars refuse the gateway, which is %s", name)
				}
			}
		}
	}
}
