// Package build says what a binary was made from.
package build

import (
	"runtime/debug"
	"strings"
)

// Info describes a binary.
type Info struct {
	Version string `json:"version"` // of the module, or (devel)
	Commit  string `json:"commit"`  // of the working tree, where Go recorded it
	Istio   string `json:"istio"`   // version of Istio's API
}

// Read reads what the Go toolchain recorded in the running binary.
func Read() Info {
	b := Info{Version: "(devel)"}
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
