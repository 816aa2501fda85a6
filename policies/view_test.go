package policies

import (
	"strings"
	"testing"

	"github.com/sallyport-io/sallyport/internal/sight"
	"github.com/sallyport-io/sallyport/rules"
)

// gossip tells all that it is given, whole and in other letters, and one thing that
// is none of others' business.
const gossip = `# METADATA
# title: tell everything
# description: a case
package sallyport.policies.gossip

deny contains {"msg": sprintf("all of %v", [input.egress])}

deny contains {"msg": upper(sprintf("%v", [input.egress]))}

deny contains {"msg": sprintf("%s is near", [claimant.name]), "fix": claimant.namespace} if some claimant in input.egress[_].claimants

deny contains {"msg": "own words", "path": "spec.hosts[0]", "fix": input.request.operation} if input.egress[0].registered
`

// TestPolicyTellsWhatIsSeen has a policy tell everything about an entry that others
// have something to do with: whoever writes it is told what the policy says, too,
// without them.
func TestPolicyTellsWhatIsSeen(t *testing.T) {
	s, err := load(t.Context(), "gossip.rego", gossip, nil)
	if err != nil {
		t.Fatal(err)
	}
	p := pass(t, stripe, strings.NewReplacer(`"shop"`, `"secretns"`, `"name": "stripe"`, `"name": "secretname"`, `"spec": {`, `"spec": {"exportTo": ["."], `).Replace(stripe))
	other := p.Paths[0]
	other.Client = "secretclient"
	p.Paths = append(p.Paths, other)
	findings, err := rules.Run(t.Context(), s.Rules, p)
	if err != nil {
		t.Fatal(err)
	}
	reader := sight.From(p.After, "shop", p.Raw)
	var all, shown strings.Builder
	for _, f := range findings {
		all.WriteString(f.Message + f.Fix + "\n")
		message, _ := f.Told.To(reader.Sees)
		fix, _ := f.ToldFix.To(reader.Sees)
		shown.WriteString(message + fix + "\n")
	}
	for _, secret := range []string{"secretns", "secretname", "secretclient"} {
		if !strings.Contains(strings.ToLower(all.String()), secret) {
			t.Errorf("the policy does not say %s, so that nothing is shown:\n%s", secret, all.String())
		}
		if strings.Contains(strings.ToLower(shown.String()), secret) {
			t.Errorf("told of %s:\n%s", secret, shown.String())
		}
	}
	if !strings.Contains(shown.String(), "own words") {
		t.Errorf("not told what is its own:\n%s", shown.String())
	}
	// To whom the proof is lacking that it is the API server nothing is told.
	for _, f := range findings {
		if message, _ := f.Told.To(sight.From(p.After, "", p.Raw).Sees); message != "" {
			t.Errorf("a stranger is told %q", message)
		}
	}
}
