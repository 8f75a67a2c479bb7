package cli

import "flag"

// common are the verbs that every program has. Run executes them itself.
func (p Program) common() []Verb {
	none := func(*flag.FlagSet) Action { return nil }
	return []Verb{
		{Name: "help", Args: "[VERB | --man]", Short: "flags, examples and exit codes of a verb (also VERB -h)",
			Long: "Explains VERB, or all verbs of a group. Without VERB it lists all verbs.\n" +
				"--man writes the manual page.",
			Examples: []string{p.Name + " help", p.Name + " help " + p.Verbs[0].Name,
				p.Name + " help --man | man -l -"},
			Setup: none},
		{Name: "completion", Args: "bash|zsh|fish", Short: "a script that completes verbs and flags in a shell",
			Long:     "Writes a script for the shell that it names. The shell then completes verbs, flags and files.",
			Examples: []string{"source <(" + p.Name + " completion bash)", p.Name + " completion fish | source"},
			Setup:    none},
		{Name: "version", Short: "the version of this program (also --version)",
			Long:     "Shows the name and the version of this program.",
			Examples: []string{p.Name + " version"}, Setup: none},
	}
}

// all are the program's own verbs and the common ones.
//
//go:noinline
func (p Program) all() []Verb { return append(p.Verbs[:len(p.Verbs):len(p.Verbs)], p.common()...) }

// asksHelp tells whether an argument is the flag that shows help.
func asksHelp(arg string) bool { return arg == "-h" || arg == "-help" || arg == "--help" }
