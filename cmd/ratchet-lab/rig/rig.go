// Package rig plays whole devices: real bootloaders and kernels in QEMU, the real agent, a desk and servers, and power
// cuts at the writes of a healthy and of a sick update and of the recoveries from them. A run of a board is a folder,
// in which its cuts can be looked at and played again.
//
// What is played on each board stands on top of this file. Everything that a cut leaves is read from the log of the
// disk's writes (package disk); what the host keeps when QEMU is killed proves nothing.
package rig

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
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

// Modes are what a run can be told to do: a smoke test, a whole run; and of the run in the folder the cuts alone, a
// look at every cut, or one cut.
func Modes() []string { return []string{"smoke", "all", "cuts", "look", "cut"} }

// Options are what is played, and with what. Folders are absolute.
type Options struct {
	Mode      string // one of modes
	Dir       string // of all runs, one folder a board
	Bin       string // with the program ratchet-release, and rig/ARCH/ with the guest's
	Cache     string // of unpacked kernels
	Target    string // name of the only board; "": those of the mode that the cache has files for
	Scene     string // words, by commas: besides the healthy update only scenes with one in their names; "": all
	Mosquitto string // folder of the example configuration; "": the embedded broker
	Seed      int64  // of the choice of cuts and of torn writes
	Every     int    // one in so many of a whole run's boots, 1 or more
	Together  int    // boards at the same time, 1 or more
	KVM       bool   // let KVM run the guests
	Verbose   bool   // show the desk's commands and the guests' consoles

	// Of the mode "cut".
	Update        string // "healthy", "sick"
	Point         int    // of the log
	Variant       string // a disk.Variant
	Second        int    // point of the recovery from that cut; -1: the cut itself
	SecondVariant string
}

// scene is one part of a run.
type scene struct {
	what string
	play func(context.Context) error
}

// scenes are all that a board plays, in their order.
func (r *rig) scenes() []scene {
	if r.target.Matter {
		return r.ownScenes()
	}
	all := []scene{{"healthy update", r.playHealthy}, {"sick update", r.playSick}, {"kernel panic", r.playPanic}}
	if r.o.Mode == "all" {
		all = append(all, scene{"hang before the agent", r.playHang}, scene{"hang after the agent", r.playFreeze},
			scene{"broker not reached", r.playDeaf},
			scene{"damaged image", r.playDamaged}, scene{"forged manifest", r.playForged})
		all = append(all, r.ownScenes()...)
	}
	if !r.target.Uncut {
		all = append(all, scene{"power cuts", r.playCuts})
	}
	if r.o.Scene == "" {
		return all
	}
	few := all[:1]
	for _, s := range all[1:] {
		if slices.ContainsFunc(strings.Split(r.o.Scene, ","),
			func(word string) bool { return strings.Contains(s.what, word) }) {
			few = append(few, s)
		}
	}
	return few
}

// ownScenes are a board's own scenes, by its name: of one that stands for a matter all that it plays, of another those
// that a whole run plays besides.
func (r *rig) ownScenes() []scene {
	switch r.target.Name {
	case "arm64-uboot-own":
		return []scene{{"environment lost", r.playLost}, {"bootcount", r.playBootcount}}
	case "arm64-tpm":
		return []scene{{"TPM counter", r.playCounter}, {"TPM counter, new root", r.playNewRoot},
			{"TPM counter, old state", r.playOldState}}
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

// Run plays the boards, so many of them together, prints to out and writes the report. It returns whether all is as
// expected; an error is of what could not be played.
func Run(ctx context.Context, o Options, out io.Writer) (bool, error) {
	var runs []*rig
	began, shared := time.Now(), &sync.Mutex{}
	for _, t := range board.Kinds() {
		if o.Target != "" && o.Target != t.Name || o.Target == "" && o.Mode == "smoke" && !t.Smoke {
			continue
		}
		if m := t.Missing(o.Cache); m != "" && o.Target == "" {
			fmt.Fprintf(out, "%s is left out: there is no %s in %s (scripts/deps.sh rig makes it)\n",
				t.Name, m, o.Cache)
			continue
		}
		r := &rig{Stage: &stage.Stage{Dir: filepath.Join(o.Dir, t.Name), Bin: o.Bin, Out: out, Verbose: o.Verbose,
			Mosquitto: o.Mosquitto, Began: began}, target: t, o: &o}
		runs = append(runs, r)
	}
	if len(runs) == 0 {
		return false, fmt.Errorf("there is no target %q", o.Target)
	}
	o.Together = min(o.Together, len(runs))
	broken := make([]error, len(runs)) // the other targets, and the report of what there is, come all the same
	places := make(chan bool, o.Together)
	var wait sync.WaitGroup
	for i, r := range runs {
		if o.Together > 1 {
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
	if o.Mode == "cut" {
		return runs[0].good(), errors.Join(broken...)
	}
	good := true
	p := report.Report{Seed: o.Seed, Took: time.Since(began), When: time.Now()}
	for _, r := range runs {
		r.Out = out
		if len(r.Rows) > 0 {
			r.Table()
		}
		good = r.good() && good
		p.Runs = append(p.Runs, r.played())
	}
	return good, errors.Join(append(broken, p.Write(o.Dir, out))...)
}

// path is a file of the run.
func (r *rig) path(parts ...string) string {
	return filepath.Join(append([]string{r.Dir}, parts...)...)
}

// good tells whether all that was played is as expected.
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
	return report.Run{Board: r.target, Good: r.good(), Rows: r.Rows, Times: r.times, Covered: r.covered,
		Recordings: r.recordings, Again: r.command}
}

// play does what the mode says.
func (r *rig) play(ctx context.Context) error {
	switch r.o.Mode {
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

// timed does f, and keeps how long it took.
func (r *rig) timed(what string, f func() error) error {
	began := time.Now()
	err := f()
	r.times = append(r.times, report.Span{What: what, Took: time.Since(began)})
	return err
}

// rig is one target: a desk and servers, and a device in QEMU.
type rig struct {
	*stage.Stage
	sequence int // of the releases, so far
	o        *Options
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
