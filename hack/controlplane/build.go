package controlplane

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/rogpeppe/go-internal/lockedfile"
)

// Binaries are the paths of the control plane's programs.
type Binaries struct {
	Etcd              string
	APIServer         string
	ControllerManager string
	Kubectl           string
}

// program is one thing that Build builds.
type program struct {
	name, pkg, module string
}

// programs are in the order in which they are built: the quick one first, so
// that a broken tool chain shows within a minute.
var programs = []program{
	{"etcd", "go.etcd.io/etcd/server/v3", "go.etcd.io/etcd/server/v3"},
	{"kube-apiserver", "k8s.io/kubernetes/cmd/kube-apiserver", "k8s.io/kubernetes"},
	{"kube-controller-manager", "k8s.io/kubernetes/cmd/kube-controller-manager", "k8s.io/kubernetes"},
	{"kubectl", "k8s.io/kubernetes/cmd/kubectl", "k8s.io/kubernetes"},
}

// Build returns the programs, building the ones that the cache lacks, with two
// lines on progress for each. Concurrent calls, also from other processes,
// build once.
//
// Where KUBEBUILDER_ASSETS names a directory, its etcd, kube-apiserver and
// kubectl are used and must be there. Archives made for that variable hold no
// kube-controller-manager: without one in the directory it is built, because
// a control plane without garbage collection would make tests pass or fail for
// the wrong reason.
func Build(ctx context.Context, progress io.Writer) (Binaries, error) {
	assets := os.Getenv("KUBEBUILDER_ASSETS")
	found := map[string]string{}
	var missing []string
	if assets != "" {
		for _, p := range programs {
			path := filepath.Join(assets, p.name)
			switch _, err := os.Stat(path); {
			case err == nil:
				found[p.name] = path
			case p.name != "kube-controller-manager":
				missing = append(missing, p.name)
			}
		}
	}
	if len(missing) > 0 {
		return Binaries{}, fmt.Errorf("KUBEBUILDER_ASSETS=%s has no %s: complete the directory, or unset the variable to have everything built from Go modules",
			assets, strings.Join(missing, ", "))
	}
	if len(found) < len(programs) {
		wanted := slices.DeleteFunc(slices.Clone(programs), func(p program) bool { return found[p.name] != "" })
		dir, err := buildAll(ctx, wanted, progress)
		if err != nil {
			return Binaries{}, err
		}
		for _, p := range wanted {
			found[p.name] = filepath.Join(dir, p.name)
		}
	}
	return Binaries{
		Etcd:              found["etcd"],
		APIServer:         found["kube-apiserver"],
		ControllerManager: found["kube-controller-manager"],
		Kubectl:           found["kubectl"],
	}, nil
}

// buildAll makes sure that the cache has the programs and returns its folder.
func buildAll(ctx context.Context, wanted []program, progress io.Writer) (string, error) {
	root, err := Root()
	if err != nil {
		return "", err
	}
	module := filepath.Join(root, "hack", "tools", "kubernetes")
	cache, err := cacheDir(module)
	if err != nil {
		return "", err
	}
	if len(absent(cache, wanted)) == 0 {
		return cache, nil
	}
	if err := os.MkdirAll(cache, 0o755); err != nil {
		return "", fmt.Errorf("folder for the control plane's programs: %w", err)
	}
	unlock, err := lockedfile.MutexAt(filepath.Join(cache, "lock")).Lock()
	if err != nil {
		return "", fmt.Errorf("locking %s: %w", cache, err)
	}
	defer unlock()

	todo := absent(cache, wanted) // another process may have built while we waited
	versions, err := moduleVersions(ctx, module)
	if err != nil {
		return "", err
	}
	for i, p := range todo {
		version := versions[p.module]
		fmt.Fprintf(progress, "[%d/%d] building %s %s (once; kept in %s)\n", i+1, len(todo), p.name, version, cache)
		start := time.Now()
		if err := buildOne(ctx, module, cache, p, versions); err != nil {
			return "", fmt.Errorf("building %s %s: %w", p.name, version, err)
		}
		fmt.Fprintf(progress, "[%d/%d] built %s in %s\n", i+1, len(todo), p.name, time.Since(start).Round(time.Second))
	}
	return cache, nil
}

