package main

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/sallyport-io/sallyport/internal/live"
	"github.com/sallyport-io/sallyport/internal/mesh"
	"github.com/sallyport-io/sallyport/webhook"
)

var (
	meshObjects = prometheus.NewDesc("sallyport_mesh_objects",
		"Objects in the mesh that writes are judged in, by kind.", []string{"kind"}, nil)
	meshSkipped = prometheus.NewDesc("sallyport_mesh_undecodable_total",
		"Objects left out of the mesh because they could not be decoded.", nil, nil)
	meshSynced = prometheus.NewDesc("sallyport_mesh_synced",
		"1 once the cluster has been read completely.", nil, nil)
	meshNotes = prometheus.NewDesc("sallyport_mesh_config_notes",
		"What is to be said about Istio's mesh configurations and versions, by kind of note: overridden by Sallyport's configuration, different between revisions, malformed, and so on; the log has the text.", []string{"note"}, nil)
	meshStale = prometheus.NewDesc("sallyport_mesh_stale_seconds",
		"Time since the mesh was last known to be current, by kind; 0 while the API server tells of changes.", []string{"kind"}, nil)
)

// meshCollector tells the size of the mesh when it is asked.
type meshCollector struct{ store *live.Store }

// Describe implements [prometheus.Collector].
func (c meshCollector) Describe(ch chan<- *prometheus.Desc) {
	ch <- meshObjects
	ch <- meshSkipped
	ch <- meshSynced
	ch <- meshStale
	ch <- meshNotes
}

// Collect implements [prometheus.Collector].
func (c meshCollector) Collect(ch chan<- prometheus.Metric) {
	for kind, n := range c.store.Sizes() {
		ch <- prometheus.MustNewConstMetric(meshObjects, prometheus.GaugeValue, float64(n), kind)
	}
	ch <- prometheus.MustNewConstMetric(meshSkipped, prometheus.CounterValue, float64(c.store.Skipped()))
	notes := map[mesh.NoteKind]int{}
	for _, n := range c.store.Mesh().Notes() {
		notes[n.Kind]++
	}
	for _, kind := range mesh.NoteKinds {
		ch <- prometheus.MustNewConstMetric(meshNotes, prometheus.GaugeValue, float64(notes[kind]), string(kind))
	}
	synced := 0.0
	if c.store.Synced() {
		synced = 1
	}
	ch <- prometheus.MustNewConstMetric(meshSynced, prometheus.GaugeValue, synced)
	for kind, age := range c.store.Ages() {
		ch <- prometheus.MustNewConstMetric(meshStale, prometheus.GaugeValue, age.Seconds(), kind)
	}
}

// lateGauge tells how many handlers go on after they were answered for.
func lateGauge(w *webhook.Watch) prometheus.Collector {
	return prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "sallyport_admission_late",
		Help: "Handlers that go on after they were answered for.",
	}, func() float64 { return float64(w.Late()) })
}
