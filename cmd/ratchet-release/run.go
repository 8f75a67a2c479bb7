package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"runtime"
	"runtime/debug"
	"strings"

	"github.com/ratchet-ota/ratchet/agent"
	"github.com/ratchet-ota/ratchet/agent/manifest"
	"github.com/ratchet-ota/ratchet/agent/reason"
	"github.com/ratchet-ota/ratchet/cmd/internal/screen"
)

// Exit codes of every verb.
const (
	exitOK         = 0
	exitFailed     = 1 // wrong usage, or something could not be read, written or reached
	exitRefused    = 2 // what was checked is not acceptable; a line "reason: <word>" says why
	exitIncomplete = 3 // evidence is genuine, but records are missing
)

// console is where a verb reads and writes.
type console struct {
	in       io.Reader
	out, err io.Writer
}

// say prints one line of the result.
func (c console) say(format string, args ...any) { fmt.Fprintf(c.out, format+"\n", args...) }

// warn prints one line that is not part of the result.
func (c console) warn(format string, args ...any) {
	fmt.Fprintf(c.err, "ratchet-release: "+format+"\n", args...)
}

// action runs a verb with the arguments that are not flags.
type action func(ctx context.Context, c console, args []string) error

// verb is one command. Its flags are made anew for each run.
type verb struct {
	name     string // two words for the evidence verbs
	args     string // in the usage line
	short    string // one line of the overview
	long     string
	examples []string
	exits    string // besides 0 and 1
	setup    func(fs *flag.FlagSet) action
}

// verbs lists all of them in the order of a release's life.
func verbs() []verb {
	list := []verb{
		initVerb(), buildVerb(), signVerb(), inspectVerb(), verifyVerb(), checkVerb(), publishVerb(),
		watchVerb(), enrollVerb(), evidenceVerifyVerb(), evidenceCollectVerb(),
	}
	return append(append(append(list, rootVerbs()...), campaignVerbs()...), announceVerb())
}

// usageError is a wrong command line.
type usageError struct{ text string }

func (e *usageError) Error() string { return e.text }

func usage(format string, args ...any) error { return &usageError{fmt.Sprintf(format, args...)} }

// refusal is a document that is not acceptable.
type refusal struct {
	what   string // the document
	reason reason.Reason
	err    error
}

func (e *refusal) Error() string { return fmt.Sprintf("%s is refused: %v", e.what, e.err) }
func (e *refusal) Unwrap() error { return e.err }

// errIncomplete: evidence is genuine and has gaps.
var errIncomplete = errors.New("evidence is incomplete")

// run executes one command line and returns the exit code.
func run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	c := console{in: stdin, out: stdout, err: stderr}
	if len(args) == 0 {
		overview(stderr)
		return exitFailed
	}
	switch args[0] {
	case "-h", "-help", "--help":
		overview(stdout)
		return exitOK
	case "help":
		return help(c, args[1:])
	case "-version", "--version", "version":
		c.say("ratchet-release %s", version())
		return exitOK
	}
	v, rest, ok := find(args)
	if !ok {
		c.warn("there is no verb %q; `ratchet-release help` lists them", manifest.Printable(args[0]))
		return exitFailed
	}
	fs := flag.NewFlagSet(v.name, flag.ContinueOnError)
	fs.SetOutput(io.Discard)
	act := v.setup(fs)
	operands, err := parseArgs(fs, rest)
	if errors.Is(err, flag.ErrHelp) {
		v.help(stdout)
		return exitOK
	}
	if err != nil {
		err = usage("%v", err)
	} else {
		err = act(ctx, c, operands)
	}
	return finish(c, v, err)
}

// finish says what went wrong and gives it its exit code.
func finish(c console, v verb, err error) int {
	var (
		bad *usageError
		ref *refusal
	)
	switch {
	case err == nil:
		return exitOK
	case errors.Is(err, errIncomplete):
		c.warn("%v", err)
		return exitIncomplete
	case errors.As(err, &ref):
		c.warn("%s", screen.Lines(err.Error()))
		c.say("reason: %s", ref.reason)
		var m *manifest.Error
		if errors.As(err, &m) {
			c.say("SUIT code: %d (%s)", int(m.Code), m.Code)
			c.say("%s", where(m))
		}
		info := ref.reason.Info()
		c.warn("%s %s", info.Says, info.Advice)
		return exitRefused
	case errors.As(err, &bad):
		c.warn("%s", screen.Lines(err.Error()))
		c.warn("usage: ratchet-release %s %s; see `ratchet-release help %s`", v.name, v.args, v.name)
	case errors.Is(err, context.Canceled):
		c.warn("interrupted: %s", screen.Lines(err.Error()))
	default:
		c.warn("%s", screen.Lines(err.Error()))
	}
	return exitFailed
}

