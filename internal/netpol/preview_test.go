package netpol_test

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"

	"github.com/sallyport-io/sallyport/internal/mesh"
	"github.com/sallyport-io/sallyport/internal/netpol"
	"github.com/sallyport-io/sallyport/internal/netpol/netpoltest"
)

// TestPreview compares the outlook of namespace shop with its golden, with flows of every format.
func TestPreview(t *testing.T) {
	const file = "testdata/preview.txtar"
	a, err := txtar.ParseFile(file)
	if err != nil {
		t.Fatal(err)
	}
	m := netpoltest.Mesh(t, a)
	var flows []netpol.Flow
	for _, log := range []string{"hubble.json", "calico.json", "whisker.json"} {
		more, _, err := netpol.ReadFlows(log, bytes.NewReader(netpoltest.Section(a, log)))
		if err != nil {
			t.Fatal(err)
		}
		flows = append(flows, more...)
	}
	outlook, err := netpol.Preview(m, "shop", flows)
	if err != nil {
		t.Fatal(err)
	}
	got, err := json.MarshalIndent(outlook, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	got = append(got, '\n')
	if *update {
		a.Files[len(a.Files)-1].Data = got
		if err := writeFile(file, a); err != nil {
			t.Fatal(err)
		}
		return
	}
	if d := cmp.Diff(string(netpoltest.Section(a, "want")), string(got)); d != "" {
		t.Errorf("outlook (-want +got):\n%s", d)
	}
	if netpol.Walled(m, "shop") {
		t.Error("the preview of a namespace without a wall is to be tested")
	}
}

func TestPreviewOfTheControlPlane(t *testing.T) {
	_, err := netpol.Preview(mesh.New(mesh.DefaultSettings()), "istio-system", nil)
	if err == nil || !strings.Contains(err.Error(), "istio-system is one of the control plane") {
		t.Errorf("error %v", err)
	}
}

func TestReadFlows(t *testing.T) {
	tests := []struct{ name, log, want string }{
		{"no JSON", "{}x\n", "log:1: invalid character 'x'"},
		{"neither", "\n{\"a\": 1}\n", "log:2: this is neither a flow of Hubble (flow) nor of Calico (reporter)"},
		{"no address", `{"flow": {"source": {"namespace": "shop"}, "l4": {"TCP": {"destination_port": 1}}, "IP": {"destination": "x"}}}`, "log:1: ParseAddr"},
		{"no address either", `{"reporter": "src", "source_namespace": "shop", "dest_namespace": "-", "dest_ip": "x", "dest_port": 1, "proto": "tcp"}`, "log:1: ParseAddr"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, _, err := netpol.ReadFlows("log", strings.NewReader(tt.log))
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v, want %q", err, tt.want)
			}
		})
	}
}

func FuzzReadFlows(f *testing.F) {
	f.Add(`{"flow": {"source": {"namespace": "shop", "labels": ["k8s:a=b"]}, "l4": {"TCP": {"destination_port": 1}}, "IP": {"destination": "10.0.0.1"}}}`)
	f.Add(`{"reporter": "src", "source_namespace": "shop", "dest_namespace": "-", "dest_ip": "10.0.0.1", "dest_port": 1, "proto": "tcp"}`)
	f.Fuzz(func(t *testing.T, log string) {
		flows, _, err := netpol.ReadFlows("log", strings.NewReader(log))
		if err == nil {
			if _, err := netpol.Preview(mesh.New(mesh.DefaultSettings()), "shop", flows); err != nil {
				t.Error(err)
			}
		}
	})
}

// TestLostEvents: what a log says that it lacks is counted, in each form of the
// number, and nothing else is.
func TestLostEvents(t *testing.T) {
	for _, tt := range []struct {
		log  string
		lost uint64
	}{
		{`{"node_status":{"state_change":"NODE_CONNECTED"}}`, 0},
		{`{"lost_events":{"source":"HUBBLE_RING_BUFFER","num_events_lost":"120"},"node_name":"a"}`, 120},
		{`{"lost_events":{"source":"PERF_EVENT_RING_BUFFER","num_events_lost":7,"cpu":1}}` + "\n" + `{"lost_events":{"num_events_lost":"1"}}`, 8},
		{`{"lost_events":{}}`, 1},
		{`{"lost_events":{"num_events_lost":"many"}}`, 1},
		{`{"lost_events":{"num_events_lost":-3}}`, 1},
	} {
		flows, lost, err := netpol.ReadFlows("log", strings.NewReader(tt.log))
		if err != nil || lost != tt.lost || len(flows) != 0 {
			t.Errorf("%s: %d lost, %d flows, %v; want %d lost", tt.log, lost, len(flows), err, tt.lost)
		}
	}
}
