package report_test

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"errors"
	"flag"
	"io"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/santhosh-tekuri/jsonschema/v6"
	"sigs.k8s.io/yaml"

	"github.com/sallyport-io/sallyport/internal/mesh"
	"github.com/sallyport-io/sallyport/internal/report"
	"github.com/sallyport-io/sallyport/rules"
)

var update = flag.Bool("update", false, "rewrite testdata/review.*")

// sample has a denied, a warned, an allowed and an unknown object, and what
// each format must take care to escape.
func sample() *report.Review {
	vs := mesh.Ref{Kind: "VirtualService", Namespace: "shop", Name: "pay"}
	return report.New(
		[]report.Object{
			{
				APIVersion: "networking.istio.io/v1", Kind: "VirtualService", Namespace: "shop", Name: "pay",
				File: "apps/shop, eu/100%.yaml", Line: 3,
				Findings: []report.Finding{
					{Finding: rules.Finding{Rule: "sidecar-note", Severity: rules.Info, Path: "spec", Message: "worth knowing"}, Line: 8},
					{Finding: rules.Finding{Rule: "some-warning", Severity: rules.Warn, Path: "spec.hosts[0]", Message: "a <b> & c: 50%"}, Line: 9},
					{Finding: rules.Finding{
						Rule: "straight-out", Severity: rules.Deny, Path: "spec.http[0].route[0].destination.host",
						Message: "sends traffic straight to pay.example\nand not through the gateway",
						Fix:     "http:\n- route:\n  - destination:\n      host: gateway\n",
					}, Line: 14},
				},
			},
			{
				APIVersion: "networking.istio.io/v1", Kind: "ServiceEntry", Namespace: "shop", Name: "pay", File: "-", Line: 1,
				Findings: []report.Finding{
					{Finding: rules.Finding{Rule: "legacy-form", Severity: rules.Warn, Path: "spec.ports[0].targetPort", Message: "the field is called targetPort today"}, Line: 4},
				},
			},
			{APIVersion: "v1", Kind: "Namespace", Name: "shop", File: "ns.yaml", Line: 1},
			{
				APIVersion: "v1", Kind: "ConfigMap", Namespace: "shop", Name: "c", File: "ns.yaml", Line: 5,
				Findings: []report.Finding{{Finding: rules.Finding{Rule: "unknown-kind", Severity: rules.Info, Message: "not judged"}, Line: 5}},
			},
		},
		[]mesh.Path{
			{
				Host: "pay.example", Port: 80, Protocol: "HTTP", Client: "*", Verdict: mesh.Blocked,
				Because: []mesh.Reason{{Ref: mesh.Ref{Kind: "ServiceEntry", Namespace: "shop", Name: "pay"}, Path: "spec.exportTo", Message: "is not exported to this namespace"}},
			},
			{
				Host: "pay.example", Port: 80, Protocol: "HTTP", Client: "shop", Verdict: mesh.Direct,
				Because: []mesh.Reason{{Ref: vs, Path: "spec.http[0]", Message: "routes to the host itself"}},
			},
			{Host: "pay.example", Port: 443, Protocol: "TLS", Client: "*", Verdict: mesh.Via, Gateway: "istio-egressgateway"},
			{Host: "pay.example", Port: 443, Protocol: "TLS", Client: "shop", Verdict: mesh.Via, Gateway: "istio-egressgateway"},
		},
		[]json.RawMessage{json.RawMessage(`{"apiVersion":"networking.istio.io/v1","kind":"Gateway","metadata":{"name":"sallyport-0","namespace":"istio-system"},"spec":{}}`)},
	)
}

func write(t *testing.T, w report.Writer, r *report.Review) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := w.Write(&b, r); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestFormats(t *testing.T) {
	for name, w := range map[string]report.Writer{
		"review.txt":   {Format: report.Text},
		"review.color": {Format: report.Text, Color: true},
		"review.json":  {Format: report.JSON},
		"review.yaml":  {Format: report.YAML},
		"review.sarif": {Format: report.SARIF, Version: "v1.2.3", Rules: []*rules.Rule{
			{Name: "straight-out", Doc: "traffic leaves without the gateway\n\nAt length.", Severity: rules.Deny},
			report.LegacyForm, report.UnknownKind,
		}},
		"review.xml":    {Format: report.JUnit},
		"review.github": {Format: report.GitHub},
	} {
		t.Run(name, func(t *testing.T) {
			got := write(t, w, sample())
			golden := "testdata/" + name
			if *update {
				if err := os.WriteFile(golden, got, 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), string(got)); diff != "" {
				t.Errorf("output (-want +got):\n%s", diff)
			}
		})
	}
}

