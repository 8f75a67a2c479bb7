// Command release makes what is published from programs that were built: their bills of materials, one statement of
// where they come from, their sums, and the signature over the sums.
//
//	go run ./scripts/release sbom PROGRAM...      PROGRAM.cdx.json beside each
//	go run ./scripts/release assemble -dist DIR -out DIR [-flags TEXT] [-key KEY] [-keys FILE]
//
// DIR of -dist has a directory for each processor, as `make dist` leaves it. What is written depends on the programs
// and on nothing else (no time, no random number), except for the signature.
//
// What a program is made of is read from the program itself (runtime/debug.BuildInfo), so that a bill or a statement
// cannot tell of another build than the one that it lies beside. SECURITY.md says how all of it is verified.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "release:", err)
		stop()
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	if len(args) == 0 {
		return errors.New("usage: release sbom|assemble")
	}
	fs := flag.NewFlagSet(args[0], flag.ContinueOnError)
	switch args[0] {
	case "sbom":
		if err := fs.Parse(args[1:]); err != nil {
			return err
		}
		return writeBills(ctx, fs.Args())
	case "assemble":
		var a assembly
		fs.StringVar(&a.dist, "dist", "dist", "`DIR` with a directory of programs for each processor")
		fs.StringVar(&a.out, "out", "dist/release", "write the release into `DIR`, which must not exist")
		fs.StringVar(&a.flags, "flags", "", "the `FLAGS` of go build, for the statement")
		fs.StringVar(&a.key, "key", "", "sign with this OpenSSH `KEY`")
		fs.StringVar(&a.keys, "keys", "release-keys", "`FILE` with the keys that may sign, which is published")
		if err := fs.Parse(args[1:]); err != nil {
			return err
		}
		return a.run(ctx)
	}
	return fmt.Errorf("there is no %q: want sbom or assemble", args[0])
}
