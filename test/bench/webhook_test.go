// Package bench measures the running server over HTTPS, beside a handler that
// always allows, in the same run and in the manner of the API server: HTTP/2,
// one AdmissionReview after the other.
package bench

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"text/tabwriter"
	"time"

	admissionv1 "k8s.io/api/admission/v1"
	authenticationv1 "k8s.io/api/authentication/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"

	"github.com/sallyport-io/sallyport/hack/controlplane"
	"github.com/sallyport-io/sallyport/hack/server"
)

var hosts = flag.Int("hosts", 10000, "hosts in the mesh, each with its companions")

// BenchmarkWebhook prints the table of the README's performance section.
func BenchmarkWebhook(b *testing.B) {
	ctx := b.Context()
	cp, err := controlplane.Start(ctx, controlplane.Options{
		CRDs:     []controlplane.CRDs{controlplane.IstioCRDs},
		Progress: os.Stderr,
	})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		if err := cp.Stop(); err != nil {
			b.Error(err)
		}
	})
	objects, err := fill(ctx, cp, *hosts)
	if err != nil {
		b.Fatal(err)
	}
	srv, err := server.Start(ctx, cp, server.Options{})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		if err := srv.Stop(); err != nil {
			b.Error(err)
		}
	})

	// The first start built the server: the second one is measured.
	if err := srv.Stop(); err != nil {
		b.Fatal(err)
	}
	began := time.Now()
	if err := srv.Run(ctx); err != nil {
		b.Fatal(err)
	}
	ready := time.Since(began)

	allow, err := startAllow(ctx, cp)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		if err := allow.Stop(5 * time.Second); err != nil {
			b.Error(err)
		}
	})
	reviews := reviews(b, 64)
	targets := []target{{"always allow", allow.url + "/validate"}, {"sallyport", srv.URL + "/validate"}}
	for b.Loop() {
		results := measure(b, cp, targets, reviews)
		table(b, results)
		allow, sallyport := results[0], results[1]
		b.ReportMetric(sallyport.median.Seconds()/allow.median.Seconds(), "median-ratio")
		b.ReportMetric(sallyport.perSecond/allow.perSecond, "throughput-ratio")
	}
	b.ReportMetric(0, "ns/op") // a loop is a whole measurement
	b.ReportMetric(ready.Seconds(), "ready-s")
	b.ReportMetric(resident(b, srv.Process().PID()), "resident-MB")
	fmt.Printf("%d hosts, %d objects: ready after %.1f s, %.0f MB resident after the load (a replica that does not lead)\n",
		*hosts, objects, ready.Seconds(), resident(b, srv.Process().PID()))
}

type target struct{ name, url string }

type result struct {
	target
	median, p99 time.Duration // one connection
	perSecond   float64       // eight connections
}

const (
	// rounds are interleaved between the targets, so that both see the same
	// noise of the machine.
	rounds      = 10
	perRound    = 300
	connections = 8
	loadTime    = time.Second
)

// measure has each target answer the same reviews, in turns.
func measure(b *testing.B, cp *controlplane.ControlPlane, targets []target, reviews [][]byte) []result {
	results := make([]result, len(targets))
	samples := make([][]time.Duration, len(targets))
	answered := make([]int, len(targets))
	clients := make([][]*http.Client, len(targets))
	for i, t := range targets {
		results[i].target = t
		for range connections {
			clients[i] = append(clients[i], client(b, cp))
		}
		for n := range perRound { // warm up
			post(b, clients[i][n%connections], t.url, reviews[n%len(reviews)])
		}
	}
	for range rounds {
		for i, t := range targets {
			for n := range perRound {
				began := time.Now()
				post(b, clients[i][0], t.url, reviews[n%len(reviews)])
				samples[i] = append(samples[i], time.Since(began))
			}
			answered[i] += load(b, clients[i], t.url, reviews)
		}
	}
	for i := range results {
		slices.Sort(samples[i])
		results[i].median = samples[i][len(samples[i])/2]
		results[i].p99 = samples[i][len(samples[i])*99/100]
		results[i].perSecond = float64(answered[i]) / (rounds * loadTime.Seconds())
	}
	return results
}

// load keeps every connection busy for a while and returns how many reviews
// were answered.
func load(b *testing.B, clients []*http.Client, url string, reviews [][]byte) int {
	counts := make([]int, len(clients))
	end := time.Now().Add(loadTime)
	var wg sync.WaitGroup
	for i, c := range clients {
		wg.Go(func() {
			for n := i; time.Now().Before(end); n++ {
				post(b, c, url, reviews[n%len(reviews)])
				counts[i]++
			}
		})
	}
	wg.Wait()
	total := 0
	for _, n := range counts {
		total += n
	}
	return total
}

// client has one connection of its own.
func client(b *testing.B, cp *controlplane.ControlPlane) *http.Client {
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(cp.CA.PEM) {
		b.Fatal("the control plane's CA is no certificate")
	}
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}, ForceAttemptHTTP2: true, MaxConnsPerHost: 1}
	b.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport, Timeout: 30 * time.Second}
}

