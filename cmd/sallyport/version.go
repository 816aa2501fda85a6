package main

import (
	"fmt"
	"runtime"

	"github.com/spf13/cobra"

	"github.com/sallyport-io/sallyport/internal/build"
)

func newVersionCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "version",
		Short:   "Print the version of this program and of Istio's API in it",
		Example: "  sallyport version",
		Args:    args(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			_, err := fmt.Fprint(cmd.OutOrStdout(), versionText())
			return err
		},
	}
}

func versionText() string {
	b := build.Read()
	out := fmt.Sprintf("sallyport %s\n", b.Version)
	if b.Commit != "" {
		out += fmt.Sprintf("commit %s\n", b.Commit)
	}
	return out + fmt.Sprintf("Istio API %s\n%s %s/%s\n", b.Istio, runtime.Version(), runtime.GOOS, runtime.GOARCH)
}
