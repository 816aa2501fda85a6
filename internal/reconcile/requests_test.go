package reconcile_test

import (
	"fmt"
	"io"
	nethttp "net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/client-go/rest"

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

// TestHostsOfOneEntry: an entry of two hosts, which are written at the same
// time, is opened although the answers to the writes are here long before what
// they wrote is seen.
func TestHostsOfOneEntry(t *testing.T) {
	c := newCluster(t, "twins")
	c.config = rest.CopyConfig(c.config)
	c.config.Wrap(func(next nethttp.RoundTripper) nethttp.RoundTripper {
		return roundTripper(func(r *nethttp.Request) (*nethttp.Response, error) {
			response, err := next.RoundTrip(r)
			if err == nil && r.URL.Query().Get("watch") != "" {
				response.Body = slow{response.Body}
			}
			return response, err
		})
	})
	c.run()
	for i := range 3 {
		name := fmt.Sprint("pair-", i)
		c.create(held("twins", name, fmt.Sprintf("a%d.twins.com, b%[1]d.twins.com", i), tls))
		c.opens("twins", name)
	}
}

// slow is a watch that lags.
type slow struct{ io.ReadCloser }

func (s slow) Read(p []byte) (int, error) {
	n, err := s.ReadCloser.Read(p)
	time.Sleep(200 * time.Millisecond)
	return n, err
}
