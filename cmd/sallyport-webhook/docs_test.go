package main

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/spf13/pflag"
	"k8s.io/client-go/rest"

	"github.com/sallyport-io/sallyport/internal/live"
	"github.com/sallyport-io/sallyport/internal/mesh"
	"github.com/sallyport-io/sallyport/internal/policysource"
	"github.com/sallyport-io/sallyport/webhook"
)

// TestDocs checks that docs/server.md has every flag with its default, and
// every metric of the server's own.
func TestDocs(t *testing.T) {
	page, err := os.ReadFile("../../docs/server.md")
	if err != nil {
		t.Fatal(err)
	}
	flags := regexp.MustCompile("(?m)^\\| `--([a-z-]+)` \\| (.*?) \\|").FindAllStringSubmatch(string(page), -1)
	documented := make(map[string]string)
	for _, f := range flags {
		documented[f[1]] = strings.Trim(f[2], "`")
	}
	newCommand().Flags().VisitAll(func(f *pflag.Flag) {
		def, ok := documented[f.Name]
		if !ok {
			t.Errorf("the page lacks --%s", f.Name)
		}
		if f.DefValue != "" && f.DefValue != "[]" && def != f.DefValue {
			t.Errorf("the page says that --%s is %q by default, it is %q", f.Name, def, f.DefValue)
		}
		delete(documented, f.Name)
	})
	for name := range documented {
		t.Errorf("the page has --%s, which does not exist", name)
	}

	reg := prometheus.NewPedanticRegistry()
	if _, err := webhook.NewMetrics(reg); err != nil {
		t.Fatal(err)
	}
	if _, err := policysource.New(t.Context(), policysource.Options{Metrics: reg, Log: logr.Discard()}); err != nil {
		t.Fatal(err)
	}
	store, err := live.New(&rest.Config{Host: "http://127.0.0.1:1"}, mesh.DefaultSettings(), logr.Discard())
	if err != nil {
		t.Fatal(err)
	}
	reg.MustRegister(meshCollector{store}, lateGauge(webhook.NewWatch()))
	names := map[string]bool{
		// Registered once the cluster has answered; the end-to-end test sees them.
		"sallyport_companion_writes_total": true,
		"sallyport_time_to_path_seconds":   true,
		"sallyport_waypoint_missing":       true,

		"sallyport_network_policies":            true,
		"sallyport_network_policy_writes_total": true,
	}
	descs := make(chan *prometheus.Desc)
	go func() {
		defer close(descs)
		reg.Describe(descs)
	}()
	for d := range descs {
		name := regexp.MustCompile(`fqName: "([^"]+)"`).FindStringSubmatch(d.String())[1]
		names[name] = true
		if !strings.Contains(string(page), "| `"+name+"` |") {
			t.Errorf("the page lacks the metric %s", name)
		}
	}
	for _, m := range regexp.MustCompile("(?m)^\\| `(sallyport_[a-z_]+)` \\|").FindAllStringSubmatch(string(page), -1) {
		if !names[m[1]] {
			t.Errorf("the page has the metric %s, which does not exist", m[1])
		}
	}
}
