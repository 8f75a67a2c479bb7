package cli

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/ratchet-ota/ratchet/agent/manifest"
	"github.com/ratchet-ota/ratchet/cmd/internal/screen"
)

// Program is a command line: its verbs, in the order of the overview.
type Program struct {
	Name    string
	Version string // what --version prints
	About   string // what it is, in a line
	Section int    // of the manual: 1, or 8 for what an administrator runs
	Before  string // of the overview, before the list of verbs
	After   string // and after it
	Exits   string // which exit codes it gives, for the overview and the manual
	Verbs   []Verb
}

// Run executes one command line and returns the exit code.
func (p Program) Run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	c := Console{program: p.Name, In: stdin, Out: stdout, Err: stderr}
	if len(args) == 0 {
		p.overview(stderr)
		return ExitUsage
	}
	switch args[0] {
	case "-h", "-help", "--help":
		p.overview(stdout)
		return ExitOK
	case "help":
		return p.help(c, args[1:])
	case "completion":
		return p.complete(c, args[1:])
	case "-version", "--version", "version":
		c.Say("%s %s", p.Name, p.Version)
		return ExitOK
	}
	v, rest, ok := p.find(args)
	if !ok && len(args) > 1 && slices.Contains([]string{"-h", "-help", "--help"}, args[1]) {
		return p.help(c, args[:1]) // of a group
	}
	if !ok {
		c.Warn("there is no verb %q; `%s help` lists them", manifest.Printable(args[0]), p.Name)
		return ExitUsage
	}
	fs := flag.NewFlagSet(v.Name, flag.ContinueOnError)
	fs.SetOutput(io.Discard)
	act := v.Setup(fs)
	operands, err := parseArgs(fs, rest)
	if errors.Is(err, flag.ErrHelp) {
		v.help(stdout, p.Name)
		return ExitOK
	}
	if err != nil {
		err = Usage("%v", err)
	} else {
		err = act(ctx, c, operands)
	}
	return finish(c, v, err)
}

// finish says what went wrong and gives it its exit code.
func finish(c Console, v Verb, err error) int {
	var (
		bad  *usageError
		ref  *Refusal
		code Exit
	)
	switch {
	case err == nil:
		return ExitOK
	case errors.As(err, &code):
		return int(code)
	case errors.Is(err, ErrIncomplete):
		c.Warn("%v", err)
		return ExitIncomplete
	case errors.As(err, &ref):
		c.Warn("%s", screen.Lines(err.Error()))
		c.Say("reason: %s", ref.Reason)
		var m *manifest.Error
		if errors.As(err, &m) {
			c.Say("SUIT code: %d (%s)", int(m.Code), m.Code)
			c.Say("%s", where(m))
		}
		info := ref.Reason.Info()
		c.Warn("%s %s", info.Says, info.Advice)
		return ExitRefused
	case errors.As(err, &bad):
		c.Warn("%s", screen.Lines(err.Error()))
		c.Warn("usage: %s %s %s; see `%s help %s`", c.program, v.Name, v.Args, c.program, v.Name)
		return ExitUsage
	case errors.Is(err, context.Canceled):
		c.Warn("interrupted: %s", screen.Lines(err.Error()))
	default:
		c.Warn("%s", screen.Lines(err.Error()))
	}
	return ExitFailed
}

// find looks up the verb that a command line starts with: the one of most words.
func (p Program) find(args []string) (v Verb, rest []string, ok bool) {
	best := 0
	for _, one := range p.Verbs {
		n := len(strings.Fields(one.Name))
		if n > best && len(args) >= n && strings.Join(args[:n], " ") == one.Name {
			v, rest, ok, best = one, args[n:], true, n
		}
	}
	return v, rest, ok
}

// complete writes a script for a shell.
func (p Program) complete(c Console, args []string) int {
	if len(args) == 1 {
		if script, ok := p.completion(args[0]); ok {
			fmt.Fprint(c.Out, script)
			return ExitOK
		}
	}
	c.Warn("usage: %s completion bash|zsh|fish", p.Name)
	return ExitUsage
}

func (p Program) help(c Console, args []string) int {
	if len(args) == 0 {
		p.overview(c.Out)
		return ExitOK
	}
	if len(args) == 1 && args[0] == "--man" {
		fmt.Fprint(c.Out, p.man())
		return ExitOK
	}
	if v, _, ok := p.find(args); ok {
		v.help(c.Out, p.Name)
		return ExitOK
	}
	group := 0
	for _, v := range p.Verbs {
		if strings.HasPrefix(v.Name, args[0]+" ") {
			if group++; group > 1 {
				c.Say("")
			}
			v.help(c.Out, p.Name)
		}
	}
	if group > 0 {
		return ExitOK
	}
	c.Warn("there is no verb %q; `%s help` lists them", manifest.Printable(args[0]), p.Name)
	return ExitUsage
}

func (p Program) overview(w io.Writer) {
	fmt.Fprint(w, p.Before)
	for _, v := range p.Verbs {
		fmt.Fprintf(w, "  %-18s %s\n", v.Name, v.Short)
	}
	fmt.Fprintf(w, "%s\nExit codes: %s\n", p.After, p.Exits)
}
