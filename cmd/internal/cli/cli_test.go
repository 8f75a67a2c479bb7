package cli_test

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"strings"
	"testing"

	"github.com/ratchet-ota/ratchet/agent/reason"
	"github.com/ratchet-ota/ratchet/cmd/internal/cli"
)

// tool is a program with one verb of one word and one of two.
func tool(act func(keys []string, args []string) error) cli.Program {
	setup := func(fs *flag.FlagSet) cli.Action {
		keys := cli.Repeated(fs, "key", "a `FILE`")
		fs.Int("n", 20, "a number")
		return func(_ context.Context, c cli.Console, args []string) error {
			c.Say("done")
			return act(*keys, args)
		}
	}
	return cli.Program{Name: "tool", Version: "1.2.3", Before: "before\n", After: "after\n", Verbs: []cli.Verb{
		{Name: "look", Args: "[flags] FILE", Short: "looks", Long: "\nLooks at it.", Examples: []string{"tool look x"},
			Exits: "2 refused", Setup: setup},
		{Name: "key new", Args: "NAME", Short: "makes", Long: "Makes one.", Setup: setup},
		{Name: "key show", Args: "NAME", Short: "shows", Long: "Shows one.", Setup: setup},
		{Name: "count", Short: "counts", Long: "Counts.", Setup: setup},
		{Name: "count new", Short: "begins", Long: "Begins.", Setup: func(*flag.FlagSet) cli.Action { return nil }},
	}}
}

func run(p cli.Program, args ...string) (code int, stdout, stderr string) {
	var out, errs bytes.Buffer
	code = p.Run(context.Background(), args, strings.NewReader(""), &out, &errs)
	return code, out.String(), errs.String()
}

// TestHelpWithoutExamples: a verb that is not for people has no examples, and no heading over nothing.
func TestHelpWithoutExamples(t *testing.T) {
	for verb, want := range map[string]bool{"look": true, "key show": false} {
		_, out, _ := run(tool(nil), append([]string{"help"}, strings.Fields(verb)...)...)
		if !strings.Contains(out, "Usage: tool "+verb) || strings.Contains(out, "Examples:") != want {
			t.Errorf("%s: examples are wanted: %t:\n%s", verb, want, out)
		}
	}
}

func TestArgumentsInAnyOrder(t *testing.T) {
	for _, c := range []struct{ args, operands, keys string }{
		{"a --key 1 b --key 2", "a b", "1 2"},
		{"--key 1 a b", "a b", "1"},
		{"- --key=1", "-", "1"},
		{"a -- --key 1", "a --key 1", ""},
		{"-- -a", "-a", ""},
	} {
		p := tool(func(keys, args []string) error {
			if strings.Join(args, " ") != c.operands || strings.Join(keys, " ") != c.keys {
				t.Errorf("%s: operands %q, keys %q", c.args, args, keys)
			}
			return nil
		})
		if code, _, errs := run(p, append([]string{"look"}, strings.Fields(c.args)...)...); code != cli.ExitOK {
			t.Errorf("%s: exit %d, %s", c.args, code, errs)
		}
	}
}

// TestExitCodes: an error's type alone decides the code.
func TestExitCodes(t *testing.T) {
	for _, c := range []struct {
		err        error
		code       int
		said, told string
	}{
		{nil, cli.ExitOK, "done\n", ""},
		{errors.New("cannot\x1b[2J do it"), cli.ExitFailed, "done\n", "tool: cannot"},
		{cli.Usage("name one file"), cli.ExitUsage, "done\n",
			"tool: name one file\ntool: usage: tool look [flags] FILE; see `tool help look`\n"},
		{context.Canceled, cli.ExitFailed, "done\n", "tool: interrupted: context canceled\n"},
		{&cli.Refusal{What: "x", Reason: reason.DigestMismatch, Err: errors.New("nobody")}, cli.ExitRefused,
			"done\nreason: digest-mismatch\n", "tool: x is refused: nobody\n"},
		{cli.Exit(5), 5, "done\n", ""},
		{cli.ErrIncomplete, cli.ExitIncomplete, "done\n", "tool: evidence is incomplete\n"},
	} {
		code, out, errs := run(tool(func(_, _ []string) error { return c.err }), "look", "x")
		if code != c.code || out != c.said || !strings.HasPrefix(errs, c.told) || strings.Contains(errs, "\x1b") {
			t.Errorf("%v: exit %d, %q, %q", c.err, code, out, errs)
		}
	}
}

func TestHelp(t *testing.T) {
	p := tool(func(_, _ []string) error { t.Error("help runs the verb"); return nil })
	for _, c := range []struct {
		args      string
		code      int
		out, errs string // parts
	}{
		{"", cli.ExitUsage, "", "before\n  look"},
		{"help", cli.ExitOK, "after\n", ""},
		{"-h", cli.ExitOK, "after\n", ""},
		{"version", cli.ExitOK, "tool 1.2.3\n", ""},
		{"look -h",
			cli.ExitOK, "Usage: tool look [flags] FILE\n\nLooks at it.\n\nFlags:\n  --key FILE\n        a FILE\n" +
				"  -n int\n        a number (default 20)\n", ""},
		{"help look", cli.ExitOK, ";\n2 refused.\n", ""},
		{"help key", cli.ExitOK, "Shows one.", ""},
		{"help key new", cli.ExitOK, "Makes one.", ""},
		{"help count", cli.ExitOK, "Begins.", ""},
		{"help help", cli.ExitOK, "Usage: tool help [VERB | --man]\n", ""},
		{"help version", cli.ExitOK, "Usage: tool version\n", ""},
		{"help completion fish", cli.ExitOK, "Usage: tool completion bash|zsh|fish\n", ""},
		{"help completion nothing", cli.ExitUsage, "", "there is no verb \"completion nothing\""},
		{"help completion", cli.ExitOK, "Usage: tool completion bash|zsh|fish\n", ""},
		{"completion -h", cli.ExitOK, "Usage: tool completion bash|zsh|fish\n", ""},
		{"help", cli.ExitOK, "\n  help               flags", ""},
		{"help look FILE", cli.ExitOK, "Usage: tool look [flags] FILE\n", ""},
		{"help look -h", cli.ExitOK, "Usage: tool look [flags] FILE\n", ""},
		{"help key new x", cli.ExitOK, "Makes one.", ""},
		{"help nothing", cli.ExitUsage, "", "there is no verb \"nothing\"; `tool help` lists all verbs"},
		{"help key nothing", cli.ExitUsage, "", "there is no verb \"key nothing\""},
		{"nothing", cli.ExitUsage, "", "there is no verb \"nothing\""},
		{"key -h", cli.ExitOK, "Shows one.", ""},
		{"key", cli.ExitUsage, "", "\"key\" is not a whole verb; use one of: key new, key show"},
		{"look --nothing", cli.ExitUsage, "", "not defined: -nothing"},
	} {
		code, out, errs := run(p, strings.Fields(c.args)...)
		if code != c.code || !strings.Contains(out, c.out) || !strings.Contains(errs, c.errs) {
			t.Errorf("%q: exit %d\n%s\n%s", c.args, code, out, errs)
		}
	}
}
