//go:build unix

package screen

import (
	"os"

	"golang.org/x/sys/unix"
)

// size is how many characters and lines a terminal has, 0 when it does not say; ok is false for a
// file that is no terminal.
func size(f *os.File) (columns, lines int, ok bool) {
	w, err := unix.IoctlGetWinsize(int(f.Fd()), unix.TIOCGWINSZ)
	if err != nil {
		return 0, 0, false
	}
	return int(w.Col), int(w.Row), true
}
