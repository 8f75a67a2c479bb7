package files_test

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ratchet-ota/ratchet/cmd/internal/files"
)

// holds says what a directory has: names with their content.
func holds(t *testing.T, dir string) map[string]string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]string{}
	for _, e := range entries {
		b, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		out[e.Name()] = string(b)
	}
	return out
}

func same(t *testing.T, got map[string]string, want ...string) {
	t.Helper()
	if len(got) != len(want)/2 {
		t.Fatalf("directory holds %q, want %q", got, want)
	}
	for i := 0; i < len(want); i += 2 {
		if got[want[i]] != want[i+1] {
			t.Fatalf("directory holds %q, want %q", got, want)
		}
	}
}

// TestWhole: a file is replaced as a whole, and one that cannot be written leaves the old one and nothing
// beside it.
func TestWhole(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "x")
	if err := files.Write(path, []byte("old"), 0o640); err != nil {
		t.Fatal(err)
	}
	failed := errors.New("no more")
	err := files.Replace(path, 0o644, func(f *os.File) error {
		if _, err := f.WriteString("ne"); err != nil {
			return err
		}
		if got := holds(t, dir)["x"]; got != "old" {
			t.Errorf("half way the file holds %q", got)
		}
		return failed
	})
	if !errors.Is(err, failed) {
		t.Fatalf("%v", err)
	}
	same(t, holds(t, dir), "x", "old")
	if err := files.Write(path, []byte("new"), 0o644); err != nil {
		t.Fatal(err)
	}
	same(t, holds(t, dir), "x", "new")
	if st, err := os.Stat(path); err != nil || st.Mode().Perm() != 0o640 {
		t.Errorf("the mode did not stay: %v, %v", st.Mode(), err)
	}
	if err := files.Write(dir, nil, 0o644); err == nil || !strings.Contains(err.Error(), "not a regular file") {
		t.Errorf("a directory is replaced: %v", err)
	}
}

func TestCreate(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "x")
	if err := files.Create(path, []byte("first"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := files.Create(path, []byte("second"), 0o600); !errors.Is(err, fs.ErrExist) {
		t.Errorf("%v", err)
	}
	same(t, holds(t, dir), "x", "first")
}

// TestLimit: as many bytes as the limit are read, one more is refused, and so is none.
func TestLimit(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x")
	for content, want := range map[string]string{"1234": "", "12345": "more than 4 bytes", "": "it is empty"} {
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		check := func(b []byte, err error) {
			t.Helper()
			if want == "" && (err != nil || string(b) != content) ||
				want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
				t.Errorf("%q: %q, %v", content, b, err)
			}
		}
		check(files.Read(path, 4, "thing"))
		check(files.ReadInput(nil, path, 4, "thing"))
		check(files.ReadInput(strings.NewReader(content), "-", 4, "thing"))
	}
	if _, err := files.Read(path+"y", 4, "thing"); !errors.Is(err, fs.ErrNotExist) ||
		!strings.HasPrefix(err.Error(), "cannot read thing: ") {
		t.Errorf("%v", err)
	}
}

func TestInterruptible(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	r := files.Interruptible(ctx, strings.NewReader("12"))
	if n, err := r.Read(make([]byte, 1)); n != 1 || err != nil {
		t.Fatalf("%d, %v", n, err)
	}
	cancel()
	if n, err := io.ReadFull(r, make([]byte, 1)); n != 0 || !errors.Is(err, context.Canceled) {
		t.Errorf("%d, %v", n, err)
	}
}
