package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"testing"

	"github.com/ratchet-ota/ratchet/cmd/ratchet-lab/explorer"
)

const replayUsage = `usage: ratchet-lab replay --scenario S --loader L [--seed N] [--cut OP:before|torn|after[:kept|:lost]]... [--cut OP:fails]

Plays one case of explore again and tells its story, operation by operation. Exit code 1 when an invariant is broken.
`

type cutList []explorer.Cut

// String implements flag.Value.
func (c *cutList) String() string { return fmt.Sprint(*c) }

// Set implements flag.Value.
func (c *cutList) Set(s string) error {
	cut, err := explorer.ParseCut(s)
	if err == nil && len(*c) > 0 && cut.Op <= (*c)[len(*c)-1].Op {
		err = errors.New("cuts stand in the order of their operations")
	}
	*c = append(*c, cut)
	return err
}

// runReplay does not return when it plays: the process ends with the story.
func runReplay(args []string, stdout, stderr io.Writer) int {
	fl := flag.NewFlagSet("replay", flag.ContinueOnError)
	fl.SetOutput(stderr)
	fl.Usage = func() { fmt.Fprint(stderr, replayUsage); fl.PrintDefaults() }
	var c explorer.Case
	var cuts cutList
	fl.StringVar(&c.Scenario, "scenario", "", "name")
	fl.StringVar(&c.Loader, "loader", "", "name")
	fl.Uint64Var(&c.Seed, "seed", 1, "of everything random")
	fl.Var(&cuts, "cut", "operation and how it is cut; may be given again for a later operation")
	switch err := fl.Parse(args); {
	case err == flag.ErrHelp:
		return 0
	case err != nil || fl.NArg() > 0:
		return 2
	}
	c.Cuts = cuts
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
