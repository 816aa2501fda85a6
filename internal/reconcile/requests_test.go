package reconcile_test

import (
	"fmt"
	nethttp "net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sallyport-io/sallyport/internal/reconcile"
)

// TestRequests: a host costs the API server a request for each companion and
// one to open the entry, and no reads; when many hosts go at once, it is not
// asked for each of them whether any is left.
func TestRequests(t *testing.T) {
	const hosts = 20
	c := newCluster(t, "requests")
	var mu sync.Mutex
	requests := make(map[string]int)
	c.watch = func(r *nethttp.Request) {
		if !strings.Contains(r.URL.Path, "serviceentries") && !strings.Contains(r.URL.Path, "virtualservices") &&
			!strings.Contains(r.URL.Path, "gateways") && !strings.Contains(r.URL.Path, "destinationrules") {
			return // discovery
		}
		mu.Lock()
		defer mu.Unlock()
		requests[r.Method]++
	}
	c.run(func(o *reconcile.Options) { o.Grace = time.Hour }) // what other tests have left stays
	for i := range hosts {
		c.create(held("requests", fmt.Sprint("host-", i), fmt.Sprintf("host-%d.requests.com", i), http+","+tls))
	}
	for i := range hosts {
		c.opens("requests", fmt.Sprint("host-", i))
	}
	mu.Lock()
	delete(requests, nethttp.MethodDelete) // of what other tests have left
	want := map[string]int{nethttp.MethodPost: 5 * hosts, nethttp.MethodPatch: hosts}
	if d := cmp.Diff(want, requests); d != "" {
		t.Errorf("requests for %d hosts (-want +got):\n%s", hosts, d)
	}
	clear(requests)
	mu.Unlock()

	c.stop()
	c.run()
	c.clear("requests")
	mu.Lock()
	defer mu.Unlock()
	if n := requests[nethttp.MethodGet]; n > hosts/2 {
		t.Errorf("%d reads when %d hosts go: one for each of them", n, hosts)
	}
}
