package hostile

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// withoutCgroup in the environment lets the server run without a bound of the
// kernel's: where there is no cgroup to be had, the rest can still be seen.
const withoutCgroup = "SALLYPORT_WITHOUT_CGROUP"

// cgroup is a group of processes that share a processor with others by weight,
// and may take so much memory before the kernel ends them: a container, as the
// kubelet would set it up. Version 1 has a directory for each controller.
type cgroup struct {
	memory, cpu controller
}

// controller is one of the resources that the kernel divides, and the group's
// directory there; "" where the kernel does not divide it.
type controller struct {
	dir string
	v2  bool
}

// hierarchies are where a controller is found, and the file that is there only
// where it is: version 1, version 2, and version 2 beside version 1.
func hierarchies(name, sign string) []struct {
	root, sign string
	v2         bool
} {
	return []struct {
		root, sign string
		v2         bool
	}{
		{"/sys/fs/cgroup/" + name, sign, false},
		{"/sys/fs/cgroup", "cgroup.controllers", true},
		{"/sys/fs/cgroup/unified", "cgroup.controllers", true},
	}
}

// newCgroup makes a group that weighs as much as a request of so many thousandths
// of a core, and has so many bytes of memory; 0 for what is not bounded.
func newCgroup(t *testing.T, name string, milliCPU, memory int64) *cgroup {
	t.Helper()
	g := new(cgroup)
	t.Cleanup(func() {
		if err := g.remove(); err != nil {
			t.Error(err)
		}
	})
	name = fmt.Sprintf("sallyport-hostile-%d-%s", os.Getpid(), name)
	var err error
	if memory > 0 {
		if g.memory, err = join("memory", "memory.limit_in_bytes", name); err == nil {
			err = g.memory.limit(memory)
		}
		if err != nil {
			t.Fatalf("the server is to run in a cgroup with %d MiB, which takes root on Linux; %s=1 runs it without: %v",
				memory>>20, withoutCgroup, err)
		}
	}
	if g.cpu, err = join("cpu", "cpu.shares", name); err == nil {
		err = g.cpu.weigh(milliCPU)
	}
	if err != nil {
		t.Logf("the processes share the processors as they come: %v", err)
		g.cpu = controller{}
	}
	return g
}

// join makes the group's directory in the hierarchy of a controller.
func join(name, sign, group string) (controller, error) {
	var errs []error
	for _, h := range hierarchies(name, sign) {
		data, err := os.ReadFile(filepath.Join(h.root, h.sign))
		if err != nil || h.v2 && !strings.Contains(string(data), name) {
			continue
		}
		if h.v2 { // it has to be handed down; where it is already, this changes nothing
			_ = os.WriteFile(filepath.Join(h.root, "cgroup.subtree_control"), []byte("+"+name), 0o644)
		}
		c := controller{filepath.Join(h.root, group), h.v2}
		if err := os.Mkdir(c.dir, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
			errs = append(errs, err)
			continue
		}
		return c, nil
	}
	return controller{}, errors.Join(append(errs, fmt.Errorf("no hierarchy of cgroups controls %s", name))...)
}

// limit bounds memory.
func (c controller) limit(bytes int64) error {
	limitFile, swapFile, swap := "memory.limit_in_bytes", "memory.memsw.limit_in_bytes", bytes
	if c.v2 {
		limitFile, swapFile, swap = "memory.max", "memory.swap.max", 0
	}
	if err := c.write(limitFile, bytes); err != nil {
		return err
	}
	// Not every kernel counts swap.
	if err := c.write(swapFile, swap); err != nil && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, fs.ErrPermission) {
		return err
	}
	return nil
}

// weigh gives processor time by weight, with the kubelet's conversions
// (MilliCPUToShares, CpuSharesToCpuWeight).
func (c controller) weigh(milliCPU int64) error {
	shares := max(2, milliCPU*1024/1000)
	if c.v2 {
		return c.write("cpu.weight", 1+(shares-2)*9999/262142)
	}
	return c.write("cpu.shares", shares)
}

func (c controller) write(file string, n int64) error {
	path := filepath.Join(c.dir, file)
	if _, err := os.Stat(path); err != nil {
		return err
	}
	return os.WriteFile(path, []byte(strconv.FormatInt(n, 10)), 0o644)
}

// dirs are the group's directories.
func (g *cgroup) dirs() []string {
	var dirs []string
	for _, c := range []controller{g.memory, g.cpu} {
		if c.dir != "" && (len(dirs) == 0 || dirs[0] != c.dir) {
			dirs = append(dirs, c.dir)
		}
	}
	return dirs
}

// remove removes the group, whose processes must have ended.
func (g *cgroup) remove() error {
	var errs []error
	for _, dir := range g.dirs() {
		if err := os.Remove(dir); err != nil && !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// prefix is a command that enters the group and becomes what it is given.
func (g *cgroup) prefix() []string {
	script := `exec "$@"`
	for _, dir := range g.dirs() {
		script = fmt.Sprintf("echo $$ > '%s/cgroup.procs' && ", dir) + script
	}
	return []string{"/bin/sh", "-c", script, "sh"}
}

// enter moves the test itself into the group, and what it starts from then on.
func (g *cgroup) enter(t *testing.T) {
	t.Helper()
	for _, dir := range g.dirs() {
		if err := enter(dir); err != nil {
			t.Fatal(err)
		}
	}
}

func enter(dir string) error {
	return os.WriteFile(filepath.Join(dir, "cgroup.procs"), []byte(strconv.Itoa(os.Getpid())), 0o644)
}

// leave moves the test out again.
func (g *cgroup) leave() error {
	var errs []error
	for _, dir := range g.dirs() {
		errs = append(errs, enter(filepath.Dir(dir)))
	}
	return errors.Join(errs...)
}

// peak is the most that the group has had at once, page cache of its files
// included; kills is how many of its processes the kernel has ended for want of
// memory.
func (g *cgroup) peak(t *testing.T) int64 {
	t.Helper()
	file := "memory.max_usage_in_bytes"
	if g.memory.v2 {
		file = "memory.peak"
	}
	return g.number(t, file, "")
}

func (g *cgroup) kills(t *testing.T) int64 {
	t.Helper()
	if g.memory.v2 {
		return g.number(t, "memory.events", "oom_kill ")
	}
	return g.number(t, "memory.oom_control", "oom_kill ")
}

// number reads a number from a file of the group's memory, or from the line that
// begins so.
func (g *cgroup) number(t *testing.T, file, begin string) int64 {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(g.memory.dir, file))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(data)) {
		if rest, ok := strings.CutPrefix(line, begin); ok {
			n, err := strconv.ParseInt(strings.TrimSpace(rest), 10, 64)
			if err != nil {
				t.Fatal(err)
			}
			return n
		}
	}
	t.Fatalf("%s/%s has no line %q:\n%s", g.memory.dir, file, begin, data)
	return 0
}
