package netpol_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/sallyport-io/sallyport/internal/budget"
	"github.com/sallyport-io/sallyport/internal/mesh"
	"github.com/sallyport-io/sallyport/internal/netpol"
)

// plugins are the readers of the policies of network plugins.
var plugins = map[string]func(*mesh.Mesh, mesh.Ref, []byte, func(netpol.Opening)) error{
	"CiliumNetworkPolicy":            netpol.EachCiliumOpening,
	"CiliumClusterwideNetworkPolicy": netpol.EachCiliumClusterOpening,
	"CalicoNetworkPolicy":            netpol.EachCalicoOpening,
	"GlobalNetworkPolicy":            netpol.EachCalicoGlobalOpening,
}

// openings reads a policy of namespace shop, or of the cluster.
func openings(m *mesh.Mesh, kind string, raw string) (paths []string, err error) {
	ref := mesh.Ref{Kind: kind, Namespace: "shop", Name: "p"}
	if strings.HasPrefix(kind, "CiliumClusterwide") || strings.HasPrefix(kind, "Global") {
		ref.Namespace = ""
	}
	err = plugins[kind](m, ref, []byte(raw), func(o netpol.Opening) { paths = append(paths, o.Path) })
	return paths, err
}

// part is a member of a rule, and whether it opens the wall of namespace shop wherever it stands.
type part struct {
	json  string
	opens bool
}

// TestOneWrongPartOpens puts rules together from parts of all kinds, in all places. A policy has an opening if and only if
// it has a part that makes one: no other part hides it, nor makes one of its own.
func TestOneWrongPartOpens(t *testing.T) {
	m := bigMesh(2).With(namespaceWith("legacy", nil))
	own := `"toEndpoints":[{"matchLabels":{"app":"a"}}]`
	cilium := []part{
		{`"toEntities":["none"]`, false},
		{`"toEntities":["none","world"]`, true},
		{`"toFQDNs":[{"matchName":"a.example"}]`, true},
		{`"toFQDNs":[]`, false},
		{`"toServices":[{"k8sService":{"serviceName":"a"}}]`, true},
		{`"toGroups":[{"aws":{}}]`, true},
		{`"toNodes":[{}]`, true},
		{`"toCIDR":["192.0.2.1"]`, true},
		{`"toCIDR":[]`, false},
		{`"toCIDRSet":[{"cidrGroupRef":"a"}]`, true},
		{`"toRequires":[{}]`, false},
		{`"icmps":[{"fields":[{"type":8}]}]`, false},
		{`"toPorts":[{"ports":[{"port":"80"}]}]`, false},
		{`"toPorts":[{"ports":[{"port":"80"}],"listener":{"name":"a"}}]`, true},
		{`"toPorts":[{"rules":{"l7proto":"a"}}]`, true},
		{`"authentication":{"mode":"required"}`, false},
		{`"toLater":{"a":1}`, true},
	}
	calico := []part{
		{`"ports":[80]`, false},
		{`"notNets":["10.0.0.0/8"]`, false},
		{`"notSelector":"all()"`, false},
		{`"serviceAccounts":{"names":["a"]}`, false},
		{`"nets":["192.0.2.1/32"]`, true},
		{`"nets":[]`, false},
		{`"services":{"name":"a"}`, true},
		{`"namespaceSelector":"all()"`, true},
		{`"namespaceSelector":""`, false},
		{`"domains":["a.example"]`, true},
		{`"later":1`, true},
	}
	r := rand.New(rand.NewPCG(1, 2))
	for range 3000 {
		want := false
		pick := func(parts []part, base string, counts bool) string {
			chosen, used := []string{base}, map[string]bool{}
			for range r.IntN(4) {
				p := parts[r.IntN(len(parts))]
				if name, _, _ := strings.Cut(p.json, ":"); !used[name] {
					used[name] = true
					chosen = append(chosen, p.json)
					want = want || counts && p.opens
				}
			}
			r.Shuffle(len(chosen), func(i, j int) { chosen[i], chosen[j] = chosen[j], chosen[i] })
			return "{" + strings.Join(chosen, ",") + "}"
		}
		rules := func(one func() string) string {
			var list []string
			for range r.IntN(4) {
				list = append(list, one())
			}
			return "[" + strings.Join(list, ",") + "]"
		}
		spec := func() string {
			return fmt.Sprintf(`{"endpointSelector":{},"ingress":[{"fromEntities":["world"]}],"egressDeny":%s,"egress":%s}`,
				rules(func() string { return pick(cilium, own, false) }), rules(func() string { return pick(cilium, own, true) }))
		}
		check := func(kind, raw string) {
			t.Helper()
			paths, err := openings(m, kind, raw)
			if err != nil || (len(paths) > 0) != want {
				t.Fatalf("%s: openings %v, error %v; want any: %t\n%s", kind, paths, err, want, raw)
			}
		}
		check("CiliumNetworkPolicy", fmt.Sprintf(`{"spec":%s,"specs":%s}`, spec(), rules(spec)))
		want = false
		check("CalicoNetworkPolicy", fmt.Sprintf(`{"spec":{"order":1,"ingress":[{"action":"Allow"}],"egress":%s}}`, rules(func() string {
			action := []string{"Allow", "Pass", "Deny", "Log"}[r.IntN(4)]
			return fmt.Sprintf(`{"action":%q,"destination":%s}`, action, pick(calico, `"selector":"app == 'a'"`, action == "Allow" || action == "Pass"))
		})))
	}
}

