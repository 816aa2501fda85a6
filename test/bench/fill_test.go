package bench

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"sync"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"

	"github.com/sallyport-io/sallyport/hack/controlplane"
	"github.com/sallyport-io/sallyport/internal/companion"
	"github.com/sallyport-io/sallyport/internal/mesh"
	"github.com/sallyport-io/sallyport/internal/reconcile"
)

// hostsPerNamespace makes 2,000 namespaces of 10,000 hosts.
const hostsPerNamespace = 5

func namespaceOf(i int) string { return fmt.Sprintf("team-%04d", i/hostsPerNamespace) }

func hostOf(i int) string { return fmt.Sprintf("api-%05d.example.com", i) }

// serviceEntry is an entry as admission leaves it, open.
func serviceEntry(i int, host string) []byte {
	return fmt.Appendf(nil, `{"apiVersion":"networking.istio.io/v1","kind":"ServiceEntry",
"metadata":{"namespace":%q,"name":%q,"annotations":{"sallyport.io/export-to":"."},"labels":{"app.kubernetes.io/part-of":"bench"}},
"spec":{"hosts":[%q],"exportTo":["."],"location":"MESH_EXTERNAL","resolution":"DNS",
"ports":[{"number":80,"name":"http","protocol":"HTTP"},{"number":443,"name":"tls","protocol":"TLS"}]}}`,
		namespaceOf(i), "e-"+host, host)
}

// route sends a host that is in the mesh to the gateway, with a timeout.
func route(i int) []byte {
	return fmt.Appendf(nil, `{"apiVersion":"networking.istio.io/v1","kind":"VirtualService",
"metadata":{"namespace":%q,"name":"timeout-%d"},
"spec":{"hosts":[%q],"exportTo":["."],"http":[{"match":[{"port":80,"uri":{"prefix":"/slow"}}],"timeout":"30s",
"route":[{"destination":{"host":"istio-egressgateway.istio-system.svc.cluster.local","port":{"number":443},"subset":%q}}]}]}}`,
		namespaceOf(i), i, hostOf(i), companion.Key(hostOf(i)))
}

const (
	ownNamespace = `{"apiVersion":"v1","kind":"Namespace","metadata":{"name":"sallyport-system"}}`
	// leaseOfAnother keeps the server from leading: reviews are measured, not
	// the repair of objects that this test has not made quite right.
	leaseOfAnother = `{"apiVersion":"coordination.k8s.io/v1","kind":"Lease","metadata":{"namespace":"sallyport-system","name":"sallyport-webhook"},
"spec":{"holderIdentity":"bench","leaseDurationSeconds":86400,"renewTime":%q}}`

	gatewayNamespace = `{"apiVersion":"v1","kind":"Namespace","metadata":{"name":"istio-system"}}`
	gatewayService   = `{"apiVersion":"v1","kind":"Service","metadata":{"namespace":"istio-system","name":"istio-egressgateway"},
"spec":{"selector":{"istio":"egressgateway"},"ports":[{"name":"http2","port":80,"targetPort":8080},{"name":"https","port":443,"targetPort":8443}]}}`
)

// fill creates a mesh of n hosts with the companions that Sallyport would
// have written, under its field manager, and returns the number of objects.
func fill(ctx context.Context, cp *controlplane.ControlPlane, n int) (int, error) {
	namespaces := [][]byte{[]byte(gatewayNamespace), []byte(ownNamespace)}
	objects := [][]byte{[]byte(gatewayService)}
	var entries []mesh.Object
	for i := range n {
		if i%hostsPerNamespace == 0 {
			namespaces = append(namespaces, fmt.Appendf(nil,
				`{"apiVersion":"v1","kind":"Namespace","metadata":{"name":%q,"labels":{"istio-injection":"enabled"}}}`, namespaceOf(i)))
		}
		objects = append(objects, serviceEntry(i, hostOf(i)))
	}
	for _, raw := range append(namespaces, objects...) {
		o, err := mesh.Decode(raw)
		if err != nil {
			return 0, err
		}
		entries = append(entries, o)
	}
	m := mesh.New(mesh.DefaultSettings(), entries...)
	for i := range n {
		for _, o := range companion.For(m, hostOf(i)).Objects {
			rendered, err := companion.Render(o)
			if err != nil {
				return 0, err
			}
			raw, err := json.Marshal(rendered)
			if err != nil {
				return 0, err
			}
			objects = append(objects, raw)
		}
	}
	if err := create(ctx, cp, namespaces); err != nil {
		return 0, err
	}
	lease := fmt.Appendf(nil, leaseOfAnother, time.Now().UTC().Format(metav1.RFC3339Micro))
	return len(namespaces) + len(objects), create(ctx, cp, append(objects, lease))
}

// resources are where the objects are created. A Namespace is in none, so
// nothing takes the place of %s.
var resources = map[string]string{
	"Namespace":       "api/v1/%snamespaces",
	"Lease":           "apis/coordination.k8s.io/v1/namespaces/%s/leases",
	"Service":         "api/v1/namespaces/%s/services",
	"ServiceEntry":    "apis/networking.istio.io/v1/namespaces/%s/serviceentries",
	"VirtualService":  "apis/networking.istio.io/v1/namespaces/%s/virtualservices",
	"DestinationRule": "apis/networking.istio.io/v1/namespaces/%s/destinationrules",
	"Gateway":         "apis/networking.istio.io/v1/namespaces/%s/gateways",
}

// create creates objects in the API server, many at a time.
func create(ctx context.Context, cp *controlplane.ControlPlane, objects [][]byte) error {
	config := rest.CopyConfig(cp.Config)
	config.QPS = -1
	client, err := rest.HTTPClientFor(config)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	queue := make(chan []byte)
	var wg sync.WaitGroup
	for range 16 {
		wg.Go(func() {
			for raw := range queue {
				if err := createOne(ctx, client, config.Host, raw); err != nil {
					cancel(err)
					return
				}
			}
		})
	}
	for i, raw := range objects {
		if i%5000 == 0 {
			fmt.Fprintf(os.Stderr, "creating objects: %d of %d\n", i, len(objects))
		}
		select {
		case queue <- raw:
		case <-ctx.Done():
		}
	}
	close(queue)
	wg.Wait()
	return context.Cause(ctx)
}

func createOne(ctx context.Context, client *http.Client, host string, raw []byte) error {
	var o struct {
		Kind     string
		Metadata struct{ Namespace, Name string }
	}
	if err := json.Unmarshal(raw, &o); err != nil {
		return err
	}
	url := host + "/" + fmt.Sprintf(resources[o.Kind], o.Metadata.Namespace) + "?fieldManager=" + reconcile.FieldManager
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(raw))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return err
	}
	if resp.StatusCode != http.StatusCreated {
		return fmt.Errorf("creating %s %s/%s: %s: %s", o.Kind, o.Metadata.Namespace, o.Metadata.Name, resp.Status, body)
	}
	return nil
}
