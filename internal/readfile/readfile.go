// Package readfile opens files that somebody else may have put there: only
// regular ones, for a pipe that nobody writes to, or a device without end, would
// hold up whoever reads it for good.
package readfile

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"syscall"
)

// Open opens a regular file, by a link too.
func Open(name string) (*os.File, error) {
	info, err := os.Stat(name)
	if err != nil {
		return nil, err
	}
	if err := regular(name, info); err != nil {
		return nil, err
	}
	// What has become a pipe since must not hold up the opening either.
	f, err := os.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	info, err = f.Stat()
	if err == nil {
		err = regular(name, info)
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// Read returns what is in a regular file.
func Read(name string) ([]byte, error) {
	f, err := Open(name)
	if err != nil {
		return nil, err
	}
	data, err := io.ReadAll(f)
	return data, errors.Join(err, f.Close())
}

func regular(name string, info fs.FileInfo) error {
	what := ""
	switch mode := info.Mode(); {
	case mode.IsRegular():
		return nil
	case mode.IsDir():
		what = "a directory"
	case mode&fs.ModeNamedPipe != 0:
		what = "a named pipe"
	case mode&fs.ModeDevice != 0:
		what = "a device"
	case mode&fs.ModeSocket != 0:
		what = "a socket"
	default:
		what = "of no kind that can be read"
	}
	return &fs.PathError{Op: "open", Path: name, Err: errors.New("is " + what + " and no regular file; only standard input (-) may be something else")}
}

// DirFS is [os.DirFS] with regular files and directories only.
func DirFS(dir string) fs.FS { return dirFS{os.DirFS(dir)} }

type dirFS struct{ fs.FS }

// Open implements fs.FS.
func (d dirFS) Open(name string) (fs.File, error) {
	info, err := fs.Stat(d.FS, name)
	if err != nil {
		return nil, err
	}
	if !info.IsDir() {
		if err := regular(name, info); err != nil {
			return nil, err
		}
	}
	return d.FS.Open(name)
}
