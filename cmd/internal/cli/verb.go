package cli

import (
	"context"
	"flag"
	"fmt"
	"io"
	"strings"
)

// Action runs a verb with the arguments that are not flags.
type Action func(ctx context.Context, c Console, args []string) error

// Verb is one command. Its flags are made anew for each run.
type Verb struct {
	Name     string // two words for the evidence verbs
	Args     string // in the usage line
	Short    string // one line of the overview
	Long     string
	Examples []string
	Exits    string                        // besides 0, 1 and 2
	Setup    func(fs *flag.FlagSet) Action // defines the flags, each with a text
}

// flags are those of the verb.
func (v Verb) flags() *flag.FlagSet {
	fs := flag.NewFlagSet(v.Name, flag.ContinueOnError)
	v.Setup(fs)
	return fs
}

// dashed is a flag as it is written.
func dashed(f *flag.Flag) string {
	if len(f.Name) == 1 {
		return "-" + f.Name
	}
	return "--" + f.Name
}

// byDefault says what holds without the flag, where that is not nothing.
func byDefault(f *flag.Flag) string {
	switch f.DefValue {
	case "", "false", "0", "0s", "[]", "-1":
		return ""
	}
	return " (default " + f.DefValue + ")"
}

func (v Verb) help(w io.Writer, program string) {
	fmt.Fprintf(w, "Usage: %s\n\n%s\n", strings.TrimSpace(program+" "+v.Name+" "+v.Args), strings.TrimSpace(v.Long))
	flags := &strings.Builder{}
	v.flags().VisitAll(func(f *flag.Flag) {
		name, text := flag.UnquoteUsage(f)
		if name != "" {
			name = " " + name
		}
		fmt.Fprintf(flags, "  %s%s\n        %s%s\n", dashed(f), name, text, byDefault(f))
	})
	if flags.Len() > 0 {
		fmt.Fprintf(w, "\nFlags:\n%s", flags)
	}
	if len(v.Examples) > 0 {
		fmt.Fprint(w, "\nExamples:\n")
	}
	for _, e := range v.Examples {
		fmt.Fprintf(w, "  %s\n", e)
	}
	fmt.Fprint(w, "\nExit codes: 0 done; 1 something cannot be read, written or reached; 2 wrong usage")
	if v.Exits != "" {
		fmt.Fprintf(w, ";\n%s", v.Exits)
	}
	fmt.Fprint(w, ".\n")
}
