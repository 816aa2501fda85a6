// Package test holds the tests that look at the repository as a whole.
package test

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/sallyport-io/sallyport"

// layers has, for every package, the packages of this repository that it may
// import; arrows go one way. A new package takes its place here.
var layers = map[string][]string{
	// Pure: values in, values out.
	"internal/meshconfig": {},
	"internal/validation": {},

	"internal/apikind":   {},
	"internal/surface":   {},
	"internal/build":     {},
	"internal/budget":    {},
	"internal/rawjson":   {},
	"internal/printable": {},
	"internal/readfile":  {},
	"internal/fair":      {},
	"internal/told":      {},
	"internal/address":   {},
	"internal/expiry":    {},
	"internal/metadata":  {"internal/address"},
	"internal/mesh":      {"internal/apikind", "internal/budget", "internal/meshconfig", "internal/metadata", "internal/rawjson", "internal/told"},
	"internal/schema":    {"internal/apikind", "internal/rawjson"},
	"internal/manifest":  {"internal/apikind", "internal/printable", "internal/readfile", "internal/schema", "internal/validation"},
	"internal/config":    {"internal/expiry", "internal/mesh", "internal/meshconfig", "internal/metadata", "internal/readfile"},
	"internal/companion": {"internal/mesh", "internal/told"},
	"internal/sight":     {"internal/companion", "internal/mesh", "internal/told"},
	"internal/netpol":    {"internal/mesh", "internal/told"},
	"rules":              {"internal/address", "internal/budget", "internal/mesh", "internal/meshconfig", "internal/metadata", "internal/netpol", "internal/rawjson", "internal/schema", "internal/told"},
	"policies":           {"internal/expiry", "internal/mesh", "internal/sight", "internal/told", "rules"},
	"internal/review":    {"internal/budget", "internal/companion", "internal/mesh", "internal/netpol", "internal/rawjson", "internal/sight", "internal/told", "rules"},
	"internal/report":    {"internal/mesh", "internal/printable", "rules"},
	"internal/doctor":    {"internal/apikind", "internal/companion", "internal/mesh", "internal/meshconfig", "internal/netpol", "internal/printable", "rules"},
	"internal/release":   {"internal/companion", "internal/mesh", "internal/netpol"},
	"internal/golden":    {"internal/config", "internal/mesh", "internal/review", "rules"},
	"internal/sample":    {"internal/golden", "internal/mesh", "internal/review", "policies", "rules"},

	// What talks to a cluster, or is talked to.
	"internal/caller":        {},
	"internal/live":          {"internal/apikind", "internal/mesh", "internal/rawjson"},
	"internal/cluster":       {},
	"internal/doctor/gather": {"internal/cluster", "internal/doctor"},
	"internal/reconcile":     {"internal/companion", "internal/live", "internal/mesh", "internal/netpol", "internal/sight", "internal/told"},
	"internal/decisionlog":   {"internal/mesh", "rules"},
	"webhook":                {"internal/budget", "internal/companion", "internal/decisionlog", "internal/fair", "internal/mesh", "internal/netpol", "internal/rawjson", "internal/review", "internal/sight", "internal/surface", "internal/told", "rules"},
	"internal/policysource":  {"internal/companion", "internal/mesh", "internal/review", "policies", "rules"},
	"internal/status":        {"internal/build", "internal/policysource"},

	// Wiring.
	"cmd/sallyport":         {"internal/apikind", "internal/build", "internal/cluster", "internal/companion", "internal/config", "internal/doctor", "internal/doctor/gather", "internal/manifest", "internal/mesh", "internal/netpol", "internal/printable", "internal/readfile", "internal/release", "internal/report", "internal/review", "internal/sample", "internal/surface", "policies", "rules"},
	"cmd/sallyport-webhook": {"internal/build", "internal/caller", "internal/config", "internal/decisionlog", "internal/live", "internal/mesh", "internal/policysource", "internal/reconcile", "internal/status", "rules", "webhook"},

	// For tests and the demo. Nothing above imports these, nor any other
	// package whose name ends in "test".
	"internal/hostiletest":    {"internal/apikind"},
	"internal/gen":            {},
	"rules/rulestest":         {"internal/golden", "internal/mesh", "internal/review", "rules"},
	"hack/controlplane":       {},
	"hack/controlplane/build": {"hack/controlplane"},
	"hack/server":             {"hack/controlplane"},
	"hack/demo":               {"hack/controlplane", "hack/server"},
}

