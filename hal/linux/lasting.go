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
// The format is that of proc_pid_mountinfo(5).
func upperOf(mounts string, dev uint64) string {
	text, err := os.ReadFile(mounts)
	if err != nil {
		return ""
	}
	id := fmt.Sprintf("%d:%d", unix.Major(dev), unix.Minor(dev))
	for line := range strings.Lines(string(text)) {
		before, after, ok := strings.Cut(line, " - ")
		fields, of := strings.Fields(before), strings.Fields(after)
		if !ok || len(fields) < 3 || fields[2] != id || len(of) < 3 || of[0] != "overlay" {
			continue
		}
		for _, o := range splitOptions(of[2]) {
			if upper, ok := strings.CutPrefix(o, "upperdir="); ok && strings.HasPrefix(upper, "/") {
				return upper
			}
		}
	}
	return ""
}

// splitOptions takes mount options apart. An overlay writes a comma or a backslash of a path behind a backslash; the
// kernel then writes white space and backslashes of the whole as three octal digits.
func splitOptions(s string) (out []string) {
	var plain []byte
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+3 < len(s) && octal(s[i+1]) && octal(s[i+2]) && octal(s[i+3]) {
			plain = append(plain, (s[i+1]-'0')<<6|(s[i+2]-'0')<<3|(s[i+3]-'0'))
			i += 3
			continue
		}
		plain = append(plain, s[i])
	}
	var one []byte
	for i := 0; i < len(plain); i++ {
		switch {
		case plain[i] == '\\' && i+1 < len(plain):
			i++
			one = append(one, plain[i])
		case plain[i] == ',':
			out, one = append(out, string(one)), nil
		default:
			one = append(one, plain[i])
		}
	}
	return append(out, string(one))
}

func octal(c byte) bool { return c >= '0' && c <= '7' }
