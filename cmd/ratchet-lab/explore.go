package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"testing"

	"github.com/ratchet-ota/ratchet/cmd/ratchet-lab/explorer"
)

func runExplore(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	fl := flag.NewFlagSet("explore", flag.ContinueOnError)
	fl.SetOutput(stderr)
	sc := fl.String("scenario", "update", "")
	lo := fl.String("loader", "uboot-files", "")
	pairs := fl.Int("pairs", 0, "")
	if fl.Parse(args) != nil {
		return 2
	}
	explorer.Host(func(t *testing.T) int {
		lab, err := explorer.NewLab(t)
		if err != nil {
			fmt.Fprintln(stderr, err)
			return 1
		}
		y, err := lab.Explore(explorer.Task{Scenario: *sc, Loader: *lo, Seed: 1, Pairs: *pairs})
		for _, f := range y.Fails {
			fmt.Fprintln(stdout, f.Story, f.Replay)
		}
		y.Fails = nil
		fmt.Fprintf(stdout, "%+v %v\n", y, err)
		return 0
	})
	return 0
}
