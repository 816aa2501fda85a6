package mesh_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/yaml"

	"github.com/sallyport-io/sallyport/internal/mesh"
)

// TestPool: an object that a pool has decoded is the one that Decode returns,
// however much the pool remembers.
func TestPool(t *testing.T) {
	files, err := filepath.Glob("testdata/observed/*/all.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var pool mesh.Pool
	objects := 0
	for range 2 {
		for _, file := range files {
			raw, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			for _, doc := range regexp.MustCompile(`(?m)^---$`).Split(string(raw), -1) {
				raw, err := yaml.YAMLToJSON([]byte(doc))
				if err != nil {
					t.Fatal(err)
				}
				want, err := mesh.Decode(raw)
				if err != nil {
					continue
				}
				var is struct{ APIVersion, Kind string }
				if err := json.Unmarshal(raw, &is); err != nil {
					t.Fatal(err)
				}
				got, err := pool.Decode(is.APIVersion, is.Kind, raw)
				if err != nil {
					t.Fatalf("%s: %s: %v", file, want.Metadata(), err)
				}
				if d := cmp.Diff(want, got); d != "" {
					t.Fatalf("%s: %s (-want +got):\n%s", file, want.Metadata(), d)
				}
				objects++
			}
		}
	}
	if objects < 500 {
		t.Errorf("only %d objects were compared", objects)
	}
}

func TestPoolErrors(t *testing.T) {
	for _, tt := range []struct{ raw, want string }{
		{`{`, "object: malformed JSON"},
		{`{"metadata":7}`, "object: malformed JSON"},
		{`{"metadata":{"name":7}}`, "metadata.name: a number cannot be used here, want string"},
		{`{"metadata":{"name":"a","namespace":"n"},"spec":{"hosts":7}}`, "ServiceEntry/n/a: spec.hosts: a number cannot be used here"},
		{`{"metadata":{"name":"a","namespace":"n"},"spec":{"hosts":[}}`, "malformed JSON"},
	} {
		if _, err := new(mesh.Pool).Decode("networking.istio.io/v1", "ServiceEntry", []byte(tt.raw)); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v, want an error with %q", tt.raw, err, tt.want)
		}
	}
}

// TestPoolShares: what objects repeat is held once.
func TestPoolShares(t *testing.T) {
	const entry = `{"metadata":{"name":"a","namespace":"n","labels":{"app":"x"}},"spec":{"exportTo":["."],"hosts":["a.example"]}}`
	var pool mesh.Pool
	var objects []*mesh.ServiceEntry
	for range 2 {
		o, err := pool.Decode("networking.istio.io/v1", "ServiceEntry", []byte(entry))
		if err != nil {
			t.Fatal(err)
		}
		objects = append(objects, o.(*mesh.ServiceEntry))
	}
	a, b := objects[0], objects[1]
	if &a.ExportTo[0] != &b.ExportTo[0] || &a.Hosts[0] != &b.Hosts[0] {
		t.Error("equal lists are held twice")
	}
	a.Labels["app"] = "y"
	if b.Labels["app"] != "y" {
		t.Error("equal labels are held twice")
	}
}

// TestFingerprint: it is that of the rendered object exactly where Sallyport
// has written the object and nobody has changed what it wrote.
func TestFingerprint(t *testing.T) {
	const (
		name     = "sallyport-0123456789abcdef0123"
		rendered = `{"apiVersion":"networking.istio.io/v1","kind":"ServiceEntry","metadata":{"annotations":{"sallyport.io/host":"a.example"},` +
			`"labels":{"app.kubernetes.io/managed-by":"sallyport"},"name":"` + name + `","namespace":"n",` +
			`"ownerReferences":[{"apiVersion":"networking.istio.io/v1","kind":"ServiceEntry","name":"e","uid":"1"}]},"spec":{"hosts":["a.example"],"resolution":"DNS"}}`
	)
	want, err := mesh.Fingerprint([]byte(rendered))
	if err != nil || want == 0 {
		t.Fatalf("Fingerprint: %d, %v", want, err)
	}
	written := strings.Replace(rendered, `"name":"`+name, `"managedFields":[{"manager":"kubectl","operation":"Update"},{"fieldsV1":{"f:manager":{}},"manager":"sallyport"}],"resourceVersion":"7","uid":"2","name":"`+name, 1)
	replace := func(old, new string) string {
		if !strings.Contains(written, old) {
			t.Fatalf("no %s in the object", old)
		}
		return strings.Replace(written, old, new, 1)
	}
	for _, tt := range []struct {
		what, raw string
		want      uint64
		differs   bool
	}{
		{"as written", written, want, false},
		{"with a label of somebody else", replace(`"labels":{`, `"labels":{"a":"b",`), want, false},
		{"not written by Sallyport", rendered, 0, false},
		{"under another name", replace(name, "e"), 0, false},
		{"with a field that the model does not know", replace(`"resolution":"DNS"`, `"resolution":"DNS","x":1`), want, true},
		{"without the label", replace(`"app.kubernetes.io/managed-by":"sallyport"`, ``), want, true},
		{"for another host", replace(`"sallyport.io/host":"a.example"`, `"sallyport.io/host":"b.example"`), want, true},
		{"with another owner", replace(`"uid":"1"`, `"uid":"3"`), want, true},
		{"with no owner", replace(`{"apiVersion":"networking.istio.io/v1","kind":"ServiceEntry","name":"e","uid":"1"}`, ``), want, true},
	} {
		o, err := new(mesh.Pool).Decode("networking.istio.io/v1", "ServiceEntry", []byte(tt.raw))
		if err != nil {
			t.Fatalf("%s: %v", tt.what, err)
		}
		if got := o.Metadata().Fingerprint; (got == tt.want) == tt.differs || tt.differs && got == 0 {
			t.Errorf("%s: %d, that of the rendered object is %d", tt.what, got, tt.want)
		}
	}
}

// TestFingerprintOfStatus: the status of a user's entry is known without being
// kept.
func TestFingerprintOfStatus(t *testing.T) {
	o, err := new(mesh.Pool).Decode("networking.istio.io/v1", "ServiceEntry", []byte(
		`{"metadata":{"name":"a","namespace":"n","annotations":{"sallyport.io/export-to":".","sallyport.io/status":"ready: all"}},"spec":{}}`))
	if err != nil {
		t.Fatal(err)
	}
	m := o.Metadata()
	if m.Fingerprint != mesh.FingerprintStatus("ready: all") || m.Fingerprint == mesh.FingerprintStatus("held: all") || mesh.FingerprintStatus("") != 0 {
		t.Errorf("the fingerprint is %d", m.Fingerprint)
	}
	if d := cmp.Diff(map[string]string{"sallyport.io/export-to": "."}, m.Annotations); d != "" {
		t.Errorf("annotations (-want +got):\n%s", d)
	}
}

// FuzzPool checks that no bytes make a pool panic.
func FuzzPool(f *testing.F) {
	f.Add([]byte(`{"metadata":{"name":"a","managedFields":[{"manager":"b"}]},"spec":{"hosts":["a"],"gateways":["mesh"],"http":[{"match":[{"headers":{"a":{"exact":"b"}}}],"route":[{"destination":{"host":"b"}}]}]}}`))
	var pool mesh.Pool
	f.Fuzz(func(_ *testing.T, raw []byte) {
		for _, kind := range []string{"ServiceEntry", "VirtualService", "Gateway", "DestinationRule", "Sidecar"} {
			_, _ = pool.Decode("networking.istio.io/v1", kind, raw)
		}
	})
}
