package rules

import (
	"fmt"

	"github.com/sallyport-io/sallyport/internal/mesh"
	"github.com/sallyport-io/sallyport/internal/told"
)

var originationTLS = &Rule{
	Name: "origination-tls",
	Doc: `the certificates of external hosts are verified

The gateway originates TLS by the DestinationRule of the ServiceEntry's owner
where the platform has none. insecureSkipVerify turns verification off; an sni
without subjectAltNames verifies the chain but not the host's name; DISABLE
speaks plain text to a TLS port.`,
	Severity: Warn,
	Rows:     []string{"B-D2"},
	Kinds:    []string{"DestinationRule"},
	Check: On(func(p *Pass, dr *mesh.DestinationRule) {
		if p.Deleting() {
			return
		}
		host, external := externalHost(p.After, dr.Host, dr.Namespace)
		if !external {
			return
		}
		for path, tls := range policies(p, dr) {
			reportOrigination(p, path, host, tls)
		}
	}),
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
			ToldFix: told.F("subjectAltNames: [%s]\n", told.Host(t.SNI)),
		})
	}
}

// clientTLS is one TLS setting of a DestinationRule.
type clientTLS struct {
	*mesh.ClientTLS
	tlsPort bool // it is for a port that is TLS by custom
}

// policies returns the TLS settings of a DestinationRule by JSON path.
func policies(p *Pass, dr *mesh.DestinationRule) map[string]clientTLS {
	found := map[string]clientTLS{}
	add := func(base string, tp *mesh.TrafficPolicy) {
		if tp == nil {
			return
		}
		if tp.TLS != nil {
			found[base+".tls"] = clientTLS{tp.TLS, false}
		}
		for i, pp := range tp.PortLevelSettings {
			if p.Spend(lookupSteps); pp.TLS != nil {
				found[fmt.Sprintf("%s.portLevelSettings[%d].tls", base, i)] = clientTLS{pp.TLS, pp.Port.Number == 443}
			}
		}
	}
	add("spec.trafficPolicy", dr.TrafficPolicy)
	for i, s := range dr.Subsets {
		p.Spend(lookupSteps)
		add(fmt.Sprintf("spec.subsets[%d].trafficPolicy", i), s.TrafficPolicy)
	}
	return found
}
