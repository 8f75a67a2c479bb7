// Command ratchet-lab is the laboratory: it plays a whole device on one machine, and explores what power cuts do to it.
// Nothing of it is on a device.
package main

import (
	"context"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"github.com/ratchet-ota/ratchet/agent"
	"github.com/ratchet-ota/ratchet/cmd/internal/cli"
	"github.com/ratchet-ota/ratchet/cmd/ratchet-lab/demo"
	"github.com/ratchet-ota/ratchet/cmd/ratchet-lab/explorer"
	"github.com/ratchet-ota/ratchet/cmd/ratchet-lab/rig/look"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	code := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	if len(args) > 0 {
		switch args[0] {
		case workVerb:
			if len(args) == 2 {
				explorer.Work(os.Stdin, stdout, args[1])
			}
			return cli.ExitUsage
		case look.Verb:
			if len(args) == 2 {
				look.Work(os.Stdin, stdout, args[1])
			}
			return cli.ExitUsage
		case demo.HealthVerb, demo.ButtonVerb:
			return runDevice(args[0], args[1:], stderr)
		}
	}
	p := cli.Program{Name: "ratchet-lab", Version: agent.Version,
		About: "play a whole device on one machine, and explore what power cuts do to it", Section: 1,
		Before: "ratchet-lab is the laboratory of Ratchet.\n\nUsage: ratchet-lab VERB [flags] [arguments]\n\n",
		Exits:  "0 as expected; 1 something differs, or failed; 2 usage.",
		Verbs:  []cli.Verb{demoVerb(), rigVerb(), exploreVerb(), replayVerb(), defectsVerb()},
		Environment: []cli.Item{
			{Name: "RATCHET_RIG_CACHE", Says: "The folder of unpacked kernels, where rig has no --cache."}},
		SeeAlso: "ratchet(8), ratchet-release(1)"}
	return p.Run(ctx, args, os.Stdin, stdout, stderr)
}

// programsIn is the folder of the programs: the one that was said, or that of this program.
func programsIn(said string) (string, error) {
	if said != "" {
		return said, nil
	}
	self, err := os.Executable()
	return filepath.Dir(self), err
}
