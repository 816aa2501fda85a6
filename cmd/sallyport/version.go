package main

import (
	"fmt"
	"runtime"
	"runtime/debug"
	"strings"

	"github.com/spf13/cobra"
)

// build describes the binary.
type build struct {
	Version string // of the module, or (devel)
	Commit  string // of the working tree, where Go recorded it
	Istio   string // version of Istio's API
}

// version reads what the Go toolchain recorded in the binary.
func version() build {
	b := build{Version: "(devel)"}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return b
	}
	if info.Main.Version != "" {
		b.Version = info.Main.Version
	}
	for _, s := range info.Settings {
		switch {
		case s.Key == "vcs.revision":
			b.Commit = s.Value
		case s.Key == "vcs.modified" && s.Value == "true":
			b.Commit += " (modified)"
		}
	}
	for _, dep := range info.Deps {
		if dep.Path == "istio.io/api" {
			b.Istio = strings.TrimPrefix(dep.Version, "v")
		}
	}
	return b
}

func newVersionCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "version",
		Short:   "Print the version of this program and of Istio's API in it",
		Example: "  sallyport version",
		Args:    args(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			b := version()
			out := fmt.Sprintf("sallyport %s\n", b.Version)
			if b.Commit != "" {
				out += fmt.Sprintf("commit %s\n", b.Commit)
			}
			out += fmt.Sprintf("Istio API %s\n%s %s/%s\n", b.Istio, runtime.Version(), runtime.GOOS, runtime.GOARCH)
			_, err := fmt.Fprint(cmd.OutOrStdout(), out)
			return err
		},
	}
}
