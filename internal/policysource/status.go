package policysource

import (
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/sallyport-io/sallyport/rules"
)

// Status is what is in force, and what is not and why. It names policies and
// their files, and nothing of what is in the cluster.
type Status struct {
	// Revision is that of the set in force, empty before the first. Equal sets
	// on two replicas have equal revisions.
	Revision string `json:"revision"`
	// Loaded is when the set came into force.
	Loaded time.Time `json:"loaded,omitzero"`
	// Refused says why the newest state of the sources is not in force; empty
	// where it is.
	Refused   string    `json:"refused,omitempty"`
	RefusedAt time.Time `json:"refusedAt,omitzero"`
	// Evaluation is what the set tried last made of the cluster.
	Evaluation *Evaluation    `json:"evaluation,omitempty"`
	Sources    []SourceStatus `json:"sources"`
	// Policies are those that judge, by name.
	Policies []PolicyStatus `json:"policies"`
}

// SourceStatus is what is in force of one source.
type SourceStatus struct {
	Name string `json:"name"`
	// Revision is the one in force, since Since.
	Revision string    `json:"revision"`
	Since    time.Time `json:"since,omitzero"`
	// Refused is the newest revision, where that is not in force.
	Refused string `json:"refused,omitempty"`
	// Fetched is when the source was read last, and Error why it cannot be
	// read since.
	Fetched time.Time `json:"fetched,omitzero"`
	Error   string    `json:"error,omitempty"`
}

// PolicyStatus is an active policy.
type PolicyStatus struct {
	Name     string         `json:"name"`
	Title    string         `json:"title"`
	Severity rules.Severity `json:"severity"`
	File     string         `json:"file"`
}

// Status returns the state of policies at this moment.
func (l *Loader) Status() Status {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := Status{Loaded: l.loaded, Evaluation: l.last, Sources: []SourceStatus{}, Policies: []PolicyStatus{}}
	if l.refused != nil {
		s.Refused, s.RefusedAt = l.refused.err.Error(), l.refused.at
	}
	for _, t := range l.sources {
		source := SourceStatus{Name: t.Name(), Since: t.since, Fetched: t.fetched}
		if t.inForce != nil {
			source.Revision = t.inForce.Revision
		}
		if t.newest != nil && !t.newest.same(t.inForce) {
			source.Refused = t.newest.Revision
		}
		if t.err != nil {
			source.Error = t.err.Error()
		}
		s.Sources = append(s.Sources, source)
	}
	if l.set == nil {
		return s
	}
	s.Revision = l.set.Revision
	for _, p := range l.set.Policies {
		if p.Active {
			s.Policies = append(s.Policies, PolicyStatus{Name: p.Name, Title: p.Title, Severity: p.Severity, File: p.File})
		}
	}
	s.Policies = slices.Clip(s.Policies)
	return s
}

// allSources is the label of metrics about the whole set.
const allSources = "all"

func newLoads() *prometheus.CounterVec {
	return prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "sallyport_policy_loads_total",
		Help: "Changes of a source of policies put in force (ok) or not (error: not read, not trusted, or refused); after an error the policies before it stay in force.",
	}, []string{"source", "result"})
}

var (
	revisionInfo = prometheus.NewDesc("sallyport_policy_revision_info",
		"1 for the revision in force of each source, and of the whole set under the source \""+allSources+"\".", []string{"source", "revision"}, nil)
	lastLoad = prometheus.NewDesc("sallyport_policy_last_load_timestamp_seconds",
		"When the policies in force were put in force.", nil, nil)
	lastFetch = prometheus.NewDesc("sallyport_policy_last_fetch_timestamp_seconds",
		"When a source of policies was last read without an error.", []string{"source"}, nil)
	pending = prometheus.NewDesc("sallyport_policy_refused",
		"1 while the newest state of the sources is refused and older policies are in force.", nil, nil)
	evaluated = prometheus.NewDesc("sallyport_policy_evaluated_objects",
		"Objects of the cluster that the policies tried last were evaluated on, by result in comparison with those in force.", []string{"result"}, nil)
)

// collector tells the loader's state when it is asked.
type collector struct{ loader *Loader }

// Describe implements [prometheus.Collector].
func (c collector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{revisionInfo, lastLoad, lastFetch, pending, evaluated} {
		ch <- d
	}
}

// Collect implements [prometheus.Collector].
func (c collector) Collect(ch chan<- prometheus.Metric) {
	s := c.loader.Status()
	gauge := func(d *prometheus.Desc, value float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, value, labels...)
	}
	refused := 0.0
	if s.Refused != "" {
		refused = 1
	}
	gauge(pending, refused)
	if s.Revision != "" {
		gauge(revisionInfo, 1, allSources, s.Revision)
		gauge(lastLoad, seconds(s.Loaded))
	}
	for _, source := range s.Sources {
		if source.Revision != "" {
			gauge(revisionInfo, 1, source.Name, source.Revision)
		}
		if !source.Fetched.IsZero() {
			gauge(lastFetch, seconds(source.Fetched), source.Name)
		}
	}
	if e := s.Evaluation; e != nil {
		gauge(evaluated, float64(e.NewlyDenied), "newly-denied")
		gauge(evaluated, float64(e.NewlyAllowed), "newly-allowed")
		gauge(evaluated, float64(e.Failed), "failed")
		gauge(evaluated, float64(e.Objects-e.NewlyDenied-e.NewlyAllowed-e.Failed), "same")
	}
}

func seconds(t time.Time) float64 { return float64(t.UnixMilli()) / 1000 }
