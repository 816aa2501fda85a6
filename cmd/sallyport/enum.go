package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"
)

// enum is a flag that takes one of a few words.
type enum[T ~string] struct {
	value   T
	allowed []T
	name    string // of the type, in help
}

// String implements [pflag.Value].
func (e *enum[T]) String() string { return string(e.value) }

// Set implements [pflag.Value].
func (e *enum[T]) Set(s string) error {
	if !slices.Contains(e.allowed, T(s)) {
		return fmt.Errorf("choose one of %s", e.list(", "))
	}
	e.value = T(s)
	return nil
}

// Type implements [pflag.Value].
func (e *enum[T]) Type() string { return e.name }

func (e *enum[T]) list(sep string) string {
	words := make([]string, len(e.allowed))
	for i, a := range e.allowed {
		words[i] = string(a)
	}
	return strings.Join(words, sep)
}

// complete offers the words to a shell.
func (e *enum[T]) complete(*cobra.Command, []string, string) ([]cobra.Completion, cobra.ShellCompDirective) {
	words := make([]cobra.Completion, len(e.allowed))
	for i, a := range e.allowed {
		words[i] = cobra.Completion(a)
	}
	return words, cobra.ShellCompDirectiveNoFileComp
}
