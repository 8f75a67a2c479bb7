package keys

import (
	"context"
	"fmt"
	"io"
	"os"

	"golang.org/x/term"

	"github.com/ratchet-ota/ratchet/cmd/internal/screen"
)

// hidden asks on a terminal for a line that is not shown. The terminal is as before in the end, also when
// ctx ends first: then a goroutine is left that waits for the line, which is of no use to anybody.
func hidden(ctx context.Context, terminal *os.File, ask io.Writer, prompt string) ([]byte, error) {
	fd := int(terminal.Fd())
	before, err := term.GetState(fd)
	if err != nil {
		return nil, fmt.Errorf("cannot ask on the terminal: %w", err)
	}
	fmt.Fprint(ask, screen.Plain(prompt))
	defer fmt.Fprintln(ask)
	type line struct {
		b   []byte
		err error
	}
	got := make(chan line, 1)
	go func() {
		b, err := term.ReadPassword(fd)
		got <- line{b, err}
	}()
	select {
	case l := <-got:
		return l.b, l.err
	case <-ctx.Done():
		if err := term.Restore(fd, before); err != nil {
			return nil, fmt.Errorf("cannot restore the terminal (run: stty sane): %w", err)
		}
		return nil, ctx.Err()
	}
}
