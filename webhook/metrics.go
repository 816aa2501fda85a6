package webhook

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/sallyport-io/sallyport/internal/review"
)

// Metrics are what the handlers count. The histograms of controller-runtime
// have one bucket per decade, which cannot show a 99th percentile between one
// and ten milliseconds; these have.
type Metrics struct {
	duration *prometheus.HistogramVec
	answers  *prometheus.CounterVec
	findings *prometheus.CounterVec
	judging  prometheus.Histogram

	lostDecisions *prometheus.CounterVec
	turnedAway    *prometheus.CounterVec
	watched       *prometheus.CounterVec
	unproven      *prometheus.CounterVec
}

// buckets reach from half a millisecond to the longest timeout that makes
// sense.
var buckets = []float64{.0005, .001, .002, .003, .005, .0075, .01, .025, .05, .1, .25, .5, 1, 2.5, 5}

// NewMetrics registers the handlers' metrics.
func NewMetrics(reg prometheus.Registerer) (*Metrics, error) {
	m := &Metrics{
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "sallyport_admission_duration_seconds",
			Help:    "Time from a decoded review to its answer.",
			Buckets: buckets,
		}, []string{"entry"}),
		judging: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name:    "sallyport_judge_duration_seconds",
			Help:    "Time in which the judge made up its mind about one write.",
			Buckets: buckets,
		}),
		answers: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "sallyport_admission_answers_total",
			Help: "Answers to reviews, by entry (mutate, validate) and verdict (allow, warn, deny, patch, error).",
		}, []string{"entry", "verdict"}),
		findings: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "sallyport_findings_total",
			Help: "Findings in judged writes, by rule, severity and kind of the object.",
		}, []string{"rule", "severity", "kind"}),
	}
	m.lostDecisions = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "sallyport_decisions_lost_total",
		Help: "Lines that the decision log lacks, by reason: the writer could not follow (queue), could not write (write), or the line could not be made (encode).",
	}, []string{"reason"})
	m.turnedAway = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "sallyport_admission_turned_away_total",
		Help: "Reviews that were not looked at because their namespace or user had its share already, by entry and what was wanting (place, steps, memory).",
	}, []string{"entry", "wanting"})
	m.watched = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "sallyport_admission_watchdog_answers_total",
		Help: "Answers given for handlers that gave none in time, by entry.",
	}, []string{"entry"})
	m.unproven = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "sallyport_admission_unproven_total",
		Help: "Requests without a client certificate of the API server where one is configured, by entry.",
	}, []string{"entry"})
	for _, c := range []prometheus.Collector{m.duration, m.judging, m.answers, m.findings, m.lostDecisions, m.turnedAway, m.watched, m.unproven} {
		if err := reg.Register(c); err != nil {
			return nil, err
		}
	}
	return m, nil
}

// judged counts what the judge found. Labels come from the model and the
// rules, never from the review: whoever reaches the port must not be able to
// make up time series.
func (m *Metrics) judged(out review.Outcome, took time.Duration) {
	m.judging.Observe(took.Seconds())
	for _, f := range out.Findings {
		m.findings.WithLabelValues(f.Rule, string(f.Severity), out.Ref.Kind).Inc()
	}
}

func (m *Metrics) answered(entry, verdict string, took time.Duration) {
	m.duration.WithLabelValues(entry).Observe(took.Seconds())
	m.answers.WithLabelValues(entry, verdict).Inc()
}

// LostDecisions counts lines that the decision log has lost, and why.
func (m *Metrics) LostDecisions(why string, lines int) {
	m.lostDecisions.WithLabelValues(why).Add(float64(lines))
}
