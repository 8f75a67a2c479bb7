package linux_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ratchet-ota/ratchet/hal"
	"github.com/ratchet-ota/ratchet/hal/linux"
)

func tryLock(t *testing.T, path string) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 60*time.Millisecond)
	defer cancel()
	release, err := linux.FS{}.Lock(ctx, path)
	if err == nil {
		release()
	}
	return err
}

// What is not a file at the lock's path is told apart from a lock that is held by a program of ours, and nothing is
// made, changed or waited for through it.
func TestLockSpoilt(t *testing.T) {
	for name, spoil := range map[string]func(path, other string) error{
		"link":          func(path, other string) error { return os.Symlink(other, path) },
		"dangling link": func(path, other string) error { return os.Symlink(other+"-none", path) },
		"circle":        func(path, _ string) error { return os.Symlink(path, path) },
		"folder":        func(path, _ string) error { return os.Mkdir(path, 0o700) },
		"FIFO":          func(path, _ string) error { return unix.Mkfifo(path, 0o600) },
	} {
		dir := t.TempDir()
		path, other := filepath.Join(dir, "x.lock"), filepath.Join(dir, "other")
		if err := os.WriteFile(other, []byte("content"), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := spoil(path, other); err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		err := tryLock(t, path)
		if !errors.Is(err, hal.ErrAnybodys) || errors.Is(err, context.DeadlineExceeded) ||
			time.Since(began) > 5*time.Second {
			t.Errorf("%s: %v", name, err)
		}
		if b, err := os.ReadFile(other); err != nil || string(b) != "content" {
			t.Errorf("%s: the file that it leads to has %q now, %v", name, b, err)
		}
		if _, err := os.Stat(other + "-none"); err == nil {
			t.Errorf("%s: a file was created through it", name)
		}
	}
}

// Owner and mode of a lock's file decide whether others can hold it; one that is made is closed to them. The content
// of a lock's file stays.
func TestLockHeld(t *testing.T) {
	for mode, anybodys := range map[os.FileMode]bool{0: false, 0o600: false, 0o640: true, 0o604: true, 0o644: true,
		0o666: true} {
		path := filepath.Join(t.TempDir(), "x.lock")
		if mode != 0 {
			if err := os.WriteFile(path, []byte("pid"), 0o600); err != nil {
				t.Fatal(err)
			}
			if err := os.Chmod(path, mode); err != nil {
				t.Fatal(err)
			}
		}
		release, err := linux.FS{}.Lock(t.Context(), path)
		if err != nil {
			t.Fatal(err)
		}
		err = tryLock(t, path)
		if !errors.Is(err, context.DeadlineExceeded) || errors.Is(err, hal.ErrAnybodys) != anybodys {
			t.Errorf("%o: %v, want anybody's: %v", mode, err, anybodys)
		}
		release()
		if b, err := os.ReadFile(path); err != nil || mode != 0 && string(b) != "pid" {
			t.Errorf("%o: %q, %v", mode, b, err)
		}
	}
}

// A lock's file of another user in a folder where all may write is taken: the kernel refuses O_CREAT there even to
// root.
func TestLockOfAnotherUser(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root, to give a file to another user")
	}
	dir := t.TempDir()
	path := filepath.Join(dir, "x.lock")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(os.Chmod(dir, 0o1777), os.Chown(path, 12345, 12345)); err != nil {
		t.Fatal(err)
	}
	release, err := linux.FS{}.Lock(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	if err := tryLock(t, path); !errors.Is(err, hal.ErrAnybodys) {
		t.Errorf("held by one who can be anybody: %v", err)
	}
	release()
}

func TestPrivateDir(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "run", "ratchet", "lock")
	for range 2 {
		if err := linux.PrivateDir(path); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chmod(path, 0o777); err != nil {
		t.Fatal(err)
	}
	if err := linux.PrivateDir(path); err != nil {
		t.Fatal(err)
	}
	if st, err := os.Stat(path); err != nil || st.Mode().Perm() != 0o700 {
		t.Errorf("%v, %v", st.Mode(), err)
	}
	link, file := filepath.Join(dir, "link"), filepath.Join(dir, "file")
	if err := errors.Join(os.Symlink(path, link), os.WriteFile(file, nil, 0o600)); err != nil {
		t.Fatal(err)
	}
	for _, p := range []string{link, file} {
		if err := linux.PrivateDir(p); err == nil {
			t.Errorf("%s is taken for a folder of our own", p)
		}
	}
	if os.Geteuid() == 0 {
		if err := os.Chown(path, 12345, 12345); err != nil {
			t.Fatal(err)
		}
		if err := linux.PrivateDir(path); err == nil {
			t.Error("another user's folder is taken for our own")
		}
	}
}
