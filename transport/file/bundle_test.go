package file_test

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/ratchet-ota/ratchet/transport"
	"github.com/ratchet-ota/ratchet/transport/file"
)

func TestBundle(t *testing.T) {
	dir := t.TempDir()
	path := write(t, filepath.Join(dir, "release-7.suit"), []byte("envelope"))
	write(t, filepath.Join(dir, "rootfs.img"), []byte("payload"))
	b, err := file.OpenBundle(path)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	m, err := file.ReadEnvelope(b.Envelope())
	if err != nil || m.Kind != transport.Offer || m.Origin != "file:release-7.suit" || string(m.Body) != "envelope" {
		t.Errorf("%+v, %v", m, err)
	}
	f, err := b.Payload([]string{"https://cdn.example/9/other.img", "https://updates.example/7/rootfs.img?sig=x"})
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if got, err := io.ReadAll(f); err != nil || string(got) != "payload" {
		t.Errorf("%q, %v", got, err)
	}
	if _, err := b.Payload([]string{"https://updates.example/7/none.img"}); !errors.Is(err, fs.ErrNotExist) ||
		!strings.Contains(err.Error(), "none.img") {
		t.Errorf("%v, want fs.ErrNotExist that names the file", err)
	}
}

func TestEnvelopeSize(t *testing.T) {
	dir := t.TempDir()
	for size, ok := range map[int]bool{0: false, 1: true, transport.MaxMessage: true, transport.MaxMessage + 1: false} {
		f := open(t, write(t, filepath.Join(dir, "e"), make([]byte, size)))
		if m, err := file.ReadEnvelope(f); (err == nil) != ok || (ok && len(m.Body) != size) {
			t.Errorf("%d bytes: %v", size, err)
		}
	}
	for _, path := range []string{dir, filepath.Join(dir, "none"), os.DevNull} {
		if b, err := file.OpenBundle(path); err == nil {
			b.Close()
			t.Errorf("%s opened as a bundle", path)
		} else if !strings.HasPrefix(err.Error(), "cannot open envelope ") {
			t.Errorf("%v", err)
		}
	}
}

// Nothing outside the directory can be had, whatever the address says and whatever lies in it.
func TestOpenLocal(t *testing.T) {
	outer := t.TempDir()
	write(t, filepath.Join(outer, "secret"), []byte("secret"))
	dir := filepath.Join(outer, "stick")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "payload.img"), []byte("payload"))
	write(t, filepath.Join(dir, ".hidden"), []byte("hidden"))
	write(t, filepath.Join(dir, "with space+plus"), []byte("payload"))
	for name, target := range map[string]string{
		"inside": "payload.img", "outside": "../secret", "absolute": filepath.Join(outer, "secret"), "loop": "loop",
		"null": "/dev/null",
	} {
		if err := os.Symlink(target, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	if err := syscall.Mkfifo(filepath.Join(dir, "fifo"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(dir, "folder"), 0o700); err != nil {
		t.Fatal(err)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	for uri, want := range map[string]string{ // empty: an error
		"https://updates.example/a/payload.img":       "payload",
		"https://updates.example/payload.img?x#y":     "payload",
		"file:///somewhere/else/payload.img":          "payload",
		"payload.img":                                 "payload",
		"https://updates.example/inside":              "payload",
		"https://updates.example/with%20space+plus":   "payload",
		"https://updates.example/../../x/payload.img": "payload",
		"https://updates.example/%2e%2e%2fsecret":     "",
		"https://updates.example/..":                  "",
		"https://updates.example/.":                   "",
		"https://updates.example/a/%2e%2e":            "",
		"https://updates.example/..%2Fsecret":         "",
		"https://updates.example/.hidden":             "",
		"https://updates.example/outside":             "",
		"https://updates.example/absolute":            "",
		"https://updates.example/loop":                "",
		"https://updates.example/null":                "",
		"https://updates.example/fifo":                "",
		"https://updates.example/folder":              "",
		"https://updates.example/folder/":             "",
		"https://updates.example/":                    "",
		"https://updates.example":                     "",
		"https://updates.example/payload.img%00":      "",
		"https://updates.example/payload.img%0a":      "",
		"https://updates.example/C:%5Cpayload.img":    "",
		"#payload.img":                                "",
		"file:payload.img":                            "payload",
		"file:..":                                     "",
		"":                                            "",
		"://":                                         "",
	} {
		f, err := file.OpenLocal(root, []string{uri})
		if err != nil {
			if want != "" {
				t.Errorf("%q: %v", uri, err)
			}
			if strings.ContainsAny(err.Error(), "\n\x00") {
				t.Errorf("%q: error %q", uri, err)
			}
			continue
		}
		got, _ := io.ReadAll(f)
		f.Close()
		if string(got) != want {
			t.Errorf("%q: opened %q, want %q", uri, got, want)
		}
	}
	if _, err := file.OpenLocal(root, nil); !errors.Is(err, transport.ErrForbidden) {
		t.Errorf("no address: %v", err)
	}
}

func FuzzLocalName(f *testing.F) {
	for _, s := range []string{"https://h/a/b.img", "https://h/..", "%2e%2e", "file:///x", "https://h/a%2fb",
		"https://h/\u202e", "", "/"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, uri string) {
		name, err := file.LocalName(uri)
		if err != nil {
			return
		}
		if name == "" || name[0] == '.' || strings.ContainsAny(name, "/\\:\x00\n\r\x1b") || len(name) > 255 ||
			!filepath.IsLocal(name) {
			t.Fatalf("%q is named %q", uri, name)
		}
	})
}
