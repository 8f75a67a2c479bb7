package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/ratchet-ota/ratchet/cmd/ratchet-lab/demo"
	"github.com/ratchet-ota/ratchet/cmd/ratchet-lab/stage"
)

const demoUsage = `ratchet-lab demo [--keep] [--dir DIR] [--bin DIR] [--verbose] [--keep-alive TIME]
                 [--mosquitto DIR] [--loop] [--size MIB] [--root]

Plays the whole main job on this machine: an MQTT broker (TLS 1.3, client certificates) and an image
server on loopback, the release desk, and a device made of files, whose slots are booted by a model
of U-Boot from a real environment and whose agent is the real "ratchet daemon" in its own process.
Needs no root and no network. Prints a timeline, then a table of what was expected and observed.

  --keep      leave everything running afterwards, to play with, until Ctrl-C
  --dir DIR   where to put it (default: a new temporary directory, removed at the end)
  --bin DIR   where the programs ratchet and ratchet-release are (default: beside this one)
  --verbose   show what the desk's commands print
  --keep-alive TIME   of the device's connection to the broker (default 30s)
  --mosquitto DIR     use the installed Mosquitto, with the example configuration in DIR, instead of the embedded broker
  --loop              put the slots on loop devices (root)
  --size MIB          of an image, 32 to 4096 (default 32)
  --root              give the device a trust root, so that each release needs a campaign plan and a pulse

Exit codes: 0 all as expected, 1 something differs, 2 usage.
`

func runDemo(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	f := flag.NewFlagSet("demo", flag.ContinueOnError)
	f.SetOutput(io.Discard)
	keep := f.Bool("keep", false, "")
	dir := f.String("dir", "", "")
	bin := f.String("bin", "", "")
	verbose := f.Bool("verbose", false, "")
	keepAlive := f.Duration("keep-alive", 30*time.Second, "")
	mosquitto := f.String("mosquitto", "", "")
	loop := f.Bool("loop", false, "")
	mib := f.Int64("size", 32, "")
	rooted := f.Bool("root", false, "")
	if err := f.Parse(args); errors.Is(err, flag.ErrHelp) {
		fmt.Fprint(stdout, demoUsage)
		return 0
	} else if err != nil || f.NArg() > 0 || *mib < 32 || *mib > 4096 {
		fmt.Fprintf(stderr, "ratchet-lab demo: unexpected arguments %q\n%s", args, demoUsage)
		return 2
	}
	programs, err := programsIn(*bin)
	if err != nil {
		fmt.Fprintln(stderr, err)
		return 1
	}
	if *dir == "" {
		tmp, err := os.MkdirTemp("", "ratchet-demo-")
		if err != nil {
			fmt.Fprintln(stderr, err)
			return 1
		}
		*dir = tmp
		if !*keep {
			defer os.RemoveAll(tmp)
		}
	}
	abs, err := filepath.Abs(*dir)
	if err != nil {
		fmt.Fprintln(stderr, err)
		return 1
	}
	d := demo.New(&stage.Stage{Dir: abs, Bin: programs, Out: stdout, Verbose: *verbose, Mosquitto: *mosquitto,
		Began: time.Now()},
		demo.Options{KeepAlive: *keepAlive, Loop: *loop, Size: *mib << 20, Rooted: *rooted})
	defer d.Close()
	return playDemo(ctx, d, *keep, stderr)
}

// playDemo plays the demonstration, and with keep leaves it running until ctx ends.
func playDemo(ctx context.Context, d *demo.Demo, keep bool, stderr io.Writer) int {
	err := d.Run(ctx)
	good := d.Table()
	if err != nil {
		fmt.Fprintf(stderr, "ratchet-lab demo: %v\n", err)
		if b, rerr := os.ReadFile(filepath.Join(d.Dir, "device.log")); rerr == nil {
			fmt.Fprintf(stderr, "--- the end of the device's log\n%s\n", b[max(0, len(b)-3000):])
		}
	}
	if keep && ctx.Err() == nil {
		fmt.Fprintf(d.Out, "\nStill running. Try:\n  export RATCHET_SOCKET=%s\n  %s/ratchet status\n"+
			"  %s/ratchet history\n  %s/ratchet-release watch --dir %s\nCtrl-C ends it; everything is in %s\n",
			d.Socket(), d.Bin, d.Bin, d.Bin, d.Desk(), d.Dir)
		<-ctx.Done()
	}
	if err != nil || !good {
		return 1
	}
	return 0
}

// runDevice is what the demo's device calls this program with.
func runDevice(verb string, args []string, stderr io.Writer) int {
	if len(args) != 1 {
		fmt.Fprintln(stderr, "ratchet-lab "+verb+" DEVICE-DIR")
		return 2
	}
	do := demo.PressButton
	if verb == demo.HealthVerb {
		do = demo.CheckHealth
	}
	if err := do(args[0]); err != nil {
		fmt.Fprintln(stderr, err)
		return 1
	}
	return 0
}
