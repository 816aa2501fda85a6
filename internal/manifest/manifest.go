// Package manifest reads Kubernetes manifests from files, directories and
// standard input, and is strict about them: what kubectl and the API server
// would refuse is refused here too, with file, line and field.
//
// It reads YAML and JSON, streams of several documents and List objects.
// Istio's objects are checked against their own protobuf descriptors. The
// snake_case field names and numeric enums of 2018, which Istio's own file
// reader still accepts and the API server does not, are read and turned into
// their modern form, with a [Note] for each.
package manifest

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"

	"github.com/sallyport-io/sallyport/internal/printable"
)

// Object is one object of a manifest.
type Object struct {
	APIVersion, Kind, Namespace, Name string
	// File is the name as given or found; "-" for standard input.
	File string
	// Line is where the object begins.
	Line int
	// Raw is the object as JSON, in modern form and with its namespace.
	Raw []byte
	// Notes are the places where Raw differs in form from what was written.
	Notes []Note
	// Holds names the objects inside one of a kind that is not read here, where
	// they are not among the objects themselves ([Reader.Unwrap]).
	Holds []string

	found   bool // in a directory that was named, and not named itself
	written compact
	root    *value // while the object is read
}

// Note says that something was read in a form that is no longer current.
type Note struct {
	Path    string // JSON path of the modern form
	Line    int
	Message string
	Fix     string
}

// Error is one thing wrong with the input. Line is zero where no line is to
// blame, Path is empty where no field is.
type Error struct {
	File    string
	Line    int
	Path    string
	Message string
}

func (e *Error) Error() string {
	s := printable.Line(e.File)
	if e.Line > 0 {
		s += fmt.Sprintf(":%d", e.Line)
	}
	if e.Path != "" {
		s += ": " + printable.Line(e.Path)
	}
	return s + ": " + printable.Line(e.Message)
}

// Reader reads manifests.
type Reader struct {
	// Stdin is what the name "-" stands for.
	Stdin io.Reader
	// Stored is for objects that an API server holds already. It may be newer
	// than this program: fields that are not known here are left alone.
	Stored bool
	// Unwrap has the objects inside others, of kinds that are not read here, read as
	// objects of their own.
	Unwrap bool
	// Limits bound what is read.
	Limits Limits
	// Skipped, where not nil, is told of what is YAML or JSON and is left out.
	Skipped func(file string, why Skip)
	// Twice, where not nil, is told of an object that is left out because one of its
	// name was found in another directory: overlays repeat what their bases have.
	Twice func(o, first *Object)
	// Exclude are the globs (see [path.Match]) of what is left out of directories,
	// against the path beneath the directory and those of its parents, or without a
	// slash against every name in it.
	Exclude []string
}

// Skip is why something is left out.
type Skip int

// What is left out.
const (
	// NoManifest is a file in a directory that has neither apiVersion nor kind.
	NoManifest Skip = iota
	// Configuration is a document with Sallyport's own configuration, which is
	// no object of a cluster.
	Configuration
	// Chart is the Chart.yaml of a Helm chart in a directory.
	Chart
	// Template is a file in a directory that is to be rendered first, or the
	// directory of a chart that has such files.
	Template
	// Patch is a file in a directory that a kustomization applies to others.
	Patch
)

func (r Reader) skip(file string, why Skip) {
	if r.Skipped != nil {
		r.Skipped(file, why)
	}
}

// Read reads every named file, directory and "-", in order. Directories are
// read recursively: every .yaml, .yml and .json file, sorted by path, without
// hidden directories, kustomization files and the patches that those name, and
// without what is excluded. A file in a directory
// that has neither apiVersion nor kind anywhere is something else (a chart's
// values, a package.json) and is left out; one that is named is an error. So are a
// chart's Chart.yaml and templates, and files that would be YAML once rendered.
// Sallyport's own configuration is left out wherever it stands.
//
// Only regular files are read, and standard input: a pipe or a device may have
// no end. A link in a directory must not lead out of it. What is larger than the
// Limits is refused, and reading ends with the context.
//
// The error joins an [*Error] for everything that is wrong; the objects are
// then incomplete.
func (r Reader) Read(ctx context.Context, names ...string) ([]*Object, error) {
	var objects []*Object
	var errs []error
	left := r.Limits.total()
	for _, name := range names {
		files, err := r.expand(ctx, name)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		for _, f := range files {
			if ctx.Err() != nil {
				return nil, &Error{File: f, Message: "reading was interrupted"}
			}
			data, err := r.load(ctx, f, left)
			if err != nil {
				errs = append(errs, err)
				continue
			}
			left -= int64(len(data))
			docs, err := parser{ctx, f, r.Limits.document()}.documents(data)
			if unrendered(data, err) {
				if f != name {
					r.skip(f, Template)
					continue
				}
				err = fmt.Errorf("%w; it looks like a template: give what it renders to (helm template CHART | sallyport review -)", err)
			}
			if err != nil {
				errs = append(errs, err)
				continue
			}
			if f != name && !slices.ContainsFunc(docs, func(d document) bool { return d.typed }) {
				r.skip(f, NoManifest)
				continue
			}
			objs, err := r.parse(f, docs)
			for _, o := range objs {
				o.found = f != name
			}
			objects = append(objects, objs...)
			if err != nil {
				errs = append(errs, err)
			}
		}
	}
	objects, twice := r.duplicates(objects)
	return objects, errors.Join(append(errs, twice...)...)
}

// Parse reads the objects in data, which errors call by the name of a file. Its size
// is the caller's to bound.
func (r Reader) Parse(ctx context.Context, name string, data []byte) ([]*Object, error) {
	docs, err := parser{ctx, name, r.Limits.document()}.documents(data)
	if err != nil {
		return nil, err
	}
	return r.parse(name, docs)
}

// duplicates reports objects that are given twice: which one is meant to
// stand in the end nobody can tell. One that was found in another directory than
// the first is left out.
func (r Reader) duplicates(objects []*Object) (once []*Object, errs []error) {
	first := make(map[[4]string]*Object, len(objects))
	for _, o := range objects {
		key := [4]string{group(o.APIVersion), o.Kind, o.Namespace, o.Name}
		f, ok := first[key]
		if ok && f.found && o.found && filepath.Dir(f.File) != filepath.Dir(o.File) {
			if r.Twice != nil {
				r.Twice(o, f)
			}
			continue
		}
		once = append(once, o)
		if ok {
			errs = append(errs, &Error{File: o.File, Line: o.Line, Message: fmt.Sprintf(
				"%s is given twice, first at %s:%d; remove one of them", o.describe(), f.File, f.Line)})
			continue
		}
		first[key] = o
	}
	return once, errs
}

func (o *Object) describe() string {
	if o.Namespace == "" {
		return o.Kind + " " + o.Name
	}
	return o.Kind + " " + o.Namespace + "/" + o.Name
}

// LineOf returns the line of a JSON path such as
// "spec.http[0].route[1].destination.host". Where the path does not exist, the
// line of the nearest parent that does is returned: that is where the missing
// field belongs.
func (o *Object) LineOf(path string) int { return o.Lines()(path) }

// Lines returns LineOf, for who asks for several lines of the object: what it takes to
// find them is many times the object, and is kept for as long as the function is.
func (o *Object) Lines() func(path string) int {
	root := o.root
	return func(path string) int {
		if root == nil {
			root = o.written.inflate()
		}
		return cmp.Or(root.lineOf(path), o.Line)
	}
}
