package file_test

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/ratchet-ota/ratchet/transport"
	"github.com/ratchet-ota/ratchet/transport/file"
	"github.com/ratchet-ota/ratchet/transport/transporttest"
)

func open(t *testing.T, path string) *os.File {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

func write(t *testing.T, path string, content []byte) string {
	t.Helper()
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// touch makes the modification time differ, whatever the clock's grain.
func touch(t *testing.T, path string) {
	t.Helper()
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chtimes(path, time.Time{}, info.ModTime().Add(2*time.Second)); err != nil {
		t.Fatal(err)
	}
}

func TestConformance(t *testing.T) {
	transporttest.Source(t, func(t *testing.T, content []byte) transporttest.SourceRig {
		path := write(t, filepath.Join(t.TempDir(), "payload.img"), content)
		f := open(t, path)
		if _, err := f.Seek(100, io.SeekStart); err != nil { // the offset of the descriptor does not matter
			t.Fatal(err)
		}
		s, err := file.NewSource(f)
		if err != nil {
			t.Fatal(err)
		}
		if s.Size() != int64(len(content)) {
			t.Errorf("size %d, want %d", s.Size(), len(content))
		}
		return transporttest.SourceRig{Source: s, Change: func(b []byte) {
			write(t, path, b)
			touch(t, path)
		}}
	})
}

func TestChangedWhileRead(t *testing.T) {
	for name, change := range map[string]func(t *testing.T, path string){
		"Rewritten": func(t *testing.T, path string) { write(t, path, make([]byte, 10_000)); touch(t, path) },
		"Truncated": func(t *testing.T, path string) {
			if err := os.Truncate(path, 5000); err != nil {
				t.Fatal(err)
			}
		},
		"Longer": func(t *testing.T, path string) {
			if err := os.Truncate(path, 20_000); err != nil {
				t.Fatal(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			path := write(t, filepath.Join(t.TempDir(), "x"), bytes.Repeat([]byte{1}, 10_000))
			s, err := file.NewSource(open(t, path))
			if err != nil {
				t.Fatal(err)
			}
			body, _, err := s.Open(t.Context(), 0, "")
			if err != nil {
				t.Fatal(err)
			}
			defer body.Close()
			if _, err := io.ReadFull(body, make([]byte, 1000)); err != nil {
				t.Fatal(err)
			}
			change(t, path)
			if _, err := io.ReadAll(body); !errors.Is(err, transport.ErrChanged) {
				t.Errorf("%v, want ErrChanged", err)
			}
		})
	}
}

func TestNotAPayload(t *testing.T) {
	dir := t.TempDir()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	defer w.Close()
	fifo := filepath.Join(dir, "fifo")
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	pipe, err := os.OpenFile(fifo, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer pipe.Close()
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: filepath.Join(dir, "s"), Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	socket, err := l.File()
	if err != nil {
		t.Fatal(err)
	}
	defer socket.Close()
	closed := open(t, write(t, filepath.Join(dir, "closed"), []byte("x")))
	closed.Close()
	blind, err := os.OpenFile(write(t, filepath.Join(dir, "blind"), []byte("x")), os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer blind.Close()
	for says, f := range map[string]*os.File{
		"a pipe, which": r,
		"a pipe":        pipe,
		"a socket":      socket,
		"a directory":   open(t, dir),
		"a device":      open(t, os.DevNull),
		"is empty":      open(t, write(t, filepath.Join(dir, "empty"), nil)),
		"closed":        closed,
		"cannot read":   blind,
	} {
		if _, err := file.NewSource(f); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%v, want %q", err, says)
		}
		if _, err := file.ReadEnvelope(f); err == nil {
			t.Errorf("%q: read as an envelope", says)
		}
	}
}
