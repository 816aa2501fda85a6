package gen

import (
	"math/rand/v2"
	"reflect"
)

// Write is one write of a history: a creation, an update of what has that name
// already, or a deletion.
type Write struct {
	Delete bool
	Object Object
}

// History returns writes in a random order: those that make the mesh of a seed,
// and then those that make of it what some more mutations make of it.
func History(seed uint64) []Write {
	g := &generator{Rand: rand.New(rand.NewPCG(seed, 0x5a11))}
	return g.history(g.build, g.mutate)
}

// AmbientHistory is [History] for a mesh of [NewAmbient].
func AmbientHistory(seed uint64) []Write {
	g := &generator{Rand: rand.New(rand.NewPCG(seed, 0xa3b1))}
	return g.history(g.buildAmbient, g.mutateAmbient)
}

func (g *generator) history(build, mutate func()) []Write {
	build()
	first := make(Mesh, len(g.mesh))
	for i, o := range g.mesh {
		first[i] = clone(o)
	}
	for range 1 + g.choose(20, 30, 25, 15, 10) {
		mutate()
	}
	var writes, more []Write
	is := map[string]Object{}
	for _, o := range g.mesh {
		is[id(o)] = o
	}
	was := map[string]bool{}
	for _, o := range first {
		writes = append(writes, Write{Object: o})
		was[id(o)] = true
		switch later := is[id(o)]; {
		case later == nil, g.chance(15):
			more = append(more, Write{Delete: true, Object: o})
		case !reflect.DeepEqual(later, o):
			more = append(more, Write{Object: later})
		}
	}
	for _, o := range g.mesh {
		if !was[id(o)] {
			more = append(more, Write{Object: o})
		}
	}
	g.Shuffle(len(writes), func(i, j int) { writes[i], writes[j] = writes[j], writes[i] })
	g.Shuffle(len(more), func(i, j int) { more[i], more[j] = more[j], more[i] })
	writes = append(writes, more...)
	for _, w := range writes {
		delete(w.Object["metadata"].(Object), "creationTimestamp") // the API server sets it
	}
	return writes
}

func id(o Object) string { return o["kind"].(string) + "/" + namespace(o) + "/" + name(o) }
