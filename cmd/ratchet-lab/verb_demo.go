package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/ratchet-ota/ratchet/cmd/internal/cli"
	"github.com/ratchet-ota/ratchet/cmd/ratchet-lab/demo"
	"github.com/ratchet-ota/ratchet/cmd/ratchet-lab/stage"
)

func demoVerb() cli.Verb {
	return cli.Verb{
		Name: "demo", Args: "[flags]",
		Short: "the whole main job on this machine, in less than a minute",
		Long: `
Plays the whole main job on this machine: an MQTT broker (TLS 1.3, client certificates) and an image
server on loopback, the release desk, and a device made of files, whose slots are booted by a model
of U-Boot from a real environment and whose agent is the real "ratchet daemon" in its own process.
Needs no root and no network. Prints a timeline, then a table of what was expected and observed.`,
		Examples: []string{"ratchet-lab demo", "ratchet-lab demo --keep --root"},
		Exits:    "1 also when something differs from what is expected",
		Setup: func(fs *flag.FlagSet) cli.Action {
			var o demoOptions
			fs.BoolVar(&o.keep, "keep", false, "leave everything running afterwards, to play with, until Ctrl-C")
			fs.StringVar(&o.dir, "dir", "",
				"work in `DIR` (default: a new temporary one, removed at the end)")
			fs.StringVar(&o.bin, "bin", "",
				"`DIR` of the programs ratchet and ratchet-release (default: beside this one)")
			fs.BoolVar(&o.verbose, "verbose", false, "show what the desk's commands print")
			fs.DurationVar(&o.keepAlive, "keep-alive", 30*time.Second,
				"`TIME` of the device's connection to the broker")
			fs.StringVar(&o.mosquitto, "mosquitto", "",
				"use the installed Mosquitto, with the example configuration in `DIR`")
			fs.BoolVar(&o.loop, "loop", false, "put the slots on loop devices (root)")
			fs.Int64Var(&o.mib, "size", 32, "`MIB` of an image, 32 to 4096")
			fs.BoolVar(&o.rooted, "root", false,
				"give the device a trust root, so that each release needs a campaign plan and a pulse")
			return func(ctx context.Context, c cli.Console, args []string) error {
				if len(args) > 0 || o.mib < 32 || o.mib > 4096 {
					return cli.Usage("unexpected arguments %q, or --size is not 32 to 4096", args)
				}
				return cli.Exit(runDemo(ctx, o, c.Out, c.Err))
			}
		},
	}
}

// demoOptions are the flags of the demonstration.
type demoOptions struct {
	keep, verbose, loop, rooted bool
	dir, bin, mosquitto         string
	keepAlive                   time.Duration
	mib                         int64
}

func runDemo(ctx context.Context, o demoOptions, stdout, stderr io.Writer) int {
	programs, err := programsIn(o.bin)
	if err != nil {
		fmt.Fprintln(stderr, err)
		return 1
	}
	if o.dir == "" {
		tmp, err := os.MkdirTemp("", "ratchet-demo-")
		if err != nil {
			fmt.Fprintln(stderr, err)
			return 1
		}
		o.dir = tmp
		if !o.keep {
			defer os.RemoveAll(tmp)
		}
	}
	abs, err := filepath.Abs(o.dir)
	if err != nil {
		fmt.Fprintln(stderr, err)
		return 1
	}
	d := demo.New(&stage.Stage{Dir: abs, Bin: programs, Out: stdout, Verbose: o.verbose, Mosquitto: o.mosquitto,
		Began: time.Now()},
		demo.Options{KeepAlive: o.keepAlive, Loop: o.loop, Size: o.mib << 20, Rooted: o.rooted})
	defer d.Close()
	return playDemo(ctx, d, o.keep, stderr)
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
