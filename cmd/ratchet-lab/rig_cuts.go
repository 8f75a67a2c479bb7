package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/ratchet-ota/ratchet/cmd/ratchet-lab/rig/board"
	"github.com/ratchet-ota/ratchet/cmd/ratchet-lab/rig/disk"
	"github.com/ratchet-ota/ratchet/cmd/ratchet-lab/rig/look"
)

// Cuts of the smoke test in each target, besides what a target boots.
const (
	smokeHealthy = 36
	smokeSick    = 8
	smokeSecond  = 6
	slowBoots    = 3 // a target with no more boots than this one goes to the end once and in the recovery only
)

// What the whole run does besides looking at everything and booting the flush points.
const (
	tornBoots    = 24 // torn tails that are booted
	finishOneIn  = 6  // of the boots go on to the end of the update, the others to the agent's first status
	sickBoots    = 12
	recoveries   = 6 // of healthy cuts that are recorded, and cut again
	secondLooks  = 60
	secondBoots  = 2
	sickRecovers = 2
)

// cutResult is one cut and what became of it.
type cutResult struct {
	disk.Cut
	look.Finding
	Where  string   // partition of the last write before the cut
	Tail   []string // the writes that no flush had covered
	Equal  bool     // to a disk that was looked at before
	Booted bool     // with the real bootloader
	Ended  string   // how the real device ended, "" when it was only booted
	Loaded []string // slots whose system the real bootloader started
	Bad    string   // why the boot did not go well
	Story  []string // of the real boot
	Took   time.Duration
}

func (c cutResult) failed() bool { return c.Wrong != "" || c.Bad != "" }

// agrees tells whether the model of the bootloader chose as the real one did; known is false where not
// both did.
func (c cutResult) agrees() (same, known bool) {
	if c.Loads == "" || len(c.Loaded) == 0 {
		return false, false
	}
	return c.Loads == c.Loaded[0], true
}

// alike tells whether the device on the bench booted the same slots as the real one, to the end.
func (c cutResult) alike() (same, known bool) {
	if c.Ended == "" || len(c.Offered.Boots) == 0 {
		return false, false
	}
	return slices.Equal(c.Offered.Boots, c.Loaded) && c.Offered.Ended == strings.TrimSuffix(c.Ended, "; "+allThere), true
}

// allThere is what rig.chain says of evidence that is.
const allThere = "verified, nothing missing"

// coverage is one recording and its cuts.
type coverage struct {
	rec  *disk.Recording
	log  *disk.Log
	cuts []cutResult
}

// tail says of each write after the last flush before a cut what of it is on the disk.
func tail(t board.Kind, l *disk.Log, x disk.Cut) (out []string) {
	from, sectors := l.Unflushed(x)
	for i, n := range sectors {
		w := l.Writes[from+i]
		what := "there"
		switch {
		case n == 0:
			what = "lost"
		case n < w.N:
			what = fmt.Sprintf("the first %d sectors there", n)
		}
		start := int64(0)
		for _, p := range t.Parts {
			if w.At >= p.Start && w.At < p.Start+p.Size {
				start = p.Start
			}
		}
		out = append(out, fmt.Sprintf("%d: %s +%d, %d sectors: %s", from+i+1, t.Where(w), w.At-start, w.N, what))
	}
	return out
}

// every lists all cuts of a log: each moment whole, and where something is not flushed yet also lost and torn.
func every(l *disk.Log, seed int64) (all []disk.Cut) {
	for point := range len(l.Writes) + 1 {
		all = append(all, disk.Cut{Point: point, Variant: disk.Whole, Seed: seed})
		if from, _ := l.Unflushed(disk.Cut{Point: point, Variant: disk.Whole}); from < point {
			all = append(all, disk.Cut{Point: point, Variant: disk.Lost, Seed: seed}, disk.Cut{Point: point, Variant: disk.Torn, Seed: seed})
		}
	}
	return all
}

// sample takes n of the cuts, three quarters of them among the writes that are not of the image: there
// the decisions are.
func sample(t board.Kind, rnd *rand.Rand, l *disk.Log, all []disk.Cut, n int) []disk.Cut {
	var few, image []disk.Cut
	for _, c := range all {
		if c.Point > 0 && strings.HasPrefix(t.Where(l.Writes[c.Point-1]), "slot-") {
			image = append(image, c)
		} else {
			few = append(few, c)
		}
	}
	k := min(n/4, len(image))
	out := append(some(rnd, few, n-k), some(rnd, image, k)...)
	slices.SortStableFunc(out, func(a, b disk.Cut) int { return a.Point - b.Point })
	return out
}

