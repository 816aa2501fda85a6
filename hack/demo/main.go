// Command demo walks through what Sallyport does, with real kubectl calls to a
// real API server: it builds what is missing, starts the control plane and
// sallyport-webhook on loopback ports, plays the scenes, checks the outcome of
// each step, and stops and removes everything. It exits with status 1 as soon
// as an outcome is not the one promised.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"github.com/sallyport-io/sallyport/hack/controlplane"
	"github.com/sallyport-io/sallyport/hack/server"
)

func main() {
	keep := flag.Bool("keep", false, "leave everything running and print the KUBECONFIG to use")
	stop := flag.Bool("stop", false, "end what -keep left running, and do nothing else")
	flag.Parse()
	if err := run(*keep, *stop); err != nil {
		fmt.Fprintln(os.Stderr, "demo:", err)
		os.Exit(1)
	}
}

func run(keep, stop bool) error {
	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer cancel()
	dir, err := keptDir()
	if err != nil {
		return err
	}
	if stop {
		return controlplane.StopDetached(dir)
	}
	options := demoOptions()
	if keep {
		if err := controlplane.StopDetached(dir); err != nil { // one kept demo at a time
			return err
		}
		options.Dir, options.Detached = dir, true
	}
	err = play(ctx, options, os.Stdout, terminal(os.Stdout))
	if err != nil && ctx.Err() != nil {
		return fmt.Errorf("interrupted: %w", err)
	}
	return err
}

func demoOptions() controlplane.Options {
	return controlplane.Options{ControllerManager: true, CRDs: []controlplane.CRDs{controlplane.IstioCRDs}}
}

// play plays the demo and cleans up, unless it is to be kept.
func play(ctx context.Context, options controlplane.Options, out io.Writer, colour bool) (err error) {
	fmt.Fprintln(out, "Starting etcd, kube-apiserver and kube-controller-manager, with Istio's resource definitions.")
	cp, err := controlplane.Start(ctx, options)
	if err != nil {
		return err
	}
	kept := false
	defer func() {
		if !kept {
			err = errors.Join(err, cp.Stop())
		}
	}()
	s, err := newSession(ctx, cp, out, colour)
	if err != nil {
		return err
	}
	if out, err := s.run(ctx, step{user: "platform", command: "kubectl apply -f platform.yaml"}); err != nil {
		return fmt.Errorf("applying platform.yaml: %w\n%s", err, out)
	}
	if err := s.play(ctx, setting); err != nil {
		return err
	}
	fmt.Fprintln(out, "\nInstalling manifests/ and starting sallyport-webhook, under its own service account.")
	srv, err := server.Start(ctx, cp, server.Options{Config: filepath.Join(s.dir, "config.yaml")})
	if err != nil {
		return err
	}
	defer func() {
		if !kept {
			err = errors.Join(err, srv.Stop())
		}
	}()
	if options.Detached { // a scene that fails is left to be looked at, too
		kept = true
		defer fmt.Fprintf(out, "\nEverything is left running; \"make demo-stop\" ends it. To look around:\nexport KUBECONFIG=%s\n", cp.Kubeconfig)
	}
	for _, scene := range scenes {
		if err := s.play(ctx, scene); err != nil {
			return fmt.Errorf("%w\nthe end of the server's log:\n%s", err, srv.Process().LogTail(10))
		}
	}
	return nil
}

// keptDir is where a demo that is left running has its data.
func keptDir() (string, error) {
	base, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("no folder for a demo that is kept: %w", err)
	}
	return filepath.Join(base, "sallyport", "demo"), nil
}
