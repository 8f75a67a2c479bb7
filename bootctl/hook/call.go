package hook

import (
	"context"
	"errors"
	"io/fs"
	"os/exec"
	"strings"
	"syscall"
	"time"

	"github.com/ratchet-ota/ratchet/bootctl"
)

// Exit statuses of the contract.
const (
	exitInvalid     = 10
	exitChanged     = 11
	exitNotVerified = 12
	exitNoFallback  = 13
)

// maxError bounds what is kept of standard error, in bytes.
const maxError = 1 << 10

var (
	errTimeout = errors.New("the hook took too long and was ended")
	errOutput  = errorf("the hook printed more than %d bytes", maxOutput)
)

// call runs the hook once and returns what it printed.
func (b *Backend) call(ctx context.Context, args ...string) ([]byte, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, b.o.Timeout, errTimeout)
	defer cancel()
	var stdout, stderr bounded
	stdout.limit, stderr.limit = maxOutput, maxError
	cmd := exec.CommandContext(ctx, b.o.Command, args...)
	cmd.Dir = "/"
	cmd.Env = []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C"}
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	// A process group of its own, so that what it started ends with it.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = time.Second
	err := cmd.Run()
	var start *fs.PathError // it could not be started
	switch {
	case errors.As(err, &start):
		return nil, errorf("cannot run the boot hook %s: %w", b.o.Command, start.Err)
	case ctx.Err() != nil && err != nil:
		return nil, errorf("%q: %w", args[0], context.Cause(ctx))
	case err != nil:
		return nil, errorf("%q: %w%s", args[0], outcome(err), stderr.firstLine())
	case stdout.over:
		return nil, errOutput
	}
	return stdout.b, nil
}

// outcome is what an exit status means.
func outcome(err error) error {
	var exit *exec.ExitError
	if !errors.As(err, &exit) {
		return err
	}
	switch exit.ExitCode() {
	case exitInvalid:
		return bootctl.ErrInvalid
	case exitChanged:
		return bootctl.ErrChanged
	case exitNotVerified:
		return bootctl.ErrNotVerified
	case exitNoFallback:
		return bootctl.ErrNoFallback
	}
	return err
}

// bounded keeps the first bytes written to it and drops the rest, so that a hook that prints without
// end neither fills the memory nor blocks.
type bounded struct {
	b     []byte
	limit int
	over  bool
}

func (w *bounded) Write(p []byte) (int, error) {
	n := min(len(p), w.limit-len(w.b))
	w.b = append(w.b, p[:n]...)
	w.over = w.over || n < len(p)
	return len(p), nil
}

// firstLine is the first line as a suffix for an error, with nothing in it that could move a cursor.
func (w *bounded) firstLine() string {
	line, _, _ := strings.Cut(string(w.b), "\n")
	line = strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return '?'
		}
		return r
	}, line)
	if line == "" {
		return ""
	}
	return ": " + line
}
