package companion

import (
	"maps"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/api/validate/content"

	"github.com/sallyport-io/sallyport/internal/mesh"
	"github.com/sallyport-io/sallyport/internal/told"
)

// authorization keeps everybody from the lanes of the host but the namespaces,
// and the service accounts, that registered it. It returns nil where that is
// not asked for, or everybody may.
//
// It denies rather than allows: one policy that allows would make Istio refuse
// all that none allows, hand-written hosts on the same gateway included. It
// tells lanes apart by the server name of the mutual TLS, which every lane has
// one of its own of, whatever it carries, and which HTTP and TCP filters know
// alike. By the Host header it could not: Istio leaves that condition out of
// a TCP filter, where the policy would then refuse every host.
func (p *plan) authorization(gateway mesh.EgressGateway, name string, lanes []lane) *mesh.AuthorizationPolicy {
	if !p.mesh.Settings().Authorization || !gateway.MutualTLS {
		return nil
	}
	source, everybody := p.admitted(gateway)
	if everybody {
		return nil
	}
	var names []string
	for _, l := range lanes {
		names = append(names, l.sni)
	}
	slices.Sort(names)
	return &mesh.AuthorizationPolicy{
		Meta:     p.meta("AuthorizationPolicy", gateway.Namespace, name),
		Selector: &mesh.WorkloadSelector{MatchLabels: maps.Clone(gateway.Selector)},
		Action:   "DENY",
		Rules: []mesh.AuthorizationRule{{
			From: []mesh.AuthorizationFrom{{Source: source}},
			When: []mesh.AuthorizationCondition{{Key: "connection.sni", Values: slices.Compact(names)}},
		}},
	}
}

// admitted returns who may use the host's lanes at a gateway: those whose
// entries rest on them, and those whose entries do not rest on companions, for
// their users lead to the host by themselves and may use the same gateway. A
// refused entry admits nobody.
func (p *plan) admitted(gateway mesh.EgressGateway) (who mesh.AuthorizationSource, everybody bool) {
	whole := make(map[string]bool)
	accounts := make(map[string]bool)
	for _, entry := range p.mesh.EntriesFor(p.host) {
		p.mesh.Spend(1 + len(p.set.Refused) + len(entry.Annotations[mesh.ServiceAccountsAnnotation])/2)
		refused := slices.ContainsFunc(p.set.Refused, func(r Refusal) bool { return r.Entry == entry.Ref })
		at, claimed := p.claimed[entry.Ref]
		if Is(entry.Ref) || refused || claimed && at != gateway.Name {
			continue
		}
		if list, ok := entry.Annotations[mesh.ServiceAccountsAnnotation]; ok {
			for _, account := range accountsIn(list) {
				if len(content.IsDNS1123Subdomain(account)) == 0 {
					accounts[principal(entry.Namespace, account)] = true
				}
			}
			continue
		}
		for _, to := range openExport(p.mesh, entry) {
			switch to {
			case "*":
				return who, true
			case ".":
				whole[entry.Namespace] = true
			default:
				whole[to] = true
			}
		}
	}
	return mesh.AuthorizationSource{
		NotNamespaces: slices.Sorted(maps.Keys(whole)),
		NotPrincipals: slices.Sorted(maps.Keys(accounts)),
	}, false
}

// principal is a pattern for the identity of a service account, in every trust
// domain that the mesh trusts.
func principal(namespace, account string) string { return "*/ns/" + namespace + "/sa/" + account }

func accountsIn(list string) []string {
	var out []string
	for account := range strings.SplitSeq(list, ",") {
		if account = strings.TrimSpace(account); account != "" {
			out = append(out, account)
		}
	}
	return out
}

// misauthorized refuses what an entry asks for by the annotation of its
// service accounts and cannot have. Serving the entry without would admit
// more than it asks for.
func misauthorized(m *mesh.Mesh, entry *mesh.ServiceEntry, export []string) *Refusal {
	if _, ok := entry.Annotations[mesh.ServiceAccountsAnnotation]; !ok {
		return nil
	}
	refuse := func(fix, format told.Text, args ...any) *Refusal {
		return &Refusal{
			Entry: entry.Ref, Path: annotationField(mesh.ServiceAccountsAnnotation),
			Told: told.F(format, args...), ToldFix: fix,
		}
	}
	if !m.Settings().Authorization {
		return refuse("Ask the platform team to set authorization: enabled in Sallyport's configuration, or remove the annotation.",
			"the entry restricts its hosts to service accounts, and the gateway does not look at who calls")
	}
	if refusal := misnamedAccounts(entry); refusal != nil {
		return refusal
	}
	if !slices.Equal(export, []string{"."}) {
		return refuse(`exportTo: ["."]`,
			"the entry restricts its hosts to service accounts of namespace %s, and is exported beyond it", told.Namespace(entry.Namespace))
	}
	return nil
}

// misnamedAccounts refuses an annotation of service accounts that lists none, or
// what is not the name of one.
func misnamedAccounts(entry *mesh.ServiceEntry) *Refusal {
	list, ok := entry.Annotations[mesh.ServiceAccountsAnnotation]
	if !ok {
		return nil
	}
	r := &Refusal{Entry: entry.Ref, Path: annotationField(mesh.ServiceAccountsAnnotation)}
	accounts := accountsIn(list)
	if len(accounts) == 0 {
		r.Told = "the entry lists no service account that may use its hosts"
		r.ToldFix = "List names of service accounts, with commas between them, or remove the annotation."
		return r
	}
	for _, account := range accounts {
		if msgs := content.IsDNS1123Subdomain(account); len(msgs) > 0 {
			r.Told = told.F("%q is not the name of a service account: %s", entry.Tell().As(account), told.Plain(strings.Join(msgs, "; ")))
			r.ToldFix = told.F("List names of service accounts of namespace %s, with commas between them.", told.Namespace(entry.Namespace))
			return r
		}
	}
	return nil
}
