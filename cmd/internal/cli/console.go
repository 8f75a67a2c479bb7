package cli

import (
	"fmt"
	"io"
)

// Console is where a verb reads and writes.
type Console struct {
	program  string // its name
	In       io.Reader
	Out, Err io.Writer
}

// Say prints one line of the result.
func (c Console) Say(format string, args ...any) { fmt.Fprintf(c.Out, format+"\n", args...) }

// Warn prints one line that is not part of the result.
//
//go:noinline
func (c Console) Warn(format string, args ...any) {
	fmt.Fprintf(c.Err, c.program+": "+format+"\n", args...)
}
