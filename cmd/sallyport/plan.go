package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"slices"

	"github.com/spf13/cobra"

	"github.com/sallyport-io/sallyport/internal/companion"
	"github.com/sallyport-io/sallyport/internal/mesh"
	"github.com/sallyport-io/sallyport/internal/netpol"
	"github.com/sallyport-io/sallyport/internal/printable"
	"github.com/sallyport-io/sallyport/internal/report"
)

func newPlanCommand() *cobra.Command {
	var in input
	cmd := &cobra.Command{
		Use:   "plan [flags] FILE|DIR|- ...",
		Short: "Print every object as it would stand in the cluster afterwards",
		Long: `Plan prints, as YAML that kubectl accepts and Istio reads: the given objects as
admission leaves them and with their paths open, then the companions that
Sallyport keeps for them, then the NetworkPolicies of namespaces that ask for
one. Objects of kinds that Sallyport does not know are printed as they are.
The same input always gives the same output.

A plan is all or nothing: where anything would be denied, nothing is printed,
and standard error says why.

Exit status: 0 the plan is printed; 1 something is denied; 2 the input could
not be read or judged (file, line and reason on standard error).`,
		Example: `  # See what Sallyport adds
  sallyport plan serviceentry.yaml

  # Use Sallyport's objects in a cluster without its server
  sallyport plan manifests/ | kubectl apply -f -`,
		Args: in.files(0),
		RunE: func(cmd *cobra.Command, names []string) error {
			j, err := in.judge(cmd, names)
			if err != nil {
				return err
			}
			if j.denied() {
				return j.refuse(cmd)
			}
			for _, namespace := range j.absent() {
				printable.Fprintf(cmd.ErrOrStderr(), "note: no Namespace %s is among the objects: its pods were not judged\n", namespace)
			}
			for _, secret := range j.issued() {
				printable.Fprintf(cmd.ErrOrStderr(), "note: the gateway presents the certificate in Secret %s, which cert-manager issues for a Certificate that the server keeps and a plan does not hold\n", secret)
			}
			objects, err := j.plan()
			if err != nil {
				return err
			}
			return writeYAML(cmd.OutOrStdout(), objects)
		},
	}
	in.addFlags(cmd)
	return cmd
}

// issued are the Secrets ("namespace/name") that the companions name and that
// the server has cert-manager issue; sorted.
func (j *judged) issued() []string {
	credentials := companion.Issued(j.batch.Mesh.Settings())
	var secrets []string
	for _, o := range j.batch.Companions {
		dr, ok := o.(*mesh.DestinationRule)
		if !ok || dr.TrafficPolicy == nil {
			continue
		}
		for _, p := range dr.TrafficPolicy.PortLevelSettings {
			if p.TLS != nil && slices.ContainsFunc(credentials, func(c mesh.Credential) bool { return c.Secret == p.TLS.CredentialName }) {
				secrets = append(secrets, dr.Namespace+"/"+p.TLS.CredentialName)
			}
		}
	}
	slices.Sort(secrets)
	return slices.Compact(secrets)
}

// refuse says on standard error why there is no plan.
func (j *judged) refuse(cmd *cobra.Command) error {
	r, err := j.report()
	if err != nil {
		return err
	}
	if err := (report.Writer{Format: report.Text}).Write(cmd.ErrOrStderr(), r); err != nil {
		return err
	}
	cmd.PrintErrln("There is no plan, because not everything would be admitted.")
	return errDenied
}

// plan is every object as it would stand in the cluster, as JSON: the given
// ones, then what Sallyport keeps.
func (j *judged) plan() ([]json.RawMessage, error) {
	kept, err := render(j.batch.Companions)
	if err != nil {
		return nil, err
	}
	ours := map[mesh.Ref]bool{}
	for _, c := range j.batch.Companions {
		ours[c.Metadata().Ref] = true
	}
	for _, namespace := range netpol.Namespaces(j.batch.Mesh, netpol.Enforced) {
		for _, p := range netpol.For(j.batch.Mesh, namespace) {
			raw, err := manifestOf(p)
			if err != nil {
				return nil, fmt.Errorf("rendering NetworkPolicy %s/%s: %w", p.Namespace, p.Name, err)
			}
			kept = append(kept, raw)
			ours[mesh.Ref{Kind: "NetworkPolicy", Namespace: p.Namespace, Name: p.Name}] = true
		}
	}
	var given []json.RawMessage
	for i, raw := range j.batch.Objects {
		// What is given and is Sallyport's own, as in the plan of a plan, is
		// printed once, and as Sallyport keeps it.
		if !ours[j.batch.Outcomes[i].Ref] {
			given = append(given, raw)
		}
	}
	return append(given, kept...), nil
}

// writeYAML writes a stream of documents.
func writeYAML(w io.Writer, objects []json.RawMessage) error {
	b := bufio.NewWriter(w)
	for i, raw := range objects {
		data, err := printable.YAML(raw)
		if err != nil {
			return fmt.Errorf("writing object %d: %w", i, err)
		}
		if i > 0 {
			fmt.Fprintln(b, "---")
		}
		fmt.Fprint(b, string(data))
	}
	return b.Flush()
}
