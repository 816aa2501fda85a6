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

// cgroup is a group of processes that the kernel lets have so much memory, and
// ends where they take more.
type cgroup struct {
	dir string
	v2  bool
}

// hierarchies are where memory is controlled, and the file that is there only
// where it is: version 1, version 2, and version 2 beside version 1.
var hierarchies = []struct {
	root, sign string
	v2         bool
}{
	{"/sys/fs/cgroup/memory", "memory.limit_in_bytes", false},
	{"/sys/fs/cgroup", "cgroup.controllers", true},
	{"/sys/fs/cgroup/unified", "cgroup.controllers", true},
}

// newCgroup makes a group for so many bytes.
func newCgroup(limit int64) (*cgroup, error) {
	var errs []error
	for _, h := range hierarchies {
		sign, err := os.ReadFile(filepath.Join(h.root, h.sign))
		if err != nil || h.v2 && !strings.Contains(string(sign), "memory") {
			continue
		}
		g := &cgroup{filepath.Join(h.root, fmt.Sprintf("sallyport-hostile-%d", os.Getpid())), h.v2}
		if err := g.make(h.root, limit); err != nil {
			errs = append(errs, err, g.remove())
			continue
		}
		return g, nil
	}
	if errs == nil {
		errs = append(errs, errors.New("no hierarchy controls memory"))
	}
	return nil, fmt.Errorf("the server is to run in a cgroup with %d MiB, which takes root on Linux; %s=1 runs it without: %w",
		limit>>20, withoutCgroup, errors.Join(errs...))
}

func (g *cgroup) make(root string, limit int64) error {
	if g.v2 { // the controller has to be handed down; where it is already, this changes nothing
		_ = os.WriteFile(filepath.Join(root, "cgroup.subtree_control"), []byte("+memory"), 0o644)
	}
	if err := os.Mkdir(g.dir, 0o755); err != nil {
		return err
	}
	limitFile, swapFile, swap := "memory.limit_in_bytes", "memory.memsw.limit_in_bytes", limit
	if g.v2 {
		limitFile, swapFile, swap = "memory.max", "memory.swap.max", 0
	}
	if err := g.write(limitFile, limit); err != nil {
		return err
	}
	// Not every kernel counts swap.
	if err := g.write(swapFile, swap); err != nil && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, fs.ErrPermission) {
		return err
	}
	return nil
}

func (g *cgroup) write(file string, n int64) error {
	path := filepath.Join(g.dir, file)
	if _, err := os.Stat(path); err != nil {
		return err
	}
	return os.WriteFile(path, []byte(strconv.FormatInt(n, 10)), 0o644)
}

// remove removes the group, whose processes must have ended.
func (g *cgroup) remove() error {
	if err := os.Remove(g.dir); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// prefix is a command that enters the group and becomes what it is given.
func (g *cgroup) prefix() []string {
	return []string{"/bin/sh", "-c", `echo $$ > "$0/cgroup.procs" && exec "$@"`, g.dir}
}

// peak is the most that the group has had at once, page cache of its files
// included; kills is how many of its processes the kernel has ended for want of
// memory.
func (g *cgroup) peak(t *testing.T) int64 {
	t.Helper()
	file := "memory.max_usage_in_bytes"
	if g.v2 {
		file = "memory.peak"
	}
	return g.number(t, file, "")
}

func (g *cgroup) kills(t *testing.T) int64 {
	t.Helper()
	if g.v2 {
		return g.number(t, "memory.events", "oom_kill ")
	}
	return g.number(t, "memory.oom_control", "oom_kill ")
}

// number reads a number from a file of the group, or from the line that begins
// so.
func (g *cgroup) number(t *testing.T, file, begin string) int64 {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(g.dir, file))
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
	t.Fatalf("%s/%s has no line %q:\n%s", g.dir, file, begin, data)
	return 0
}
