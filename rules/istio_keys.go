package rules

import (
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/sallyport-io/sallyport/internal/mesh"
	"github.com/sallyport-io/sallyport/internal/told"
)

var istioKeys = &Rule{
	Name: "istio-keys",
	Doc: `annotations for Istio have the form that it reads

Istio's injector prints the values of annotations into the YAML of the sidecar: one
with a line break, a quote or a brace writes containers, and a path of
prometheus.io makes the proxy's agent, which is not captured, fetch from elsewhere.
So each annotation on a pod has to be of its own form. Under the names that Istio
reads on pods, sidecar.istio.io and its like, one that Sallyport does not know is
denied, and warned about in a Pod that Istio has injected: a newer Istio may have
written it. On a Service, topology.istio.io/network makes a gateway between
networks of it, which traffic for that network's endpoints is sent to; on an entry
the canary labels lead part of its traffic past its waypoint. Tenants are denied
both.`,
	Severity: Deny,
	For:      Tenants,
	Remedy:   "Leave it out, or write the value as Istio's reference of resource annotations and labels has it.",
	Rows:     []string{"K-1", "K-2", "B-E3", "S-21", "S-23"},
	Kinds:    append([]string{"Service", "ServiceEntry"}, workloadKinds...),
	Check: Each(
		On(onWorkload(judgePodKeys)),
		On(func(p *Pass, svc *mesh.Service) {
			for _, k := range []string{"topology.istio.io/network", "networking.istio.io/gatewayPort"} {
				if v, ok := svc.Labels[k]; ok {
					p.Reportf(labelPath(k), "label %s: %q makes the Service a gateway between networks, another way out", k, v)
				}
			}
		}),
		On(func(p *Pass, se *mesh.ServiceEntry) {
			if !p.After.HasPoints(se) {
				return
			}
			for _, f := range []stringMap{{"labels", se.Labels}, {"annotations", se.Annotations}} {
				field, set := f.field, f.values
				for _, k := range []string{"istio.io/use-waypoint-canary", "istio.io/use-waypoint-canary-namespace", "istio.io/use-waypoint-canary-weight"} {
					if v, ok := set[k]; ok {
						p.Reportf(fmt.Sprintf("metadata.%s[%q]", field, k), "%s: %q leads part of the traffic past the entry's waypoint", k, v)
					}
				}
			}
		}),
	),
}

// judgePodKeys judges the annotations and labels of a pod.
func judgePodKeys(p *Pass, w *mesh.Workload, base string) {
	for _, f := range []stringMap{{"labels", w.PodLabels}, {"annotations", w.PodAnnotations}} {
		field, set := f.field, f.values
		for _, k := range slices.Sorted(maps.Keys(set)) {
			v, at := set[k], fmt.Sprintf("%smetadata.%s[%q]", base, field, k)
			key, known := podKey(k)
			switch {
			case k == statusKey && w.Kind != "Pod":
				p.Reportf(at, "%s is Istio's note of what it has injected: in a template it hides what the template brings", k)
			case known && key.form != nil && !key.form(v):
				p.Reportf(at, "%s: %q is not what it may say: Istio prints it into the sidecar, or acts on it, as it is", k, v)
			case known || !podDomain(k):
			case w.Injected():
				p.Report(Finding{Path: at, Severity: Warn, Told: told.F("%s is under a name that Istio reads, and unknown to Sallyport", k)})
			default:
				p.Reportf(at, "%s is under a name that Istio reads, and unknown to Sallyport: nobody knows what it does", k)
			}
		}
	}
}

const statusKey = "sidecar.istio.io/status"

// podDomains are those under which Istio reads what is written on pods.
var podDomains = []string{
	"ambient.istio.io", "inject.istio.io", "internal.istio.io", "proxy.istio.io", "readiness.status.sidecar.istio.io",
	"sidecar.istio.io", "status.sidecar.istio.io", "traffic.sidecar.istio.io",
}

func podDomain(key string) bool {
	domain, _, _ := strings.Cut(key, "/")
	return slices.Contains(podDomains, strings.ToLower(domain))
}

// IstioKey says what becomes of one of Istio's annotations or labels.
type IstioKey struct {
	// Rules judge it. Where there are none, Harmless says why nobody has to.
	Rules    []string
	Harmless string
	form     func(string) bool // of the value; nil where others judge that
}

// podKey returns what is known of an annotation or label of a pod.
func podKey(key string) (IstioKey, bool) {
	if k, ok := IstioKeys[key]; ok {
		return k, true
	}
	// Prometheus reads these under any spelling that comes to the same.
	switch prometheusKey.ReplaceAllString(key, "_") {
	case "prometheus_io_path":
		return IstioKey{form: localPath}, true
	case "prometheus_io_port":
		return IstioKey{form: localPort}, true
	case "prometheus_istio_io_scrape_targets":
		return IstioKey{form: scrapeTargets}, true
	case "apm_datadoghq_com_env":
		return IstioKey{form: variables}, true
	}
	switch {
	case key == "k8s.v1.cni.cncf.io/networks":
		return IstioKey{form: noQuote}, true
	case strings.HasPrefix(key, "resource.opentelemetry.io/"):
		return IstioKey{form: unquoted}, true
	}
	return IstioKey{}, false
}

var prometheusKey = regexp.MustCompile(`[^a-zA-Z0-9_]`)

// form is a predicate for values that match the whole of an expression.
func form(expression string) func(string) bool {
	return regexp.MustCompile(`\A(?:` + expression + `)\z`).MatchString
}

// The forms of values.
var (
	number   = form(`[0-9]{1,10}`)
	boolean  = form(`(?i:true|false|1|0|t|f)?`)
	quantity = form(`[0-9]+(\.[0-9]+)?([eE][0-9]+|[A-Za-z]{0,2})`)
	ports    = form(`\*?|[0-9 ,]*`)
	levels   = form(`[A-Za-z0-9_.:,-]*`)
	duration = form(`[0-9.a-zµ]*`)
	oneLine  = form(`[^\x00-\x1f\x7f]*`)
	label    = form(`[A-Za-z0-9._-]*`)
	// What the agent fetches is on the pod itself: it puts both behind "http://localhost:".
	localPort = form(`[0-9]*`)
	localPath = form(`(/[^\s@\\"'{}]*)?`)
	noQuote   = form(`[^']*`)
	variable  = form(`[A-Za-z_][A-Za-z0-9_]*`)
	unquoted  = form(`[^\x00-\x1f\x7f"\\]*`)
)

// scrapeTargets are places on the pod itself: the agent puts the port and the
// path behind "http://localhost:".
func scrapeTargets(value string) bool {
	var targets []map[string]any
	if json.Unmarshal([]byte(value), &targets) != nil {
		return false
	}
	for _, t := range targets {
		for k, v := range t {
			if s, ok := v.(string); ok && !oneLine(s) || strings.EqualFold(k, "path") && ok && !localPath(s) {
				return false
			}
		}
	}
	return true
}

// variables are those that a tracer's annotation adds to the proxy's container,
// name and value as they are.
func variables(value string) bool {
	var all map[string]string
	if json.Unmarshal([]byte(value), &all) != nil {
		return false
	}
	for name, v := range all {
		if !variable(name) || steers(name) || !unquoted(v) {
			return false
		}
	}
	return true
}

// stringMap is a map of an object, such as its labels, and the field that it is.
type stringMap struct {
	field  string
	values map[string]string
}
