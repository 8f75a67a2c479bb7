package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// Cuts of the smoke test in each target, besides what a target boots.
const (
	smokeHealthy = 36
	smokeSick    = 8
	smokeSecond  = 6
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
	cut
	finding
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
	rec  *recording
	log  *writeLog
	cuts []cutResult
}

// where names the partition that a write goes to.
func (t target) where(w write) string {
	if w.n == 0 {
		return "flush"
	}
	for _, p := range t.parts {
		if w.at >= p.start && w.at < p.start+p.size {
			return p.name
		}
	}
	return "outside"
}

// tail says of each write after the last flush before a cut what of it is on the disk.
func (t target) tail(l *writeLog, x cut) (out []string) {
	steps, stable := l.steps(x)
	there := map[int64]int64{} // by the place of the data in the log
	for _, s := range steps[stable:] {
		there[s.data] = s.sectors
	}
	for i, w := range l.writes[stable:x.Point] {
		n := there[w.data]
		what := "there"
		switch {
		case n == 0:
			what = "lost"
		case n < w.n:
			what = fmt.Sprintf("the first %d sectors there", n)
		}
		start := int64(0)
		for _, p := range t.parts {
			if w.at >= p.start && w.at < p.start+p.size {
				start = p.start
			}
		}
		out = append(out, fmt.Sprintf("%d: %s +%d, %d sectors: %s", stable+i+1, t.where(w), w.at-start, w.n, what))
	}
	return out
}

// every lists all cuts of a log: each moment whole, and where something is not flushed yet also lost and torn.
func every(l *writeLog, seed int64) (all []cut) {
	for point := range len(l.writes) + 1 {
		all = append(all, cut{point, whole, seed})
		if _, stable := l.steps(cut{Point: point, Variant: whole}); stable < point {
			all = append(all, cut{point, lost, seed}, cut{point, torn, seed})
		}
	}
	return all
}

// sample takes n of the cuts, three quarters of them among the writes that are not of the image: there
// the decisions are.
func (t target) sample(rnd *rand.Rand, l *writeLog, all []cut, n int) []cut {
	var few, image []cut
	for _, c := range all {
		if c.Point > 0 && strings.HasPrefix(t.where(l.writes[c.Point-1]), "slot-") {
			image = append(image, c)
		} else {
			few = append(few, c)
		}
	}
	k := min(n/4, len(image))
	out := append(some(rnd, few, n-k), some(rnd, image, k)...)
	slices.SortStableFunc(out, func(a, b cut) int { return a.Point - b.Point })
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
func (r *rig) cover(ctx context.Context, rnd *rand.Rand, rec *recording, looks int) (*coverage, error) {
	l, f, err := openLog(r.path(rec.Log), diskSize, rec.Entries)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	v := &coverage{rec: rec, log: l}
	r.covered = append(r.covered, v)
	cuts := every(l, r.o.seed)
	if looks > 0 {
		cuts = r.target.sample(rnd, l, cuts, looks)
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
			r.say("    FAIL %s, cut %d %s (%s): %s", rec.Name, x.Point, x.Variant, res.Where, res.Wrong)
			r.say("         again: %s", r.command(rec, x))
		}
		v.cuts = append(v.cuts, res)
	}
	r.say("    %s: %d cuts of %d writes and %d flushes looked at, %d different disks, %d wrong", rec.Name, len(cuts), len(l.writes)-l.flushes(), l.flushes(), len(seen), wrong)
	return v, nil
}

func (r *rig) result(v *coverage, x cut, f finding) cutResult {
	res := cutResult{cut: x, finding: f, Where: "start", Tail: r.target.tail(v.log, x)}
	if x.Point > 0 {
		res.Where = r.target.where(v.log.writes[x.Point-1])
	}
	return res
}

// playCuts cuts the recorded updates.
func (r *rig) playCuts(ctx context.Context) error {
	rnd := rand.New(rand.NewPCG(uint64(r.o.seed), 1))
	smoke := r.o.mode == "smoke"
	r.chapter(fmt.Sprintf("Power cuts, seed %d", r.o.seed))
	looks := map[bool]map[string]int{true: {"healthy": smokeHealthy, "sick": smokeSick}}[smoke]
	var updates []*coverage
	if err := r.timed("cuts looked at", func() error {
		for _, rec := range slices.Clone(r.recordings) {
			v, err := r.cover(ctx, rnd, rec, looks[rec.Name])
			if err != nil {
				return err
			}
			updates = append(updates, v)
		}
		return nil
	}); err != nil {
		return err
	}
	if err := r.timed("cuts booted", func() error {
		for _, v := range updates {
			if err := r.bootUpdate(ctx, rnd, v); err != nil {
				return err
			}
		}
		return nil
	}); err != nil {
		return err
	}
	r.judge()
	return saveRecordings(r.dir, r.recordings)
}