// where names the command that an error is about.
func where(m *manifest.Error) string {
	switch name := manifest.SectionName(m.Section); {
	case m.Section == 0:
		return "offset: none"
	case m.Offset < 0:
		return fmt.Sprintf("section: %d (%s)\noffset: none", m.Section, name)
	default:
		return fmt.Sprintf("section: %d (%s)\noffset: %d", m.Section, name, m.Offset)
	}
}

// find looks up the verb that a command line starts with.
func find(args []string) (v verb, rest []string, ok bool) {
	for _, v := range verbs() {
		words := strings.Fields(v.name)
		if len(args) >= len(words) && strings.Join(args[:len(words)], " ") == v.name {
			return v, args[len(words):], true
		}
	}
	return verb{}, nil, false
}

// parseArgs reads flags before, between and after operands; "--" ends them.
func parseArgs(fs *flag.FlagSet, args []string) (operands []string, err error) {
	var rest []string
	for i, a := range args {
		if a == "--" {
			args, rest = args[:i], args[i+1:]
			break
		}
	}
	for {
		if err := fs.Parse(args); err != nil {
			return nil, err
		}
		if args = fs.Args(); len(args) == 0 {
			return append(operands, rest...), nil
		}
		operands, args = append(operands, args[0]), args[1:]
	}
}

// list is a flag that may be given several times.
type list []string

func (l *list) String() string     { return strings.Join(*l, ", ") }
func (l *list) Set(s string) error { *l = append(*l, s); return nil }

// repeated defines a flag that may be given several times.
func repeated(fs *flag.FlagSet, name, usage string) *list {
	l := &list{}
	fs.Var(l, name, usage)
	return l
}

func help(c console, args []string) int {
	if len(args) == 0 {
		overview(c.out)
		return exitOK
	}
	if v, _, ok := find(args); ok {
		v.help(c.out)
		return exitOK
	}
	group := 0
	for _, v := range verbs() {
		if strings.HasPrefix(v.name, args[0]+" ") {
			if group++; group > 1 {
				c.say("")
			}
			v.help(c.out)
		}
	}
	if group > 0 {
		return exitOK
	}
	c.warn("there is no verb %q; `ratchet-release help` lists them", manifest.Printable(args[0]))
	return exitFailed
}

func overview(w io.Writer) {
	fmt.Fprint(w, `ratchet-release makes, signs and publishes releases for devices that run ratchet,
and shows what they make of them.

Usage: ratchet-release VERB [flags] [arguments]

`)
	for _, v := range verbs() {
		fmt.Fprintf(w, "  %-18s %s\n", v.name, v.short)
	}
	fmt.Fprint(w, `
  help VERB          flags, examples and exit codes of a verb (also VERB -h)
  --version          the version of this program

A first release:
  ratchet-release init desk && cd desk    # keys and configuration
  ratchet-release build release.toml      # release.suit and its payloads
  ratchet-release sign release.suit
  ratchet-release publish release.suit

Exit codes: 0 done; 1 usage, input or output; 2 refused, with a line "reason: ...";
3 evidence is genuine but incomplete.
`)
}

func (v verb) help(w io.Writer) {
	fmt.Fprintf(w, "Usage: ratchet-release %s %s\n\n%s\n", v.name, v.args, strings.TrimSpace(v.long))
	fs := flag.NewFlagSet(v.name, flag.ContinueOnError)
	v.setup(fs)
	flags := &strings.Builder{}
	fs.VisitAll(func(f *flag.Flag) {
		name, text := flag.UnquoteUsage(f)
		dash := "--"
		if len(f.Name) == 1 {
			dash = "-"
		}
		if name != "" {
			name = " " + name
		}
		fmt.Fprintf(flags, "  %s%s%s\n        %s", dash, f.Name, name, text)
		if f.DefValue != "" && f.DefValue != "false" && f.DefValue != "0" {
			fmt.Fprintf(flags, " (default %s)", f.DefValue)
		}
		flags.WriteByte('\n')
	})
	if flags.Len() > 0 {
		fmt.Fprintf(w, "\nFlags:\n%s", flags)
	}
	fmt.Fprint(w, "\nExamples:\n")
	for _, e := range v.examples {
		fmt.Fprintf(w, "  %s\n", e)
	}
	fmt.Fprint(w, "\nExit codes: 0 done; 1 wrong usage, or something cannot be read, written or reached")
	if v.exits != "" {
		fmt.Fprintf(w, ";\n%s", v.exits)
	}
	fmt.Fprint(w, ".\n")
}

// version names the build: the release, and the commit for a build from a work tree.
func version() string {
	commit, dirty := "", ""
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, s := range info.Settings {
			switch {
			case s.Key == "vcs.revision" && len(s.Value) >= 12:
				commit = " " + s.Value[:12]
			case s.Key == "vcs.modified" && s.Value == "true":
				dirty = " modified"
			}
		}
	}
	return fmt.Sprintf("%s%s%s %s %s/%s", agent.Version, commit, dirty, runtime.Version(), runtime.GOOS, runtime.GOARCH)
}
