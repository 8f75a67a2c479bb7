//go:build linux

package linux_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/ratchet-ota/ratchet/hal"
	"github.com/ratchet-ota/ratchet/hal/haltest"
	"github.com/ratchet-ota/ratchet/hal/linux"
)

// mount mounts a file system at a new folder below dir.
func mount(t *testing.T, dir, name, kind, options string) string {
	t.Helper()
	at := filepath.Join(dir, name)
	if err := os.MkdirAll(at, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount(kind, at, kind, 0, options); err != nil {
		t.Fatalf("cannot mount a %s at %s: %v", kind, at, err)
	}
	t.Cleanup(func() { _ = unix.Unmount(at, unix.MNT_DETACH) })
	return at
}

// TestVolatile: what lies in memory does not last, also below an overlay, whose options hold names with commas and
// spaces.
func TestVolatile(t *testing.T) {
	if !haltest.PrivateMounts(t) {
		return
	}
	// What lasts: where the program of this test lies, unless that is in memory too.
	disk, err := os.MkdirTemp(filepath.Dir(os.Args[0]), "lasts")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(disk)
	dir := t.TempDir()
	tmpfs := mount(t, dir, "tmp", "tmpfs", "")
	overlay := func(name, upper string) string {
		for _, d := range []string{"lower", "upper, it is", "work"} {
			if err := os.MkdirAll(filepath.Join(upper, d), 0o700); err != nil {
				t.Fatal(err)
			}
		}
		escape := strings.NewReplacer(`\`, `\\`, ",", `\,`, ":", `\:`).Replace
		return mount(t, dir, name, "overlay", fmt.Sprintf("lowerdir=%s,upperdir=%s,workdir=%s,userxattr",
			escape(upper+"/lower"), escape(upper+"/upper, it is"), escape(upper+"/work")))
	}
	for _, c := range []struct{ name, at, want string }{
		{"a tmpfs", tmpfs, "is on a tmpfs"},
		{"a folder that is to be made on a tmpfs", tmpfs + "/a/b", "is on a tmpfs"},
		{"a ramfs", mount(t, dir, "ram", "ramfs", ""), "is on a ramfs"},
		{"an overlay in memory", overlay("over1", tmpfs), "is on an overlay, of which " + tmpfs},
		{"a folder on it", filepath.Join(dir, "over1", "var", "lib"), "is on an overlay"},
	} {
		if got := linux.Volatile(c.at); !strings.Contains(got, c.want) {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
	if linux.Volatile(disk) != "" {
		t.Log("no folder that lasts is known here")
		return
	}
	if got := linux.Volatile(overlay("over3", disk)); got != "" {
		t.Errorf("an overlay on a disk: %q", got)
	}
	if got := linux.Volatile(disk + "/not/yet"); got != "" {
		t.Errorf("a folder that is to be made on a disk: %q", got)
	}
	// Put together in an initramfs, from what is out of sight now: nobody can tell.
	hidden := overlay("over4", mount(t, dir, "tmp2", "tmpfs", ""))
	if err := unix.Unmount(filepath.Join(dir, "tmp2"), unix.MNT_DETACH); err != nil {
		t.Fatal(err)
	}
	if got := linux.Volatile(hidden); got != "" {
		t.Errorf("an overlay whose folders are out of sight: %q", got)
	}
}

// FuzzMounts: whatever stands in mountinfo, an upper folder is an absolute path that an overlay's options name.
func FuzzMounts(f *testing.F) {
	f.Add(`68 44 0:41 / /o rw,relatime - overlay overlay rw,lowerdir=/l,upperdir=/u\\054\040x,workdir=/w`)
	f.Add("68 44 0:41 / /o rw shared:1 - overlay overlay rw,upperdir=u")
	f.Add("68 44 0:41 - overlay overlay")
	f.Add("1 2 0:41 - overlay o \\,upperdir=/a\\")
	f.Fuzz(func(t *testing.T, text string) {
		path := filepath.Join(t.TempDir(), "mountinfo")
		put(t, path, text)
		upper := linux.UpperOf(path, unix.Mkdev(0, 41))
		if upper != "" && (upper[0] != '/' || !strings.Contains(text, "0:41") || !strings.Contains(text, "overlay")) {
			t.Errorf("%q of %q", upper, text)
		}
	})
}

// TestDirThatMoves: a directory is another one when something is mounted over it, and when it was made anew; not when
// its content changes, nor when the mount is gone. Nothing is written into another one.
func TestDirThatMoves(t *testing.T) {
	if !haltest.PrivateMounts(t) {
		return
	}
	dir := t.TempDir()
	at := filepath.Join(dir, "state")
	if (linux.Dir{}).Moved() || linux.OpenDir(at).Moved() {
		t.Error("what was not there has moved")
	}
	put(t, at+"/x", "x")
	d := linux.OpenDir(at)
	is := func(when string, moved bool) {
		t.Helper()
		err := errors.Join(hal.ReplaceFile(d, at+"/x", []byte("y")), d.Rename(at+"/x", at+"/z"), d.Remove(at+"/z"))
		_, there := os.Stat(at + "/x")
		if d.Moved() != moved || moved != (err != nil) || moved && there != nil {
			t.Errorf("%s: moved %v; a file is replaced and removed: %v, %v", when, d.Moved(), err, there)
		}
	}
	put(t, at+"/y", "y")
	is("another file", false)
	mount(t, dir, "state", "tmpfs", "")
	put(t, at+"/x", "x")
	is("a mount", true)
	if err := unix.Unmount(at, 0); err != nil {
		t.Fatal(err)
	}
	is("the mount is gone", false)
	if err := os.Rename(at, dir+"/old"); err != nil {
		t.Fatal(err)
	}
	if !d.Moved() {
		t.Error("nothing is there, and it has not moved")
	}
	put(t, at+"/x", "x")
	is("made anew", true)
}
