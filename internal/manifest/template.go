package manifest

import (
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"strings"
)

// chartFile is what makes a directory a Helm chart.
const chartFile = "Chart.yaml"

// ofChart reports whether a file or directory, found in a directory, belongs to a
// Helm chart and is no manifest: its Chart.yaml, and the templates beside that.
func ofChart(path string, dir bool) (Skip, bool) {
	switch name := filepath.Base(path); {
	case !dir && name == chartFile:
		return Chart, true
	case dir && name == "templates":
		info, err := os.Stat(filepath.Join(filepath.Dir(path), chartFile))
		return Template, err == nil && info.Mode().IsRegular()
	}
	return 0, false
}

// action is a line with an action of a Go template.
var action = regexp.MustCompile(`(?m)^[^#\n]*\{\{`)

// unrendered reports whether an error about a file is one because the file is a
// template of which manifests are yet to be made.
func unrendered(data []byte, err error) bool {
	e, ok := errors.AsType[*Error](err)
	// An action by itself is a mapping in braces, which is no key.
	return ok && (strings.HasPrefix(e.Message, "not YAML: ") || e.Message == notAKey) && action.Match(data)
}