// TestPluginsWithoutWalls checks that nothing is an opening where there is no wall.
func TestPluginsWithoutWalls(t *testing.T) {
	m := mesh.New(mesh.DefaultSettings(), namespaceWith("shop", nil))
	for kind := range plugins {
		raw := `{"spec":{"endpointSelector":{"matchLabels":{"reserved:init":""}},"selector":"a)","egress":[{"action":"Allow","toEntities":["world"]}]}}`
		if paths, err := openings(m, kind, raw); err != nil || len(paths) > 0 {
			t.Errorf("%s: %v, error %v", kind, paths, err)
		}
		if paths, err := openings(bigMesh(1), kind, raw); err != nil || len(paths) == 0 {
			t.Errorf("%s beside a wall: no opening, error %v", kind, err)
		}
	}
}

// TestPluginsAreCounted checks that all that makes a policy longer takes steps.
func TestPluginsAreCounted(t *testing.T) {
	for kind, items := range map[string][]string{
		"CiliumNetworkPolicy": {
			`{"toEndpoints":[{}]}`, `{"toEndpoints":[{"matchLabels":{"io.kubernetes.pod.namespace":"team-1"}}]}`, `{"toEntities":["none"]}`, `{"toCIDR":["192.0.2.1"]}`,
			`{"toEndpoints":[{}],"toPorts":[{"ports":[{"port":"1"}],"rules":{"http":[{}]}}]}`, `{}`,
		},
		"CiliumClusterwideNetworkPolicy": {`{"toEndpoints":[{}]}`, `{}`},
		"CalicoNetworkPolicy":            {`{"action":"Allow","destination":{"selector":"all()"}}`, `{"action":"Deny"}`},
		"GlobalNetworkPolicy":            {`{"action":"Pass"}`, `{"action":"Log"}`},
	} {
		for _, item := range items {
			run := func(n int) (spent int64, err error) {
				steps := budget.New(t.Context(), 1<<40)
				_, err = openings(bigMesh(1).Bounded(steps), kind, `{"spec":{"endpointSelector":{},"egress":[`+strings.Join(slices.Repeat([]string{item}, n), ",")+`]}}`)
				return steps.Spent(), err
			}
			few, err := run(100)
			many, err2 := run(1100)
			if err := errors.Join(err, err2); err != nil || many-few < 1000 {
				t.Errorf("%s: 1000 more of %s take %d steps, error %v", kind, item, many-few, err)
			}
		}
	}
}

// TestPluginsThatCannotBeRead checks that what has another type than it should have is an error, not a policy without that.
func TestPluginsThatCannotBeRead(t *testing.T) {
	for _, raw := range []string{
		`[]`, `{"spec":1}`, `{"spec":{"egress":"x"}}`, `{"spec":{"egress":{"toEntities":["world"]}}}`, `{"spec":{"egress":[1]}}`,
		`{"spec":{"egress":[{"action":1,"toEntities":"world"}]}}`, `{"spec":{"egress":[{"action":"Allow","destination":[],"toPorts":{}}]}}`,
	} {
		for _, kind := range []string{"CiliumNetworkPolicy", "CalicoNetworkPolicy"} {
			paths, err := openings(bigMesh(1), kind, raw)
			if err == nil || strings.Contains(err.Error(), "netpol") {
				t.Errorf("%s %s: openings %v, error %v", kind, raw, paths, err)
			}
		}
	}
}

// FuzzPlugins: nothing that anybody can write makes a reader panic.
func FuzzPlugins(f *testing.F) {
	for _, seed := range []string{
		`{"spec":{"egress":[{"toEndpoints":[null,{"matchExpressions":[{"key":"io.kubernetes.pod.namespace","operator":"In"}]}],"toPorts":[{"ports":[{"port":"-1","endPort":-9}]}]}]}}`,
		`{"specs":[{"endpointSelector":null,"egress":[null,{"toCIDRSet":[null,{}],"toCIDR":["/"],"icmps":0}]}]}`,
		`{"spec":{"selector":"(')","egress":[null,{"action":"Pass","destination":{"selector":")("}}]}}`, `[]`, `null`, ``,
	} {
		f.Add(seed)
	}
	m := bigMesh(2)
	f.Fuzz(func(_ *testing.T, raw string) {
		for kind := range plugins {
			_, _ = openings(m, kind, raw) // what cannot be read is an error
		}
	})
}
