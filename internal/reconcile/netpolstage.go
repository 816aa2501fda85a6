package reconcile

import (
	"encoding/json"
	"fmt"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/sallyport-io/sallyport/internal/live"
	"github.com/sallyport-io/sallyport/internal/mesh"
	"github.com/sallyport-io/sallyport/internal/netpol"
)

// tell logs what the policies of a staged namespace would be, once for each
// that they would be. Nothing is written: not even to the Namespace itself.
func (n *NetworkPolicies) tell(m *mesh.Mesh, namespace string) error {
	if netpol.StageOf(m, namespace) != netpol.Staged {
		delete(n.staged, namespace)
		return nil
	}
	planned := netpol.Planned(m, namespace)
	text, err := json.Marshal(planned)
	if err != nil {
		return fmt.Errorf("policies of namespace %s: %w", namespace, err)
	}
	if n.staged[namespace] == string(text) {
		return nil
	}
	n.staged[namespace] = string(text)
	for _, p := range planned {
		n.log.Info("would keep a NetworkPolicy, and writes none: the namespace is staged",
			"object", mesh.Ref{Kind: "NetworkPolicy", Namespace: p.Namespace, Name: p.Name}, "spec", p.Spec)
	}
	return nil
}

// newPolicyMetrics returns the counter of writes, and counts the policies of
// every stage whenever the metrics are read.
func newPolicyMetrics(reg prometheus.Registerer, store *live.Store) (*prometheus.CounterVec, error) {
	writes := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "sallyport_network_policy_writes_total",
		Help: "Writes of NetworkPolicies (create, repair, delete).",
	}, []string{"operation"})
	if reg == nil {
		return writes, nil
	}
	for _, c := range []prometheus.Collector{writes, policyCollector{store}} {
		if err := reg.Register(c); err != nil {
			return nil, err
		}
	}
	return writes, nil
}

// policyCollector reports how far NetworkPolicies are switched on, namespace
// by namespace.
type policyCollector struct{ store *live.Store }

var networkPolicies = prometheus.NewDesc("sallyport_network_policies",
	"NetworkPolicies that Sallyport keeps (stage enforced) or would keep and does not write (stage staged).",
	[]string{"namespace", "stage"}, nil)

// Describe implements prometheus.Collector.
func (policyCollector) Describe(ch chan<- *prometheus.Desc) { ch <- networkPolicies }

// Collect implements prometheus.Collector.
func (c policyCollector) Collect(ch chan<- prometheus.Metric) {
	m := c.store.Mesh()
	for _, stage := range []netpol.Stage{netpol.Enforced, netpol.Staged} {
		for _, namespace := range netpol.Namespaces(m, stage) {
			ch <- prometheus.MustNewConstMetric(networkPolicies, prometheus.GaugeValue,
				float64(netpol.Count(m, namespace)), namespace, string(stage))
		}
	}
}