// TestSchema holds the documented schema and the output together, in both
// directions: what is written is valid, and what is not the contract is not.
func TestSchema(t *testing.T) {
	schema, err := jsonschema.NewCompiler().Compile("../../docs/review.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	validate := func(data []byte) error {
		v, err := jsonschema.UnmarshalJSON(bytes.NewReader(data))
		if err != nil {
			t.Fatal(err)
		}
		return schema.Validate(v)
	}
	valid := write(t, report.Writer{Format: report.JSON}, sample())
	fromYAML, err := yaml.YAMLToJSON(write(t, report.Writer{Format: report.YAML}, sample()))
	if err != nil {
		t.Fatal(err)
	}
	for name, data := range map[string][]byte{
		"json":  valid,
		"yaml":  fromYAML,
		"empty": write(t, report.Writer{Format: report.JSON}, report.New(nil, nil, nil)),
	} {
		if err := validate(data); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, change := range map[string][2]string{
		"verdict that the findings contradict": {`"verdict": "deny"`, `"verdict": "allow"`},
		"unknown severity":                     {`"severity": "info"`, `"severity": "note"`},
		"null list":                            {`"because": []`, `"because": null`},
		"missing field":                        {",\n          \"fix\": \"\"", ""},
		"verdict on a path that is none":       {`"verdict": "via"`, `"verdict": "ok"`},
		"other version":                        {`"sallyport.io/v1alpha1"`, `"sallyport.io/v2"`},
	} {
		data := bytes.Replace(valid, []byte(change[0]), []byte(change[1]), 1)
		if bytes.Equal(data, valid) {
			t.Errorf("%s: the sample has no %s to change", name, change[0])
			continue
		}
		if err := validate(data); err == nil {
			t.Errorf("%s: the schema accepts it", name)
		}
	}
}

// TestRoundTrip: the document can be read back without loss.
func TestRoundTrip(t *testing.T) {
	want := write(t, report.Writer{Format: report.JSON}, sample())
	var r report.Review
	if err := json.Unmarshal(want, &r); err != nil {
		t.Fatal(err)
	}
	got := write(t, report.Writer{Format: report.JSON}, &r)
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("written again (-want +got):\n%s", diff)
	}
}

// TestSARIFHelp: every rule has a text to show beside a result, of which
// GitHub's code scanning says that it is required.
func TestSARIFHelp(t *testing.T) {
	var log struct {
		Runs []struct {
			Tool struct {
				Driver struct {
					Rules []struct {
						ID   string
						Help struct{ Text string }
					}
				}
			}
		}
	}
	all := slices.Concat(rules.All, report.Builtin)
	if err := json.Unmarshal(write(t, report.Writer{Format: report.SARIF, Rules: all}, sample()), &log); err != nil {
		t.Fatal(err)
	}
	got := log.Runs[0].Tool.Driver.Rules
	if len(got) < len(all) {
		t.Errorf("%d rules, want %d or more", len(got), len(all))
	}
	for _, r := range got {
		if r.Help.Text == "" {
			t.Errorf("%s has no help.text", r.ID)
		}
	}
}

func TestJUnitIsXML(t *testing.T) {
	d := xml.NewDecoder(bytes.NewReader(write(t, report.Writer{Format: report.JUnit}, sample())))
	failures := 0
	for {
		tok, err := d.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if e, ok := tok.(xml.StartElement); ok && e.Name.Local == "failure" {
			failures++
		}
	}
	if failures != 1 {
		t.Errorf("%d failures, want 1: the denial and nothing else", failures)
	}
}

// TestGitHubLines: a finding is one line, however many its message has.
func TestGitHubLines(t *testing.T) {
	out := string(write(t, report.Writer{Format: report.GitHub}, sample()))
	commands := 0
	for line := range strings.Lines(out) {
		if strings.HasPrefix(line, "::") {
			commands++
		}
	}
	if commands != 5 {
		t.Errorf("%d commands, want one for each of 5 findings:\n%s", commands, out)
	}
}

