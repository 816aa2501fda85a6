package policysource

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"path"
	"strings"
)

// folder is a folder of Rego modules, in a pod a mounted ConfigMap.
type folder struct{ dir string }

// Folder returns the source that is a folder and all its subfolders.
func Folder(dir string) Source { return &folder{dir} }

func (f *folder) Name() string { return f.dir }

func (f *folder) Remote() bool { return false }

func (f *folder) Wait(ctx context.Context, _ int) { pause(ctx, localPoll) }

// Fetch reads the files into memory: what is tested is then what is put in
// force, even where the kubelet swaps the folder meanwhile. Hidden files and
// folders are skipped, as [policies.Load] does: a mounted ConfigMap keeps its
// versions in folders named "..".
func (f *folder) Fetch(context.Context) (Snapshot, error) {
	root := os.DirFS(f.dir)
	files := map[string][]byte{}
	size := int64(0)
	err := fs.WalkDir(root, ".", func(file string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case file != "." && strings.HasPrefix(path.Base(file), "."):
			if d.IsDir() {
				return fs.SkipDir
			}
			return nil
		}
		info, err := fs.Stat(root, file) // follows the symbolic links of a mounted ConfigMap
		if err != nil || info.IsDir() {
			return err
		}
		if size += info.Size(); size > maxSize {
			return errTooLarge
		}
		files[file], err = fs.ReadFile(root, file)
		return err
	})
	if err != nil {
		return Snapshot{}, fmt.Errorf("policies in %s: %w; mount the ConfigMap there, or take the directory out of --policies and the configuration", f.dir, err)
	}
	return newSnapshot("", files), nil
}
