package main

import (
	"bytes"
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
	"sync"
	"time"

	"github.com/ratchet-ota/ratchet/cmd/ratchet-lab/rig/board"
	"github.com/ratchet-ota/ratchet/cmd/ratchet-lab/rig/cuts"
	"github.com/ratchet-ota/ratchet/cmd/ratchet-lab/rig/disk"
	"github.com/ratchet-ota/ratchet/cmd/ratchet-lab/rig/report"
	"github.com/ratchet-ota/ratchet/cmd/ratchet-lab/stage"
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

// rigFlags are what the command line said.
type rigFlags struct {
	mode, dir, bin, cache, target, variant  string
	update, secondVariant, scene, mosquitto string
	seed                                    int64
	point, every, second, together          int
	kvm, verbose                            bool
}

func runRig(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	var o rigFlags
	f := flag.NewFlagSet("rig", flag.ContinueOnError)
	f.SetOutput(io.Discard)
	f.StringVar(&o.dir, "dir", "rig-out", "")
	f.StringVar(&o.bin, "bin", "", "")
	f.StringVar(&o.cache, "cache", os.Getenv("RATCHET_RIG_CACHE"), "")
	f.StringVar(&o.target, "target", "", "")
	f.StringVar(&o.mosquitto, "mosquitto", "", "")
	f.StringVar(&o.scene, "scene", "", "")
	f.StringVar(&o.variant, "variant", string(disk.Whole), "")
	f.Int64Var(&o.seed, "seed", 1, "")
	f.IntVar(&o.point, "point", -1, "")
	f.IntVar(&o.second, "second", -1, "")
	f.StringVar(&o.update, "update", "healthy", "")
	f.StringVar(&o.secondVariant, "second-variant", string(disk.Whole), "")
	f.IntVar(&o.every, "every", 1, "")
	f.IntVar(&o.together, "together", runtime.NumCPU(), "")
	f.BoolVar(&o.kvm, "kvm", false, "")
	f.BoolVar(&o.verbose, "verbose", false, "")
	if len(args) > 0 {
		o.mode, args = args[0], args[1:]
	}
	if err := f.Parse(args); errors.Is(err, flag.ErrHelp) || o.mode == "-h" || o.mode == "--help" {
		fmt.Fprint(stdout, rigUsage())
		return 0
	} else if err != nil || f.NArg() > 0 || !strings.Contains(" smoke all cuts look cut ", " "+o.mode+" ") || o.every < 1 || o.together < 1 || o.mode == "cut" && (o.point < 0 || o.target == "") {
		fmt.Fprintf(stderr, "ratchet-lab rig: %v\n%s", errors.Join(err, fmt.Errorf("unexpected arguments %q", f.Args())), rigUsage())
		return 2
	}
	if err := o.complete(); err != nil {
		fmt.Fprintf(stderr, "ratchet-lab rig: %v\n", err)
		return 1
	}
	good, err := o.run(ctx, stdout)
	if err != nil {
		fmt.Fprintf(stderr, "ratchet-lab rig: %v\n", err)
	}
	if err != nil || !good {
		return 1
	}
	return 0
}

// complete fills in what was not said.
func (o *rigFlags) complete() error {
	if o.bin == "" {
		self, err := os.Executable()
		if err != nil {
			return err
		}
		o.bin = filepath.Dir(self)
	}
	if o.cache == "" {
		home, err := os.UserHomeDir()
		if err != nil {
			return err
		}
		o.cache = filepath.Join(home, ".cache", "ratchet-rig")
	}
	for _, p := range []*string{&o.dir, &o.bin, &o.cache} {
		abs, err := filepath.Abs(*p)
		if err != nil {
			return err
		}
		*p = abs
	}
	return nil
}

// run plays the targets, so many of them together.
func (o *rigFlags) run(ctx context.Context, out io.Writer) (bool, error) {
	var runs []*rig
	began, shared := time.Now(), &sync.Mutex{}
	for _, t := range board.Kinds() {
		if o.target != "" && o.target != t.Name || o.target == "" && o.mode == "smoke" && !t.Smoke {
			continue
		}
		if m := t.Missing(o.cache); m != "" && o.target == "" {
			fmt.Fprintf(out, "%s is left out: there is no %s in %s (scripts/deps.sh rig makes it)\n", t.Name, m, o.cache)
			continue
		}
		r := &rig{Stage: &stage.Stage{Dir: filepath.Join(o.dir, t.Name), Bin: o.bin, Out: out, Verbose: o.verbose, Mosquitto: o.mosquitto, Began: began}, target: t, o: o}
		runs = append(runs, r)
	}
	if len(runs) == 0 {
		return false, fmt.Errorf("there is no target %q", o.target)
	}
	o.together = min(o.together, len(runs))
	broken := make([]error, len(runs)) // the other targets, and the report of what there is, come all the same
	places := make(chan bool, o.together)
	var wait sync.WaitGroup
	for i, r := range runs {
		if o.together > 1 {
			r.Out = &prefixed{to: out, mu: shared, prefix: r.target.Name + " "}
		}
		wait.Go(func() {
			places <- true
			defer func() { <-places }()
			if err := errors.Join(ctx.Err(), r.play(ctx)); err != nil {
				broken[i] = fmt.Errorf("%s: %w", r.target.Name, err)
			}
			r.close()
		})
	}
	wait.Wait()
	if o.mode == "cut" {
		return runs[0].good(), errors.Join(broken...)
	}
	good := true
	p := report.Report{Seed: o.seed, Took: time.Since(began), When: time.Now()}
	for _, r := range runs {
		r.Out = out
		if len(r.Rows) > 0 {
			r.Table()
		}
		good = r.good() && good
		p.Runs = append(p.Runs, r.played())
	}
	return good, errors.Join(append(broken, p.Write(o.dir, out))...)
}

// prefixed writes whole lines, each with a prefix, for several writers that share mu.
type prefixed struct {
	to     io.Writer
	mu     *sync.Mutex
	prefix string
	rest   []byte
}

func (w *prefixed) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.rest = append(w.rest, p...)
	for {
		line, rest, ok := bytes.Cut(w.rest, []byte("\n"))
		if !ok {
			return len(p), nil
		}
		w.rest = rest
		if _, err := fmt.Fprintf(w.to, "%s%s\n", w.prefix, line); err != nil {
			return len(p), err
		}
	}
}

