package rules

import (
	"context"
	"fmt"

	"github.com/sallyport-io/sallyport/internal/mesh"
	"github.com/sallyport-io/sallyport/internal/netpol"
	"github.com/sallyport-io/sallyport/internal/rawjson"
)

var pluginPolicy = &Rule{
	Name: "plugin-policy",
	Doc: `no policy of the network plugin undoes the wall

Cilium and Calico have policies of their own. What a CiliumNetworkPolicy allows
adds to what NetworkPolicies allow; a rule of Calico's that allows or passes goes
before them where its order says so, and adds to them where not. In a namespace that
Sallyport confines, a tenant's policy may deny what it likes, and allow what can be
shown to lie within the wall: Cilium's toEndpoints and toCIDR are compared with
it, and what Calico selects in its own namespace lies within. All else is denied:
entities, names, services, groups, ranges of addresses, ports without destination,
and what hands the traffic over to a proxy.

So is what leads traffic elsewhere before the wall is asked: a tenant's
CiliumLocalRedirectPolicy and CiliumEnvoyConfig, and a NetworkSet of addresses,
which a policy's selector takes for pods. A CiliumLocalRedirectPolicy for an
address is denied in namespaces without a wall as well: it takes the traffic of
every pod on the node. Kinds for the whole cluster are the administrator's, who is
told.`,
	Severity: Deny,
	For:      Tenants,
	Remedy:   "Allow pods of the own namespace and what the wall allows, and leave the rest to the egress gateway; what else is needed, the platform opens by walls.destinations of its configuration.",
	Rows:     []string{"K-12"},
	Kinds: []string{
		"CalicoNetworkPolicy", "CiliumClusterwideEnvoyConfig", "CiliumClusterwideNetworkPolicy", "CiliumEnvoyConfig",
		"CiliumLocalRedirectPolicy", "CiliumNetworkPolicy", "GlobalNetworkPolicy", "NetworkSet",
	},
	Check: func(_ context.Context, p *Pass) error {
		m, ref := p.After, p.Subject.Metadata().Ref
		openings := map[string]func(*mesh.Mesh, mesh.Ref, []byte, func(netpol.Opening)) error{
			"CiliumNetworkPolicy":            netpol.EachCiliumOpening,
			"CiliumClusterwideNetworkPolicy": netpol.EachCiliumClusterOpening,
			"CalicoNetworkPolicy":            netpol.EachCalicoOpening,
			"GlobalNetworkPolicy":            netpol.EachCalicoGlobalOpening,
		}
		if each := openings[ref.Kind]; each != nil {
			return each(m, ref, p.Raw, func(o netpol.Opening) {
				f := Finding{Path: o.Path, Told: o.Says() + ", in addition to what Sallyport's policy allows", About: o.About}
				if ref.Namespace == "" {
					f.Severity = Warn
				}
				p.Report(f)
			})
		}
		return leadsAround(p, ref)
	},
}

// leadsAround judges what leads traffic elsewhere before the wall is asked.
func leadsAround(p *Pass, ref mesh.Ref) error {
	f := Finding{Path: "spec", About: p.spec()}
	walled := netpol.Walled(p.After, ref.Namespace)
	p.Spend(len(p.Raw) / bytesPerStep)
	switch ref.Kind {
	case "CiliumLocalRedirectPolicy":
		if rawjson.Member(rawjson.Member(rawjson.Member(p.Raw, "spec"), "redirectFrontend"), "addressMatcher") != nil {
			f.Path = "spec.redirectFrontend.addressMatcher"
			f.Told = "takes what every pod on the node sends to an address"
			walled = walled || netpol.AnyWalled(p.After)
		} else {
			f.Told = "leads traffic to other pods than the wall is asked about"
		}
	case "CiliumEnvoyConfig":
		f.Told = "leads traffic through a proxy of the node's, which goes wherever its clusters say"
	case "CiliumClusterwideEnvoyConfig":
		f.Severity = Warn
		f.Told = "leads the traffic of confined pods, too, through a proxy of the node's, which goes wherever its clusters say"
		walled = netpol.AnyWalled(p.After)
	case "NetworkSet":
		filled, err := netpol.CalicoSet(p.After, ref, p.Raw)
		if err != nil {
			return err
		}
		walled = walled && filled
		f.Told = "makes addresses look like pods to the policies of the namespace"
		f.ToldFix = "Write the addresses into the rules for what comes in that need them, under source.nets.\n"
	default:
		return fmt.Errorf("a %s is judged by nobody", ref.Kind)
	}
	if walled {
		p.Report(f)
	}
	return nil
}
