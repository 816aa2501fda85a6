package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/sallyport-io/sallyport/internal/companion"
	"github.com/sallyport-io/sallyport/internal/mesh"
	"github.com/sallyport-io/sallyport/internal/netpol"
	"github.com/sallyport-io/sallyport/internal/printable"
	"github.com/sallyport-io/sallyport/internal/readfile"
	"github.com/sallyport-io/sallyport/internal/report"
)

func newNetpolCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "netpol",
		Short: "Look at the NetworkPolicies that leave no way around the egress gateway",
		Example: `  # Before the label is set: what would no longer be reached?
  sallyport netpol preview shop manifests/

  # And what would be written?
  sallyport netpol plan shop --cluster`,
		Args: args(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newNetpolPlanCommand(), newNetpolPreviewCommand())
	return cmd
}

func newNetpolPreviewCommand() *cobra.Command {
	var in input
	var logs []string
	in.stored = true
	form := newForm(&in)
	format := enum[report.Format]{value: report.Text, allowed: []report.Format{report.Text, report.JSON}, name: "FORMAT"}
	cmd := &cobra.Command{
		Use:   "preview [flags] NAMESPACE FILE|DIR|- ...",
		Short: "Say what a NetworkPolicy around a namespace would cut off",
		Long: `Preview puts the NetworkPolicy around a namespace that the label
sallyport.io/network-policy=enabled would put there, whatever the namespace's
label is now ("staged", say), and says what its pods would no longer reach: hosts that ServiceEntries register and that are reached
without the gateway, Services outside the mesh, and what a log of flows has
seen. The companions that Sallyport would keep are in place.

The more of the cluster is given, the more it can say. Logs are those of Hubble
("hubble observe -o json"), of Calico (flow log files) or of its Whisker (the
stream /flows?watch=true), one JSON object a line. What a log leaves out, as
aggregated ports, is said to be unclear rather than taken for harmless.

Exit status: 0 nothing would be cut off; 1 something would; 2 the input could
not be read or judged (file, line and reason on standard error).`,
		Example: `  sallyport netpol preview shop manifests/

  # With what the cluster holds, and what its pods did yesterday
  sallyport dump --file cluster.yaml
  sallyport netpol preview shop --flows hubble.json cluster.yaml`,
		Args: in.files(1),
		RunE: func(cmd *cobra.Command, names []string) error {
			var flows []netpol.Flow
			for _, log := range logs {
				more, lost, err := readFlows(log)
				if err != nil {
					return err
				}
				if lost > 0 {
					printable.Fprintf(cmd.ErrOrStderr(), "WARNING: %s lacks events (%d at least): it says of itself that they were lost, and what they were about may be cut off unseen; record it again with larger buffers\n", log, lost)
				}
				flows = append(flows, more...)
			}
			j, err := in.judge(cmd, names[1:])
			if err != nil {
				return err
			}
			// Hosts of the state that no given object bears on have companions too.
			var hosts []string
			for p := range j.batch.Mesh.AllPoints() {
				hosts = append(hosts, p.Host)
			}
			m, _ := companion.Apply(j.batch.Mesh, hosts...)
			if m.Namespace(names[0]) == nil {
				printable.Fprintf(cmd.ErrOrStderr(), "note: no Namespace %s is among the objects: it is taken for one without labels\n", names[0])
			}
			outlook, err := netpol.Preview(m, names[0], flows)
			if err != nil {
				return err
			}
			if !m.Settings().Walls.IstioTask && len(netpol.DNS(m)) == 0 {
				cmd.PrintErrf("WARNING: %v\n", errNoDNS)
			}
			if err := writeOutlook(cmd.OutOrStdout(), format.value, outlook); err != nil {
				return err
			}
			if len(outlook.Cut) > 0 {
				return errDenied
			}
			return nil
		},
	}
	in.addFlags(cmd)
	form.addFlag(cmd)
	cmd.Flags().StringArrayVar(&logs, "flows", nil, "log `FILE` of flows, of Hubble, Calico or Whisker (repeatable)")
	cmd.Flags().VarP(&format, "output", "o", "format of the result: "+format.list(", "))
	_ = cmd.RegisterFlagCompletionFunc("output", format.complete)
	return cmd
}

