// Package gen makes random sets of manifests that route egress traffic: good
// sets in many layouts, most of them a few small mistakes away from good.
package gen

import (
	"fmt"
	"math/rand/v2"
	"strings"

	"sigs.k8s.io/yaml"
)

// Object is one manifest.
type Object = map[string]any

// Mesh is a set of manifests.
type Mesh []Object

// YAML is the mesh as a stream of documents.
func (m Mesh) YAML() string {
	var docs []string
	for _, o := range m {
		raw, err := yaml.Marshal(o)
		if err != nil {
			panic(fmt.Sprintf("marshal a generated object: %v", err)) // maps, lists, strings and numbers only
		}
		docs = append(docs, string(raw))
	}
	return strings.Join(docs, "---\n")
}

// New returns the mesh of a seed.
func New(seed uint64) Mesh {
	g := &generator{Rand: rand.New(rand.NewPCG(seed, 0x5a11))}
	g.build()
	return g.mesh
}

// build makes a few sets, and a few mistakes in them.
func (g *generator) build() {
	for range 1 + g.choose(60, 30, 10) {
		g.set()
	}
	for range g.choose(20, 30, 25, 15, 10) {
		g.mutate()
	}
	g.Shuffle(len(g.mesh), func(i, j int) { g.mesh[i], g.mesh[j] = g.mesh[j], g.mesh[i] })
}

// generator holds what has been generated so far.
type generator struct {
	*rand.Rand
	mesh  Mesh
	sets  int
	names int
	hosts []string
}

// The namespaces of the clients, and those of the platform.
var (
	tenants    = []string{"default", "shop", "billing"}
	namespaces = []string{"default", "shop", "billing", "egress-cfg", "istio-system"}
)

const (
	gatewayHost = "istio-egressgateway.istio-system.svc.cluster.local"
	rootNS      = "istio-system"
)

// pick returns one of the options.
func pick[T any](g *generator, options ...T) T { return options[g.IntN(len(options))] }

// chance is true in percent of all cases.
func (g *generator) chance(percent int) bool { return g.IntN(100) < percent }

// choose returns an index, each with its weight.
func (g *generator) choose(weights ...int) int {
	total := 0
	for _, w := range weights {
		total += w
	}
	n := g.IntN(total)
	for i, w := range weights {
		if n -= w; n < 0 {
			return i
		}
	}
	return 0
}

// add appends an object with a name of its own and, mostly, a creation time.
func (g *generator) add(kind, namespace string, spec Object) Object {
	g.names++
	// The first letter varies, for equal times are ordered by name.
	meta := Object{"name": fmt.Sprintf("%c%d", 'a'+rune(g.IntN(26)), g.names), "namespace": namespace}
	if !g.chance(20) {
		meta["creationTimestamp"] = g.time()
	}
	o := Object{"apiVersion": "networking.istio.io/v1", "kind": kind, "metadata": meta, "spec": spec}
	g.mesh = append(g.mesh, o)
	return o
}

// time is one of few, so that some are equal.
func (g *generator) time() string { return fmt.Sprintf("202%d-01-01T00:00:00Z", g.IntN(6)) }

func name(o Object) string { return o["metadata"].(Object)["name"].(string) }
func spec(o Object) Object { return o["spec"].(Object) }

// namespace is that of an object; empty for what is in none.
func namespace(o Object) string {
	ns, _ := o["metadata"].(Object)["namespace"].(string)
	return ns
}

// some returns a random object of one kind, or nil.
func (g *generator) some(kind string) Object {
	var found []Object
	for _, o := range g.mesh {
		if o["kind"] == kind {
			found = append(found, o)
		}
	}
	if len(found) == 0 {
		return nil
	}
	return pick(g, found...)
}

// element returns a random element of a list that holds objects, or nil.
func (g *generator) element(list any) Object {
	items, _ := list.([]any)
	if len(items) == 0 {
		return nil
	}
	return pick(g, items...).(Object)
}

func strs(s ...string) []any {
	out := make([]any, len(s))
	for i := range s {
		out[i] = s[i]
	}
	return out
}
