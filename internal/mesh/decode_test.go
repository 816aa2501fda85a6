package mesh

import (
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestDecode(t *testing.T) {
	tests := []struct {
		name string
		raw  string
		want Object
	}{
		{
			name: "defaults of an entry, and the default namespace",
			raw:  `{"apiVersion":"networking.istio.io/v1beta1","kind":"ServiceEntry","metadata":{"name":"a"},"spec":{"hosts":["a.example"],"ports":[{"number":80,"name":"http","protocol":"HTTP"}]}}`,
			want: &ServiceEntry{
				Meta: Meta{Ref: Ref{"ServiceEntry", "default", "a"}}, Hosts: []string{"a.example"},
				Ports: []ServicePort{{Number: 80, Name: "http", Protocol: "HTTP"}}, Location: "MESH_EXTERNAL", Resolution: "NONE",
			},
		},
		{
			name: "field names are case-sensitive",
			raw:  `{"apiVersion":"networking.istio.io/v1","kind":"Sidecar","metadata":{"name":"a","Namespace":"x"},"spec":{"Egress":[{"hosts":["~"]}],"EGRESS":[]}}`,
			want: &Sidecar{Meta: Meta{Ref: Ref{"Sidecar", "default", "a"}}},
		},
		{
			name: "a stray field of the spec does not reach the metadata",
			raw:  `{"apiVersion":"networking.istio.io/v1","kind":"WorkloadEntry","metadata":{"name":"a","namespace":"n"},"spec":{"name":"b","namespace":"o","Deleting":true,"address":"1.2.3.4","labels":{"app":"x"}}}`,
			want: &WorkloadEntry{Meta: Meta{Ref: Ref{"WorkloadEntry", "n", "a"}}, Endpoint: Endpoint{Address: "1.2.3.4", Labels: map[string]string{"app": "x"}}},
		},
		{
			name: "a VirtualService without gateways is the mesh's",
			raw:  `{"apiVersion":"networking.istio.io/v1","kind":"VirtualService","metadata":{"name":"a","namespace":"n","creationTimestamp":"2020-01-01T00:00:00Z"},"spec":{"hosts":["h"]}}`,
			want: &VirtualService{
				Meta:  Meta{Ref: Ref{"VirtualService", "n", "a"}, Created: time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC)},
				Hosts: []string{"h"}, Gateways: []string{"mesh"},
			},
		},
		{
			name: "the Gateway API's Gateway is another kind",
			raw:  `{"apiVersion":"gateway.networking.k8s.io/v1","kind":"Gateway","metadata":{"name":"w","namespace":"n"},"spec":{"gatewayClassName":"istio-waypoint","listeners":[{"name":"mesh","port":15008,"protocol":"HBONE"},{"name":"t","port":443,"protocol":"TLS","tls":{}}]}}`,
			want: &K8sGateway{Meta: Meta{Ref: Ref{"K8sGateway", "n", "w"}}, GatewayClassName: "istio-waypoint", Listeners: []K8sListener{
				{Name: "mesh", Port: 15008, Protocol: "HBONE"}, {Name: "t", Port: 443, Protocol: "TLS", TLSMode: "Terminate"},
			}},
		},
		{
			name: "a target port is a number or a name",
			raw:  `{"apiVersion":"v1","kind":"Service","metadata":{"name":"s","namespace":"n"},"spec":{"ports":[{"port":80,"targetPort":8080},{"port":81,"targetPort":"web"},{"port":82}]}}`,
			want: &Service{Meta: Meta{Ref: Ref{"Service", "n", "s"}}, Ports: []K8sServicePort{{Port: 80, TargetPort: "8080"}, {Port: 81, TargetPort: "web"}, {Port: 82}}},
		},
		{
			name: "the proxy's user in a template",
			raw:  `{"apiVersion":"batch/v1","kind":"CronJob","metadata":{"name":"c","namespace":"n"},"spec":{"jobTemplate":{"spec":{"template":{"metadata":{"labels":{"a":"b"}},"spec":{"hostNetwork":true,"containers":[{"name":"x","securityContext":{"runAsUser":1337}}]}}}}}}`,
			want: &Workload{Meta: Meta{Ref: Ref{"CronJob", "n", "c"}}, PodLabels: map[string]string{"a": "b"}, HostNetwork: true, ProxyUID: true},
		},
		{
			name: "the proxy itself may be the proxy's user",
			raw:  `{"apiVersion":"v1","kind":"Pod","metadata":{"name":"p","namespace":"n"},"spec":{"containers":[{"name":"istio-proxy","securityContext":{"runAsUser":1337}}]}}`,
			want: &Workload{Meta: Meta{Ref: Ref{"Pod", "n", "p"}}, NamesProxy: true},
		},
		{
			name: "kubectl's copy is dropped",
			raw:  `{"apiVersion":"v1","kind":"Namespace","metadata":{"name":"n","annotations":{"kubectl.kubernetes.io/last-applied-configuration":"{}","a":"b"}}}`,
			want: &Namespace{Meta: Meta{Ref: Ref{"Namespace", "", "n"}, Annotations: map[string]string{"a": "b"}}},
		},
		{
			name: "endpoints of a slice",
			raw:  `{"apiVersion":"discovery.k8s.io/v1","kind":"EndpointSlice","metadata":{"name":"s-1","namespace":"n","labels":{"kubernetes.io/service-name":"s"}},"endpoints":[{"addresses":["203.0.113.9"]},{"addresses":["203.0.113.10"],"conditions":{"ready":false}}]}`,
			want: &EndpointSlice{Meta: Meta{Ref: Ref{"EndpointSlice", "n", "s-1"}, Labels: map[string]string{"kubernetes.io/service-name": "s"}}, Addresses: []string{"203.0.113.9", "203.0.113.10"}, Ready: 1, Service: "s"},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := Decode([]byte(tt.raw))
			if err != nil {
				t.Fatal(err)
			}
			got.Metadata().Size = 0 // see TestSize
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

func TestDecodeErrors(t *testing.T) {
	tests := []struct{ raw, want string }{
		{`{`, "not a Kubernetes object"},
		{`{"kind":""}`, `no "kind"`},
		{
			`{"apiVersion":"networking.istio.io/v1","kind":"ServiceEntry","metadata":{"name":"a","namespace":"n"},"spec":{"ports":[{"number":"80"}]}}`,
			"ServiceEntry/n/a: spec.ports[0].number: a string cannot be used here, want int",
		},
		{
			`{"apiVersion":"networking.istio.io/v1","kind":"ServiceEntry","metadata":{"name":"a","namespace":"n","creationTimestamp":"yesterday"}}`,
			`ServiceEntry/n/a: metadata.creationTimestamp: "yesterday" is not an RFC 3339 time`,
		},
	}
	for _, tt := range tests {
		if _, err := Decode([]byte(tt.raw)); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("Decode(%s) = %v, want an error with %q", tt.raw, err, tt.want)
		}
	}
	if _, err := Decode([]byte(`{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"c"}}`)); !errors.Is(err, ErrUnknownKind) {
		t.Errorf("a ConfigMap: got %v, want ErrUnknownKind", err)
	}
}

// FuzzDecode checks that no bytes make Decode, or a mesh that holds what it
// returns, panic.
func FuzzDecode(f *testing.F) {
	f.Add([]byte(`{"apiVersion":"networking.istio.io/v1","kind":"ServiceEntry","metadata":{"name":"a"},"spec":{"hosts":["a.example"],"ports":[{"number":80,"protocol":"HTTP"}],"resolution":"DNS"}}`))
	f.Add([]byte(`{"apiVersion":"networking.istio.io/v1","kind":"VirtualService","metadata":{"name":"a"},"spec":{"hosts":["a.example"],"http":[{"route":[{"destination":{"host":"b"}}]}]}}`))
	f.Add([]byte(`{"apiVersion":"v1","kind":"Service","metadata":{"name":"a"},"spec":{"ports":[{"targetPort":[]}]}}`))
	f.Add([]byte(`{"apiVersion":"v1","kind":"Namespace","metadata":{"name":"a","labels":{"b":"\u00e9","c":null},"managedFields":[{}]},"spec":{},"status":[1,2.5e3,true]}`))
	f.Add([]byte(`{"apiVersion":"v1","k\u0069nd":"Namespace","metadata":null}`))
	f.Add([]byte(`{"apiVersion":"v1","kind":"Namespace","metadata":{"name":"a","name":"b"},"metadata":{"namespace":"c"},"status":{x}}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		var split, whole envelope
		if split.split(raw) {
			split.Metadata.Labels, split.Metadata.Annotations = orNil(split.Metadata.Labels), orNil(split.Metadata.Annotations)
			if err := unmarshal(raw, &whole); err == nil {
				whole.Metadata.Labels, whole.Metadata.Annotations = orNil(whole.Metadata.Labels), orNil(whole.Metadata.Annotations)
				delete(whole.Metadata.Annotations, lastApplied)
				whole.Metadata.Annotations = orNil(whole.Metadata.Annotations)
				if !reflect.DeepEqual(split, whole) {
					t.Errorf("split reads %+v, unmarshal %+v", split, whole)
				}
			}
		}
		o, err := Decode(raw)
		if err != nil {
			return
		}
		if !json.Valid(raw) {
			t.Errorf("decodes what is no JSON as %+v", o)
		}
		m := New(DefaultSettings(), o)
		for _, p := range m.Affected(o) {
			for _, c := range append(m.Clients(p.Host), AnyClient) {
				m.Paths(c, p.Host, p.Port)
			}
		}
		m.Without(o.Metadata().Ref)
	})
}
