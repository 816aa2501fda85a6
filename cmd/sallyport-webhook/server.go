package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"github.com/go-logr/logr"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/klog/v2"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	"sigs.k8s.io/controller-runtime/pkg/metrics"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"

	"github.com/sallyport-io/sallyport/internal/caller"
	"github.com/sallyport-io/sallyport/internal/config"
	"github.com/sallyport-io/sallyport/internal/live"
	"github.com/sallyport-io/sallyport/internal/policysource"
	"github.com/sallyport-io/sallyport/internal/reconcile"
	"github.com/sallyport-io/sallyport/internal/status"
	"github.com/sallyport-io/sallyport/rules"
	"github.com/sallyport-io/sallyport/webhook"
)

// drain is how long reviews in hand may take to finish at the end. It is less
// than the 30 seconds that Kubernetes gives a pod.
const drain = 20 * time.Second

// serve wires everything and runs it until the context ends.
func serve(ctx context.Context, f *flags) error {
	tuneCollector()
	log := newLogger(f.verbosity)
	cfg, err := config.Load(f.config)
	if err != nil {
		return err
	}
	if err := checkAddress("--webhook-bind-address", f.bind); err != nil {
		return err
	}
	if err := checkCertificate(f.certDir); err != nil {
		return err
	}
	if err := checkPorts(ctx, f.bind, f.metricsBind, f.healthBind); err != nil {
		return withRemedy(err)
	}
	restConfig, err := clusterConfig(f.kubeconfig)
	if err != nil {
		return err
	}
	store, err := live.New(restConfig, cfg.Settings(), log.WithName("live"))
	if err != nil {
		return err
	}
	sources, err := policySources(cfg, f.policies, restConfig)
	if err != nil {
		return err
	}
	judges, err := policysource.New(ctx, policysource.Options{
		Rules:         rules.All,
		Parameters:    cfg.Policies.Parameters,
		Sources:       sources,
		Live:          policysource.Live{Synced: store.WaitForSync, Mesh: store.Mesh, List: store.List},
		MaxNewDenials: cfg.Policies.MaxNewDenials,
		Metrics:       metrics.Registry,
		Log:           log.WithName("policies"),
	})
	if err != nil {
		return err
	}
	calls, err := newCaller(cfg, log.WithName("caller"))
	if err != nil {
		return err
	}
	server := newServer(f.bind, f.certDir, log.WithName("server"))
	if calls != nil {
		server.options = append(server.options, calls.Ask)
	}
	mgr, err := newManager(restConfig, f, server)
	if err != nil {
		return withRemedy(err)
	}
	companions, err := reconcile.New(restConfig, store, reconcile.Options{
		Events:  mgr.GetEventRecorder("sallyport"),
		Metrics: metrics.Registry,
		Log:     log.WithName("companions"),
	})
	if err != nil {
		return err
	}
	policies, err := reconcile.NewNetworkPolicies(restConfig, store, reconcile.PolicyOptions{
		Metrics: metrics.Registry,
		Log:     log.WithName("networkpolicies"),
	})
	if err != nil {
		return err
	}
	m, err := webhook.NewMetrics(metrics.Registry)
	if err != nil {
		return err
	}
	decisions, end, err := openDecisions(f, m, log.WithName("decisions"))
	if err != nil {
		return err
	}
	defer end()
	namespace := ""
	if f.leaderElect {
		namespace, _ = cfg.Account()
	}
	leader, err := newLeader(restConfig, namespace, log.WithName("leader"), companions, policies)
	if err != nil {
		return err
	}
	options := webhook.Options{Metrics: m, Decisions: decisions, Log: log.WithName("webhook")}
	if calls != nil {
		options.Proven = func(r *http.Request) error { return calls.Verify(r.TLS) }
		options.Required = cfg.Server.ClientCertificate.Required
	}
	if err := register(mgr, cfg, reporter{store, judges, leader, time.Now()}, options); err != nil {
		return err
	}
	for _, r := range []manager.Runnable{store, trimmer{store}, judges, leader} {
		if err := mgr.Add(r); err != nil {
			return err
		}
	}
	log.Info("starting", "cluster", restConfig.Host, "bind", f.bind, "user", cfg.User())
	if err := mgr.Start(ctx); err != nil {
		return withRemedy(err)
	}
	log.Info("stopped")
	return nil
}

// newLogger returns the log of the whole program, and gives it to the
// libraries that have one of their own.
func newLogger(verbosity int) logr.Logger {
	handler := slog.NewJSONHandler(os.Stderr, &slog.HandlerOptions{Level: slog.Level(-verbosity)})
	log := logr.FromSlogHandler(handler)
	ctrl.SetLogger(log.WithName("controller-runtime"))
	klog.SetLogger(log.WithName("client-go"))
	return log
}

