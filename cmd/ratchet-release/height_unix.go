//go:build unix

package main

import (
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// height is the number of lines of the terminal, 0 when it is not known.
func height(w io.Writer) int {
	f, ok := w.(*os.File)
	if !ok {
		return 0
	}
	size, err := unix.IoctlGetWinsize(int(f.Fd()), unix.TIOCGWINSZ)
	if err != nil {
		return 0
	}
	return int(size.Row)
}
