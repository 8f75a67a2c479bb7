package linux

import (
	"bufio"
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// ReleaseText unmaps the pages of the running program's code and constants that are only there
// because the kernel maps whole neighbourhoods of what a start touches. They stay in the page cache
// and come back one by one when they are used; a daemon that idles then holds what it needs.
// Nothing that was written to is touched.
func ReleaseText() error {
	self, err := os.Readlink("/proc/self/exe")
	if err != nil {
		return errorf("cannot find the program: %w", err)
	}
	f, err := os.Open("/proc/self/maps")
	if err != nil {
		return errorf("cannot read the memory map: %w", err)
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		line := lines.Text()
		if !strings.HasSuffix(line, self) {
			continue
		}
		var from, to uintptr
		var mode string
		if n, _ := fmt.Sscanf(line, "%x-%x %s", &from, &to, &mode); n != 3 || strings.Contains(mode, "w") {
			continue
		}
		if _, _, errno := unix.Syscall(unix.SYS_MADVISE, from, to-from, unix.MADV_DONTNEED); errno != 0 {
			return errorf("cannot release the program's pages: %w", errno)
		}
	}
	return nil
}
