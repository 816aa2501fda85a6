package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-logr/logr"
)

// listening starts a server with one handler.
func listening(t *testing.T, h http.HandlerFunc) (address string) {
	t.Helper()
	certs := t.TempDir()
	writeCertificate(t, certs)
	address = "127.0.0.1:" + freePort(t)
	s := newServer(address, certs, logr.Discard())
	s.Register("/validate", h)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.Start(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	for {
		conn, err := net.Dial("tcp", address)
		if err == nil {
			_ = conn.Close()
			return address
		}
		time.Sleep(5 * time.Millisecond)
	}
}

var insecure = &tls.Config{InsecureSkipVerify: true} //nolint:gosec // the certificate is the test's own

// TestLargeBodiesDoNotStallSmallOnes sends large bodies that nobody reads, as
// many as a connection has streams for but one, and then a small one over the
// same connection: it is read.
func TestLargeBodiesDoNotStallSmallOnes(t *testing.T) {
	entered := make(chan struct{}, streams)
	release := make(chan struct{})
	address := listening(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Unread") != "" {
			entered <- struct{}{}
			<-release
			return
		}
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		_, _ = w.Write(body)
	})
	transport := &http.Transport{TLSClientConfig: insecure, ForceAttemptHTTP2: true, MaxConnsPerHost: 1}
	defer transport.CloseIdleConnections()
	client := &http.Client{Transport: transport}
	send := func(ctx context.Context, unread string, size int) (int, error) {
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, "https://"+address+"/validate", bytes.NewReader(make([]byte, size)))
		if err != nil {
			return 0, err
		}
		req.Header.Set("Unread", unread)
		resp, err := client.Do(req)
		if err != nil {
			return 0, err
		}
		defer func() { _ = resp.Body.Close() }()
		body, err := io.ReadAll(resp.Body)
		return len(body), err
	}
	if _, err := send(t.Context(), "", 1); err != nil { // the connection stands
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	for range streams - 1 {
		wg.Go(func() { _, _ = send(ctx, "yes", 1<<20) })
	}
	for range streams - 1 {
		<-entered
	}
	time.Sleep(200 * time.Millisecond) // until all is sent that may be
	const size = 20_000
	soon, stop := context.WithTimeout(t.Context(), 10*time.Second)
	defer stop()
	if n, err := send(soon, "", size); n != size || err != nil {
		t.Errorf("%d bytes came back, %v", n, err)
	}
	cancel()
	close(release)
	wg.Wait()
}

// TestManyReviewsOfOneAPIServer has an API server send hundreds of reviews at once that
// wait for their answer, as those of a tenant do who has spent its share, and others'
// among them: it opens connections for them as it sees fit, and none is closed to it.
func TestManyReviewsOfOneAPIServer(t *testing.T) {
	address := listening(t, func(_ http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Waits") != "" {
			time.Sleep(time.Second)
		}
	})
	transport := &http.Transport{TLSClientConfig: insecure, ForceAttemptHTTP2: true, MaxIdleConnsPerHost: 25} // as client-go has it
	defer transport.CloseIdleConnections()
	client := &http.Client{Transport: transport}
	send := func(waits string) error {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "https://"+address+"/validate", bytes.NewReader(make([]byte, 1000)))
		if err != nil {
			return err
		}
		req.Header.Set("Waits", waits)
		resp, err := client.Do(req)
		if err != nil {
			return err
		}
		return resp.Body.Close()
	}
	var wg sync.WaitGroup
	var failed atomic.Int32
	for range 300 {
		wg.Go(func() {
			for range 2 {
				if err := send("yes"); err != nil {
					failed.Add(1)
				}
			}
		})
	}
	for range 100 {
		wg.Go(func() {
			if err := send(""); err != nil {
				t.Errorf("another tenant's review: %v", err)
			}
		})
		time.Sleep(20 * time.Millisecond)
	}
	wg.Wait()
	if n := failed.Load(); n > 0 {
		t.Errorf("%d of those that wait got no answer", n)
	}
}

