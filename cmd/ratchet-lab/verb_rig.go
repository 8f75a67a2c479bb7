package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"github.com/ratchet-ota/ratchet/cmd/ratchet-lab/rig"
	"github.com/ratchet-ota/ratchet/cmd/ratchet-lab/rig/board"
	"github.com/ratchet-ota/ratchet/cmd/ratchet-lab/rig/disk"
)

const rigUsageText = `ratchet-lab rig smoke|all|cuts|look|cut [flags]

Boots the real agent with real bootloaders and kernels in QEMU, and cuts its power: in each target a
healthy update from publish to confirm, a sick one and one whose kernel panics, which both must come back
by themselves, and then the healthy one again from the disk that a power cut would have left.
Needs scripts/deps.sh rig (rig-smoke for a smoke test), and neither root nor a network.

  smoke   U-Boot and GRUB, a hundred cuts, ten of them booted
  all     every cut looked at, every flush point and some torn tails booted, recoveries cut again, and a report
  cuts    the power cuts of the run in --dir again, as all does them, without its scenes
  look    every cut of the run in --dir again, without QEMU: what this program's agent makes of those disks
  cut     one cut again, of the run in --dir, with its story: --target NAME --point N --variant whole|lost|torn;
          of the sick update with --update sick; one while that cut's recovery went on with --second N

  --dir DIR       where to put it (default rig-out); kept
  --bin DIR       where ratchet and ratchet-release are (default: beside this one), and rig/ARCH/ with the guest's
  --cache DIR     unpacked kernels (default $RATCHET_RIG_CACHE or ~/.cache/ratchet-rig)
  --target NAME   only this one: %s
  --scene WORDS   besides the healthy update only scenes with one of these in their names, separated by commas
  --mosquitto DIR use the installed Mosquitto, with the example configuration in DIR, instead of the embedded broker
  --seed N        of the choice of cuts and of torn writes (default 1)
  --every N       all, cuts: one Nth of the boots (default 1: every flush point)
  --together N    targets at the same time (default: one for each processor)
  --kvm           let KVM run the guests
  --verbose       show the desk's commands and the guests' consoles

Exit codes: 0 all as expected, 1 something differs, 2 usage.
`

// rigUsage names the targets that there are.
func rigUsage() string {
	var names []string
	for _, t := range board.Kinds() {
		names = append(names, t.Name)
	}
	return fmt.Sprintf(rigUsageText, strings.Join(names, ", "))
}

func runRig(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	var o rig.Options
	f := flag.NewFlagSet("rig", flag.ContinueOnError)
	f.SetOutput(io.Discard)
	f.StringVar(&o.Dir, "dir", "rig-out", "")
	f.StringVar(&o.Bin, "bin", "", "")
	f.StringVar(&o.Cache, "cache", os.Getenv("RATCHET_RIG_CACHE"), "")
	f.StringVar(&o.Target, "target", "", "")
	f.StringVar(&o.Mosquitto, "mosquitto", "", "")
	f.StringVar(&o.Scene, "scene", "", "")
	f.StringVar(&o.Variant, "variant", string(disk.Whole), "")
	f.Int64Var(&o.Seed, "seed", 1, "")
	f.IntVar(&o.Point, "point", -1, "")
	f.IntVar(&o.Second, "second", -1, "")
	f.StringVar(&o.Update, "update", "healthy", "")
	f.StringVar(&o.SecondVariant, "second-variant", string(disk.Whole), "")
	f.IntVar(&o.Every, "every", 1, "")
	f.IntVar(&o.Together, "together", runtime.NumCPU(), "")
	f.BoolVar(&o.KVM, "kvm", false, "")
	f.BoolVar(&o.Verbose, "verbose", false, "")
	if len(args) > 0 {
		o.Mode, args = args[0], args[1:]
	}
	if err := f.Parse(args); errors.Is(err, flag.ErrHelp) || o.Mode == "-h" || o.Mode == "--help" {
		fmt.Fprint(stdout, rigUsage())
		return 0
	} else if err != nil || f.NArg() > 0 || !slices.Contains(rig.Modes(), o.Mode) || o.Every < 1 || o.Together < 1 ||
		o.Mode == "cut" && (o.Point < 0 || o.Target == "") {
		fmt.Fprintf(stderr, "ratchet-lab rig: %v\n%s",
			errors.Join(err, fmt.Errorf("unexpected arguments %q", f.Args())), rigUsage())
		return 2
	}
	if err := completeRig(&o); err != nil {
		fmt.Fprintf(stderr, "ratchet-lab rig: %v\n", err)
		return 1
	}
	good, err := rig.Run(ctx, o, stdout)
	if err != nil {
		fmt.Fprintf(stderr, "ratchet-lab rig: %v\n", err)
	}
	if err != nil || !good {
		return 1
	}
	return 0
}

// completeRig fills in what was not said.
func completeRig(o *rig.Options) error {
	var err error
	if o.Bin, err = programsIn(o.Bin); err != nil {
		return err
	}
	if o.Cache == "" {
		home, err := os.UserHomeDir()
		if err != nil {
			return err
		}
		o.Cache = filepath.Join(home, ".cache", "ratchet-rig")
	}
	for _, p := range []*string{&o.Dir, &o.Bin, &o.Cache} {
		abs, err := filepath.Abs(*p)
		if err != nil {
			return err
		}
		*p = abs
	}
	return nil
}
