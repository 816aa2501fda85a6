package readfile_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/sallyport-io/sallyport/internal/readfile"
)

// TestOnlyRegularFiles: what is no regular file is named for what it is, by
// itself and in a directory, and is not waited for.
func TestOnlyRegularFiles(t *testing.T) {
	dir := t.TempDir()
	for _, err := range []error{
		os.WriteFile(filepath.Join(dir, "file"), []byte("text"), 0o644), os.Symlink("file", filepath.Join(dir, "link")),
		syscall.Mkfifo(filepath.Join(dir, "pipe"), 0o644), os.Symlink("/dev/zero", filepath.Join(dir, "device")), os.Mkdir(filepath.Join(dir, "directory"), 0o755),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	for name, want := range map[string]string{
		"file": "", "link": "", "pipe": "is a named pipe", "device": "is a device", "directory": "is a directory", "absent": "no such file",
	} {
		for how, read := range map[string]func() ([]byte, error){
			"by name":        func() ([]byte, error) { return readfile.Read(filepath.Join(dir, name)) },
			"in a directory": func() ([]byte, error) { return fs.ReadFile(readfile.DirFS(dir), name) },
		} {
			type result struct {
				data []byte
				err  error
			}
			done := make(chan result, 1)
			go func() {
				data, err := read()
				done <- result{data, err}
			}()
			select {
			case got := <-done:
				if want == "" && (got.err != nil || string(got.data) != "text") || want != "" && (got.err == nil || !strings.Contains(got.err.Error(), want)) {
					t.Errorf("%s %s: %q, %v; want %q", name, how, got.data, got.err, want)
				}
			case <-time.After(10 * time.Second):
				t.Fatalf("%s %s is waited for", name, how)
			}
		}
	}
}
