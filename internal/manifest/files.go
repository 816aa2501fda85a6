package manifest

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

// stdin is the name that stands for standard input.
const stdin = "-"

// expand returns the files that a name stands for.
func (r Reader) expand(ctx context.Context, name string) ([]string, error) {
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
	for _, glob := range r.Exclude {
		if _, err := path.Match(glob, ""); err != nil {
			return nil, &Error{File: name, Message: fmt.Sprintf("the glob %q of what to leave out is malformed", glob)}
		}
	}
	var files, kustomizations []string
	// With a separator at its end a link to a directory is the directory.
	root := name
	if !os.IsPathSeparator(root[len(root)-1]) {
		root += string(filepath.Separator)
	}
	err = filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return &Error{File: path, Message: reason(err)}
		case path != root && r.excluded(root, path):
			if d.IsDir() {
				return fs.SkipDir
			}
		case isKustomization(d.Name()) && d.Type().IsRegular():
			kustomizations = append(kustomizations, path)
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
	patches := map[string]bool{}
	for _, k := range kustomizations {
		for _, patch := range r.patchesOf(ctx, k) {
			patches[filepath.Join(filepath.Dir(k), filepath.FromSlash(patch))] = true
		}
	}
	files = slices.DeleteFunc(files, func(f string) bool {
		patch := patches[filepath.Clean(f)]
		if patch {
			r.skip(f, Patch)
		}
		return patch
	})
	if len(files) == 0 && len(patches) == 0 {
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
	return !isKustomization(name) && slices.Contains([]string{".yaml", ".yml", ".json"}, filepath.Ext(name))
}

func isKustomization(name string) bool {
	return slices.Contains([]string{"kustomization.yaml", "kustomization.yml", "Kustomization"}, name)
}

// excluded reports whether a path in the directory root is to be left out.
func (r Reader) excluded(root, name string) bool {
	rel, err := filepath.Rel(root, name)
	if err != nil {
		return false
	}
	rel = filepath.ToSlash(rel)
	return slices.ContainsFunc(r.Exclude, func(glob string) bool {
		of := rel
		if !strings.Contains(glob, "/") {
			of = path.Base(rel)
		}
		ok, err := path.Match(strings.TrimSuffix(glob, "/"), of)
		return err == nil && ok
	})
}

// patchesOf are the files, relative to its own, that a kustomization applies to what
// it builds, or builds it with: none of them is an object of a cluster. What cannot
// be read as a kustomization names none.
func (r Reader) patchesOf(ctx context.Context, name string) []string {
	data, err := r.load(ctx, name, int64(r.Limits.document()))
	if err != nil {
		return nil
	}
	values, err := yamlDocuments(name, chunk{text: data, line: 1})
	if err != nil {
		return nil
	}
	var files []string
	add := func(v *value) {
		if s := v.str(); s != "" && !strings.Contains(s, "\n") {
			files = append(files, s)
		}
	}
	for _, v := range values {
		for _, field := range []string{"patches", "patchesStrategicMerge", "patchesJson6902", "replacements", "configurations", "generators", "transformers", "validators"} {
			list := v.get(field)
			if list == nil {
				continue
			}
			for _, item := range list.items {
				add(item)
				add(item.get("path"))
			}
		}
		if api := v.get("openapi"); api != nil {
			add(api.get("path"))
		}
	}
	return files
}

// reason is the part of a file system error that does not repeat the path.
func reason(err error) string {
	if perr, ok := errors.AsType[*fs.PathError](err); ok {
		return perr.Err.Error()
	}
	return err.Error()
}
