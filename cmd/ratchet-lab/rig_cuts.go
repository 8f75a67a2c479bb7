package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"time"
)

// smokeCuts is how many cuts the smoke test looks at in each target.
const smokeCuts = 50

// cutResult is one cut and what became of it.
type cutResult struct {
	cut
	Where  string // partition of the last write before the cut
	Wrong  string // what is wrong with the disk, "" when nothing is
	Booted bool
	Boots  int    // of the loader
	Ended  string // how the device ended
	Bad    bool   // it did not end well
	Story  []string
	Second bool // the power was cut once more while the device recovered
	Took   time.Duration
}

func (c cutResult) failed() bool { return c.Wrong != "" || c.Bad }

// want is how a device must end after any cut of the healthy update, once it is left alone.
const want = "updated/1; slot B runs, confirmed, B is next"

func (r *rig) openLog() (*checker, func(), error) {
	f, err := os.Open(r.path("writes.log"))
	if err != nil {
		return nil, nil, err
	}
	info, err := f.Stat()
	if err != nil {
		return nil, nil, errors.Join(err, f.Close())
	}
	if r.log, err = readLog(f, info.Size(), diskSize); err != nil {
		return nil, nil, errors.Join(err, f.Close())
	}
	c, err := newChecker(r.target, r.path("check"), r.path("factory.img"), r.image("2.0.0"))
	return c, func() { _ = f.Close() }, err
}

// where names the partition that a write goes to.
func (r *rig) where(w write) string {
	if w.n == 0 {
		return "flush"
	}
	for _, p := range r.target.parts {
		if w.at >= p.start && w.at < p.start+p.size {
			return p.name
		}
	}
	return "outside"
}

// choose lists the cuts to look at. In a smoke test they are a seeded part, with every variant; else
// they are all: each moment whole, and where something is not flushed yet also lost and torn.
func (r *rig) choose(rnd *rand.Rand) []cut {
	var all []cut
	for point := range len(r.log.writes) + 1 {
		all = append(all, cut{point, whole, r.o.seed})
		if _, stable := r.log.steps(cut{Point: point, Variant: whole}); stable < point {
			all = append(all, cut{point, lost, r.o.seed}, cut{point, torn, r.o.seed})
		}
	}
	if r.o.mode == "smoke" && len(all) > smokeCuts {
		// Half of them among the writes that are not of the image: there the decisions are.
		var few, image []cut
		for _, c := range all {
			if c.Point > 0 && r.where(r.log.writes[c.Point-1]) == "slot-b" {
				image = append(image, c)
			} else {
				few = append(few, c)
			}
		}
		all = append(some(rnd, few, smokeCuts-min(smokeCuts/4, len(image))), some(rnd, image, smokeCuts/4)...)
	}
	return all
}

// some takes n of the cuts, in their order.
func some(rnd *rand.Rand, from []cut, n int) []cut {
	n = min(n, len(from))
	pick := map[int]bool{}
	for _, i := range rnd.Perm(len(from))[:n] {
		pick[i] = true
	}
	var out []cut
	for i, c := range from {
		if pick[i] {
			out = append(out, c)
		}
	}
	return out
}

func (r *rig) playCuts(ctx context.Context) error {
	c, done, err := r.openLog()
	if err != nil {
		return err
	}
	defer done()
	rnd := rand.New(rand.NewPCG(uint64(r.o.seed), 1))
	all := r.choose(rnd)
	r.chapter(fmt.Sprintf("Power cuts: %d of the log's %d writes and flushes, seed %d", len(all), len(r.log.writes), r.o.seed))
	began := time.Now()
	wrong := 0
	for _, x := range all {
		res, err := r.look(ctx, c, x)
		if err != nil {
			return err
		}
		if res.failed() {
			wrong++
			r.say("    %d %s: %s; again: %s", x.Point, x.Variant, res.Wrong, r.command(x))
		}
		r.cuts = append(r.cuts, res)
	}
	r.times = append(r.times, span{"cuts looked at", time.Since(began)})
	r.expect("power cuts looked at", fmt.Sprintf("%d of %d whole", len(all), len(all)), fmt.Sprintf("%d of %d whole", len(all)-wrong, len(all)))
	return r.bootCuts(ctx, c, rnd)
}

// command repeats one cut alone.
func (r *rig) command(x cut) string {
	return fmt.Sprintf("ratchet-lab rig cut --dir %s --target %s --point %d --variant %s --seed %d", r.o.dir, r.target.name, x.Point, x.Variant, x.Seed)
}

// look rebuilds the disk and looks at it in user space.
func (r *rig) look(ctx context.Context, c *checker, x cut) (cutResult, error) {
	began := time.Now()
	res := cutResult{cut: x, Where: "start"}
	if x.Point > len(r.log.writes) {
		return res, fmt.Errorf("there is no point %d, the log has %d", x.Point, len(r.log.writes))
	}
	if x.Point > 0 {
		res.Where = r.where(r.log.writes[x.Point-1])
	}
	if err := c.rebuild(c.factory, r.log, x); err != nil {
		return res, err
	}
	if err := c.check(ctx); err != nil {
		res.Wrong = err.Error()
	}
	res.Took = time.Since(began)
	return res, ctx.Err()
}

