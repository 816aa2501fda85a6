package policies

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"
)

// load loads one module as the folder "org".
func load(ctx context.Context, name, module string, parameters map[string]any) (*Set, error) {
	return Load(ctx, parameters, Source{Name: "org", FS: fstest.MapFS{name: {Data: []byte(module)}}})
}

func TestRefused(t *testing.T) {
	file := filepath.Join("testdata", "refused.txtar")
	archive, err := txtar.ParseFile(file)
	if err != nil {
		t.Fatal(err)
	}
	want := &archive.Files[len(archive.Files)-1]
	var got bytes.Buffer
	for _, f := range archive.Files[:len(archive.Files)-1] {
		_, err := load(t.Context(), f.Name, string(f.Data), nil)
		if err == nil {
			t.Errorf("%s was loaded", f.Name)
		}
		fmt.Fprintf(&got, "# %s\n%v\n", strings.TrimSuffix(f.Name, ".rego"), err)
	}
	if *update {
		want.Data = got.Bytes()
		if err := os.WriteFile(file, txtar.Format(archive), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if diff := cmp.Diff(string(want.Data), got.String()); diff != "" {
		t.Errorf("errors (-want +got):\n%s", diff)
	}
}
