package doctor

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"flag"
	"fmt"
	"maps"
	"math/big"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"
	rbacv1 "k8s.io/api/rbac/v1"
	"sigs.k8s.io/yaml"

	"github.com/sallyport-io/sallyport/internal/apikind"
	"github.com/sallyport-io/sallyport/internal/companion"
	"github.com/sallyport-io/sallyport/internal/config"
	"github.com/sallyport-io/sallyport/internal/mesh"
	"github.com/sallyport-io/sallyport/internal/netpol"
)

var update = flag.Bool("update", false, "rewrite the golden files and docs/doctor.md")

// now is when the cluster of the tests is examined.
var now = time.Date(2026, 7, 1, 12, 0, 0, 0, time.UTC)

// world is a cluster as the tests describe it: objects, and what is said of
// it beside them.
type world struct {
	objects map[string]map[string]any // by key
	missing []Query
	probes  map[string]Probe
	config  *config.Config
}

func key(o map[string]any) string {
	meta, _ := o["metadata"].(map[string]any)
	return fmt.Sprint(o["kind"], "/", meta["namespace"], "/", meta["name"], "/", o["apiVersion"])
}

// facts are the world as package gather would have found it.
func (w *world) facts(t *testing.T) *Facts {
	t.Helper()
	namespace, account := w.config.Account()
	f := NewFacts(w.config.Settings(), namespace, account, now)
	for _, o := range w.objects {
		raw, err := json.Marshal(o)
		if err != nil {
			t.Fatal(err)
		}
		if err := f.Add(raw); err != nil && !strings.Contains(err.Error(), "unreadable") {
			t.Fatal(err)
		}
	}
	for _, q := range w.missing {
		f.Miss(q, "forbidden")
	}
	f.Probes = w.probes
	return f
}

// apply adds the documents of a file. A document of a kind that is there
// already is merged into it (RFC 7386); those of the kinds Absent, Missing,
// Probe and Config say something else than "this object exists".
func (w *world) apply(t *testing.T, data []byte) {
	t.Helper()
	for doc := range strings.SplitSeq(os.Expand(string(data), func(name string) string { return certificates(t)[name] }), "---\n") {
		var o map[string]any
		if err := yaml.Unmarshal([]byte(doc), &o); err != nil {
			t.Fatalf("%v\n%s", err, doc)
		}
		list := func(field string) []any { l, _ := o[field].([]any); return l }
		switch o["kind"] {
		case nil:
		case "Absent":
			for _, prefix := range list("objects") {
				n := len(w.objects)
				for k := range w.objects {
					if strings.HasPrefix(k, prefix.(string)) {
						delete(w.objects, k)
					}
				}
				if n == len(w.objects) {
					t.Fatalf("there is no %s to be absent", prefix)
				}
			}
		case "Missing":
			for _, s := range list("queries") {
				parts := append(strings.Split(s.(string), "/"), "", "")
				w.missing = append(w.missing, Query{Kind: parts[0], Namespace: parts[1], Name: parts[2]})
			}
		case "Probe":
			var p struct {
				Name   string
				Object json.RawMessage
				Probe
			}
			if err := yaml.Unmarshal([]byte(doc), &p); err != nil {
				t.Fatal(err)
			}
			p.Probe.Object = p.Object
			w.probes[p.Name] = p.Probe
			if o["unmade"] == true {
				delete(w.probes, p.Name)
			}
		case "Config":
			c, err := config.Parse("config", []byte(doc))
			if err != nil {
				t.Fatal(err)
			}
			w.config = c
		default:
			k := key(o)
			merged, _ := merge(w.objects[k], o).(map[string]any)
			w.objects[k] = merged
		}
	}
}

// merge is RFC 7386.
func merge(into, patch any) any {
	p, ok := patch.(map[string]any)
	if !ok {
		return patch
	}
	out, _ := into.(map[string]any)
	result := map[string]any{}
	maps.Copy(result, out)
	for k, v := range p {
		if v == nil {
			delete(result, k)
			continue
		}
		result[k] = merge(result[k], v)
	}
	return result
}

// healthy is the cluster of testdata/healthy.yaml with what Sallyport makes of
// it.
func healthy(t *testing.T) *world {
	t.Helper()
	w := &world{
		objects: map[string]map[string]any{},
		probes: map[string]Probe{
			mutateProbe:   {Object: []byte(`{"metadata":{"annotations":{"sallyport.io/export-to":"."}}}`)},
			validateProbe: {Error: `admission webhook "validate.sallyport.io" denied the request: the name is reserved`},
		},
		config: config.Default(),
	}
	for _, file := range []string{"testdata/healthy.yaml", "../../manifests/webhooks.yaml"} {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		w.apply(t, data)
	}
	for _, o := range w.objects {
		hooks, _ := o["webhooks"].([]any)
		for _, h := range hooks {
			h.(map[string]any)["clientConfig"].(map[string]any)["caBundle"] = certificates(t)["CA"]
		}
	}
	m := w.facts(t).Mesh()
	_, sets := companion.Apply(m, "api.example.com")
	for _, set := range sets {
		for _, o := range set.Objects {
			rendered, err := companion.Render(o)
			if err != nil {
				t.Fatal(err)
			}
			w.add(t, rendered)
		}
	}
	m = w.facts(t).Mesh()
	for _, ns := range []string{"shop", "istio-system"} {
		for _, p := range netpol.For(m, ns) {
			w.add(t, p)
		}
	}
	return w
}

