package main

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-logr/logr"
	"sigs.k8s.io/controller-runtime/pkg/certwatcher"
	"sigs.k8s.io/controller-runtime/pkg/healthz"
	ctrlwebhook "sigs.k8s.io/controller-runtime/pkg/webhook"
)

// What bounds the memory of connections, over which anybody may send who reaches
// the port.
const (
	// streams is how many reviews a connection may have in hand: an API server
	// that has more opens another one.
	streams = 60
	// streamBuffer is how much of a body waits for its handler, in bytes. All
	// streams' together fit the buffer of the connection: otherwise large bodies
	// that nobody reads yet would hold up small ones on the same connection.
	streamBuffer     = 32 << 10
	connectionBuffer = (streams + 4) * streamBuffer
	// connections is how many there may be, connectionsEach how many from one
	// address: whoever has them all must be several.
	connections     = 96
	connectionsEach = 16
)

// server serves the webhooks that are registered with it. It does what the
// server of controller-runtime does, which knows none of these bounds.
type server struct {
	ctrlwebhook.Server // keeps what is registered; it is never started
	bind               string
	certDir            string
	options            []func(*tls.Config)
	log                logr.Logger
	serving            atomic.Bool
}

func newServer(bind, certDir string, log logr.Logger, options ...func(*tls.Config)) *server {
	return &server{Server: ctrlwebhook.NewServer(ctrlwebhook.Options{}), bind: bind, certDir: certDir, options: options, log: log}
}

// Start serves until the context ends, and then what is in hand.
func (s *server) Start(ctx context.Context) error {
	watcher, err := certwatcher.New(filepath.Join(s.certDir, "tls.crt"), filepath.Join(s.certDir, "tls.key"))
	if err != nil {
		return err
	}
	go func() {
		if err := watcher.Start(ctx); err != nil {
			s.log.Error(err, "following the serving certificate")
		}
	}()
	cfg := &tls.Config{MinVersion: tls.VersionTLS12, NextProtos: []string{"h2"}, GetCertificate: watcher.GetCertificate}
	for _, option := range s.options {
		option(cfg)
	}
	var listen net.ListenConfig
	l, err := listen.Listen(ctx, "tcp", s.bind)
	if err != nil {
		return err
	}
	srv := &http.Server{
		Handler: s.WebhookMux(),
		// Reviews in hand are answered, whatever ends.
		BaseContext:       func(net.Listener) context.Context { return context.WithoutCancel(ctx) },
		MaxHeaderBytes:    64 << 10,
		IdleTimeout:       90 * time.Second, // that of the API server's connections
		ReadHeaderTimeout: 10 * time.Second,
		HTTP2: &http.HTTP2Config{
			MaxConcurrentStreams:          streams,
			MaxReceiveBufferPerStream:     streamBuffer,
			MaxReceiveBufferPerConnection: connectionBuffer,
		},
		// Whoever reaches the port can have it say something.
		ErrorLog: slog.NewLogLogger(logr.ToSlogHandler(s.log.V(1)), slog.LevelInfo),
	}
	ended := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(ended)
		end, cancel := context.WithTimeout(context.WithoutCancel(ctx), drain)
		defer cancel()
		if err := srv.Shutdown(end); err != nil {
			s.log.Error(err, "reviews in hand were not all answered")
		}
	})
	s.serving.Store(true)
	s.log.Info("serving", "bind", s.bind)
	err = srv.Serve(tls.NewListener(newBounded(l, connections, connectionsEach), cfg))
	s.serving.Store(false)
	if !errors.Is(err, http.ErrServerClosed) {
		stop()
		return err
	}
	<-ended
	return nil
}

// StartedChecker is healthy while the server serves.
func (s *server) StartedChecker() healthz.Checker {
	return func(*http.Request) error {
		if s.serving.Load() {
			return nil
		}
		return errors.New("the webhooks are not served")
	}
}

// bounded is a listener with a bound on the connections that are open, in all
// and from one address. What is beyond is closed at once.
type bounded struct {
	net.Listener
	most, each int

	mu   sync.Mutex
	open int
	by   map[string]int
}

func newBounded(l net.Listener, most, each int) *bounded {
	return &bounded{Listener: l, most: most, each: each, by: make(map[string]int)}
}

// Accept implements [net.Listener].
func (b *bounded) Accept() (net.Conn, error) {
	for {
		conn, err := b.Listener.Accept()
		if err != nil {
			return nil, err
		}
		host, _, err := net.SplitHostPort(conn.RemoteAddr().String())
		if err != nil {
			host = conn.RemoteAddr().String()
		}
		if b.enter(host) {
			return &boundedConn{Conn: conn, leave: sync.OnceFunc(func() { b.leave(host) })}, nil
		}
		_ = conn.Close()
	}
}

func (b *bounded) enter(host string) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.open >= b.most || b.by[host] >= b.each {
		return false
	}
	b.open++
	b.by[host]++
	return true
}

func (b *bounded) leave(host string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.open--
	if b.by[host]--; b.by[host] == 0 {
		delete(b.by, host)
	}
}

// boundedConn is counted until it is closed.
type boundedConn struct {
	net.Conn
	leave func()
}

// Close implements [net.Conn].
func (c *boundedConn) Close() error {
	defer c.leave()
	return c.Conn.Close()
}