// pkg is what "go list -json" says about a package.
type pkg struct {
	ImportPath string
	Imports    []string
	Deps       []string
}

func list(t *testing.T, patterns ...string) []pkg {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", append([]string{"list", "-json=ImportPath,Imports,Deps"}, patterns...)...)
	cmd.Dir = ".."
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v: %v\n%s", cmd, err, stderr.Bytes())
	}
	var pkgs []pkg
	for dec := json.NewDecoder(bytes.NewReader(out)); ; {
		var p pkg
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			return pkgs
		} else if err != nil {
			t.Fatal(err)
		}
		pkgs = append(pkgs, p)
	}
}

func TestArrowsGoOneWay(t *testing.T) {
	for _, p := range list(t, "./...") {
		name, ok := strings.CutPrefix(p.ImportPath, module+"/")
		if !ok || strings.HasPrefix(name, "test") {
			continue
		}
		allowed, ok := layers[name]
		if !ok {
			if !strings.HasPrefix(name, "hack/") && !strings.HasSuffix(name, "test") {
				t.Errorf("package %s has no place in layers", name)
			}
			continue
		}
		for _, i := range p.Imports {
			if i, ok := strings.CutPrefix(i, module+"/"); ok && !slices.Contains(allowed, i) {
				t.Errorf("%s imports %s, and must not", name, i)
			}
		}
	}
}

// TestLinks checks what must not be linked into a package: directly or
// through others.
func TestLinks(t *testing.T) {
	const (
		controllerRuntime = "sigs.k8s.io/controller-runtime"
		clientGo          = "k8s.io/client-go"
		opa               = "github.com/open-policy-agent/opa"
		istio             = "istio.io/istio"
	)
	forbidden := map[string][]string{
		"internal/mesh":         {controllerRuntime, clientGo, opa, istio, "log", "net/http", "os/exec"},
		"internal/companion":    {controllerRuntime, opa, istio},
		"internal/netpol":       {controllerRuntime, opa, istio},
		"internal/config":       {controllerRuntime, clientGo, opa, istio},
		"internal/live":         {controllerRuntime, opa, istio},
		"internal/review":       {controllerRuntime, opa, istio},
		"internal/doctor":       {controllerRuntime, clientGo, opa, istio},
		"rules":                 {controllerRuntime, clientGo, opa, istio},
		"policies":              {controllerRuntime, istio},
		"internal/policysource": {controllerRuntime, istio},
		"cmd/sallyport":         {controllerRuntime, istio},
		"cmd/sallyport-webhook": {istio, "k8s.io/kubernetes"},
	}
	for name, paths := range forbidden {
		for _, p := range list(t, "./"+name) {
			for _, dep := range p.Deps {
				for _, path := range paths {
					if dep == path || strings.HasPrefix(dep, path+"/") {
						t.Errorf("%s links %s", name, dep)
					}
				}
			}
		}
	}
}

// TestOnlyTheOracleImportsIstio looks at every package, tests included.
func TestOnlyTheOracleImportsIstio(t *testing.T) {
	cmd := exec.CommandContext(t.Context(), "go", "list", "-f", `{{.ImportPath}} {{join .Imports " "}} {{join .TestImports " "}} {{join .XTestImports " "}}`, "./...")
	cmd.Dir = ".."
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v: %v", cmd, err)
	}
	for line := range strings.Lines(string(out)) {
		fields := strings.Fields(line)
		for _, i := range fields[1:] {
			if strings.HasPrefix(i, "istio.io/istio") {
				t.Errorf("%s imports %s: that is for test/istio alone", fields[0], i)
			}
		}
	}
	// The oracle is a module of its own, so that nobody else can.
	if _, err := exec.CommandContext(t.Context(), "go", "list", "-C", filepath.Join("..", "test", "istio"), "-m").Output(); err != nil {
		t.Errorf("test/istio is no module: %v", err)
	}
}
