//go:build linux

package linux

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// Volatile says why what is written below dir is lost when the machine is switched off, "" where it lasts, or where
// that cannot be told: an overlay may have been put together in an initramfs, from folders that are out of sight now.
// A dir that is not there yet is judged by the one that it will be made in.
func Volatile(dir string) string { return volatile(dir, "/proc/self/mountinfo", "/sys/dev/block", 4) }

// deep bounds overlays on overlays.
func volatile(dir, mounts, blocks string, deep int) string {
	for dir != "/" {
		if _, err := os.Stat(dir); !os.IsNotExist(err) {
			break
		}
		dir = filepath.Dir(dir)
	}
	var f unix.Statfs_t
	var st unix.Stat_t
	if unix.Statfs(dir, &f) != nil || unix.Stat(dir, &st) != nil {
		return ""
	}
	switch uint32(f.Type) { // signed, and of another width, on some machines
	case unix.TMPFS_MAGIC:
		return dir + " is on a tmpfs"
	case unix.RAMFS_MAGIC:
		return dir + " is on a ramfs"
	case unix.OVERLAYFS_SUPER_MAGIC:
		upper := upperOf(mounts, uint64(st.Dev))
		if upper == "" || deep == 0 {
			return ""
		}
		if _, err := os.Stat(upper); err != nil {
			return ""
		}
		if why := volatile(upper, mounts, blocks, deep-1); why != "" {
			return dir + " is on an overlay, of which " + why
		}
		return ""
	}
	disk, err := os.Readlink(filepath.Join(blocks,
		fmt.Sprintf("%d:%d", unix.Major(uint64(st.Dev)), unix.Minor(uint64(st.Dev)))))
	if name := filepath.Base(disk); err == nil && (strings.HasPrefix(name, "ram") || strings.HasPrefix(name, "zram")) {
		return dir + " is on a disk in memory, " + name
	}
	return ""
}

// upperOf is the upper folder of the overlay that is mounted as device dev; "" when it has none, or is not found.
func upperOf(mounts string, dev uint64) string {
	for _, m := range mountsOf(mounts, dev) {
		for _, o := range m.options {
			upper, ok := strings.CutPrefix(o, "upperdir=")
			if ok && m.kind == "overlay" && strings.HasPrefix(upper, "/") {
				return upper
			}
		}
	}
	return ""
}
