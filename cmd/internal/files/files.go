// Package files reads files with a limit, and writes each whole or not at all.
//
// A file is written beside its place, flushed, and renamed. After a crash or a power loss it is the old
// one or the new one; what may be left over is a hidden temporary file in the same directory. The order
// is the one that hal states for a device; this package is for workstations, which need not run Linux.
package files

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// Replace writes path as a whole. An existing file keeps its mode. write gets the new file.
//
// Crash: before the rename -> the old file, and perhaps a hidden temporary one; after -> the new
// file. The content is flushed before the rename, or the name could survive without the content.
func Replace(path string, mode fs.FileMode, write func(*os.File) error) (err error) {
	if old, err := os.Stat(path); err == nil {
		if !old.Mode().IsRegular() {
			return fmt.Errorf("cannot replace %s: it is not a regular file", path)
		}
		mode = old.Mode().Perm()
	}
	t, err := NewTemp(path, mode)
	if err != nil {
		return err
	}
	defer t.Drop()
	if err := write(t.File); err != nil {
		return err
	}
	return t.Install(path)
}

// Temp is a file that is not yet at its place.
type Temp struct {
	*os.File
	done bool
}

// NewTemp creates a hidden file beside path.
func NewTemp(path string, mode fs.FileMode) (*Temp, error) {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*")
	if err != nil {
		return nil, fmt.Errorf("cannot write %s: %w", path, err)
	}
	t := &Temp{File: f}
	if err := f.Chmod(mode); err != nil {
		t.Drop()
		return nil, fmt.Errorf("cannot write %s: %w", path, err)
	}
	return t, nil
}

// Install flushes the file and renames it to path, in its directory.
func (t *Temp) Install(path string) error {
	err := errors.Join(t.Sync(), t.Close())
	if err == nil {
		err = os.Rename(t.Name(), path)
	}
	if err == nil {
		t.done = true
		err = syncDir(filepath.Dir(path))
	}
	if err != nil {
		return fmt.Errorf("cannot write %s: %w", path, err)
	}
	return nil
}

// Drop removes the file unless it was installed.
func (t *Temp) Drop() {
	if !t.done {
		t.Close()
		os.Remove(t.Name())
	}
}

// Write is replaceFile for bytes.
func Write(path string, b []byte, mode fs.FileMode) error {
	return Replace(path, mode, func(f *os.File) error {
		_, err := f.Write(b)
		return err
	})
}

// Create writes a file that must not exist yet.
func Create(path string, b []byte, mode fs.FileMode) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	return errors.Join(err, f.Sync(), f.Close())
}

// syncDir makes a rename durable. Where directories cannot be flushed, nothing better is to be had.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	if err := d.Sync(); err != nil && !errors.Is(err, errors.ErrUnsupported) && !errors.Is(err, fs.ErrInvalid) {
		return err
	}
	return nil
}

// ReadInput reads a file, or in when path is "-", of at most limit bytes.
func ReadInput(in io.Reader, path string, limit int64, what string) ([]byte, error) {
	if path == "-" {
		return readAtMost(in, "standard input", limit, what)
	}
	return Read(path, limit, what)
}

// Read reads a file of 1 to limit bytes.
func Read(path string, limit int64, what string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("cannot read %s: %w", what, err)
	}
	defer f.Close()
	return readAtMost(f, path, limit, what)
}

func readAtMost(r io.Reader, name string, limit int64, what string) ([]byte, error) {
	b, err := io.ReadAll(io.LimitReader(r, limit+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("cannot read %s from %s: %w", what, name, err)
	case int64(len(b)) > limit:
		return nil, fmt.Errorf("cannot read %s from %s: it has more than %d bytes, so it is something else",
			what, name, limit)
	case len(b) == 0:
		return nil, fmt.Errorf("cannot read %s from %s: it is empty", what, name)
	}
	return b, nil
}

// Interruptible is r whose reads end with ctx.
func Interruptible(ctx context.Context, r io.Reader) io.Reader { return interruptible{ctx, r} }

type interruptible struct {
	ctx context.Context
	r   io.Reader
}

func (i interruptible) Read(p []byte) (int, error) {
	if err := i.ctx.Err(); err != nil {
		return 0, err
	}
	return i.r.Read(p)
}