// some takes n of a list, in their order.
func some[T any](rnd *rand.Rand, from []T, n int) (out []T) {
	n = max(0, min(n, len(from)))
	pick := rnd.Perm(len(from))[:n]
	slices.Sort(pick)
	for _, i := range pick {
		out = append(out, from[i])
	}
	return out
}

// cover looks at cuts of a recording: looks of them, 0: all.
func (r *rig) cover(ctx context.Context, rnd *rand.Rand, rec *disk.Recording, looks int) (*coverage, error) {
	l, err := disk.OpenLog(r.path(rec.Log), board.DiskSize, rec.Entries)
	if err != nil {
		return nil, err
	}
	defer l.Close()
	v := &coverage{rec: rec, log: l}
	r.covered = append(r.covered, v)
	cuts := every(l, r.o.seed)
	if looks > 0 {
		cuts = sample(r.target, rnd, l, cuts, looks)
	}
	found, err := r.lookAll(ctx, rec, cuts)
	if err != nil {
		return nil, err
	}
	seen, wrong := map[string]bool{}, 0
	for i, x := range cuts {
		res := r.result(v, x, found[i])
		res.Equal = seen[res.Sum]
		seen[res.Sum] = true
		if res.failed() {
			wrong++
			r.Say("    FAIL %s, cut %d %s (%s): %s", rec.Name, x.Point, x.Variant, res.Where, res.Wrong)
			r.Say("         again: %s", r.command(rec, x))
		}
		v.cuts = append(v.cuts, res)
	}
	r.Say("    %s: %d cuts of %d writes and %d flushes looked at, %d different disks, %d wrong", rec.Name, len(cuts), len(l.Writes)-l.Flushes(), l.Flushes(), len(seen), wrong)
	return v, nil
}

func (r *rig) result(v *coverage, x disk.Cut, f look.Finding) cutResult {
	res := cutResult{Cut: x, Finding: f, Where: "start", Tail: tail(r.target, v.log, x)}
	if x.Point > 0 {
		res.Where = r.target.Where(v.log.Writes[x.Point-1])
	}
	return res
}

// playCuts cuts the recorded updates. What was covered before an error counts all the same.
func (r *rig) playCuts(ctx context.Context) (err error) {
	defer func() {
		r.judge()
		err = errors.Join(err, disk.SaveRecordings(r.Dir, r.recordings))
	}()
	rnd := rand.New(rand.NewPCG(uint64(r.o.seed), 1))
	r.Chapter(fmt.Sprintf("Power cuts, seed %d", r.o.seed))
	looks := map[string]int{} // 0: all
	if r.o.mode == "smoke" {
		looks = map[string]int{"healthy": smokeHealthy, "sick": smokeSick}
	}
	err = r.timed("cuts looked at", func() error {
		for _, rec := range slices.Clone(r.recordings) {
			if _, err := r.cover(ctx, rnd, rec, looks[rec.Name]); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	return r.timed("cuts booted", func() error {
		for _, v := range slices.Clone(r.covered) {
			if err := r.bootUpdate(ctx, rnd, v); err != nil {
				return err
			}
		}
		return nil
	})
}

// judge makes rows of what was covered.
func (r *rig) judge() {
	for _, s := range r.tallies() {
		r.Expect("cuts of "+s.what+" looked at", fmt.Sprintf("%d of %d whole", s.Looked, s.Looked), fmt.Sprintf("%d of %d whole", s.Looked-s.Wrong, s.Looked))
		if s.Booted > 0 {
			r.Expect("cuts of "+s.what+" booted", fmt.Sprintf("%d of %d as expected", s.Booted, s.Booted), fmt.Sprintf("%d of %d as expected", s.Booted-s.Bad, s.Booted))
			r.Expect("model and bootloader, "+s.what, fmt.Sprintf("%d of %d agree", s.Known, s.Known), fmt.Sprintf("%d of %d agree", s.Agreed, s.Known))
		}
	}
}

// cutsOnly cuts the updates of a run that is there.
func (r *rig) cutsOnly(ctx context.Context) error {
	all, err := disk.LoadRecordings(r.Dir)
	if err != nil {
		return err
	}
	r.recordings = slices.DeleteFunc(all, func(rec *disk.Recording) bool { return rec.First != nil })
	if err := r.reopen(); err != nil {
		return err
	}
	return r.playCuts(ctx)
}

// lookOnly looks at every cut of a run that is there.
func (r *rig) lookOnly(ctx context.Context) error {
	var err error
	if r.recordings, err = disk.LoadRecordings(r.Dir); err != nil {
		return err
	}
	r.Chapter("Every cut of the run in " + r.Dir)
	defer r.judge()
	return r.timed("cuts looked at", func() error {
		for _, rec := range r.recordings {
			if _, err := r.cover(ctx, nil, rec, 0); err != nil {
				return err
			}
		}
		return nil
	})
}
