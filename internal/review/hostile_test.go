package review_test

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/sallyport-io/sallyport/internal/budget"
	"github.com/sallyport-io/sallyport/internal/companion"
	"github.com/sallyport-io/sallyport/internal/hostiletest"
	"github.com/sallyport-io/sallyport/internal/mesh"
	"github.com/sallyport-io/sallyport/internal/review"
	"github.com/sallyport-io/sallyport/rules"
)

// hostileMesh is the cluster that hostile objects come to, with the companions
// that Sallyport keeps there.
var hostileMesh = sync.OnceValue(func() *mesh.Mesh {
	var objects []mesh.Object
	empty := mesh.New(mesh.DefaultSettings())
	for raw := range hostiletest.World() {
		o, err := mesh.Decode(raw)
		if err != nil {
			panic(err)
		}
		objects = append(objects, o)
		if se, ok := o.(*mesh.ServiceEntry); ok {
			for _, c := range companion.For(empty.With(se), mesh.CanonicalHost(se.Hosts[0])).Objects {
				c.Metadata().Created = se.Created
				objects = append(objects, c)
			}
		}
	}
	return mesh.New(mesh.DefaultSettings(), objects...)
})

// hostileWrites are the ways in which a hostile object can be written.
func hostileWrites(raw []byte) map[string]review.Write {
	return map[string]review.Write{
		"CREATE": {Request: rules.Request{Operation: "CREATE", User: "mallory"}, Object: raw},
		"UPDATE": {Request: rules.Request{Operation: "UPDATE", User: "mallory"}, Object: raw, OldObject: raw},
		"DELETE": {Request: rules.Request{Operation: "DELETE", User: "mallory"}, OldObject: raw},
	}
}

// TestHostileKinds sees to it that the generator knows every kind.
func TestHostileKinds(t *testing.T) {
	made := map[string]bool{}
	for o := range hostiletest.Objects(2_000, false) {
		decoded, err := mesh.Decode(o.JSON)
		if err != nil {
			t.Errorf("%s: %v in %s", o.Name(), err, o.JSON)
			continue
		}
		made[decoded.Metadata().Kind] = true
	}
	for _, kind := range mesh.Kinds() {
		if !made[kind] {
			t.Errorf("package hostiletest makes no %s", kind)
		}
	}
}

// BenchmarkHostile prints what the dearest objects take: go test -run '^$' -bench
// Hostile -benchtime 1x ./internal/review
func BenchmarkHostile(b *testing.B) {
	defer debug.SetGCPercent(debug.SetGCPercent(400))
	judge := &review.Judge{Rules: rules.All}
	m := hostileMesh()
	type row struct {
		name    string
		steps   int64
		bounded bool
		took    time.Duration
	}
	for _, forged := range []bool{false, true} {
		size := hostiletest.StoredSize
		if forged {
			size = hostiletest.ForgedSize
		}
		var table []row
		for o := range hostiletest.Objects(size, forged) {
			for op, w := range hostileWrites(o.JSON) {
				best := row{name: o.Name() + " " + op, took: time.Hour}
				for range 3 {
					ctx, cancel := context.WithTimeout(b.Context(), 3*time.Second)
					began := time.Now()
					out, err := judge.Review(ctx, m, w)
					took := time.Since(began)
					cancel()
					tooLarge, bounded := errors.AsType[*budget.TooLarge](err)
					steps := out.Steps
					if bounded {
						steps = tooLarge.Spent
					}
					if took < best.took {
						best = row{best.name, steps, bounded, took}
					}
					if took > 300*time.Millisecond {
						break
					}
				}
				table = append(table, best)
			}
			for op, w := range hostileWrites(o.JSON) {
				if op != "CREATE" {
					continue
				}
				began := time.Now()
				_, err := review.Default(b.Context(), m, w)
				table = append(table, row{o.Name() + " defaults", 0, err != nil, time.Since(began)})
			}
		}
		slices.SortFunc(table, func(a, b row) int { return int(b.took - a.took) })
		fmt.Printf("forged %t, %d bytes\n", forged, size)
		for i, r := range table {
			if i < 60 || r.took > 50*time.Millisecond {
				fmt.Printf("%-60s %10d steps %8.1f ms %6.0f ns/step too large %t\n", r.name, r.steps, float64(r.took.Microseconds())/1000, float64(r.took.Nanoseconds())/float64(max(r.steps, 1)), r.bounded)
			}
		}
	}
}
