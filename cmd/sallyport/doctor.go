package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/sallyport-io/sallyport/internal/config"
	"github.com/sallyport-io/sallyport/internal/doctor"
	"github.com/sallyport-io/sallyport/internal/doctor/gather"
	"github.com/sallyport-io/sallyport/internal/manifest"
	"github.com/sallyport-io/sallyport/internal/report"
)

func newDoctorCommand() *cobra.Command {
	var d examination
	format := enum[report.Format]{value: report.Text, allowed: []report.Format{report.Text, report.JSON}, name: "FORMAT"}
	cmd := &cobra.Command{
		Use:   "doctor [flags] [FILE|DIR|- ...]",
		Short: "Check that a cluster is what Sallyport relies on",
		Long: `Doctor checks a cluster: Istio's configuration, the egress gateway with its
Service, pods, nodes and identity, the wall around namespaces, Sallyport's own
server, and pods that escape. Each check says pass, fail or cannot tell, and what
to do. docs/doctor.md lists them, and what each step of Istio's own
troubleshooting became.

It reads, as the user of the kubeconfig, and changes nothing; whether the server
answers is seen by two writes that are dry runs. What the user may not read is
"cannot tell", never a pass. Without --config the configuration is the one that
the server's pods mount.

With files it examines what they hold instead of a cluster. Of a kind that they
do not hold it cannot tell whether there is none.

Exit status: 0 every check passes; 1 some check fails; 2 the cluster or the input
could not be read; 3 none fails, but some cannot tell.`,
		Example: `  sallyport doctor

  # Another cluster, and what its auditors may see
  sallyport doctor --context production --as auditor

  # One question, for a script
  sallyport doctor --check webhook-answers -o json

  # What somebody sent
  sallyport doctor cluster.yaml`,
		Args: args(cobra.ArbitraryArgs),
		RunE: func(cmd *cobra.Command, names []string) error {
			checks, err := choose(d.only, d.without)
			if err != nil {
				return usageError(cmd, err)
			}
			ctx, cancel := context.WithTimeout(cmd.Context(), d.timeout)
			defer cancel()
			facts, err := d.facts(ctx, cmd, names)
			if errors.Is(err, context.DeadlineExceeded) {
				return fmt.Errorf("the cluster has not been read within %s; give more time with --timeout", d.timeout)
			}
			if err != nil {
				return err
			}
			r := doctor.NewReport(doctor.Run(checks, facts))
			if format.value == report.JSON {
				err = r.WriteJSON(cmd.OutOrStdout())
			} else {
				err = r.WriteText(cmd.OutOrStdout(), isTerminal(cmd.OutOrStdout()) && os.Getenv("NO_COLOR") == "")
			}
			switch {
			case err != nil:
				return err
			case r.Status() == doctor.Fail:
				return errDenied
			case r.Status() == doctor.Unknown:
				return errUnknown
			}
			return nil
		},
	}
	f := cmd.Flags()
	d.addFlags(cmd)
	f.StringVar(&d.config, "config", "", "the server's configuration `FILE` (default: the one that its pods mount)")
	f.StringArrayVar(&d.only, "check", nil, "`NAME` of a check to make, and no other (repeatable)")
	f.StringArrayVar(&d.without, "skip", nil, "`NAME` of a check to leave out (repeatable)")
	f.BoolVar(&d.noProbe, "no-probe", false, "make no dry runs")
	f.DurationVar(&d.timeout, "timeout", 2*time.Minute, "`TIME` that reading the cluster may take")
	f.VarP(&format, "output", "o", "format of the result: "+format.list(", "))
	_ = cmd.RegisterFlagCompletionFunc("output", format.complete)
	_ = cmd.RegisterFlagCompletionFunc("check", completeChecks)
	_ = cmd.RegisterFlagCompletionFunc("skip", completeChecks)
	_ = cmd.MarkFlagFilename("config", "yaml", "yml", "json")
	return cmd
}

// examination is what the flags say.
type examination struct {
	connection
	config        string
	only, without []string
	noProbe       bool
	timeout       time.Duration
}

// choose returns the checks to make.
func choose(only, without []string) ([]*doctor.Check, error) {
	for _, name := range slices.Concat(only, without) {
		if !slices.ContainsFunc(doctor.All, func(c *doctor.Check) bool { return c.Name == name }) {
			return nil, fmt.Errorf("there is no check %q; choose from %s", name, strings.Join(checkNames(), ", "))
		}
	}
	checks := slices.DeleteFunc(slices.Clone(doctor.All), func(c *doctor.Check) bool {
		return len(only) > 0 && !slices.Contains(only, c.Name) || slices.Contains(without, c.Name)
	})
	if len(checks) == 0 {
		return nil, errors.New("--check and --skip leave no check to make")
	}
	return checks, nil
}

func checkNames() []string {
	names := make([]string, len(doctor.All))
	for i, c := range doctor.All {
		names[i] = c.Name
	}
	return names
}

// completeChecks offers the names of checks to a shell.
func completeChecks(*cobra.Command, []string, string) ([]cobra.Completion, cobra.ShellCompDirective) {
	var out []cobra.Completion
	for _, c := range doctor.All {
		out = append(out, cobra.CompletionWithDesc(c.Name, c.Title()))
	}
	return out, cobra.ShellCompDirectiveNoFileComp
}

// facts gathers what is known, from files or from the cluster.
func (d *examination) facts(ctx context.Context, cmd *cobra.Command, names []string) (*doctor.Facts, error) {
	if len(names) > 0 {
		return d.fromFiles(cmd, names)
	}
	cluster, err := d.cluster()
	if err != nil {
		return nil, fmt.Errorf("%w, or give files", err)
	}
	client, err := gather.New(ctx, cluster)
	if err != nil {
		return nil, fmt.Errorf("%w; choose a cluster with --kubeconfig and --context, or give files", err)
	}
	cfg, err := config.Load(d.config)
	if err != nil {
		return nil, err
	}
	if d.config == "" {
		if cfg, err = mounted(ctx, cmd, client, cfg); err != nil {
			return nil, err
		}
	}
	f := newFacts(cfg)
	if err := client.Fill(ctx, f); err != nil {
		return nil, err
	}
	if !d.noProbe {
		if err := client.Probe(ctx, f); err != nil {
			return nil, err
		}
	}
	return f, nil
}

func newFacts(cfg *config.Config) *doctor.Facts {
	namespace, account := cfg.Account()
	return doctor.NewFacts(cfg.Settings(), namespace, account, time.Now())
}

func (d *examination) fromFiles(cmd *cobra.Command, names []string) (*doctor.Facts, error) {
	cfg, err := config.Load(d.config)
	if err != nil {
		return nil, err
	}
	// What stands in a cluster has passed its API server: it is read as it is.
	reader := manifest.Reader{Stdin: cmd.InOrStdin(), Stored: true}
	objects, err := reader.Read(cmd.Context(), names...)
	if err != nil {
		return nil, err
	}
	f := newFacts(cfg)
	for _, o := range objects {
		if err := f.Add(o.Raw); err != nil {
			return nil, at(o, err)
		}
	}
	f.MissUnseen("there is none in the files")
	return f, nil
}