// TestManyPaths: text leaves out what is in order where there is too much of
// it, and never what is not.
func TestManyPaths(t *testing.T) {
	var paths []mesh.Path
	for port := range 200 {
		p := mesh.Path{Host: "a.example", Port: port + 1, Protocol: "TCP", Client: "*", Verdict: mesh.Via, Gateway: "g"}
		if port == 150 {
			p.Verdict, p.Gateway = mesh.Direct, ""
			p.Because = []mesh.Reason{{Message: "no route covers the port"}}
		}
		paths = append(paths, p)
	}
	out := string(write(t, report.Writer{Format: report.Text}, report.New(nil, paths, nil)))
	if !strings.Contains(out, "no route covers the port") || !strings.Contains(out, "(199 more via the gateway or blocked; -o json lists them)") {
		t.Errorf("the direct path and the count of the others are not both there:\n%s", out)
	}
}

// What a policy only records is told to whoever asks, as one of the three
// severities that the document has.
func TestAuditIsInformation(t *testing.T) {
	r := report.New([]report.Object{{Kind: "ServiceEntry", Name: "a", Findings: []report.Finding{
		{Finding: rules.Finding{Rule: "owner-annotations", Severity: rules.Audit, Message: "nobody owns it"}},
	}}}, nil, nil)
	got := r.Objects[0]
	if got.Verdict != report.Allow || got.Findings[0].Severity != rules.Info {
		t.Errorf("verdict %s, severity %s; want allow, info", got.Verdict, got.Findings[0].Severity)
	}
}

// TestFingerprints: a finding is known again after an edit of something else, which
// moves its lines and its places in lists, and another finding is not taken for it.
func TestFingerprints(t *testing.T) {
	finding := func(rule, path, message string, line int) report.Finding {
		return report.Finding{Finding: rules.Finding{Rule: rule, Severity: rules.Deny, Path: path, Message: message}, Line: line}
	}
	marks := func(file string, findings ...report.Finding) []string {
		var out strings.Builder
		r := report.New([]report.Object{{APIVersion: "networking.istio.io/v1", Kind: "ServiceEntry", Namespace: "shop", Name: "pay", File: file, Findings: findings}}, nil, nil)
		if err := (report.Writer{Format: report.SARIF, Rules: rules.All}).Write(&out, r); err != nil {
			t.Fatal(err)
		}
		var log struct {
			Runs []struct {
				Tool struct {
					Driver struct {
						Rules []struct{ ID, HelpURI string }
					}
				}
				Results []struct{ PartialFingerprints map[string]string }
			}
		}
		if err := json.Unmarshal([]byte(out.String()), &log); err != nil {
			t.Fatal(err)
		}
		var marks []string
		for _, result := range log.Runs[0].Results {
			marks = append(marks, result.PartialFingerprints["sallyport/v1"])
		}
		for _, rule := range log.Runs[0].Tool.Driver.Rules {
			if !strings.HasSuffix(rule.HelpURI, "rules/README.md#"+rule.ID) {
				t.Errorf("rule %s is documented at %q", rule.ID, rule.HelpURI)
			}
		}
		return marks
	}
	before := marks("a.yaml", finding("direct-path", "spec.ports[0]", "from shop", 7), finding("direct-path", "spec.ports[1]", "from shop", 8), finding("host-canonical", "spec.hosts[0]", "odd", 3))
	after := marks("moved/b.yaml", finding("direct-path", "spec.ports[1]", "from shop and bank", 17), finding("direct-path", "spec.ports[2]", "from shop and bank", 18), finding("host-canonical", "spec.hosts[4]", "odd", 13))
	if !slices.Equal(before, after) {
		t.Errorf("before %q, after an unrelated edit %q", before, after)
	}
	all := slices.Concat(before, marks("a.yaml", finding("direct-path", "spec.exportTo", "from shop", 7)), marks("a.yaml", finding("open-gap", "spec.ports[0]", "from shop", 7)))
	slices.Sort(all)
	if len(slices.Compact(slices.Clone(all))) != 5 {
		t.Errorf("different findings are alike: %q", all)
	}
}
