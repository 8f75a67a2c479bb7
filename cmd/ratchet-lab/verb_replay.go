package main

import (
	"context"

	"errors"
	"flag"
	"fmt"
	"io"
	"testing"

	"github.com/ratchet-ota/ratchet/cmd/internal/cli"
	"github.com/ratchet-ota/ratchet/cmd/ratchet-lab/explorer"
)

func replayVerb() cli.Verb {
	return cli.Verb{
		Name: "replay", Args: "--scenario NAME --loader NAME [flags]",
		Short: "one case of explore, operation by operation",
		Long:  `Plays one case of explore again and tells its story, operation by operation.`,
		Examples: []string{"ratchet-lab replay --scenario update --loader uboot-files --cut " +
			"12:torn --cut 40:after:lost"},
		Exits: "1 also when an invariant is broken",
		Setup: func(fs *flag.FlagSet) cli.Action {
			var k explorer.Case
			var cuts cutList
			fs.StringVar(&k.Scenario, "scenario", "", "`NAME` of the scenario")
			fs.StringVar(&k.Loader, "loader", "", "`NAME` of the loader")
			fs.Uint64Var(&k.Seed, "seed", 1, "`NUMBER` that seeds everything random")
			fs.Var(&cuts, "cut", "`OP:HOW`: the operation, and before, torn or after (with :kept or :lost) or fails; "+
				"may be given again for a later one")
			return func(_ context.Context, c cli.Console, args []string) error {
				if len(args) > 0 {
					return cli.Usage("unexpected arguments %q", args)
				}
				k.Cuts = cuts
				return cli.Exit(runReplay(k, c.Out, c.Err))
			}
		},
	}
}

// cutList is a flag that may be given again.
type cutList []explorer.Cut

// String implements flag.Value.
func (c *cutList) String() string { return fmt.Sprint(*c) }

// Set implements flag.Value.
func (c *cutList) Set(s string) error {
	cut, err := explorer.ParseCut(s)
	if err == nil && len(*c) > 0 && cut.Op <= (*c)[len(*c)-1].Op {
		err = errors.New("give the cuts in the order of their operations")
	}
	*c = append(*c, cut)
	return err
}

// runReplay does not return when it plays: the process ends with the story.
func runReplay(c explorer.Case, stdout, stderr io.Writer) int {
	explorer.Host(func(t *testing.T) int {
		lab, err := explorer.NewLab(t)
		if err == nil {
			var story string
			var failed bool
			if story, failed, err = lab.Replay(c); err == nil {
				fmt.Fprint(stdout, story)
				if failed {
					return 1
				}
				return 0
			}
		}
		fmt.Fprintln(stderr, "ratchet-lab replay:", err)
		return 2
	})
	return 0
}
