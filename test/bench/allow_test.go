package bench

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"testing"

	"sigs.k8s.io/controller-runtime/pkg/webhook"
	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"
)

var (
	allowPort  = flag.Int("allow-port", 0, "run as the handler that always allows, on this port")
	allowCerts = flag.String("allow-certs", "", "its certificate's directory")
)

// TestMain makes the test binary the handler that always allows where the
// flags ask for it.
func TestMain(m *testing.M) {
	flag.Parse()
	if *allowPort == 0 {
		os.Exit(m.Run())
	}
	if err := serveAllow(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// serveAllow is the least that a webhook made with controller-runtime does:
// what every such webhook costs.
func serveAllow() error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	server := webhook.NewServer(webhook.Options{Host: "127.0.0.1", Port: *allowPort, CertDir: *allowCerts})
	server.Register("/validate", &webhook.Admission{
		Handler: admission.HandlerFunc(func(context.Context, admission.Request) admission.Response {
			return admission.Allowed("")
		}),
	})
	return server.Start(ctx)
}
