//go:build linux

package linux_test

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/ratchet-ota/ratchet/hal"
	"github.com/ratchet-ota/ratchet/hal/linux"
)

// Where bytes lie, in a made-up sysfs: disk 241:0 with partition 241:1, mtdblock 31:240, a disk of large sectors.
func TestLocate(t *testing.T) {
	dir := t.TempDir()
	sys := filepath.Join(dir, "sys")
	for dev, at := range map[string]string{"241:0": "devices/mmcblk0", "241:1": "devices/mmcblk0/mmcblk0p1",
		"31:240": "devices/mtd/mtdblock240", "241:16": "devices/sdb"} {
		put(t, filepath.Join(sys, at, "dev"), dev+"\n")
		put(t, filepath.Join(sys, at, "size"), "2048\n")
		if err := os.MkdirAll(filepath.Join(sys, "dev/block"), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(filepath.Join("../..", at), filepath.Join(sys, "dev/block", dev)); err != nil {
			t.Fatal(err)
		}
	}
	put(t, filepath.Join(sys, "devices/mmcblk0/mmcblk0p1/partition"), "1\n")
	put(t, filepath.Join(sys, "devices/mmcblk0/mmcblk0p1/start"), "512\n")
	put(t, filepath.Join(sys, "devices/mmcblk0/queue/physical_block_size"), "512\n")
	put(t, filepath.Join(sys, "devices/sdb/queue/physical_block_size"), "16384\n")
	b := linux.Blocks{SysPath: sys}
	node := func(kind, major, minor uint32) string {
		path := filepath.Join(dir, fmt.Sprintf("node-%d-%d-%d", kind, major, minor))
		if err := unix.Mknod(path, kind|0o600, int(unix.Mkdev(major, minor))); err != nil {
			t.Skip("cannot make device nodes: ", err)
		}
		link := path + "-link"
		if err := os.Symlink(path, link); err != nil {
			t.Fatal(err)
		}
		return link
	}
	dev := func(major, minor uint32) hal.DeviceID {
		return hal.DeviceID{Block: true, Major: unix.Mkdev(major, minor)}
	}
	file := filepath.Join(dir, "file")
	put(t, file, "environment")
	if r, err := b.Locate(file); err != nil || r.Self != r.On || r.Size != 11 || r.Unit != 4096 || !r.FS.Known() ||
		r.Flash {
		t.Errorf("a file: %+v, %v", r, err)
	}
	var st unix.Stat_t
	if err := unix.Stat(file, &st); err != nil {
		t.Fatal(err)
	}
	for options, want := range map[string]bool{"rw,data=journal": true, "rw,data=ordered": false, "rw": false} {
		put(t, filepath.Join(dir, "proc/self/mountinfo"), fmt.Sprintf("1 1 0:99 / / rw - ext4 /dev/x rw,data=journal\n"+
			"2 1 %d:%d / /boot rw shared:1 - ext4 /dev/y %s\n", unix.Major(st.Dev), unix.Minor(st.Dev), options))
		r, err := linux.Blocks{SysPath: sys, ProcPath: filepath.Join(dir, "proc")}.Locate(file)
		if err != nil || r.LogsData != want {
			t.Errorf("a file on ext4 with %s: %+v, %v", options, r, err)
		}
	}
	if r, err := b.Locate(dir); err != nil || r.Self.Known() || !r.FS.Known() {
		t.Errorf("a folder: %+v, %v", r, err)
	}
	if r, err := b.Locate("/sys/kernel/notes"); err == nil && r.Unit != 256 {
		t.Errorf("a file below /sys: %+v", r)
	}
	if _, err := b.Locate(filepath.Join(dir, "none")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("what is not there: %v", err)
	}
	for _, c := range []struct {
		path string
		want hal.Region
	}{
		{node(unix.S_IFBLK, 241, 0), hal.Region{Self: dev(241, 0), On: dev(241, 0), Size: 1 << 20, Unit: 4096}},
		{node(unix.S_IFBLK, 241, 1),
			hal.Region{Self: dev(241, 1), On: dev(241, 0), Start: 256 << 10, Size: 1 << 20, Unit: 4096}},
		{node(unix.S_IFBLK, 241, 16), hal.Region{Self: dev(241, 16), On: dev(241, 16), Size: 1 << 20, Unit: 16384}},
		{node(unix.S_IFBLK, 31, 240),
			hal.Region{Self: dev(31, 240), On: dev(31, 240), Size: 1 << 20, Unit: 4096, Flash: true}},
		{node(unix.S_IFCHR, 90, 240), hal.Region{Flash: true}},
	} {
		if got, err := b.Locate(c.path); err != nil || got != c.want {
			t.Errorf("%s: %+v, %v; want %+v", c.path, got, err, c.want)
		}
	}
}
