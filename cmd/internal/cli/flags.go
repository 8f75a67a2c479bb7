package cli

import (
	"flag"
	"strings"
)

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

// List is a flag that may be given several times.
type List []string

// String implements flag.Value.
func (l *List) String() string { return strings.Join(*l, ", ") }

// Set implements flag.Value.
func (l *List) Set(s string) error { *l = append(*l, s); return nil }

// Repeated defines a flag that may be given several times.
func Repeated(fs *flag.FlagSet, name, usage string) *List {
	l := &List{}
	fs.Var(l, name, usage)
	return l
}
