// Command sallyport-webhook is Sallyport's server: the admission webhooks, and
// the reconcilers that keep companions and NetworkPolicies.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := newCommand().ExecuteContext(ctx)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(1)
	}
}

// flags are the command's flags.
type flags struct {
	config      string
	policies    []string
	kubeconfig  string
	certDir     string
	bind        string
	metricsBind string
	healthBind  string
	leaderElect bool
	verbosity   int

	decisions       string
	decisionObjects bool
	decisionMask    []string
}

func newCommand() *cobra.Command {
	f := &flags{}
	cmd := &cobra.Command{
		Use:   "sallyport-webhook",
		Short: "Serve Sallyport's admission webhooks and keep its companions",
		Long: `Sallyport-webhook answers the API server's admission reviews at /mutate and
/validate, and keeps the objects that lead egress traffic through the egress
gateway. Every replica answers reviews; one of them, by leader election, writes.

It follows the cluster that --kubeconfig or the pod's service account names,
and is ready once it has read it completely.`,
		Example: `  # In a pod
  sallyport-webhook --config=/etc/sallyport/config.yaml --cert-dir=/etc/sallyport/certs

  # On a developer's machine
  sallyport-webhook --kubeconfig=$HOME/.kube/config --cert-dir=./certs --webhook-bind-address=127.0.0.1:9443`,
		Args:          cobra.NoArgs,
		SilenceUsage:  true,
		SilenceErrors: true,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return serve(cmd.Context(), f)
		},
	}
	fs := cmd.Flags()
	fs.StringVar(&f.config, "config", "", "configuration `FILE` (default: Istio's own default installation)")
	fs.StringArrayVar(&f.policies, "policies", nil, "`DIR` of Rego policies, beside those of the configuration (repeatable)")
	fs.StringVar(&f.kubeconfig, "kubeconfig", "", "`FILE` that names the cluster (default: $KUBECONFIG, or the pod's service account)")
	fs.StringVar(&f.certDir, "cert-dir", "/etc/sallyport/certs", "`DIR` of the serving certificate, tls.crt and tls.key; read again when it changes")
	fs.StringVar(&f.bind, "webhook-bind-address", ":9443", "`HOST:PORT` of the webhooks (HTTPS)")
	fs.StringVar(&f.metricsBind, "metrics-bind-address", ":8080", "`HOST:PORT` of /metrics and /status (HTTP); 0 turns both off")
	fs.StringVar(&f.healthBind, "health-probe-bind-address", ":8081", "`HOST:PORT` of /healthz and /readyz (HTTP); 0 turns it off")
	fs.BoolVar(&f.leaderElect, "leader-elect", true, "let one replica write; false only where there is one replica")
	fs.StringVar(&f.decisions, "decision-log", "", "`FILE` to which every decision is appended, a line of JSON each; - is standard output (default: none)")
	fs.BoolVar(&f.decisionObjects, "decision-log-objects", false, "record the objects too, masked, so that \"sallyport policy replay\" can judge them again")
	fs.StringArrayVar(&f.decisionMask, "decision-log-mask", nil, "JSON `PATH` whose value the decision log must not have, beside what looks like a credential (repeatable)")
	fs.IntVarP(&f.verbosity, "verbosity", "v", 0, "`LEVEL` of the log: 0 denials and events, 1 every answer, 4 and above for debugging")
	cmd.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return fmt.Errorf("%w\nRun \"%s --help\" for the flags", err, cmd.CommandPath())
	})
	return cmd
}
