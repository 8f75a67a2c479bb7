// Command ratchet is the update agent of a device: the daemon, and the technician's verbs that talk
// to it over a unix socket.
package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/ratchet-ota/ratchet/agent"
)

const usage = `ratchet keeps an embedded Linux device with two slots up to date, and never lets go of a system that boots.

  ratchet daemon [--config FILE] [--check-config]   run the agent
  ratchet status [--json] [--watch]                 what runs, what happened last and why, what to do
  ratchet slots [--json]                            the two slots and the bootloader
  ratchet history [--json] [-n N]                   the last records of what happened
  ratchet install FILE [--payload FILE] [--yes]     install from a file, without the network
  ratchet approve [DIGEST]                          agree to an update that waits for a person
  ratchet confirm [--note TEXT]                     keep the system that is on trial
  ratchet revert [--note TEXT]                      go back to the other slot, or end an update
  ratchet recover [--permit FILE]                   do what a rule forbids, with a permit of the recovery keys
  ratchet evidence export [-o FILE]                 the signed record of everything, for an auditor
  ratchet counter [init]                            the rollback counter; make it in the TPM
  ratchet version                                   version of this program

Each takes -h. Exit codes: 0 done, 1 failed, 2 usage, 3 refused, 4 deferred, 5 daemon not reachable,
6 not permitted, 7 busy.
`

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	code := run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

func run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	if len(args) == 0 {
		fmt.Fprint(stderr, usage)
		return 2
	}
	switch args[0] {
	case "-h", "--help", "help":
		fmt.Fprint(stdout, usage)
		return 0
	case "version", "--version":
		fmt.Fprintln(stdout, "ratchet", agent.Version)
		return 0
	case "daemon":
		return runDaemon(ctx, args[1:], stdout, stderr)
	case "counter":
		return runCounter(ctx, args[1:], stdout, stderr)
	}
	return runVerb(ctx, args[0], args[1:], stdin, stdout, stderr)
}
