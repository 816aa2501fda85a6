package policysource

import (
	"os"
	"path/filepath"
	"testing"
)

// mount writes files into a directory the way the kubelet mounts a ConfigMap:
// the files are links into a folder that is replaced as a whole.
func mount(t *testing.T, dir, generation string, files map[string]string) {
	t.Helper()
	data := filepath.Join(dir, "..2026_11_22_"+generation)
	check := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	old, _ := os.Readlink(filepath.Join(dir, "..data"))
	check(os.Mkdir(data, 0o755))
	for name, content := range files {
		check(os.WriteFile(filepath.Join(data, name), []byte(content), 0o644))
	}
	check(os.Symlink(filepath.Base(data), filepath.Join(dir, "..data_tmp")))
	check(os.Rename(filepath.Join(dir, "..data_tmp"), filepath.Join(dir, "..data")))
	for name := range files {
		link := filepath.Join(dir, name)
		if _, err := os.Lstat(link); err != nil {
			check(os.Symlink(filepath.Join("..data", name), link))
		}
	}
	if old == "" {
		return
	}
	entries, err := os.ReadDir(dir)
	check(err)
	for _, e := range entries {
		if _, err := os.Stat(filepath.Join(data, e.Name())); err != nil && e.Name() != "..data" && e.Name() != filepath.Base(data) {
			check(os.RemoveAll(filepath.Join(dir, e.Name())))
		}
	}
}