// post sends one review, which must be allowed.
func post(b *testing.B, c *http.Client, url string, body []byte) {
	resp, err := c.Post(url+"?timeout=10s", "application/json", bytes.NewReader(body))
	if err != nil {
		b.Error(err)
		return
	}
	defer func() { _ = resp.Body.Close() }()
	answer, err := io.ReadAll(resp.Body)
	if err != nil || !bytes.Contains(answer, []byte(`"allowed":true`)) {
		b.Errorf("POST %s: %s, %v: %s", url, resp.Status, err, answer)
	}
}

// reviews are writes of new ServiceEntries, and of routes to the gateway for
// hosts that are there: what a busy cluster sees.
func reviews(b *testing.B, n int) [][]byte {
	var out [][]byte
	for i := range n {
		raw := serviceEntry(i, fmt.Sprintf("new-%d.bench.example.com", i))
		resource := "serviceentries"
		if i%2 == 1 {
			raw = route(i)
			resource = "virtualservices"
		}
		var o struct {
			Kind     string
			Metadata struct{ Namespace, Name string }
		}
		if err := json.Unmarshal(raw, &o); err != nil {
			b.Fatal(err)
		}
		body, err := json.Marshal(admissionv1.AdmissionReview{
			TypeMeta: metav1.TypeMeta{APIVersion: "admission.k8s.io/v1", Kind: "AdmissionReview"},
			Request: &admissionv1.AdmissionRequest{
				UID:       types.UID(fmt.Sprintf("00000000-0000-0000-0000-%012d", i)),
				Kind:      metav1.GroupVersionKind{Group: "networking.istio.io", Version: "v1", Kind: o.Kind},
				Resource:  metav1.GroupVersionResource{Group: "networking.istio.io", Version: "v1", Resource: resource},
				Namespace: o.Metadata.Namespace,
				Name:      o.Metadata.Name,
				Operation: admissionv1.Create,
				UserInfo:  authenticationv1.UserInfo{Username: "dev", Groups: []string{"system:authenticated"}},
				Object:    runtime.RawExtension{Raw: raw},
			},
		})
		if err != nil {
			b.Fatal(err)
		}
		out = append(out, body)
	}
	return out
}

// table prints the results as Markdown.
func table(b *testing.B, results []result) {
	var out strings.Builder
	w := tabwriter.NewWriter(&out, 0, 0, 1, ' ', tabwriter.Debug)
	fmt.Fprintf(w, "\n| handler\tmedian, 1 connection\tp99, 1 connection\treviews/s, %d connections\t\n", connections)
	fmt.Fprint(w, "|---\t---\t---\t---\t\n")
	for _, r := range results {
		fmt.Fprintf(w, "| %s\t%.3f ms\t%.3f ms\t%.0f\t\n", r.name, ms(r.median), ms(r.p99), r.perSecond)
	}
	first, last := results[0], results[len(results)-1]
	fmt.Fprintf(w, "| ratio\t%.2f\t%.2f\t%.2f\t\n", last.median.Seconds()/first.median.Seconds(), last.p99.Seconds()/first.p99.Seconds(), last.perSecond/first.perSecond)
	if err := w.Flush(); err != nil {
		b.Fatal(err)
	}
	fmt.Println(out.String())
}

func ms(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// resident returns a process's resident set in megabytes.
func resident(b *testing.B, pid int) float64 {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		b.Fatal(err)
	}
	for line := range strings.Lines(string(status)) {
		var kb float64
		if n, _ := fmt.Sscanf(line, "VmRSS: %f kB", &kb); n == 1 {
			return kb / 1024
		}
	}
	b.Fatal("no VmRSS in /proc")
	return 0
}

// allow is the handler that always allows, as a process of its own: this test
// binary, started again.
type allow struct {
	*controlplane.Process
	url string
}

func startAllow(ctx context.Context, cp *controlplane.ControlPlane) (*allow, error) {
	pair, err := cp.CA.ServerCert("127.0.0.1")
	if err != nil {
		return nil, err
	}
	dir := filepath.Join(cp.Dir, "allow")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	for name, data := range map[string][]byte{"tls.crt": pair.Cert, "tls.key": pair.Key} {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
			return nil, err
		}
	}
	port, err := controlplane.FreePort()
	if err != nil {
		return nil, err
	}
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	url := fmt.Sprintf("https://127.0.0.1:%d", port)
	process, err := cp.Run(ctx, controlplane.Command{
		Path: self,
		Args: []string{"-allow-port", fmt.Sprint(port), "-allow-certs", dir},
		Ready: func(ctx context.Context) error {
			conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", strings.TrimPrefix(url, "https://"))
			if err != nil {
				return err
			}
			return conn.Close()
		},
	})
	if err != nil {
		return nil, err
	}
	return &allow{process, url}, nil
}
