package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/ratchet-ota/ratchet/cmd/internal/cli"
)

// replaceFile writes path as a whole. An existing file keeps its mode. write gets the new file.
//
// Crash: before the rename -> the old file, and perhaps a hidden temporary one; after -> the new
// file. The content is flushed before the rename, or the name could survive without the content.
func replaceFile(path string, mode fs.FileMode, write func(*os.File) error) (err error) {
	if old, err := os.Stat(path); err == nil {
		if !old.Mode().IsRegular() {
			return fmt.Errorf("cannot replace %s: it is not a regular file", path)
		}
		mode = old.Mode().Perm()
	}
	t, err := newTemp(path, mode)
	if err != nil {
		return err
	}
	defer t.drop()
	if err := write(t.File); err != nil {
		return err
	}
	return t.install(path)
}

// temp is a file that is not yet at its place.
type temp struct {
	*os.File
	done bool
}

// newTemp creates a hidden file beside path.
func newTemp(path string, mode fs.FileMode) (*temp, error) {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*")
	if err != nil {
		return nil, fmt.Errorf("cannot write %s: %w", path, err)
	}
	t := &temp{File: f}
	if err := f.Chmod(mode); err != nil {
		t.drop()
		return nil, fmt.Errorf("cannot write %s: %w", path, err)
	}
	return t, nil
}

// install flushes the file and renames it to path, in its directory.
func (t *temp) install(path string) error {
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

// drop removes the file unless it was installed.
func (t *temp) drop() {
	if !t.done {
		t.Close()
		os.Remove(t.Name())
	}
}

// writeFile is replaceFile for bytes.
func writeFile(path string, b []byte, mode fs.FileMode) error {
	return replaceFile(path, mode, func(f *os.File) error {
		_, err := f.Write(b)
		return err
	})
}

// createFile writes a file that must not exist yet.
func createFile(path string, b []byte, mode fs.FileMode) error {
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

// readInput reads a file, or the console's input when path is "-", of at most limit bytes.
func readInput(c cli.Console, path string, limit int64, what string) ([]byte, error) {
	if path == "-" {
		return readAtMost(c.In, "standard input", limit, what)
	}
	return readFile(path, limit, what)
}

// readFile reads a file of 1 to limit bytes.
func readFile(path string, limit int64, what string) ([]byte, error) {
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
		return nil, fmt.Errorf("cannot read %s from %s: it has more than %d bytes, so it is something else", what, name, limit)
	case len(b) == 0:
		return nil, fmt.Errorf("cannot read %s from %s: it is empty", what, name)
	}
	return b, nil
}

// interruptible makes reads end with the context.
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
