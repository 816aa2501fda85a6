package policies

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestLibraryFiles: the files of the library are called as its policies are,
// so that names can be looked up without compiling it. As a set of its own the
// library takes nobody's names.
func TestLibraryFiles(t *testing.T) {
	s, err := Load(t.Context(), nil, Library())
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{}
	for _, p := range s.Policies {
		want[p.Name] = p.File
	}
	if diff := cmp.Diff(want, libraryFiles()); diff != "" {
		t.Errorf("files of the library (-want +got):\n%s", diff)
	}
	if err := s.BesideLibrary(); err != nil {
		t.Errorf("the library itself: %v", err)
	}
}
