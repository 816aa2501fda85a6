package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/sallyport-io/sallyport/internal/build"
)

func newRootCommand() *cobra.Command {
	root := &cobra.Command{
		Use:   "sallyport",
		Short: "Make sure that traffic leaving an Istio mesh leaves through the egress gateway",
		Long: `Sallyport makes sure that traffic leaving an Istio mesh leaves through the
egress gateway. This command judges manifests with the same judge as the
admission server, and needs no cluster.

Exit status: 0 nothing is denied; 1 something is denied; 2 the input could not
be read or judged (file, line and reason on standard error).`,
		Example: `  # Would the admission server admit these manifests?
  sallyport review manifests/

  # What would stand in the cluster afterwards?
  sallyport plan manifests/ | kubectl apply -f -

  # Which way does traffic take, and why?
  sallyport explain api.example.com:443 --client shop manifests/`,
		Version:       build.Read().Version,
		SilenceUsage:  true,
		SilenceErrors: true,
		RunE:          func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.SetFlagErrorFunc(usageError)
	root.Flags().Bool("version", false, "print the version, as the command does") // without the -v that cobra's own would have
	root.SetVersionTemplate(versionText())
	root.AddCommand(
		newReviewCommand(),
		newPlanCommand(),
		newExplainCommand(),
		newNetpolCommand(),
		newDoctorCommand(),
		newDumpCommand(),
		newUninstallCommand(),
		newPolicyCommand(),
		newVersionCommand(),
	)
	return root
}

// usageError says where the right usage is to be found.
func usageError(cmd *cobra.Command, err error) error {
	return fmt.Errorf("%w\nrun \"%s --help\" for the usage", err, cmd.CommandPath())
}

// args wraps a check of the arguments so that its error says where help is.
func args(check cobra.PositionalArgs) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if err := check(cmd, args); err != nil {
			return usageError(cmd, err)
		}
		return nil
	}
}