// rig is one target: a desk and servers, and a device in QEMU.
type rig struct {
	*stage.Stage
	sequence int // of the releases, so far
	o        *rigFlags
	target   board.Kind
	machine  *board.Machine
	boots    int    // of the machine, so far
	status   string // last status line of the device
	said     []string
	times    []report.Span
	// recordings are the updates whose writes were kept, and the recoveries that were.
	recordings []*disk.Recording
	covered    []*cuts.Coverage
	plans      int // campaign plans, so far
}

// settings are what a replay needs besides the files.
type settings struct {
	Broker, Images string // host:port
}

func (r *rig) path(parts ...string) string {
	return filepath.Join(append([]string{r.Dir}, parts...)...)
}

func (r *rig) good() bool {
	for _, row := range r.Rows {
		if row.Expected != row.Observed {
			return false
		}
	}
	for _, v := range r.covered {
		for _, c := range v.Cuts {
			if c.Failed() {
				return false
			}
		}
	}
	return len(r.Rows) > 0 || len(r.covered) > 0
}

// played is the run for the report.
func (r *rig) played() report.Run {
	return report.Run{Board: r.target, Good: r.good(), Rows: r.Rows, Times: r.times, Covered: r.covered, Recordings: r.recordings, Again: r.command}
}

func (r *rig) play(ctx context.Context) error {
	switch r.o.mode {
	case "cut":
		return r.replay(ctx)
	case "look":
		return r.lookOnly(ctx)
	case "cuts":
		return r.cutsOnly(ctx)
	}
	if err := os.RemoveAll(r.Dir); err != nil {
		return err
	}
	if err := r.timed("set up", func() error { return r.setUpRig(ctx) }); err != nil {
		return err
	}
	for _, s := range r.scenes() {
		if err := r.timed(s.what, func() error { return s.play(ctx) }); err != nil {
			return err
		}
	}
	return nil
}

// scene is one part of a run.
type scene struct {
	what string
	play func(context.Context) error
}

func (r *rig) scenes() []scene {
	if r.target.Matter {
		return r.ownScenes()
	}
	all := []scene{{"healthy update", r.playHealthy}, {"sick update", r.playSick}, {"kernel panic", r.playPanic}}
	if r.o.mode == "all" {
		all = append(all, scene{"hang before the agent", r.playHang}, scene{"hang after the agent", r.playFreeze}, scene{"broker not reached", r.playDeaf},
			scene{"damaged image", r.playDamaged}, scene{"forged manifest", r.playForged})
		all = append(all, r.ownScenes()...)
	}
	if !r.target.Uncut {
		all = append(all, scene{"power cuts", r.playCuts})
	}
	if r.o.scene == "" {
		return all
	}
	few := all[:1]
	for _, s := range all[1:] {
		if slices.ContainsFunc(strings.Split(r.o.scene, ","), func(word string) bool { return strings.Contains(s.what, word) }) {
			few = append(few, s)
		}
	}
	return few
}

// ownScenes are a board's own scenes, by its name: of one that stands for a matter all that it plays, of another those that
// a whole run plays besides.
func (r *rig) ownScenes() []scene {
	switch r.target.Name {
	case "arm64-uboot-own":
		return []scene{{"environment lost", r.playLost}, {"bootcount", r.playBootcount}}
	case "arm64-tpm":
		return []scene{{"TPM counter", r.playCounter}, {"TPM counter, new root", r.playNewRoot}, {"TPM counter, old state", r.playOldState}}
	case "arm64-i6300esb":
		return []scene{{"seized kernel", r.playSeize}, {"health undecided", r.playUndecided}}
	case "arm64-orphan":
		return []scene{{"agent killed", r.playOrphan}}
	case "arm64-1970":
		return []scene{{"1970", r.play1970}}
	case "arm64-killed":
		return []scene{{"killed in each phase", r.playKills}}
	}
	return nil
}

func (r *rig) timed(what string, f func() error) error {
	began := time.Now()
	err := f()
	r.times = append(r.times, report.Span{What: what, Took: time.Since(began)})
	return err
}