// judge makes rows of what was covered.
func (r *rig) judge() {
	for _, s := range r.tallies() {
		r.expect("cuts of "+s.what+" looked at", fmt.Sprintf("%d of %d whole", s.Looked, s.Looked), fmt.Sprintf("%d of %d whole", s.Looked-s.Wrong, s.Looked))
		if s.Booted > 0 {
			r.expect("cuts of "+s.what+" booted", fmt.Sprintf("%d of %d as expected", s.Booted, s.Booted), fmt.Sprintf("%d of %d as expected", s.Booted-s.Bad, s.Booted))
			r.expect("model and bootloader, "+s.what, fmt.Sprintf("%d of %d agree", s.Known, s.Known), fmt.Sprintf("%d of %d agree", s.Agreed, s.Known))
		}
	}
}

// lookOnly looks at every cut of a run that is there.
func (r *rig) lookOnly(ctx context.Context) error {
	var err error
	if r.recordings, err = loadRecordings(r.dir); err != nil {
		return err
	}
	r.chapter("Every cut of the run in " + r.dir)
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

// bootUpdate boots cuts of an update's recording, and cuts the power again while some of them recover.
func (r *rig) bootUpdate(ctx context.Context, rnd *rand.Rand, v *coverage) error {
	var list []int
	again, looks, boots := recoveries, secondLooks, secondBoots
	all := r.o.mode == "all"
	switch sick := v.rec.Name == "sick"; {
	case !all && sick:
		list, again = some(rnd, v.different(nil), 1), 0
	case !all:
		// One of them is recorded and cut again, one boot goes to that.
		list, again, looks, boots = some(rnd, v.different(nil), r.target.smokeBoots-2), 1, smokeSecond, 1
	case sick:
		list, again = some(rnd, v.different(nil), sickBoots), sickRecovers
	default:
		for i, k := range v.different(func(c cutResult) bool { return c.Where == "flush" || c.Point == 0 || c.Point == len(v.log.writes) }) {
			if i%r.o.every == 0 {
				list = append(list, k)
			}
		}
		list = append(list, some(rnd, v.different(func(c cutResult) bool { return c.Variant == torn }), tornBoots/r.o.every)...)
		slices.Sort(list)
		list = slices.Compact(list)
	}
	c, err := newChecker(r.target, r.dir, r.path("check"), v.rec)
	if err != nil {
		return err
	}
	defer c.Close()
	second := map[int]bool{}
	for _, k := range some(rnd, list, again) {
		second[k] = true
	}
	for i, k := range list {
		res := &v.cuts[k]
		if err := c.disk.rebuild(c.log, res.cut); err != nil {
			return err
		}
		if !second[k] {
			if err := r.bootCut(ctx, c, res, !all || v.rec.Name == "sick" || i%finishOneIn == 0, ""); err != nil {
				return err
			}
			continue
		}
		if err := r.cutAgain(ctx, rnd, c, res, looks, boots); err != nil {
			return err
		}
	}
	return nil
}

// different lists the cuts that leave disks that differ, by their number; ok, where given, chooses.
func (v *coverage) different(ok func(cutResult) bool) (out []int) {
	seen := map[string]bool{}
	for i, c := range v.cuts {
		if !seen[c.Sum] && (ok == nil || ok(c)) {
			seen[c.Sum] = true
			out = append(out, i)
		}
	}
	return out
}

// cutAgain boots the disk of c with every write recorded, cuts that recovery, looks at what is left, and
// boots some of it.
func (r *rig) cutAgain(ctx context.Context, rnd *rand.Rand, c *checker, res *cutResult, looks, boots int) error {
	rec := c.rec.recovery(res.cut)
	if err := errors.Join(os.MkdirAll(r.path("again"), 0o755), c.disk.save(r.path(rec.Base))); err != nil {
		return err
	}
	if err := r.bootCut(ctx, c, res, true, r.path(rec.Log)); err != nil {
		return err
	}
	r.recordings = append(r.recordings, rec)
	v, err := r.cover(ctx, rnd, rec, looks)
	if err != nil {
		return err
	}
	again, err := newChecker(r.target, r.dir, r.path("check-again"), rec)
	if err != nil {
		return err
	}
	defer again.Close()
	for _, k := range some(rnd, v.different(nil), boots) {
		if err := again.disk.rebuild(again.log, v.cuts[k].cut); err != nil {
			return err
		}
		if err := r.bootCut(ctx, again, &v.cuts[k], true, ""); err != nil {
			return err
		}
	}
	return nil
}

// bootCut boots the disk of c with the real bootloader: until the agent has told what runs, or with
// finish until the device has put itself right. log, where given, takes every write.
func (r *rig) bootCut(ctx context.Context, c *checker, res *cutResult, finish bool, log string) error {
	began := time.Now()
	res.Booted = true
	err := r.recover(ctx, c, res, finish, log)
	res.Took = time.Since(began)
	if err != nil {
		res.Bad = err.Error()
	} else if same, known := res.agrees(); known && !same {
		res.Bad = fmt.Sprintf("the bootloader started slot %s, its model %s", res.Loaded[0], res.Loads)
	}
	mark, ended := "ok  ", "slot "+strings.Join(res.Loaded, ", ")+" started"
	if res.Bad != "" {
		mark, ended = "FAIL", res.Bad
	} else if finish {
		ended = res.Ended
	}
	r.say("    %s %s, cut %d %s (%s): %s, %d boots, %.1f s", mark, c.rec.Name, res.Point, res.Variant, res.Where, ended, len(res.Loaded), res.Took.Seconds())
	if res.Bad != "" {
		r.say("         again: %s", r.command(c.rec, res.cut))
	}
	return ctx.Err()
}

// recover boots the disk of c.
func (r *rig) recover(ctx context.Context, c *checker, res *cutResult, finish bool, log string) error {
	offer, err := os.ReadFile(r.path(c.rec.Offer))
	if err != nil {
		return err
	}
	if err := r.net.inject("ratchet/v1/offer/stable", offer); err != nil {
		return err
	}
	disk := r.path("cut.img")
	if err := c.disk.save(disk); err != nil {
		return err
	}
	r.net.forget()
	if err := r.boot(ctx, disk, log, "cut"); err != nil {
		return err
	}
	defer r.off()
	within, what, done := bootTime, "the agent's first status", func() bool { return r.field("running") != "" }
	if finish {
		// Where the bench says how it ends, it must end so; a cut in the only trial boot that GRUB allows
		// goes back first, and is tried again.
		within, what = updateTime, "the device to put itself right"
		done = func() bool {
			e := r.ends()
			return r.resting() && r.field("confirmed") == "true" && strings.HasPrefix(e, c.rec.Result) && strings.HasSuffix(e, c.rec.Rests) && (res.Offered.Ended == "" || res.Offered.Ended == e)
		}
	}
	err = r.until(ctx, within, what, done)
	res.Story = append(res.Story, r.said...)
	res.Loaded = started(r.said)
	if err != nil {
		return err
	}
	if finish {
		all := r.chain(ctx)
		res.Ended = r.ends() + "; " + all
		if all != allThere {
			return errors.New("evidence: " + all)
		}
		return nil
	}
	r.off()
	return r.readable(ctx, disk)
}

// started lists the slots whose systems came up, by what the console said.
func started(said []string) (out []string) {
	for _, line := range said {
		if rest, ok := strings.CutPrefix(line, "rig: up slot="); ok {
			slot, _, _ := strings.Cut(rest, " ")
			out = append(out, slot)
		}
	}
	return out
}

// readable tells whether the boot metadata of a disk as the machine left it is in order.
func (r *rig) readable(ctx context.Context, disk string) error {
	d, err := openCutDisk(disk)
	if err != nil {
		return err
	}
	c := &checker{target: r.target, dir: r.path("left"), disk: d}
	defer os.RemoveAll(c.dir)
	defer d.Close()
	if err := os.MkdirAll(c.dir, 0o755); err != nil {
		return err
	}
	s, err := r.target.metadata(ctx, c)
	if err == nil && s.Next == "" {
		err = errors.New("the bootloader has no slot to boot")
	}
	if err != nil {
		return fmt.Errorf("after that boot: %w", err)
	}
	return nil
}

// keep takes a recording into the list.
func (r *rig) keep(rec *recording) error {
	n, err := logEntries(filepath.Join(r.dir, rec.Log))
	if err != nil {
		return err
	}
	rec.Entries = n
	r.recordings = append(r.recordings, rec)
	return nil
}
