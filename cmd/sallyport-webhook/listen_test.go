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
	"sync"
	"testing"
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

// TestConnectionsAreBounded opens connections from one address: beyond its bound
// they are closed, and there is room again when one has ended.
func TestConnectionsAreBounded(t *testing.T) {
	address := listening(t, func(http.ResponseWriter, *http.Request) {})
	open := func() (*tls.Conn, error) {
		dialer := &tls.Dialer{NetDialer: &net.Dialer{Timeout: 10 * time.Second}, Config: insecure}
		conn, err := dialer.DialContext(t.Context(), "tcp", address)
		if err != nil {
			return nil, err
		}
		return conn.(*tls.Conn), nil
	}
	var conns []*tls.Conn
	defer func() {
		for _, c := range conns {
			_ = c.Close()
		}
	}()
	deadline := time.Now().Add(20 * time.Second)
	for len(conns) < connectionsEach { // the one that looked whether anybody listens may be among them for a moment
		c, err := open()
		if err == nil {
			conns = append(conns, c)
		} else if time.Now().After(deadline) {
			t.Fatalf("after %d: %v", len(conns), err)
		}
	}
	if c, err := open(); err == nil {
		_ = c.Close()
		t.Errorf("there are more than %d connections from one address", connectionsEach)
	}
	_ = conns[0].Close()
	conns = conns[1:]
	for {
		c, err := open()
		if err == nil {
			conns = append(conns, c)
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("no room after one has ended: %v", err)
		}
		time.Sleep(10 * time.Millisecond)
	}
	b := newBounded(nil, 3, 2)
	for i, host := range []string{"a", "a", "b"} {
		if !b.enter(host) {
			t.Errorf("number %d is refused", i)
		}
	}
	if b.enter("b") || b.enter("c") {
		t.Error("there are more than three in all")
	}
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
