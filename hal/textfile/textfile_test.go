//go:build linux

package textfile_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/ratchet-ota/ratchet/hal/textfile"
)

// Whatever stands at a path, a read of it ends, and takes no more than was allowed.
func TestReadNeverWaits(t *testing.T) {
	dir := t.TempDir()
	file := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	pipe := func(name string) string {
		path := filepath.Join(dir, name)
		if err := syscall.Mkfifo(path, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	written := func(name, text string) string { // its writer keeps it open
		path := pipe(name)
		f, err := os.OpenFile(path, os.O_RDWR, 0)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { f.Close() })
		if _, err := f.WriteString(text); err != nil {
			t.Fatal(err)
		}
		return path
	}
	huge := file("huge", "")
	if err := os.Truncate(huge, 1<<40); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		path, want string
		err        error
	}{
		{file("at the limit", strings.Repeat("x", 64)), strings.Repeat("x", 64), nil},
		{file("beyond it", strings.Repeat("x", 65)), "", textfile.ErrLimit},
		{file("empty", ""), "", nil},
		{"/proc/sys/kernel/ostype", "Linux\n", nil},
		{huge, "", textfile.ErrLimit},
		{"/dev/zero", "", textfile.ErrLimit},
		{pipe("pipe without a writer"), "", nil},
		{written("mute pipe", ""), "", os.ErrDeadlineExceeded},
		{written("half a pipe", "half"), "", os.ErrDeadlineExceeded},
		{dir, "", syscall.EISDIR},
		{filepath.Join(dir, "nothing"), "", fs.ErrNotExist},
	} {
		b, err := textfile.Read(c.path, 64)
		if !errors.Is(err, c.err) || string(b) != c.want {
			t.Errorf("%s: %q, %v", c.path, b, err)
		}
	}
}

// Who was handed a file by another process is told its path, not what the descriptor is called here.
func TestErrorsNameThePath(t *testing.T) {
	fd, err := syscall.Open(t.TempDir(), syscall.O_RDONLY|syscall.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	f := os.NewFile(uintptr(fd), "descriptor")
	defer f.Close()
	_, err = textfile.From(f, "/etc/password", 64)
	if err == nil || err.Error() != "read /etc/password: is a directory" {
		t.Error(err)
	}
}
