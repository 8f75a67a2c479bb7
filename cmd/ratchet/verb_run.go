package main

import (
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

// errUsage: the command line is wrong. What is wrong is said in the wrapping error.
var errUsage = errors.New("usage")

// errShown: the failure has been shown already; exit carries its code.
type errShown struct{ exit int }

func (e errShown) Error() string { return "" }

// runVerb runs a technician's verb and returns its exit code (control.Exit...). args are those after
// the verb. Results go to stdout; errors, questions and the progress of an installation to stderr.
func runVerb(ctx context.Context, name string, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	c := &call{name: name, stdin: stdin, stdout: stdout, stderr: stderr,
		flags: flag.NewFlagSet(name, flag.ContinueOnError)}
	c.flags.SetOutput(io.Discard)
	def := os.Getenv("RATCHET_SOCKET")
	if def == "" {
		def = control.DefaultSocket
	}
	c.flags.StringVar(&c.socket, "socket", def, "")

	var run func(context.Context, []string) error
	switch name {
	case "status":
		run = c.status()
	case "slots":
		run = c.slots()
	case "history":
		run = c.history()
	case "install":
		run = c.install()
	case "confirm":
		run = c.confirm()
	case "revert":
		run = c.revert()
	case "approve":
		run = c.approve()
	case "recover":
		run = c.recover()
	case "evidence":
		run = c.evidence()
	default:
		fmt.Fprintf(stderr, "ratchet: there is no verb %q; \"ratchet help\" lists them\n", screen.Plain(name))
		return control.ExitUsage
	}
	rest, err := c.parse(args)
	if errors.Is(err, flag.ErrHelp) {
		fmt.Fprint(stdout, verbHelp(name))
		return control.ExitOK
	}
	if err == nil {
		err = run(ctx, rest)
	}
	return c.fail(err)
}

// parse takes flags wherever they stand, so that "install FILE --yes" means what it says. What
// follows "--" is no flag.
func (c *call) parse(args []string) (rest []string, err error) {
	for {
		if err := c.flags.Parse(args); err != nil {
			if errors.Is(err, flag.ErrHelp) {
				return nil, err
			}
			return nil, fmt.Errorf("%w: %w", errUsage, err)
		}
		left := c.flags.Args()
		if len(left) == 0 {
			return rest, nil
		}
		if n := len(args) - len(left); n > 0 && args[n-1] == "--" {
			return append(rest, left...), nil
		}
		rest, args = append(rest, left[0]), left[1:]
	}
}

// none refuses arguments.
func none(args []string) error {
	if len(args) > 0 {
		return fmt.Errorf("%w: unexpected argument %q", errUsage, args[0])
	}
	return nil
}

// fail shows an error, with what to do about it, and returns its exit code.
func (c *call) fail(err error) int {
	var shown errShown
	var e *control.Error
	switch {
	case err == nil:
		return control.ExitOK
	case errors.As(err, &shown):
		return shown.exit
	case errors.Is(err, errUsage):
		what := strings.TrimPrefix(err.Error(), "usage: ")
		fmt.Fprintf(c.stderr, "ratchet %s: %s\n\n%s", c.name, screen.Plain(what), verbHelp(c.name))
		return control.ExitUsage
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
	return control.Exit(err)
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
