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

func newCompanionMetrics(reg prometheus.Registerer) (*companionMetrics, error) {
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
	if reg == nil {
		return m, nil
	}
	for _, c := range []prometheus.Collector{m.writes, m.timeToPath} {
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
