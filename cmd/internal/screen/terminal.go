package screen

import (
	"io"
	"os"
)

// Widths of output, in characters.
const (
	usualWidth = 80 // where there is no terminal
	leastWidth = 20
)

// Sequences for a terminal. They are the only ones that the programs write, besides the one that
// ends a line of progress.
const (
	EscHome   = "\x1b[H\x1b[J" // to the top, clear
	EscGreen  = "\x1b[32m"
	EscRed    = "\x1b[31m"
	EscYellow = "\x1b[33m"
	EscDim    = "\x1b[2m"
	EscPlain  = "\x1b[0m"
)

// Terminal reports whether a stream is one.
func Terminal(stream any) bool {
	f, ok := stream.(*os.File)
	if !ok {
		return false
	}
	_, _, ok = size(f)
	return ok
}

// Drawable reports whether w is a terminal that can be drawn on.
func Drawable(w io.Writer) bool { return Terminal(w) && os.Getenv("TERM") != "dumb" }

// Colours reports whether colours are wanted (no-color.org).
func Colours(w io.Writer) bool { return Drawable(w) && os.Getenv("NO_COLOR") == "" }

// Width is the number of characters to write for in a line: the terminal's, as far as it says.
func Width(w io.Writer) int {
	f, ok := w.(*os.File)
	if !ok {
		return usualWidth
	}
	columns, _, _ := size(f)
	if columns == 0 {
		return usualWidth // not a terminal, or a serial console that does not know
	}
	return max(columns, leastWidth)
}

// Height is the number of lines of the terminal, 0 when it is not known.
func Height(w io.Writer) int {
	f, ok := w.(*os.File)
	if !ok {
		return 0
	}
	_, lines, _ := size(f)
	return lines
}
