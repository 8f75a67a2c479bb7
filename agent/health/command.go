package health

import (
	"context"
	"errors"
	"os/exec"
	"strings"
	"syscall"
	"unicode/utf8"
)

const (
	maxName   = 64   // bytes of a check's name
	maxOutput = 4096 // bytes of a program's output that are kept, the last ones
	maxSaid   = 200  // bytes of a program's last line in an error
)

// Command holds when a program exits with 0. The program gets no input and a minimal environment
// (PATH, LANG=C, HOME=/); its process group is killed when the check's time is over or the program
// leaves children behind.
type Command struct {
	Title string   // name of the check, default "command <base of Argv[0]>"
	Argv  []string // program and arguments, no shell
	Env   []string // added to the environment, "NAME=value"
	// Network: what it asks for depends on something beyond this device, see Remote.
	Network bool
}

// Name is the check's name.
func (c Command) Name() string {
	if c.Title != "" || len(c.Argv) == 0 {
		return c.Title
	}
	return plain("command "+c.Argv[0][strings.LastIndexByte(c.Argv[0], '/')+1:], maxName)
}

// Run runs the program once. The error carries the exit status and the last line of the output.
func (c Command) Run(ctx context.Context) error {
	out, err := run(ctx, c.Argv, c.Env)
	if err == nil {
		return nil
	}
	if said := lastLine(out); said != "" {
		return errorf("%w: %s", err, said)
	}
	return err
}

// run runs argv to its end, with its output's tail.
func run(ctx context.Context, argv, env []string) (string, error) {
	if len(argv) == 0 {
		return "", errors.New("cannot run a program without a name")
	}
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Env = append([]string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LANG=C", "HOME=/"},
		env...)
	cmd.Dir = "/"
	var out tail
	cmd.Stdout, cmd.Stderr = &out, &out
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	// A child that escaped the group may hold the pipe open; it is not waited for.
	cmd.WaitDelay = Grace / 2
	if err := cmd.Start(); err != nil {
		return "", errorf("cannot run %s: %w", argv[0], err)
	}
	err := cmd.Wait()
	// What the program left behind goes too. The group's number cannot belong to somebody else while
	// a member is alive, and when none is, nothing is there to kill.
	_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
	switch {
	case ctx.Err() != nil:
		return out.String(), context.Cause(ctx)
	case errors.Is(err, exec.ErrWaitDelay):
		return out.String(), nil // it exited with 0 and left a child, which is gone now
	case err != nil:
		return out.String(), errorf("%s: %w", argv[0], err)
	}
	return out.String(), nil
}

// tail keeps the last maxOutput bytes that are written to it.
type tail struct{ b []byte }

func (t *tail) Write(p []byte) (int, error) {
	n := len(p)
	if n > maxOutput {
		p = p[n-maxOutput:]
	}
	t.b = append(t.b, p...)
	if over := len(t.b) - maxOutput; over > 0 {
		t.b = append(t.b[:0], t.b[over:]...)
	}
	return n, nil
}

func (t *tail) String() string { return string(t.b) }

// lastLine is the last line of s that says something, made fit for a log.
func lastLine(s string) string {
	lines := strings.Split(strings.TrimSpace(s), "\n")
	return plain(strings.TrimSpace(lines[len(lines)-1]), maxSaid)
}

// plain drops what does not belong on one line of text, and cuts it to limit bytes.
func plain(s string, limit int) string {
	var b strings.Builder
	for _, c := range s {
		if c == '\t' {
			c = ' '
		}
		if c < ' ' || c >= 0x7f && c < 0xa0 || c == utf8.RuneError {
			continue
		}
		if b.Len()+utf8.RuneLen(c) > limit {
			break
		}
		b.WriteRune(c)
	}
	return b.String()
}
