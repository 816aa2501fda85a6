package review_test

import (
	"runtime"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"
	"unsafe"

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

// hostileSizes are the sizes of hostile objects: as an API server takes them, and
// as somebody on the network may send them.
var hostileSizes = []hostileSize{{"stored", hostiletest.StoredSize, false}, {"forged", hostiletest.ForgedSize, true}}

type hostileSize struct {
	name   string
	size   int
	forged bool
}

// smallSizes are those of objects that cost little to read, and are long to judge
// all the same.
var smallSizes = []hostileSize{{"30KB", 30 << 10, false}, {"300KB", 300 << 10, false}}

// BenchmarkHostile prints a table of what the dearest objects take: go test -run
// '^$' -bench Hostile -benchtime 1x ./internal/review
//
// The time is that of one thread on a processor, the best of three, whatever else
// the machine does.
func BenchmarkHostile(b *testing.B) {
	judge := &review.Judge{Rules: rules.All}
	m := hostileMesh()
	for _, size := range slices.Concat(smallSizes, hostileSizes) {
		for o := range hostiletest.Objects(size.size, size.forged) {
			for _, op := range []string{"CREATE", "UPDATE", "DELETE", "defaults"} {
				b.Run(size.name+"/"+o.Name()+"/"+op, func(b *testing.B) {
					runtime.LockOSThread()
					defer runtime.UnlockOSThread()
					for b.Loop() {
						best, steps, bounded := time.Hour, int64(0), 0.0
						for range 3 {
							began := processorTime(b)
							if op == "defaults" {
								_, _, err := review.Default(b.Context(), m, hostileWrites(o.JSON)["CREATE"])
								if err != nil {
									bounded = 1
								}
							} else {
								out, err := judge.Review(b.Context(), m, hostileWrites(o.JSON)[op])
								if steps = out.Steps; err != nil {
									bounded = 1
								}
							}
							if best = min(best, processorTime(b)-began); best < 10*time.Millisecond {
								break
							}
						}
						b.ReportMetric(0, "ns/op")
						b.ReportMetric(float64(best.Microseconds())/1000, "ms")
						b.ReportMetric(float64(steps), "steps")
						b.ReportMetric(bounded, "bounded")
					}
				})
			}
		}
	}
}

// processorTime is how long the thread has been on a processor. What getrusage(2)
// says of that comes in ticks of milliseconds.
func processorTime(tb testing.TB) time.Duration {
	tb.Helper()
	const threadTime = 3 // CLOCK_THREAD_CPUTIME_ID
	var now syscall.Timespec
	if _, _, err := syscall.Syscall(syscall.SYS_CLOCK_GETTIME, threadTime, uintptr(unsafe.Pointer(&now)), 0); err != 0 {
		tb.Fatal(err)
	}
	return time.Duration(now.Nano())
}
