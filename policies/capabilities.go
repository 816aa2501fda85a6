package policies

import (
	"slices"
	"strings"

	"github.com/open-policy-agent/opa/v1/ast"
)

// capabilities is what a policy may use: Rego v1 without anything that
// reaches the network, the environment, randomness or the clock. The whole
// list is in capabilities.json, so that a builtin that a new version of OPA
// brings is seen before it is let in.
func capabilities() *ast.Capabilities {
	c := ast.CapabilitiesForThisVersion(ast.CapabilitiesRegoVersion(ast.RegoV1))
	c.Builtins = slices.DeleteFunc(slices.Clone(c.Builtins), func(b *ast.Builtin) bool {
		return b.Nondeterministic || slices.ContainsFunc(forbidden, func(prefix string) bool {
			return strings.HasPrefix(b.Name, prefix)
		})
	})
	// The "rego.v2" import changes the language under the policies' feet.
	c.Features = slices.DeleteFunc(slices.Clone(c.Features), func(f string) bool {
		return f == ast.FeatureRegoV2Import
	})
	c.AllowNet = []string{} // not nil, which stands for every host
	return c
}

// forbidden are the builtins refused beside those that OPA itself marks as
// nondeterministic.
var forbidden = []string{
	"http.", "net.lookup_ip_addr", // network
	"opa.runtime",           // environment
	"rand.", "uuid.rfc4122", // randomness
	"time.now_ns",                // clock
	"trace", "rego.parse_module", // the evaluator itself
	"io.jwt.", "providers.", // credentials have no place in a policy
	"graphql.", "json.verify_schema", "json.match_schema", // large, and no use here
}
