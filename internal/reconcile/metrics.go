package reconcile

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/sallyport-io/sallyport/internal/mesh"
)

// companionMetrics are what a [Companions] counts.
type companionMetrics struct {
	writes     *prometheus.CounterVec
	timeToPath prometheus.Histogram
}

// newCompanionMetrics registers the metrics; the mesh is that of the moment in which
// it is asked.
func newCompanionMetrics(reg prometheus.Registerer, meshNow func() *mesh.Mesh) (*companionMetrics, error) {
	m := &companionMetrics{
		writes: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "sallyport_companion_writes_total",
			Help: "Writes of companions (create, repair, delete) and of the entries that they are for (open, hold).",
		}, []string{"operation", "kind"}),
		timeToPath: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name:    "sallyport_time_to_path_seconds",
			Help:    "Time from the first sight of a held ServiceEntry to its being opened, every path of it being via.",
			Buckets: []float64{.01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30},
		}),
	}
	missing := prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "sallyport_waypoint_missing",
		Help: "1 while namespaces in ambient mode have no waypoint that is ready to lead out, else 0.",
	}, func() float64 {
		if missesWaypoint(meshNow()) {
			return 1
		}
		return 0
	})
	if reg == nil {
		return m, nil
	}
	for _, c := range []prometheus.Collector{m.writes, m.timeToPath, missing} {
		if err := reg.Register(c); err != nil {
			return nil, err
		}
	}
	return m, nil
}

func (m *companionMetrics) wrote(operation, kind string) {
	m.writes.WithLabelValues(operation, kind).Inc()
}

// waits notes when an entry was first seen to be held.
func (c *Companions) waits(entry mesh.Ref) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, ok := c.held[entry]; !ok {
		c.held[entry] = time.Now()
	}
}

// waited returns since when an entry has been held, and forgets it.
func (c *Companions) waited(entry mesh.Ref) (since time.Time, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	since, ok = c.held[entry]
	delete(c.held, entry)
	return since, ok
}
