package report_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/sallyport-io/sallyport/internal/mesh"
	"github.com/sallyport-io/sallyport/internal/report"
	"github.com/sallyport-io/sallyport/rules"
)

// TestOneCause: what one route does wrong is told once, at the route, whichever
// object comes first; every object keeps its verdict, and so does the count.
func TestOneCause(t *testing.T) {
	route := mesh.Ref{Kind: "VirtualService", Namespace: "shop", Name: "pay"}
	finding := func(rule, path, host, fix string, line int) report.Finding {
		return report.Finding{Finding: rules.Finding{
			Rule: rule, Severity: rules.Deny, Path: path, Message: "traffic for " + host + " leaves directly", Host: host, Fix: fix, Decided: route,
		}, Line: line}
	}
	const fix = "apiVersion: v1\nkind: X\n"
	r := report.New([]report.Object{
		{APIVersion: "networking.istio.io/v1", Kind: "ServiceEntry", Namespace: "shop", Name: "pay", File: "entry.yaml", Line: 1, Findings: []report.Finding{
			finding("direct-path", "spec.ports[0]", "pay.example", "# Or label the namespace.\n"+fix, 5),
			finding("direct-path", "spec.ports[0]", "other.example", fix, 5),
		}},
		{APIVersion: "networking.istio.io/v1", Kind: "VirtualService", Namespace: "shop", Name: "pay", File: "route.yaml", Line: 1, Findings: []report.Finding{
			finding("route-straight-to-host", "spec.http[0]", "pay.example", fix, 9),
		}},
		{APIVersion: "networking.istio.io/v1", Kind: "ServiceEntry", Namespace: "bank", Name: "pay", File: "bank.yaml", Line: 1, Findings: []report.Finding{
			finding("direct-path", "spec.ports[1]", "pay.example", fix, 7),
		}},
	}, nil, nil)
	if r.Summary.Denied != 3 {
		t.Errorf("%d objects are denied, want all 3", r.Summary.Denied)
	}
	for _, o := range r.Objects {
		if o.Verdict != report.Deny {
			t.Errorf("%s %s: %s", o.Kind, o.Name, o.Verdict)
		}
	}
	for _, test := range []struct {
		format report.Format
		want   []string
		once   string // what stands there for each cause
		causes int
	}{
		{report.Text, []string{"The same goes for:\n      entry.yaml:5: ServiceEntry shop/pay spec.ports[0] (direct-path)\n      bank.yaml:7: ServiceEntry bank/pay spec.ports[1] (direct-path)\n", "Or label the namespace.", "3 objects: 3 denied"}, "  deny ", 2},
		{report.GitHub, []string{"::error file=route.yaml,line=9", "The same goes for:%0Aentry.yaml:5"}, "::error", 2},
		{report.SARIF, []string{`"relatedLocations"`, "The same goes for ServiceEntry bank/pay."}, `"ruleId"`, 2},
		{report.JUnit, []string{`failures="3"`, "It has one cause with what is found in VirtualService shop/pay"}, "Or label the namespace.", 1},
		{report.JSON, []string{`"sameAs": "VirtualService shop/pay"`}, `"rule"`, 4},
	} {
		out := string(write(t, report.Writer{Format: test.format, Rules: rules.All}, r))
		for _, want := range test.want {
			if !strings.Contains(out, want) {
				t.Errorf("%s: no %q in\n%s", test.format, want, out)
			}
		}
		if test.format == report.SARIF {
			var log struct {
				Runs []struct{ Results []json.RawMessage }
			}
			if err := json.Unmarshal([]byte(out), &log); err != nil || len(log.Runs[0].Results) != test.causes {
				t.Errorf("sarif: %d results, error %v; want %d", len(log.Runs[0].Results), err, test.causes)
			}
			continue
		}
		if got := strings.Count(out, test.once); got != test.causes {
			t.Errorf("%s: %d times %q, want %d:\n%s", test.format, got, test.once, test.causes, out)
		}
	}
}