// buildOne builds beside the final name and renames, so that a program in the
// cache is always whole.
func buildOne(ctx context.Context, module, cache string, p program, versions map[string]string) error {
	// Built outside its own repository, Kubernetes does not know its version;
	// "kubectl version" and user agents would say v0.0.0-master.
	const pkg = "k8s.io/component-base/version."
	kube := versions["k8s.io/kubernetes"]
	parts := strings.SplitN(strings.TrimPrefix(kube, "v"), ".", 3)
	ldflags := fmt.Sprintf("-s -w -X %[1]sgitVersion=%[2]s -X %[1]sgitMajor=%[3]s -X %[1]sgitMinor=%[4]s", pkg, kube, parts[0], parts[1])

	tmp := filepath.Join(cache, "."+p.name+".tmp")
	defer os.Remove(tmp)
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-ldflags="+ldflags, "-o", tmp, p.pkg)
	cmd.Dir = module
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOWORK=off")
	if out, err := cmd.CombinedOutput(); err != nil {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		return fmt.Errorf("%s (in %s): %w\n%s", strings.Join(cmd.Args[:2], " "), module, err, lastLines(string(out), 20))
	}
	return os.Rename(tmp, filepath.Join(cache, p.name))
}

func absent(dir string, wanted []program) []program {
	return slices.DeleteFunc(slices.Clone(wanted), func(p program) bool {
		_, err := os.Stat(filepath.Join(dir, p.name))
		return err == nil
	})
}

// cacheDir is named after everything that decides what the programs are.
func cacheDir(module string) (string, error) {
	base, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("no folder to keep the control plane's programs in: %w", err)
	}
	hash := sha256.New()
	fmt.Fprintln(hash, runtime.Version(), runtime.GOOS, runtime.GOARCH)
	for _, name := range []string{"go.mod", "go.sum"} {
		data, err := os.ReadFile(filepath.Join(module, name))
		if err != nil {
			return "", err
		}
		hash.Write(data)
	}
	return filepath.Join(base, "sallyport", fmt.Sprintf("kubernetes-%x", hash.Sum(nil)[:6])), nil
}

// moduleVersions reads the versions that the tool module requires.
func moduleVersions(ctx context.Context, module string) (map[string]string, error) {
	out, err := goCommand(ctx, module, "mod", "edit", "-json")
	if err != nil {
		return nil, err
	}
	var mod struct {
		Require []struct{ Path, Version string }
	}
	if err := json.Unmarshal(out, &mod); err != nil {
		return nil, fmt.Errorf("go mod edit -json: %w", err)
	}
	versions := map[string]string{}
	for _, r := range mod.Require {
		versions[r.Path] = r.Version
	}
	for _, p := range programs {
		if strings.Count(versions[p.module], ".") < 2 {
			return nil, fmt.Errorf("%s does not require %s", filepath.Join(module, "go.mod"), p.module)
		}
	}
	return versions, nil
}

// Root is the repository's folder. It is found from any folder below: a test
// runs in its package's folder, and the modules under test/ have roots of
// their own.
func Root() (string, error) {
	start, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for dir := start; ; dir = filepath.Dir(dir) {
		if _, err := os.Stat(filepath.Join(dir, "hack", "tools", "kubernetes", "go.mod")); err == nil {
			return dir, nil
		}
		if dir == filepath.Dir(dir) {
			return "", fmt.Errorf("no hack/tools/kubernetes/go.mod in %s or above it: run from inside Sallyport's repository", start)
		}
	}
}

func goCommand(ctx context.Context, dir string, args ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GOWORK=off")
	out, err := cmd.Output()
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		return nil, fmt.Errorf("go %s: %w\n%s", strings.Join(args, " "), err, lastLines(string(exit.Stderr), 20))
	}
	if err != nil {
		return nil, fmt.Errorf("go %s: %w", strings.Join(args, " "), err)
	}
	return out, nil
}

// lastLines returns the end of a program's output: where the error is.
func lastLines(s string, n int) string {
	lines := strings.Split(strings.TrimRight(s, "\n"), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}
