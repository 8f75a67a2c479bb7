package main

import (
	"cmp"

	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/ratchet-ota/ratchet/agent/control"
	"github.com/ratchet-ota/ratchet/cmd/internal/cli"
	"github.com/ratchet-ota/ratchet/cmd/internal/screen"
)

// call is one run of a technician's verb: its streams, its flags, and the way to the daemon.
type call struct {
	name           string
	stdin          io.Reader
	stdout, stderr io.Writer
	socket         string
	flags          *flag.FlagSet
}

// errShown: the failure has been shown already; exit carries its code.
type errShown struct{ exit int }

func (e errShown) Error() string { return "" }

// technician makes a verb that talks to the daemon. set defines its flags and returns what it does. Results go to
// stdout; errors, questions and the progress of an installation to stderr.
//
//go:noinline
func technician(v cli.Verb, set func(*call) func(context.Context, []string) error) cli.Verb {
	v.Exits = "3 refused by policy or signature; 4 deferred; 5 daemon not reachable; 6 not permitted; 7 busy"
	v.Setup = func(fs *flag.FlagSet) cli.Action {
		k := &call{name: v.Name, flags: fs}
		fs.StringVar(&k.socket, "socket", "",
			"`PATH` of the daemon's socket (default $RATCHET_SOCKET, or "+control.DefaultSocket+")")
		act := set(k)
		return func(ctx context.Context, c cli.Console, args []string) error {
			k.stdin, k.stdout, k.stderr = c.In, c.Out, c.Err
			k.socket = cmp.Or(k.socket, os.Getenv("RATCHET_SOCKET"), control.DefaultSocket)
			return k.fail(act(ctx, args))
		}
	}
	return v
}

// none refuses arguments.
//
//go:noinline
func none(args []string) error {
	if len(args) > 0 {
		return cli.Usage("unexpected argument %q", args[0])
	}
	return nil
}

// fail shows an error, with what to do about it, and returns its exit code as an error. That of a wrong
// command line it leaves to the program.
func (c *call) fail(err error) error {
	var shown errShown
	var e *control.Error
	switch {
	case err == nil, cli.IsUsage(err):
		return err
	case errors.As(err, &shown):
		return cli.Exit(shown.exit)
	case errors.As(err, &e):
		fmt.Fprintf(c.stderr, "ratchet %s: %s", c.name, screen.Plain(e.Message))
		if e.Reason != "" {
			fmt.Fprintf(c.stderr, " [%s]", screen.Plain(string(e.Reason)))
		}
		fmt.Fprintln(c.stderr)
		c.todo(e.Advice)
	case errors.Is(err, control.ErrUnreachable):
		c.said(err)
		c.todo("See whether the daemon runs: systemctl status ratchet. Its log: journalctl -u ratchet. " +
			"If it listens elsewhere, give --socket.")
	case errors.Is(err, control.ErrNotPermitted):
		c.said(err)
		c.todo("Run it as root (sudo), or as a user of the group that the socket belongs to.")
	case errors.Is(err, control.ErrLost):
		c.said(err)
		c.todo("The daemon or the machine may have restarted. Look again in a moment: ratchet status.")
	case errors.Is(err, context.Canceled):
		fmt.Fprintf(c.stderr, "ratchet %s: ended before it was done\n", c.name)
	default:
		c.said(err)
	}
	return cli.Exit(control.Exit(err))
}

func (c *call) said(err error) {
	fmt.Fprintf(c.stderr, "ratchet %s: %s\n", c.name, screen.Plain(err.Error()))
}

func (c *call) todo(advice string) {
	if advice != "" {
		fmt.Fprint(c.stderr, screen.Wrap("  ", "  ", screen.Plain(advice), screen.Width(c.stderr)))
	}
}

// ask sends one request and decodes its result into out.
func (c *call) ask(ctx context.Context, verb control.Verb, args map[string]string, out any) (json.RawMessage, error) {
	client, err := control.Dial(c.socket)
	if err != nil {
		return nil, err
	}
	defer func() { _ = client.Close() }()
	raw, err := client.Do(ctx, verb, args, nil, nil)
	if err != nil {
		return nil, err
	}
	return raw, understand(raw, out)
}

func understand(raw json.RawMessage, out any) error {
	if err := json.Unmarshal(raw, out); err != nil {
		return fmt.Errorf("cannot understand the daemon's answer: %w", err)
	}
	return nil
}

// printJSON prints a result as it came, members that this version does not know included. What a
// terminal could take for a command is escaped.
func (c *call) printJSON(raw json.RawMessage, indent string) error {
	var b bytes.Buffer
	var err error
	if indent == "" {
		err = json.Compact(&b, raw)
	} else {
		err = json.Indent(&b, raw, "", indent)
	}
	if err != nil {
		return fmt.Errorf("cannot understand the daemon's answer: %w", err)
	}
	var out strings.Builder
	for _, r := range b.String() {
		if r != '\n' && !screen.Harmless(r) && r <= 0xffff {
			fmt.Fprintf(&out, `\u%04x`, r)
			continue
		}
		out.WriteRune(r)
	}
	_, err = fmt.Fprintln(c.stdout, out.String())
	return err
}