// TestConnectionsAreBounded opens more connections than are served, of one address and
// in all: some wait until others end, in turn, and what is beyond that is closed, as is
// in the end what waits. Nothing is left of any.
func TestConnectionsAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBounded(nil)
		b.most, b.each, b.mostHeld, b.eachHeld = 3, 2, 4, 3
		ends := map[string]net.Conn{} // of the clients
		for _, name := range []string{"a1", "a2", "a3", "a4", "a5", "a6", "b1", "b2", "c1"} {
			ours, theirs := net.Pipe()
			ends[name] = theirs
			b.enter(&named{ours, name}, name[:1])
		}
		var served []net.Conn
		look := func(when string, want ...string) {
			t.Helper()
			var names []string
			for ; len(b.ready) > 0; b.ready = b.ready[1:] {
				conn := b.ready[0].conn
				served = append(served, conn)
				names = append(names, conn.(*boundedConn).Conn.(*named).name)
			}
			if !slices.Equal(names, want) {
				t.Errorf("%s: %v are served, want %v", when, names, want)
			}
		}
		closed := func(name string) bool {
			_ = ends[name].SetReadDeadline(time.Now())
			_, err := ends[name].Read(make([]byte, 1))
			return errors.Is(err, io.EOF)
		}
		look("at first", "a1", "a2", "b1")
		for name := range ends {
			if want := name == "a6" || name == "c1"; closed(name) != want { // too many wait, of a and in all
				t.Errorf("%s is closed: %v", name, !want)
			}
		}
		end := func(i int) {
			for range 2 { // a server may do it twice
				_ = served[i].Close()
			}
		}
		end(2)
		look("after one of b, the first of whose address may have more", "b2")
		end(0)
		look("after one of a", "a3")
		time.Sleep(heldFor)
		synctest.Wait()
		for _, name := range []string{"a4", "a5"} {
			if !closed(name) {
				t.Errorf("%s waits for too long", name)
			}
		}
		for i := range served {
			_ = served[i].Close()
		}
		look("in the end")
		if b.open != 0 || len(b.by) != 0 || len(b.held) != 0 || len(b.heldBy) != 0 {
			t.Errorf("there are %d, %v, and %v wait", b.open, b.by, b.heldBy)
		}
	})
}

// TestConnectionsAfterErrors: what failed while nobody asked is told once, and does not
// keep the connections behind it waiting.
func TestConnectionsAfterErrors(t *testing.T) {
	b := newBounded(nil)
	for range 100 {
		b.fail(syscall.EMFILE)
	}
	ours, theirs := net.Pipe()
	defer func() { _ = theirs.Close() }()
	b.enter(ours, "a")
	b.fail(net.ErrClosed)
	b.start.Do(func() {})
	for i, want := range []error{syscall.EMFILE, nil, net.ErrClosed} {
		conn, err := b.Accept()
		if !errors.Is(err, want) {
			t.Fatalf("answer %d is %v, want %v", i, err, want)
		}
		if err == nil {
			_ = conn.Close()
		}
	}
}

// named is a connection with a name.
type named struct {
	net.Conn
	name string
}

// TestReviewsInHandAreAnswered ends the server while it answers.
func TestReviewsInHandAreAnswered(t *testing.T) {
	certs := t.TempDir()
	writeCertificate(t, certs)
	address := "127.0.0.1:" + freePort(t)
	s := newServer(address, certs, logr.Discard())
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	s.Register("/validate", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		cancel()
		select {
		case <-r.Context().Done():
		case <-time.After(300 * time.Millisecond):
			_, _ = io.WriteString(w, "answered")
		}
	}))
	done := make(chan error, 1)
	go func() { done <- s.Start(ctx) }()
	for s.StartedChecker()(nil) != nil {
		time.Sleep(time.Millisecond)
	}
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: insecure, ForceAttemptHTTP2: true}}
	var body []byte
	for deadline := time.Now().Add(10 * time.Second); ; { // it may not listen yet
		resp, err := client.Get("https://" + address + "/validate") //nolint:noctx // the server ends
		if err == nil {
			body, err = io.ReadAll(resp.Body)
			_ = resp.Body.Close()
		}
		if err == nil || time.Now().After(deadline) {
			if err != nil {
				t.Error(err)
			}
			break
		}
	}
	if string(body) != "answered" {
		t.Errorf("the answer is %q", body)
	}
	if err := <-done; err != nil && !errors.Is(err, os.ErrClosed) {
		t.Error(err)
	}
}
