package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"github.com/ratchet-ota/ratchet/cmd/internal/cli"
	"github.com/ratchet-ota/ratchet/cmd/ratchet-lab/rig"
	"github.com/ratchet-ota/ratchet/cmd/ratchet-lab/rig/board"
	"github.com/ratchet-ota/ratchet/cmd/ratchet-lab/rig/disk"
)

func rigVerb() cli.Verb {
	return cli.Verb{
		Name: "rig", Args: "smoke|all|cuts|look|cut [flags]",
		Short: "real bootloaders, real kernels, power cuts, in QEMU (make rig)",
		Long: `
Boots the real agent with real bootloaders and kernels in QEMU, and cuts its power. In each target it plays
a healthy update from publish to confirm, then a sick update and one whose kernel panics, which must both
revert by themselves. Then it plays the healthy update again from the disk that each power cut would leave.
Needs scripts/deps.sh rig (rig-smoke for a smoke test). It needs neither root nor a network.

  smoke   U-Boot and GRUB: look at a hundred cuts, boot ten of them
  all     look at every cut, boot every flush point and some torn writes, cut the recoveries too, write a report
  cuts    repeat the power cuts of the run in --dir, without the other scenes
  look    look at every cut of the run in --dir again with this program's agent, without QEMU
  cut     repeat one cut of the run in --dir, and tell what happens: --target NAME --point N
          --variant whole|lost|torn. With --update sick it is a cut of the sick update; with --second N
          the power is cut again during the recovery.`,
		Examples: []string{"ratchet-lab rig smoke", "ratchet-lab rig all --every 4",
			"ratchet-lab rig cut --target arm64-uboot --point 20"},
		Exits: "1 also when something differs from what is expected",
		Setup: func(fs *flag.FlagSet) cli.Action {
			var o rig.Options
			rigFlags(fs, &o)
			return func(ctx context.Context, c cli.Console, args []string) error {
				if len(args) == 1 {
					o.Mode = args[0]
				}
				if !slices.Contains(rig.Modes(), o.Mode) || o.Every < 1 ||
					o.Mode == "cut" && (o.Point < 0 || o.Target == "") {
					return cli.Usage("unexpected arguments %q, or flags that do not go with them", args)
				}
				return cli.Exit(runRig(ctx, o, c.Out, c.Err))
			}
		},
	}
}

func rigFlags(fs *flag.FlagSet, o *rig.Options) {
	var names []string
	for _, t := range board.Kinds() {
		names = append(names, t.Name)
	}
	fs.StringVar(&o.Dir, "dir", "rig-out", "work in `DIR`, which is kept")
	fs.StringVar(&o.Bin, "bin", "",
		"`DIR` of ratchet and ratchet-release (default: beside this one), and of rig/ARCH/ with the guest's")
	fs.StringVar(&o.Cache, "cache", os.Getenv("RATCHET_RIG_CACHE"),
		"`DIR` of unpacked kernels (default: $RATCHET_RIG_CACHE or ~/.cache/ratchet-rig)")
	fs.StringVar(&o.Target, "target", "", "only the target `NAME`: "+strings.Join(names, ", "))
	fs.StringVar(&o.Mosquitto, "mosquitto", "", "use the installed Mosquitto, with the example configuration in `DIR`")
	fs.StringVar(&o.Scene, "scene", "",
		"play the healthy update and only those scenes whose names contain one of these `WORDS`, separated by commas")
	fs.StringVar(&o.Variant, "variant", string(disk.Whole),
		"cut: what is left of the last write, a `WORD`: whole, lost or torn")
	fs.Int64Var(&o.Seed, "seed", 1, "`NUMBER` that chooses cuts and torn writes")
	fs.IntVar(&o.Point, "point", -1, "cut: `NUMBER` of the cut to repeat")
	fs.IntVar(&o.Second, "second", -1, "cut: `NUMBER` of a second cut, during the recovery")
	fs.StringVar(&o.Update, "update", "healthy", "cut: of which update, a `WORD`: healthy or sick")
	fs.StringVar(&o.SecondVariant, "second-variant", string(disk.Whole),
		"cut: as --variant, the `WORD` of the second cut")
	fs.IntVar(&o.Every, "every", 1, "all, cuts: boot only every `NUMBER`th flush point")
	fs.IntVar(&o.Together, "together", 0, "`NUMBER` of targets at the same time (default: one for each processor)")
	fs.BoolVar(&o.KVM, "kvm", false, "let KVM run the guests")
	fs.BoolVar(&o.Verbose, "verbose", false, "show the desk's commands and the guests' consoles")
}

func runRig(ctx context.Context, o rig.Options, stdout, stderr io.Writer) int {
	if o.Together < 1 {
		o.Together = runtime.NumCPU()
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
