package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/sallyport-io/sallyport/internal/readfile"
	"github.com/sallyport-io/sallyport/policies"
)

func newPolicyCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "policy",
		Short: "Write, check and test organisation policies in Rego",
		Long: `A policy is a Rego module that judges objects together with Sallyport's own
rules. The contract, and the shipped library, are described in
policies/README.md. No command here needs a cluster.`,
		Example: `  # A new policy, with tests and a sample that pass
  sallyport policy new partner-hosts --dir org-policies
  sallyport policy test org-policies`,
		Args: args(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newPolicyNewCommand(), newPolicyCheckCommand(), newPolicyTestCommand(), newPolicyReplayCommand(), newPolicyDocsCommand())
	return cmd
}

func newPolicyNewCommand() *cobra.Command {
	var dir string
	cmd := &cobra.Command{
		Use:   "new [flags] NAME",
		Short: "Write a policy, its tests and a sample to start from",
		Long: `New writes the files of a policy that loads and passes its tests: change them
step by step. It overwrites nothing.

Exit status: 0 the files are written; 2 they could not be.`,
		Example: `  sallyport policy new partner-hosts --dir org-policies`,
		Args:    args(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, names []string) error {
			files, err := policies.Scaffold(names[0])
			if err != nil {
				return err
			}
			for _, file := range slices.Sorted(maps.Keys(files)) {
				path := filepath.Join(dir, filepath.FromSlash(file))
				if err := writeNew(path, files[file]); err != nil {
					return err
				}
				if _, err := fmt.Fprintln(cmd.OutOrStdout(), path); err != nil {
					return err
				}
			}
			return nil
		},
	}
	cmd.Flags().StringVar(&dir, "dir", ".", "`DIR` in which to write the policy's folder")
	_ = cmd.MarkFlagDirname("dir")
	return cmd
}

// writeNew writes a file that does not exist yet.
func writeNew(path, content string) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return err
	}
	_, err = f.WriteString(content)
	return errors.Join(err, f.Close())
}

func newPolicyCheckCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "check DIR...",
		Short: "Compile policies against the contract, and look at their style",
		Long: `Check loads policies as the server does: syntax, OPA's strict mode, the types of
input and parameters, the builtins that are available, entry points and
metadata. Then it looks at what is good style: the format of "opa fmt", files
named after their policy, tests and a sample beside each.

Parameters are not needed. Exit status: 0 nothing is wrong; 1 the style is
not good; 2 the policies do not load, or there are none.`,
		Example: `  sallyport policy check org-policies`,
		Args:    args(cobra.MinimumNArgs(1)),
		RunE: func(cmd *cobra.Command, dirs []string) error {
			set, sources, err := ownPolicies(cmd.Context(), dirs)
			if err != nil {
				return err
			}
			var errs []error
			for _, src := range sources {
				errs = append(errs, set.Style(src))
			}
			if err := errors.Join(errs...); err != nil {
				cmd.PrintErrln(err)
				return errDenied
			}
			count := fmt.Sprintf("%d policies", len(set.Policies))
			if len(set.Policies) == 1 {
				count = "1 policy"
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s, nothing wrong\n", count)
			return err
		},
	}
}

func newPolicyDocsCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "docs [DIR...]",
		Short: "Print the reference page of policies, in Markdown",
		Long: `Docs prints a table of the policies, and for each one its description,
parameters and sample: of the shipped library, or of the given folders.`,
		Example: `  sallyport policy docs org-policies > org-policies/README.md`,
		Args:    args(cobra.ArbitraryArgs),
		RunE: func(cmd *cobra.Command, dirs []string) error {
			sources := []policies.Source{policies.Library()}
			if len(dirs) > 0 {
				var err error
				if sources, err = policySources(dirs); err != nil {
					return err
				}
			}
			set, err := policies.Load(cmd.Context(), nil, sources...)
			if err != nil {
				return err
			}
			text, err := set.Markdown(sources...)
			if err != nil {
				return err
			}
			_, err = fmt.Fprint(cmd.OutOrStdout(), text)
			return err
		},
	}
}

// ownPolicies loads the policies of folders, which must be such as can be
// loaded beside the library.
func ownPolicies(ctx context.Context, dirs []string) (*policies.Set, []policies.Source, error) {
	sources, err := policySources(dirs)
	if err != nil {
		return nil, nil, err
	}
	set, err := policies.Load(ctx, nil, sources...)
	if err != nil {
		return nil, nil, err
	}
	if len(set.Policies) == 0 {
		return nil, nil, fmt.Errorf("policies: no policy in %s: a policy is a module NAME.rego of package sallyport.policies.NAME", strings.Join(dirs, ", "))
	}
	return set, sources, set.BesideLibrary()
}

// policySources are the folders as sources whose policies need no parameters
// until they are judged by.
func policySources(dirs []string) ([]policies.Source, error) {
	var sources []policies.Source
	for _, dir := range dirs {
		if info, err := os.Stat(dir); err != nil {
			return nil, fmt.Errorf("policies: %w", err)
		} else if !info.IsDir() {
			return nil, fmt.Errorf("policies: %s is not a directory", dir)
		}
		sources = append(sources, policies.Source{Name: filepath.ToSlash(filepath.Clean(dir)), FS: readfile.DirFS(dir), OptIn: true})
	}
	return sources, nil
}