func newNetpolPlanCommand() *cobra.Command {
	var in input
	form := newForm(&in)
	cmd := &cobra.Command{
		Use:   "plan [flags] NAMESPACE FILE|DIR|- ...",
		Short: "Print the NetworkPolicies that a namespace would get",
		Long: `Plan prints, as YAML, the NetworkPolicies that the label
sallyport.io/network-policy=enabled would bring to a namespace, whatever the
namespace's label is now: the wall around its pods or, in the namespace of an
egress gateway, what surrounds the gateway.

The objects are those of the cluster: Namespaces, the Services of DNS, istiod
and the gateways, Nodes, ServiceCIDRs. Nothing is judged, and nothing is written.

Exit status: 0 the policies are printed; 2 the input could not be read, has no
Service of the cluster's DNS, which the policy would close, or the namespace is
one that never gets any (reason on standard error).`,
		Example: `  sallyport netpol plan shop --cluster

  # In the form of Istio's own task
  sallyport netpol plan shop --form=istio-task cluster.yaml`,
		Args: in.files(1),
		RunE: func(cmd *cobra.Command, names []string) error {
			m, err := in.clusterOf(cmd, names[1:])
			if err != nil {
				return err
			}
			policies := netpol.Planned(m, names[0])
			if len(policies) == 0 {
				return fmt.Errorf("namespace %s is one of the control plane, which is never walled: name a namespace with workloads, or of an egress gateway", names[0])
			}
			if !m.Settings().Walls.IstioTask && len(netpol.DNS(m)) == 0 {
				return errNoDNS
			}
			var objects []json.RawMessage
			for _, p := range policies {
				raw, err := manifestOf(p)
				if err != nil {
					return fmt.Errorf("rendering NetworkPolicy %s/%s: %w", p.Namespace, p.Name, err)
				}
				objects = append(objects, raw)
			}
			return writeYAML(cmd.OutOrStdout(), objects)
		},
	}
	in.addClusterFlags(cmd)
	cmd.Flags().StringVar(&in.config, "config", "", "the server's configuration `FILE` (default: Istio's own default installation)")
	_ = cmd.MarkFlagFilename("config", "yaml", "yml", "json") // fails for unknown flags only
	form.addFlag(cmd)
	return cmd
}

// errNoDNS is why no policy is printed: one that closes DNS closes everything.
var errNoDNS = errors.New("no Service of the cluster's DNS is among the objects, and the policy may close DNS where that is not in kube-system: " +
	"give the whole cluster (sallyport dump, or --cluster), or name yours in the configuration (walls.dns)")

// clusterOf reads what the names name as a cluster's, and judges nothing.
func (in *input) clusterOf(cmd *cobra.Command, names []string) (*mesh.Mesh, error) {
	cfg, standing, err := in.configured(cmd)
	if err != nil {
		return nil, err
	}
	reader := in.reader(cmd)
	reader.Stored = true
	objects, err := reader.Read(cmd.Context(), names...)
	if err != nil {
		return nil, err
	}
	settings := cfg.Settings()
	in.settle(&settings)
	return meshOf(settings, append(standing, objects...))
}

// form is the flag that overrides walls.form of the configuration.
type form struct{ enum[string] }

func newForm(in *input) *form {
	f := &form{enum[string]{allowed: []string{"derived", "istio-task"}, name: "FORM"}}
	in.settle = func(s *mesh.Settings) {
		if f.value != "" {
			s.Walls.IstioTask = f.value == "istio-task"
		}
	}
	return f
}

func (f *form) addFlag(cmd *cobra.Command) {
	cmd.Flags().Var(f, "form", "form of the policy, "+f.list(" or ")+": overrides the configuration")
	_ = cmd.RegisterFlagCompletionFunc("form", f.complete) // fails for unknown flags only
}

func readFlows(name string) (flows []netpol.Flow, lost uint64, err error) {
	f, err := readfile.Open(name)
	if err != nil {
		return nil, 0, fmt.Errorf("--flows: %w", err)
	}
	flows, lost, err = netpol.ReadFlows(name, f)
	return flows, lost, errors.Join(err, f.Close())
}

func writeOutlook(w io.Writer, format report.Format, o netpol.Outlook) error {
	if format == report.JSON {
		e := json.NewEncoder(w)
		e.SetIndent("", "  ")
		return e.Encode(o)
	}
	b := bufio.NewWriter(w)
	for _, part := range []struct {
		title string
		list  []netpol.Prospect
	}{
		{"would be cut off", o.Cut},
		{"cannot be told", o.Unclear},
		{"would go on", o.Kept},
	} {
		if len(part.list) == 0 {
			continue
		}
		printable.Fprintf(b, "%s:\n", part.title)
		for _, p := range part.list {
			times := ""
			if p.Seen > 1 {
				times = fmt.Sprintf(" (%d times)", p.Seen)
			}
			printable.Fprintf(b, "  %-7s %s %s/%s%s: %s\n", p.What, p.Destination, p.Protocol, p.Port, times, p.Why)
		}
	}
	if len(o.Holes) > 0 {
		printable.Fprintf(b, "would leave the wall open:\n")
		for _, h := range o.Holes {
			printable.Fprintf(b, "  %s: %s: %s\n", h.Ref, h.Path, h.Message)
		}
	}
	printable.Fprintf(b, "namespace %s: %d cut off, %d that cannot be told, %d that go on\n", o.Namespace, len(o.Cut), len(o.Unclear), len(o.Kept))
	return b.Flush()
}