// clusterConfig finds the cluster as kubectl does, and in a pod by the pod's
// service account.
func clusterConfig(kubeconfig string) (*rest.Config, error) {
	loading := clientcmd.NewDefaultClientConfigLoadingRules()
	loading.ExplicitPath = kubeconfig
	cfg, err := clientcmd.NewNonInteractiveDeferredLoadingClientConfig(loading, nil).ClientConfig()
	if err != nil {
		return nil, fmt.Errorf("finding the cluster: %w; name a kubeconfig with --kubeconfig, or run in a pod with a service account", err)
	}
	return cfg, nil
}

// newCaller returns what knows the API server by its client certificate; nil
// where the configuration asks for none.
func newCaller(cfg *config.Config, log logr.Logger) (*caller.Check, error) {
	c := cfg.Server.ClientCertificate
	if c == nil {
		return nil, nil
	}
	return caller.New(c.CA, c.Names, log)
}

// newManager returns a manager that elects nobody: [leader] does.
func newManager(cluster *rest.Config, f *flags, server *server) (manager.Manager, error) {
	return ctrl.NewManager(cluster, ctrl.Options{
		GracefulShutdownTimeout: new(drain),
		HealthProbeBindAddress:  f.healthBind,
		Metrics:                 metricsserver.Options{BindAddress: f.metricsBind},
		WebhookServer:           server,
	})
}

// register serves the webhooks, the metrics, the status page and the probes.
func register(mgr manager.Manager, cfg *config.Config, r reporter, o webhook.Options) error {
	store, judges := r.store, r.policies
	if err := metrics.Registry.Register(meshCollector{store}); err != nil {
		return err
	}
	o.Mesh, o.Ready, o.Judge = store.Mesh, r.ready, judges.Judge
	o.User, o.Now, o.Watch = cfg.User(), time.Now, webhook.NewWatch()
	if err := metrics.Registry.Register(lateGauge(o.Watch)); err != nil {
		return err
	}
	webhook.Register(mgr.GetWebhookServer(), o)
	return errors.Join(
		mgr.AddMetricsServerExtraHandler(statusPath, status.Handler(r.status)),
		mgr.AddHealthzCheck("serving", mgr.GetWebhookServer().StartedChecker()),
		mgr.AddReadyzCheck("serving", mgr.GetWebhookServer().StartedChecker()),
		mgr.AddReadyzCheck("cluster-read", func(*http.Request) error { return store.Waiting() }),
		mgr.AddReadyzCheck("cluster-followed", func(*http.Request) error { return store.Stale() }),
		mgr.AddReadyzCheck("handlers-end", func(*http.Request) error { return o.Watch.Stuck() }),
		mgr.AddReadyzCheck("policies-loaded", func(*http.Request) error { return judges.Waiting() }),
	)
}

// checkCertificate fails early, and with a remedy, where the server could not
// serve.
func checkCertificate(dir string) error {
	_, err := tls.LoadX509KeyPair(filepath.Join(dir, "tls.crt"), filepath.Join(dir, "tls.key"))
	if err != nil {
		return fmt.Errorf("serving certificate: %w; --cert-dir must hold tls.crt and tls.key in PEM, "+
			"in a pod the Secret that cert-manager writes for the Certificate sallyport-webhook", err)
	}
	return nil
}

// checkPorts fails early where the server could not listen: before it has
// read the cluster, and taken the lead.
func checkPorts(ctx context.Context, addresses ...string) error {
	var listen net.ListenConfig
	for _, a := range addresses {
		if a == "0" { // turned off
			continue
		}
		l, err := listen.Listen(ctx, "tcp", a)
		if err != nil {
			return err
		}
		if err := l.Close(); err != nil {
			return err
		}
	}
	return nil
}

// checkAddress checks a HOST:PORT.
func checkAddress(flag, s string) error {
	_, port, err := net.SplitHostPort(s)
	if err != nil {
		return fmt.Errorf("%s: %w; give HOST:PORT, for example :9443", flag, err)
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
		return fmt.Errorf("%s: %q is not a port between 1 and 65535", flag, port)
	}
	return nil
}

// withRemedy adds to an error of the operating system what to do about it.
func withRemedy(err error) error {
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return fmt.Errorf("%w; stop the process that has the port, or choose another with "+
			"--webhook-bind-address, --metrics-bind-address or --health-probe-bind-address", err)
	case errors.Is(err, syscall.EACCES):
		return fmt.Errorf("%w; choose a port above 1023", err)
	}
	return err
}
