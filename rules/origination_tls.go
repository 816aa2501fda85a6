package rules

import (
	"fmt"
	"iter"

	"github.com/sallyport-io/sallyport/internal/mesh"
	"github.com/sallyport-io/sallyport/internal/told"
)

var originationTLS = &Rule{
	Name: "origination-tls",
	Doc: `the certificates of external hosts are verified

The gateway originates TLS by the DestinationRule of the ServiceEntry's owner
where the platform has none. insecureSkipVerify turns verification off; an sni
without subjectAltNames verifies the chain but not the host's name; DISABLE
speaks plain text to a TLS port. Names of the certificate that are not the host's
have another server pass for it. A BackendTLSPolicy of the Gateway API is judged as
the DestinationRules that Istio makes of it; authorities that are not in a ConfigMap
of its namespace Istio does not find, and before 1.30.4 and 1.31.1 it then speaks
plain text.`,
	Severity: Warn,
	Rows:     []string{"B-D2", "B-D6"},
	Kinds:    []string{"BackendTLSPolicy", "DestinationRule"},
	Check: Each(On(reportBackendTLS), On(func(p *Pass, dr *mesh.DestinationRule) {
		host, external := externalHost(p.After, dr.Host, dr.Namespace)
		if !external {
			return
		}
		for path, tls := range policies(p, dr) {
			reportOrigination(p, path, host, tls)
		}
	})),
}

// reportBackendTLS judges a BackendTLSPolicy as what Istio makes of it.
func reportBackendTLS(p *Pass, policy *mesh.BackendTLSPolicy) {
	for _, dr := range p.After.Rules(policy) {
		host, external := externalHost(p.After, dr.Host, dr.Namespace)
		if !external {
			continue
		}
		tls := dr.TrafficPolicy.TLS
		if len(tls.SubjectAltNames) == 0 && tls.SNI != "" {
			if names := foreignNames(host, []string{tls.SNI}); len(names) > 0 {
				reportForeign(p, "spec.validation.hostname", host, names)
			} else {
				p.Report(Finding{
					Path:    "spec.validation",
					Told:    told.F("with hostname and without subjectAltNames Istio lets any valid certificate pass for %s", told.Host(host)),
					ToldFix: told.F("Name whom the certificate is for: subjectAltNames: [{type: Hostname, hostname: %s}].\n", told.Host(tls.SNI)),
				})
			}
		} else if names := foreignNames(host, tls.SubjectAltNames); len(names) > 0 {
			reportForeign(p, "spec.validation.subjectAltNames", host, names)
		}
		reportAuthorities(p, policy, host)
	}
}

// reportAuthorities is about authorities that Istio does not find: it reads the
// first reference, and of ConfigMaps alone (getBackendTLSCredentialName in
// pilot/pkg/config/kube/gateway/backend_policies.go; GHSA-qm8v-g4f9-qhjx).
func reportAuthorities(p *Pass, policy *mesh.BackendTLSPolicy, host string) {
	refs := policy.Validation.CACertificateRefs
	if len(refs) == 0 {
		return
	}
	found := refs[0].Group == "" && refs[0].Kind == "ConfigMap"
	version, open := p.After.Settings().FailsOpen()
	then := told.Plain("no connection to it is made")
	if open {
		then = told.F("Istio %s speaks plain text to it", told.Plain(version.String()))
	}
	const path = "spec.validation.caCertificateRefs[0]"
	switch {
	case !found:
		p.Report(Finding{Path: path, Told: told.F("Istio finds authorities in ConfigMaps of the policy's namespace alone: for %s there are none, and %s", told.Host(host), then)})
	case open:
		p.Report(Finding{Path: path, Told: told.F("where ConfigMap %q is not there or holds no certificate, %s is not verified: %s", refs[0].Name, told.Host(host), then)})
	}
}

// foreignNames are the names of a certificate that are not the host's; none where
// one of them is.
func foreignNames(host string, names []string) []string {
	for _, n := range names {
		if mesh.HostsOverlap(mesh.CanonicalHost(n), host) {
			return nil
		}
	}
	return names
}

func reportForeign(p *Pass, path, host string, names []string) {
	p.Spend(lookupSteps + len(names))
	p.Report(Finding{
		Path: path, About: names[0],
		Told:    told.F("takes the certificate of %s for %s: whoever holds it answers for the host", told.Host(names[0]), told.Host(host)),
		ToldFix: "Name the host itself, or a name that its own certificate has.\n",
	})
}

func reportOrigination(p *Pass, path, host string, t clientTLS) {
	switch {
	case t.InsecureSkipVerify != nil && *t.InsecureSkipVerify:
		p.Reportf(path+".insecureSkipVerify", "whoever answers for %q is believed: the certificate is not verified", host)
	case t.Mode == "DISABLE" && t.tlsPort:
		p.Reportf(path+".mode", "speaks plain text to the TLS port of %q", host)
	case (t.Mode == "SIMPLE" || t.Mode == "MUTUAL") && t.SNI != "" && len(t.SubjectAltNames) == 0:
		p.Report(Finding{
			Path:    path + ".sni",
			Told:    told.F("with sni and without subjectAltNames any valid certificate passes for %q", host),
			ToldFix: told.F("Name whom the certificate is for, beside the sni: subjectAltNames: [%s].\n", told.Host(t.SNI)),
		})
	case (t.Mode == "SIMPLE" || t.Mode == "MUTUAL") && len(foreignNames(host, t.SubjectAltNames)) > 0:
		reportForeign(p, path+".subjectAltNames", host, t.SubjectAltNames)
	}
}

// clientTLS is one TLS setting of a DestinationRule.
type clientTLS struct {
	*mesh.ClientTLS
	tlsPort bool // it is for a port that is TLS by custom
}

// policies yields the TLS settings of a DestinationRule and their JSON paths, in the order
// in which they are written.
func policies(p *Pass, dr *mesh.DestinationRule) iter.Seq2[string, clientTLS] {
	return func(yield func(string, clientTLS) bool) {
		within := func(base string, tp *mesh.TrafficPolicy) bool {
			if tp == nil {
				return true
			}
			if tp.TLS != nil && !yield(base+".tls", clientTLS{tp.TLS, false}) {
				return false
			}
			for i, pp := range tp.PortLevelSettings {
				if p.Spend(lookupSteps); pp.TLS != nil && !yield(fmt.Sprintf("%s.portLevelSettings[%d].tls", base, i), clientTLS{pp.TLS, pp.Port.Number == 443}) {
					return false
				}
			}
			return true
		}
		if !within("spec.trafficPolicy", dr.TrafficPolicy) {
			return
		}
		for i, s := range dr.Subsets {
			if p.Spend(lookupSteps); !within(fmt.Sprintf("spec.subsets[%d].trafficPolicy", i), s.TrafficPolicy) {
				return
			}
		}
	}
}
