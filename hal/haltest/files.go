package haltest

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"path"
	"slices"
	"testing"
	"time"

	"github.com/ratchet-ota/ratchet/hal"
)

func open(t *testing.T, m Machine, name string, a hal.Access) hal.Medium {
	t.Helper()
	f, err := m.FS.Open(path.Join(m.Dir, name), a)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

func write(t *testing.T, f hal.Medium, s string, off int64) {
	t.Helper()
	if n, err := f.WriteAt([]byte(s), off); n != len(s) || err != nil {
		t.Fatalf("write: %d, %v", n, err)
	}
}

func holds(t *testing.T, m Machine, name, want string) {
	t.Helper()
	got, err := hal.ReadFile(m.FS, path.Join(m.Dir, name), 1<<20)
	if err != nil || string(got) != want {
		t.Errorf("%s holds %q, %v; want %q", name, got, err, want)
	}
}

func files(t *testing.T, m Machine) {
	for _, a := range []hal.Access{hal.ReadOnly, hal.InPlace} {
		if _, err := m.FS.Open(path.Join(m.Dir, "a"), a); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("opened what is not there: %v", err)
		}
	}
	f := open(t, m, "a", hal.Create)
	write(t, f, "hello", 0)
	write(t, f, "world", 7) // no alignment is asked of files
	if err := f.Sync(); err != nil {
		t.Error(err)
	}
	f.Close()
	holds(t, m, "a", "hello\x00\x00world")

	f = open(t, m, "a", hal.InPlace)
	if f.Size() != 12 {
		t.Errorf("size %d", f.Size())
	}
	write(t, f, "J", 0)
	p := make([]byte, 20)
	if n, err := f.ReadAt(p, 7); n != 5 || err != io.EOF {
		t.Errorf("read over the end: %d, %v", n, err)
	}
	f.Close()
	holds(t, m, "a", "Jello\x00\x00world")

	f = open(t, m, "a", hal.ReadOnly)
	if _, err := f.WriteAt([]byte("x"), 0); err == nil {
		t.Error("wrote what was opened for reading")
	}
	f.Close()

	open(t, m, "a", hal.Create).Close()
	holds(t, m, "a", "")
	if err := m.FS.Rename(path.Join(m.Dir, "none"), path.Join(m.Dir, "b")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("renamed what is not there: %v", err)
	}
	if err := m.FS.Rename(path.Join(m.Dir, "a"), path.Join(m.Dir, "b")); err != nil {
		t.Error(err)
	}
	holds(t, m, "b", "")
	for range 2 {
		if err := m.FS.Remove(path.Join(m.Dir, "b")); err != nil {
			t.Error(err)
		}
	}
	if err := m.FS.SyncDir(m.Dir); err != nil {
		t.Error(err)
	}
	if _, err := hal.ReadFile(m.FS, path.Join(m.Dir, "b"), 1); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("removed, and yet: %v", err)
	}
}

func list(t *testing.T, m Machine) {
	before, err := m.FS.List(m.Dir)
	if err != nil {
		t.Fatal(err)
	}
	names := []string{"b", "a+3-0.conf", "a"}
	for _, name := range names {
		open(t, m, name, hal.Create).Close()
	}
	want := append(before, names...)
	slices.Sort(want)
	if got, err := m.FS.List(m.Dir); err != nil || !slices.Equal(got, want) {
		t.Errorf("the folder has %q, %v; want %q", got, err, want)
	}
}

// variables: names of no standard, so that the real machine's boot is left alone.
func variables(t *testing.T, m Machine) {
	v := m.Variables
	if v == nil {
		t.Skip("no variables")
	}
	const name, attributes = "Ratchet-11111111-2222-3333-4444-555555555555", 7
	if _, _, err := v.Get(name); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a variable that is not there: %v", err)
	}
	for _, data := range []string{"first", "second, and longer"} {
		if err := v.Set(name, attributes, []byte(data)); err != nil {
			t.Fatal(err)
		}
		if a, got, err := v.Get(name); err != nil || a != attributes || string(got) != data {
			t.Errorf("%d %q, %v; want %q", a, got, err, data)
		}
	}
	if names, err := v.Names(); err != nil || !slices.Contains(names, name) {
		t.Errorf("%q, %v", names, err)
	}
	for range 2 {
		if err := v.Set(name, attributes, nil); err != nil {
			t.Errorf("delete: %v", err)
		}
	}
	if _, _, err := v.Get(name); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a variable that was deleted: %v", err)
	}
}

func replace(t *testing.T, m Machine) {
	name := path.Join(m.Dir, "state")
	for _, content := range []string{"first", "", "second, and longer"} {
		if err := hal.ReplaceFile(m.FS, name, []byte(content)); err != nil {
			t.Fatal(err)
		}
		holds(t, m, "state", content)
	}
	if _, err := hal.ReadFile(m.FS, name, 17); !errors.Is(err, hal.ErrLimit) {
		t.Errorf("read 18 bytes with a limit of 17: %v", err)
	}
	// A temporary file left by a cut does no harm.
	f := open(t, m, "state.new", hal.Create)
	write(t, f, string(bytes.Repeat([]byte("x"), 100)), 0)
	f.Close()
	if err := hal.ReplaceFile(m.FS, name, []byte("third")); err != nil {
		t.Fatal(err)
	}
	holds(t, m, "state", "third")
}

func locks(t *testing.T, m Machine) {
	name := path.Join(m.Dir, "lock")
	release, err := m.FS.Lock(context.Background(), name)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	if _, err := m.FS.Lock(ctx, name); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("locked twice: %v", err)
	}
	got := make(chan error)
	go func() {
		again, err := m.FS.Lock(context.Background(), name)
		if err == nil {
			again()
		}
		got <- err
	}()
	release()
	release() // a second call is harmless
	select {
	case err := <-got:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(10 * time.Second):
		t.Error("the lock was not released")
	}
}
