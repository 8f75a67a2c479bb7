// Command ratchet-lab is the laboratory: it plays a whole device on one machine, and explores what power cuts do to it.
// Nothing of it is on a device.
package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"github.com/ratchet-ota/ratchet/agent"
	"github.com/ratchet-ota/ratchet/cmd/ratchet-lab/demo"
	"github.com/ratchet-ota/ratchet/cmd/ratchet-lab/explorer"
	"github.com/ratchet-ota/ratchet/cmd/ratchet-lab/rig/look"
)

const usage = `ratchet-lab is the laboratory of Ratchet.

  ratchet-lab demo [--keep] [--dir DIR] [--bin DIR]   the whole main job on this machine, in less than a minute
  ratchet-lab rig smoke|all|cut ...                   real bootloaders, real kernels, power cuts, in QEMU (make rig)
  ratchet-lab explore [--time 4m | --full]            cut the power of a simulated device everywhere
  ratchet-lab replay --scenario S --loader L ...      one case of explore, operation by operation
  ratchet-lab defects                                 build programs with planted defects, and find each
  ratchet-lab version

Each takes -h. Exit codes: 0 as expected, 1 something differs, 2 usage.
`

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	code := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	if len(args) == 0 {
		fmt.Fprint(stderr, usage)
		return 2
	}
	switch args[0] {
	case "-h", "--help", "help":
		fmt.Fprint(stdout, usage)
		return 0
	case "version", "--version":
		fmt.Fprintln(stdout, "ratchet-lab", agent.Version)
		return 0
	case "demo":
		return runDemo(ctx, args[1:], stdout, stderr)
	case "rig":
		return runRig(ctx, args[1:], stdout, stderr)
	case "explore":
		return runExplore(ctx, args[1:], stdout, stderr)
	case "replay":
		return runReplay(args[1:], stdout, stderr)
	case "defects":
		return runDefects(ctx, args[1:], stdout, stderr)
	case workVerb:
		if len(args) == 2 {
			explorer.Work(os.Stdin, stdout, args[1])
		}
		return 2
	case look.Verb:
		if len(args) == 2 {
			look.Work(os.Stdin, stdout, args[1])
		}
		return 2
	case demo.HealthVerb, demo.ButtonVerb:
		return runDevice(args[0], args[1:], stderr)
	}
	fmt.Fprintf(stderr, "ratchet-lab: unknown command %q\n%s", args[0], usage)
	return 2
}

// programsIn is the folder of the programs: the one that was said, or that of this program.
func programsIn(said string) (string, error) {
	if said != "" {
		return said, nil
	}
	self, err := os.Executable()
	return filepath.Dir(self), err
}
