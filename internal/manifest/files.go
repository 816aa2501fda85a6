package manifest

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// stdin is the name that stands for standard input.
const stdin = "-"

// expand returns the files that a name stands for.
func (r Reader) expand(name string) ([]string, error) {
	if name == stdin {
		return []string{stdin}, nil
	}
	info, err := os.Stat(name)
	if err != nil {
		return nil, &Error{File: name, Message: reason(err)}
	}
	if !info.IsDir() {
		return []string{name}, nil
	}
	var files []string
	// With a separator at its end a link to a directory is the directory.
	root := name
	if !os.IsPathSeparator(root[len(root)-1]) {
		root += string(filepath.Separator)
	}
	err = filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return &Error{File: path, Message: reason(err)}
		case d.IsDir() && path != root && strings.HasPrefix(d.Name(), "."):
			return fs.SkipDir
		case path != root && r.passedOver(path, d):
			if d.IsDir() {
				return fs.SkipDir
			}
		case !d.IsDir() && isManifest(d.Name()):
			if err := within(root, path, d); err != nil {
				return err
			}
			files = append(files, path)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	if len(files) == 0 {
		return nil, &Error{File: name, Message: "no .yaml, .yml or .json file in this directory"}
	}
	return files, nil
}

// passedOver reports whether what is found in a directory belongs to a chart and is
// left out, and says so.
func (r Reader) passedOver(path string, d fs.DirEntry) bool {
	why, ok := ofChart(path, d.IsDir())
	if ok {
		r.skip(path, why)
	}
	return ok
}

// within returns an error for a link that leads out of the directory: what is
// found there is nobody's who asked for the directory. Links to directories are
// not followed.
func within(root, path string, d fs.DirEntry) error {
	if d.Type()&fs.ModeSymlink == 0 {
		return nil
	}
	top, err := filepath.EvalSymlinks(root)
	if err != nil {
		return &Error{File: path, Message: reason(err)}
	}
	target, err := filepath.EvalSymlinks(path)
	if err != nil {
		return &Error{File: path, Message: "is a link that leads nowhere: " + reason(err)}
	}
	if rel, err := filepath.Rel(top, target); err != nil || rel == ".." || strings.HasPrefix(rel, ".."+string(filepath.Separator)) {
		return &Error{File: path, Message: "is a link that leads out of the directory; name the file itself to have it read"}
	}
	return nil
}

// isManifest reports whether a file found in a directory is to be read. A
// kustomization describes how to build manifests and is none itself.
func isManifest(name string) bool {
	if slices.Contains([]string{"kustomization.yaml", "kustomization.yml"}, name) {
		return false
	}
	return slices.Contains([]string{".yaml", ".yml", ".json"}, filepath.Ext(name))
}

// reason is the part of a file system error that does not repeat the path.
func reason(err error) string {
	if perr, ok := errors.AsType[*fs.PathError](err); ok {
		return perr.Err.Error()
	}
	return err.Error()
}