// bootCuts boots a part of the cuts, spread over all that was looked at.
func (r *rig) bootCuts(ctx context.Context, c *checker, rnd *rand.Rand) error {
	offer, err := os.ReadFile(r.path("release-2.0.0.suit"))
	if err != nil {
		return err
	}
	if err := r.net.inject("ratchet/v1/offer/stable", offer); err != nil {
		return err
	}
	step := r.o.every
	if r.o.mode == "smoke" {
		step = max(1, len(r.cuts)/r.target.smokeBoots)
	}
	began, boots, bad := time.Now(), 0, 0
	for i := rnd.IntN(step); i < len(r.cuts) && (r.o.mode == "all" || boots < r.target.smokeBoots); i += step {
		if err := c.rebuild(c.factory, r.log, r.cuts[i].cut); err != nil {
			return err
		}
		second := r.o.mode == "all" && boots%4 == 3
		if err := r.bootCut(ctx, c, &r.cuts[i], second); err != nil {
			return err
		}
		boots++
		if r.cuts[i].Bad {
			bad++
		}
	}
	r.times = append(r.times, span{"cuts booted", time.Since(began)})
	r.expect("power cuts booted", fmt.Sprintf("%d of %d end updated", boots, boots), fmt.Sprintf("%d of %d end updated", boots-bad, boots))
	return nil
}

// bootCut boots the disk of c, and waits until the device has put itself right. With second the power
// is cut once more, at a seeded moment of that recovery, and what is left is booted.
func (r *rig) bootCut(ctx context.Context, c *checker, res *cutResult, second bool) error {
	began := time.Now()
	res.Booted = true
	log := ""
	if second {
		log = r.path("second.log")
	}
	first, err := r.recover(ctx, c, res, log)
	if err == nil && second {
		if err := r.cutAgain(c, res, first); err != nil {
			return err
		}
		if werr := c.check(ctx); werr != nil {
			res.Wrong = "after the second cut: " + werr.Error()
		}
		_, err = r.recover(ctx, c, res, "")
	}
	res.Took += time.Since(began)
	res.Bad = err != nil || res.Ended != want+"; verified, nothing missing"
	if err != nil {
		res.Ended = err.Error()
	}
	mark := "ok  "
	if res.Bad {
		mark = "FAIL"
	}
	r.say("    %s cut %d %s (%s): %s, %d boots, %.1f s", mark, res.Point, res.Variant, res.Where, res.Ended, res.Boots, time.Since(began).Seconds())
	if res.Bad {
		r.say("         again: %s", r.command(res.cut))
	}
	return ctx.Err()
}

// recover boots the disk of c and returns what it was.
func (r *rig) recover(ctx context.Context, c *checker, res *cutResult, log string) ([]byte, error) {
	disk := r.path("cut.img")
	if err := errors.Join(os.RemoveAll(disk), os.WriteFile(disk, nil, 0o644), os.Truncate(disk, diskSize), writeAt(disk, c.disk, 0)); err != nil {
		return nil, err
	}
	first := append([]byte(nil), c.disk...)
	r.net.forget()
	if err := r.boot(ctx, disk, log, "cut"); err != nil {
		return nil, err
	}
	defer r.off()
	// A cut in the only trial boot that GRUB allows goes back first, and is tried again.
	err := r.until(ctx, updateTime, "the device to put itself right", func() bool {
		return r.resting() && strings.HasPrefix(r.field("last"), "updated/1") && r.field("confirmed") == "true"
	})
	res.Boots += r.boots
	res.Story = append(res.Story, r.said...)
	if err != nil {
		return nil, err
	}
	res.Ended = r.ends() + "; " + r.chain(ctx)
	return first, nil
}

// cutAgain makes of the disk with which a recovery began the one that a second cut leaves.
func (r *rig) cutAgain(c *checker, res *cutResult, first []byte) error {
	f, err := os.Open(r.path("second.log"))
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	l, err := readLog(f, info.Size(), diskSize)
	if err != nil {
		return err
	}
	rnd := rand.New(rand.NewPCG(uint64(res.Seed), uint64(res.Point)))
	x := cut{rnd.IntN(len(l.writes) + 1), torn, res.Seed}
	res.Second = true
	res.Story = append(res.Story, fmt.Sprintf("rig: the power is cut again, at %d of %d", x.Point, len(l.writes)))
	return c.rebuild(first, l, x)
}

// replay is one cut of a run that is there.
func (r *rig) replay(ctx context.Context) error {
	if err := r.reopen(); err != nil {
		return err
	}
	c, done, err := r.openLog()
	if err != nil {
		return err
	}
	defer done()
	x := cut{r.o.point, variant(r.o.variant), r.o.seed}
	offer, err := os.ReadFile(r.path("release-2.0.0.suit"))
	if err != nil {
		return err
	}
	if err := r.net.inject("ratchet/v1/offer/stable", offer); err != nil {
		return err
	}
	res, err := r.look(ctx, c, x)
	if err != nil {
		return err
	}
	if res.Wrong != "" {
		r.say("    cut %d %s (%s): %s", x.Point, x.Variant, res.Where, res.Wrong)
	}
	err = r.bootCut(ctx, c, &res, false)
	r.cuts = append(r.cuts, res)
	return err
}
