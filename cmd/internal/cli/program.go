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
	After   string // and after it, beginning with an empty line
	Exits   string // which exit codes it gives, for the overview and the manual
	Verbs   []Verb

	// For the manual alone.
	Environment, Files []Item
	SeeAlso            string
}

// Item is a variable of the environment, or a file, and what it is for.
type Item struct{ Name, Says string }

// Run executes one command line and returns the exit code.
func (p Program) Run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	c := Console{program: p.Name, In: stdin, Out: stdout, Err: stderr}
	if len(args) == 0 {
		p.overview(stderr)
		return ExitUsage
	}
	if asksHelp(args[0]) {
		p.overview(stdout)
		return ExitOK
	}
	v, rest, ok := p.find(args)
	if !ok && len(args) > 1 && asksHelp(args[1]) {
		return p.help(c, args[:1]) // of a group, or of a verb of every program
	}
	switch args[0] {
	case "help":
		return p.help(c, args[1:])
	case "completion":
		return p.complete(c, args[1:])
	case "-version", "--version", "version":
		c.Say("%s %s", p.Name, p.Version)
		return ExitOK
	}
	if !ok {
		return p.unknown(c, args[0])
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
		advice := ref.Advice
		if advice == "" {
			info := ref.Reason.Info()
			advice = info.Says + " " + info.Advice
		}
		c.Warn("%s", advice)
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

// named lists the verbs with this name and those of the group with this name.
func (p Program) named(name string) (out []Verb) {
	for _, v := range p.all() {
		if v.Name == name || strings.HasPrefix(v.Name, name+" ") {
			out = append(out, v)
		}
	}
	return out
}

// mode is the verb before a last word that is one of its modes, as in "rig smoke".
func (p Program) mode(args []string) (v Verb, ok bool) {
	last := len(args) - 1
	for _, v = range p.all() {
		modes, _, _ := strings.Cut(v.Args, " ")
		if v.Name == strings.Join(args[:last], " ") && slices.Contains(strings.Split(modes, "|"), args[last]) {
			return v, true
		}
	}
	return Verb{}, false
}

// unknown says that no verb has this name, or which ones begin with it.
func (p Program) unknown(c Console, name string) int {
	name = manifest.Printable(name)
	var names []string
	for _, v := range p.named(name) {
		names = append(names, v.Name)
	}
	if len(names) > 0 {
		c.Warn("%q is not a whole verb; use one of: %s", name, strings.Join(names, ", "))
	} else {
		c.Warn("there is no verb %q; `%s help` lists all verbs", name, p.Name)
	}
	return ExitUsage
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

// help explains one verb or all verbs of a group. Flags and operands behind a verb are passed over.
func (p Program) help(c Console, args []string) int {
	if v, rest, ok := p.find(args); ok && len(rest) > 0 {
		args = strings.Fields(v.Name)
	}
	name := strings.Join(args, " ")
	switch name {
	case "":
		p.overview(c.Out)
		return ExitOK
	case "--man":
		fmt.Fprint(c.Out, p.man())
		return ExitOK
	}
	verbs := p.named(name)
	if v, mode := p.mode(args); mode {
		verbs = []Verb{v}
	}
	if len(verbs) == 0 {
		return p.unknown(c, name)
	}
	if len(verbs) > 1 {
		list(c.Out, verbs)
	}
	for i, v := range verbs {
		if i > 0 || len(verbs) > 1 {
			c.Say("")
		}
		v.help(c.Out, p.Name)
	}
	return ExitOK
}

func (p Program) overview(w io.Writer) {
	fmt.Fprint(w, p.Before)
	list(w, p.Verbs)
	fmt.Fprintln(w)
	list(w, p.common())
	fmt.Fprintf(w, "%s\nExit codes: %s\n", p.After, p.Exits)
}

// list writes one line for each verb.
//
//go:noinline
func list(w io.Writer, verbs []Verb) {
	for _, v := range verbs {
		fmt.Fprintf(w, "  %-18s %s\n", v.Name, v.Short)
	}
}
