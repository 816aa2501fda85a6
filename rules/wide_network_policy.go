package rules

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"slices"

	"github.com/sallyport-io/sallyport/internal/mesh"
)

var wideNetworkPolicy = &Rule{
	Name: "wide-network-policy",
	Doc: `no policy undoes the NetworkPolicy that confines

NetworkPolicies are additive: what one allows, no other takes back. In a
namespace that Sallyport confines, a tenant's policy whose egress rules name no
peer, or an address range outside the private networks, opens the way that the
kept policy closes. IPv4 and IPv6 are looked at alike.`,
	Severity: Deny,
	Rows:     []string{"K-12", "K-8"},
	Kinds:    []string{"NetworkPolicy"},
	Check: On(func(p *Pass, np *mesh.NetworkPolicy) {
		if !p.ByTenant() || !walled(p.After, np.Namespace) {
			return
		}
		for path, why := range wideEgress(np.Raw) {
			p.Report(Finding{
				Path:    path,
				Message: why + ", in addition to what Sallyport's policy allows",
				Fix:     "Name the pods and namespaces that are called: to: [{namespaceSelector: {...}, podSelector: {...}}].\n",
			})
		}
	}),
}

// wideEgress returns the egress rules of a policy that lead out of the
// cluster, by JSON path.
func wideEgress(raw []byte) map[string]string {
	var policy struct {
		Spec struct {
			PolicyTypes []string `json:"policyTypes"`
			Egress      []struct {
				To []struct {
					IPBlock *struct {
						CIDR string `json:"cidr"`
					} `json:"ipBlock"`
				} `json:"to"`
			} `json:"egress"`
		} `json:"spec"`
	}
	if json.Unmarshal(raw, &policy) != nil {
		return nil // the API server would not have let it through
	}
	// Without Egress among its types a policy's egress rules are void.
	if types := policy.Spec.PolicyTypes; len(types) > 0 && !slices.Contains(types, "Egress") {
		return nil
	}
	wide := map[string]string{}
	for i, rule := range policy.Spec.Egress {
		if len(rule.To) == 0 {
			wide[fmt.Sprintf("spec.egress[%d]", i)] = "allows traffic to every address"
		}
		for j, to := range rule.To {
			if to.IPBlock == nil {
				continue
			}
			if prefix, err := netip.ParsePrefix(to.IPBlock.CIDR); err != nil || !privateRange(prefix) {
				wide[fmt.Sprintf("spec.egress[%d].to[%d].ipBlock.cidr", i, j)] = fmt.Sprintf("allows traffic to %s", to.IPBlock.CIDR)
			}
		}
	}
	return wide
}

// privateRange reports whether every address of the range is private.
func privateRange(prefix netip.Prefix) bool {
	return slices.ContainsFunc(privateRanges, func(r netip.Prefix) bool {
		return r.Addr().BitLen() == prefix.Addr().BitLen() && r.Bits() <= prefix.Bits() && r.Contains(prefix.Addr())
	})
}

// privateRanges are those of RFC 1918 and RFC 4193.
var privateRanges = []netip.Prefix{
	netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("172.16.0.0/12"),
	netip.MustParsePrefix("192.168.0.0/16"), netip.MustParsePrefix("fc00::/7"),
}