func (w *world) add(t *testing.T, o any) {
	t.Helper()
	raw, err := json.Marshal(o)
	if err != nil {
		t.Fatal(err)
	}
	w.apply(t, raw)
}

// certificates are base64 of PEM, by name.
func certificates(t *testing.T) map[string]string {
	t.Helper()
	if made != nil {
		return made
	}
	out := map[string]string{}
	from := now.AddDate(0, -2, 0)
	issue := func(name string, until time.Time, dns string, by *x509.Certificate, key *ecdsa.PrivateKey) (*x509.Certificate, *ecdsa.PrivateKey) {
		own, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		c := &x509.Certificate{
			SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, NotBefore: from, NotAfter: until,
			IsCA: by == nil, BasicConstraintsValid: true,
		}
		if dns != "" {
			c.DNSNames = []string{dns}
		}
		if by == nil {
			by, key = c, own
		}
		der, err := x509.CreateCertificate(rand.Reader, c, by, own.Public(), key)
		if err != nil {
			t.Fatal(err)
		}
		out[name] = base64.StdEncoding.EncodeToString(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
		if c, err = x509.ParseCertificate(der); err != nil {
			t.Fatal(err)
		}
		return c, own
	}
	const name = "sallyport-webhook.sallyport-system.svc"
	ca, caKey := issue("CA", now.AddDate(9, 0, 0), "", nil, nil)
	issue("CA_EXPIRED", now.AddDate(0, 0, -1), "", nil, nil)
	issue("CA_SOON", now.AddDate(0, 0, 5), "", nil, nil)
	issue("GOOD", now.AddDate(0, 2, 0), name, ca, caKey)
	issue("SOON", now.AddDate(0, 0, 5), name, ca, caKey)
	issue("EXPIRED", now.AddDate(0, 0, -1), name, ca, caKey)
	issue("OTHER_NAME", now.AddDate(0, 2, 0), "other.svc", ca, caKey)
	foreign, foreignKey := issue("FOREIGN_CA", now.AddDate(9, 0, 0), "", nil, nil)
	issue("FOREIGN", now.AddDate(0, 2, 0), name, foreign, foreignKey)
	made = out
	return out
}

// made is what [certificates] made.
var made map[string]string

func TestHealthy(t *testing.T) {
	for _, o := range Run(All, healthy(t).facts(t)) {
		if o.Status != Pass {
			t.Errorf("%s: %s: %+v", o.Name, o.Status, o.Results)
		}
	}
}

// TestChecks runs the cases of each check: testdata/NAME.txtar has sections
// fail-*.yaml, unknown-*.yaml and pass-*.yaml, each with what is different from
// the healthy cluster, and want.
func TestChecks(t *testing.T) {
	for _, c := range All {
		t.Run(c.Name, func(t *testing.T) {
			file := filepath.Join("testdata", c.Name+".txtar")
			a, err := txtar.ParseFile(file)
			if err != nil {
				t.Fatal(err)
			}
			var got bytes.Buffer
			seen := map[Status]bool{}
			for _, section := range a.Files {
				if section.Name == "want" {
					continue
				}
				name := strings.TrimSuffix(section.Name, ".yaml")
				want, _, _ := strings.Cut(name, "-")
				w := healthy(t)
				w.apply(t, section.Data)
				o := run(c, w.facts(t))
				if o.Status != Status(want) {
					t.Errorf("%s: status %s", section.Name, o.Status)
				}
				seen[o.Status] = true
				fmt.Fprintf(&got, "%s\n", name)
				for _, r := range o.Results {
					if r.Status != Pass && r.Remedy == "" {
						t.Errorf("%s: no remedy: %+v", section.Name, r)
					}
					if r.Status == Pass && o.Status != Pass {
						continue
					}
					fmt.Fprintf(&got, "\t%s: %s%s\n", r.Status, where(r), r.Message)
					for line := range strings.Lines(r.Remedy) {
						fmt.Fprintf(&got, "\t\t> %s\n", strings.TrimRight(line, "\n"))
					}
				}
			}
			if !seen[Fail] || !seen[Unknown] {
				t.Errorf("%s needs a case that fails and one that cannot tell", file)
			}
			i := slices.IndexFunc(a.Files, func(f txtar.File) bool { return f.Name == "want" })
			if i < 0 {
				i = len(a.Files)
				a.Files = append(a.Files, txtar.File{Name: "want"})
			}
			if *update {
				a.Files[i].Data = got.Bytes()
				if err := os.WriteFile(file, txtar.Format(a), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			if diff := cmp.Diff(string(a.Files[i].Data), got.String()); diff != "" {
				t.Errorf("%s (-want +got):\n%s", file, diff)
			}
		})
	}
}

// TestNothingKnown: no check passes where nothing could be read.
func TestNothingKnown(t *testing.T) {
	cfg := config.Default()
	namespace, account := cfg.Account()
	f := NewFacts(cfg.Settings(), namespace, account, now)
	for _, q := range f.Queries() {
		f.Miss(q, "forbidden")
	}
	for _, o := range Run(All, f) {
		if o.Status != Unknown {
			t.Errorf("%s: %s: %+v", o.Name, o.Status, o.Results)
		}
	}
}

// TestBrokenCheck: what breaks down, or says nothing, cannot tell.
func TestBrokenCheck(t *testing.T) {
	f := healthy(t).facts(t)
	for name, check := range map[string]func(*Exam){
		"panics":       func(*Exam) { panic("oh") },
		"says nothing": func(*Exam) {},
	} {
		if o := run(&Check{Name: name, Check: check}, f); o.Status != Unknown || len(o.Results) != 1 || o.Results[0].Remedy == "" {
			t.Errorf("a check that %s: %+v", name, o)
		}
	}
}

// TestJudged compares what the server must be asked about with the shipped
// webhook configurations, in both directions.
func TestJudged(t *testing.T) {
	var want, got []string
	for _, w := range healthy(t).facts(t).webhooks() {
		for _, r := range w.Rules {
			for _, group := range r.APIGroups {
				for _, resource := range r.Resources {
					for _, op := range r.Operations {
						if slices.Contains(operations(resource, true), op) { // others there are none of
							got = append(got, fmt.Sprint(w.Name, " ", op, " ", groupResource(group, resource)))
						}
					}
				}
			}
		}
	}
	for _, j := range judged {
		for _, resource := range j.resources {
			for _, op := range operations(resource, j.deletes) {
				want = append(want, fmt.Sprint(j.entry, " ", op, " ", groupResource(j.group, resource)))
			}
		}
	}
	for _, w := range healthy(t).facts(t).webhooks() {
		for _, c := range w.MatchConditions {
			if !slices.Contains(shippedConditions, c.Name) {
				t.Errorf("shippedConditions in webhook.go lacks %q of manifests/webhooks.yaml", c.Name)
			}
		}
	}
	// Products of groups and resources that no API has are left out.
	got = slices.DeleteFunc(got, func(s string) bool {
		return strings.Contains(s, " listenersets.gateway.networking.x-k8s.io") || strings.Contains(s, " xlistenersets.gateway.networking.k8s.io")
	})
	slices.Sort(want)
	slices.Sort(got)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("judged in webhook.go and manifests/webhooks.yaml differ (-judged +manifest):\n%s", diff)
	}
}

// TestReader: what Sallyport's server reads to know the mesh, the doctor reads
// too, or its paths and walls would be others.
func TestReader(t *testing.T) {
	data, err := os.ReadFile("../../manifests/rbac.yaml")
	if err != nil {
		t.Fatal(err)
	}
	have := map[string]bool{}
	for name := range sources {
		k := apikind.Named(name)
		have[groupResource(k.Group, k.Resource)] = true
	}
	read := 0
	for doc := range strings.SplitSeq(string(data), "---\n") {
		var role rbacv1.ClusterRole
		if err := yaml.Unmarshal([]byte(doc), &role); err != nil {
			t.Fatal(err)
		}
		if role.Name != "sallyport-reader" || role.Kind != "ClusterRole" {
			continue
		}
		for _, rule := range role.Rules {
			for _, group := range rule.APIGroups {
				for _, resource := range rule.Resources {
					read++
					if !have[groupResource(group, resource)] {
						t.Errorf("the doctor does not read %s", groupResource(group, resource))
					}
				}
			}
		}
	}
	if read == 0 {
		t.Error("manifests/rbac.yaml has no ClusterRole sallyport-reader")
	}
}

// TestSources: what the model holds for the paths is read under the names
// that the model gives.
func TestSources(t *testing.T) {
	for kind := range sources {
		if slices.Contains(mesh.Kinds(), kind) {
			continue
		}
		if slices.ContainsFunc(paths, func(q Query) bool { return q.Kind == kind }) {
			t.Errorf("%s is no kind of the model", kind)
		}
	}
	f := NewFacts(mesh.DefaultSettings(), "sallyport-system", "sallyport-webhook", now)
	for _, q := range f.Queries() {
		for _, path := range q.Paths() {
			if !strings.HasPrefix(path, "/api/v1/") && !strings.HasPrefix(path, "/apis/") || strings.Contains(path, "//") {
				t.Errorf("%s: %s", q, path)
			}
		}
	}
}
