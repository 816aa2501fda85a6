package main

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
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
	// address: whoever has them all must be several. heldConnections and
	// heldConnectionsEach is how many may wait for one of these to end.
	connections         = 96
	connectionsEach     = 16
	heldConnections     = 4096
	heldConnectionsEach = 2048
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
	err = srv.Serve(tls.NewListener(newBounded(l), cfg))
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
