package manifest_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"

	"github.com/sallyport-io/sallyport/internal/manifest"
)

var update = flag.Bool("update", false, "rewrite the golden part of testdata/*.txtar")

// TestRead reads every archive of testdata as a directory and compares what
// it found with the archive's "want". An archive whose want is missing an
// object or an error of its input is not in order.
func TestRead(t *testing.T) {
	archives, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(archives) == 0 {
		t.Fatalf("no archives in testdata (%v)", err)
	}
	for _, name := range archives {
		// Reading takes place in another directory.
		name, err := filepath.Abs(name)
		if err != nil {
			t.Fatal(err)
		}
		t.Run(strings.TrimSuffix(filepath.Base(name), ".txtar"), func(t *testing.T) {
			a, err := txtar.ParseFile(name)
			if err != nil {
				t.Fatal(err)
			}
			i := slices.IndexFunc(a.Files, func(f txtar.File) bool { return f.Name == "want" })
			if i < 0 {
				a.Files = append(a.Files, txtar.File{Name: "want"})
				i = len(a.Files) - 1
			}
			got := read(t, slices.Concat(a.Files[:i], a.Files[i+1:]))
			if *update {
				a.Files[i].Data = []byte(got)
				if err := os.WriteFile(name, txtar.Format(a), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			if diff := cmp.Diff(string(a.Files[i].Data), got); diff != "" {
				t.Errorf("read (-want +got):\n%s", diff)
			}
		})
	}
}

// read returns what the package makes of a directory with these files.
func read(t *testing.T, files []txtar.File) string {
	t.Helper()
	dir := t.TempDir()
	if err := txtar.Write(&txtar.Archive{Files: files}, filepath.Join(dir, "in")); err != nil {
		t.Fatal(err)
	}
	t.Chdir(dir)
	var b strings.Builder
	objects, err := manifest.Reader{Skipped: func(file string, why manifest.Skip) {
		fmt.Fprintf(&b, "%s: skipped, %s\n", file, map[manifest.Skip]string{
			manifest.NoManifest: "no manifest", manifest.Configuration: "configuration",
		}[why])
	}}.Read(t.Context(), "in")
	for _, o := range objects {
		fmt.Fprintf(&b, "%s:%d: %s %s %s/%s\n", o.File, o.Line, o.APIVersion, o.Kind, o.Namespace, o.Name)
		for _, n := range o.Notes {
			fmt.Fprintf(&b, "  note: line %d: %s: %s %s\n", n.Line, n.Path, n.Message, n.Fix)
		}
		var raw bytes.Buffer
		if err := json.Compact(&raw, o.Raw); err != nil {
			t.Errorf("%s %s: Raw is not JSON: %v", o.Kind, o.Name, err)
		}
		fmt.Fprintf(&b, "  %s\n", raw.String())
	}
	if err != nil {
		fmt.Fprintf(&b, "error:\n%v\n", err)
	}
	return b.String()
}

func TestReadStdin(t *testing.T) {
	in := "kind: ConfigMap\napiVersion: v1\nmetadata: {name: a}\n"
	objects, err := manifest.Reader{Stdin: strings.NewReader(in)}.Read(t.Context(), "-")
	if err != nil {
		t.Fatal(err)
	}
	if len(objects) != 1 || objects[0].File != "-" || objects[0].Line != 1 || objects[0].Namespace != "default" {
		t.Errorf("got %+v, want one ConfigMap from - line 1 in default", objects)
	}
}

// TestReadStored: what an API server holds may have fields of a later day.
func TestReadStored(t *testing.T) {
	const in = `apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: a, later: x}
spec: {hosts: [a.example], later: {x: y}}
status: {later: x}
---
apiVersion: v1
kind: Service
metadata: {name: a}
spec: {later: x}
`
	if _, err := (manifest.Reader{Stdin: strings.NewReader(in)}).Read(t.Context(), "-"); err == nil {
		t.Error("unknown fields of an object to be written are accepted")
	}
	objects, err := manifest.Reader{Stdin: strings.NewReader(in), Stored: true}.Read(t.Context(), "-")
	if err != nil || len(objects) != 2 {
		t.Errorf("%d objects, error %v; want both objects", len(objects), err)
	}
}

func TestReadMissingFile(t *testing.T) {
	_, err := manifest.Reader{}.Read(t.Context(), filepath.Join(t.TempDir(), "absent.yaml"))
	if err == nil || !strings.HasSuffix(err.Error(), "absent.yaml: no such file or directory") {
		t.Errorf("got %v, want the file and the reason", err)
	}
}

// TestReadNamedFile: what is skipped in a directory is an error where it is
// named.
func TestReadNamedFile(t *testing.T) {
	name := filepath.Join(t.TempDir(), "values.yaml")
	if err := os.WriteFile(name, []byte("replicas: 3\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	_, err := manifest.Reader{}.Read(t.Context(), name)
	if err == nil || !strings.Contains(err.Error(), "values.yaml:1: kind: missing") {
		t.Errorf("got %v, want a complaint about the missing kind", err)
	}
}

func TestReadEmptyDirectory(t *testing.T) {
	_, err := manifest.Reader{}.Read(t.Context(), t.TempDir())
	if err == nil || !strings.Contains(err.Error(), "no .yaml, .yml or .json file") {
		t.Errorf("got %v, want a complaint about the empty directory", err)
	}
}

func TestLineOf(t *testing.T) {
	const in = `apiVersion: networking.istio.io/v1
kind: VirtualService
metadata:
  name: a
  annotations:
    sallyport.io/rewrite: "true"
spec:
  hosts: [a.example]
  http:
  - route:
    - destination:
        host: a.example
    - destination:
        host: b.example
      weight: 1
`
	objects, err := manifest.Reader{Stdin: strings.NewReader(in)}.Read(t.Context(), "-")
	if err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]int{
		"":                                       1,
		"spec":                                   7,
		"spec.hosts[0]":                          8,
		"spec.http[0]":                           10,
		"spec.http[0].route[1]":                  13,
		"spec.http[0].route[1].destination.host": 14,
		"spec.http[0].route[0].weight":           11,
		"spec.http[7].route":                     9,
		"spec.exportTo":                          7,
		"nowhere":                                1,
		`metadata.annotations["sallyport.io/rewrite"]`: 6,
		"metadata.annotations.sallyport.io/rewrite":    6,
		"metadata.annotations[sallyport.io/rewrite]":   6,
	} {
		if got := objects[0].LineOf(path); got != want {
			t.Errorf("LineOf(%q) = %d, want %d", path, got, want)
		}
	}
}

// FuzzRead asks that no input whatever makes the reader panic, and that what
// it accepts is JSON.
func FuzzRead(f *testing.F) {
	seeds, err := filepath.Glob("testdata/*.txtar")
	if err != nil {
		f.Fatal(err)
	}
	for _, name := range seeds {
		a, err := txtar.ParseFile(name)
		if err != nil {
			f.Fatal(err)
		}
		for _, file := range a.Files {
			f.Add(file.Data)
		}
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		objects, err := manifest.Reader{Stdin: bytes.NewReader(data)}.Read(t.Context(), "-")
		for _, o := range objects {
			if !json.Valid(o.Raw) {
				t.Errorf("Raw is not JSON: %q", o.Raw)
			}
			o.LineOf("spec.hosts[0]")
		}
		if e, ok := errors.AsType[*manifest.Error](err); err != nil && !ok || ok && e.File != "-" {
			t.Errorf("an error without its file: %v", err)
		}
	})
}

// TestLinkedDirectory: a link to a directory is the directory, with a
// separator at its end or without.
func TestLinkedDirectory(t *testing.T) {
	t.Chdir(t.TempDir())
	if err := os.Mkdir("real", 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join("real", "a.yaml"), []byte("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("real", "link"); err != nil {
		t.Skip("no symbolic links here: ", err)
	}
	for _, name := range []string{"link", "link/", "real", "real/"} {
		objects, err := manifest.Reader{}.Read(t.Context(), name)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if want := filepath.Join(name, "a.yaml"); len(objects) != 1 || objects[0].File != want {
			t.Errorf("%s: %+v; want one object, of file %s", name, objects, want)
		}
	}
}
