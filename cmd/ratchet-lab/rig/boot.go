package rig

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/ratchet-ota/ratchet/cmd/ratchet-lab/rig/cuts"
	"github.com/ratchet-ota/ratchet/cmd/ratchet-lab/rig/disk"
	"github.com/ratchet-ota/ratchet/cmd/ratchet-lab/rig/look"
	"github.com/ratchet-ota/ratchet/cmd/ratchet-lab/stage"
	"github.com/ratchet-ota/ratchet/transport/wire"
)

// run is what those who look at the disks are told.
func (r *rig) run() look.Run {
	return look.Run{Board: r.target.Name, Root: r.Dir, Device: stage.DeviceName}
}

// scope is how much of the cuts is played.
func (r *rig) scope() cuts.Scope {
	return cuts.Scope{Smoke: r.o.Mode == "smoke", Every: r.o.Every, SmokeBoots: r.target.SmokeBoots}
}

// lookAll looks at the disks of the cuts.
func (r *rig) lookAll(ctx context.Context, rec *disk.Recording, cuts []disk.Cut) ([]look.Finding, error) {
	return look.All(ctx, r.run(), rec, cuts, runtime.NumCPU()/r.o.Together)
}

// bootUpdate boots cuts of an update's recording, and cuts the power again while some of them recover.
func (r *rig) bootUpdate(ctx context.Context, rnd *rand.Rand, v *cuts.Coverage) error {
	plan := v.Plan(rnd, r.scope())
	c, err := look.Open(r.run(), r.path("check"), v.Rec)
	if err != nil {
		return err
	}
	defer c.Close()
	for _, k := range plan.List {
		res := &v.Cuts[k]
		if err := c.Disk.Rebuild(c.Log, res.Cut); err != nil {
			return err
		}
		if plan.Again[k] {
			err = r.cutAgain(ctx, rnd, c, res, plan)
		} else {
			err = r.bootCut(ctx, c, res, plan.Finish[k], "")
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// cutAgain boots the disk of c with every write recorded, cuts that recovery, looks at what is left, and
// boots some of it.
func (r *rig) cutAgain(ctx context.Context, rnd *rand.Rand, c *look.Checker, res *cuts.Result, plan cuts.Plan) error {
	rec := c.Rec.Recovery(res.Cut)
	if err := errors.Join(os.MkdirAll(r.path("again"), 0o755), c.Disk.Save(r.path(rec.Base))); err != nil {
		return err
	}
	if err := r.bootCut(ctx, c, res, true, r.path(rec.Log)); err != nil {
		return err
	}
	r.recordings = append(r.recordings, rec)
	v, err := r.cover(ctx, rnd, rec, plan.Looks)
	if err != nil {
		return err
	}
	again, err := look.Open(r.run(), r.path("check-again"), rec)
	if err != nil {
		return err
	}
	defer again.Close()
	for _, k := range cuts.Some(rnd, v.Different(nil), plan.Boots) {
		if err := again.Disk.Rebuild(again.Log, v.Cuts[k].Cut); err != nil {
			return err
		}
		if err := r.bootCut(ctx, again, &v.Cuts[k], true, ""); err != nil {
			return err
		}
	}
	return nil
}

// bootCut boots the disk of c with the real bootloader: until the agent has told what runs, or with
// finish until the device has put itself right. log, where given, takes every write.
func (r *rig) bootCut(ctx context.Context, c *look.Checker, res *cuts.Result, finish bool, log string) error {
	began := time.Now()
	res.Booted = true
	err := r.recover(ctx, c, res, finish, log)
	res.Took = time.Since(began)
	if err != nil {
		res.Bad = err.Error()
	} else if same, known := res.Agrees(); known && !same {
		res.Bad = fmt.Sprintf("the bootloader started slot %s, its model %s", res.Loaded[0], res.Loads)
	}
	mark, ended := "ok  ", "slot "+strings.Join(res.Loaded, ", ")+" started"
	if res.Bad != "" {
		mark, ended = "FAIL", res.Bad
	} else if finish {
		ended = res.Ended
	}
	r.Say("    %s %s, cut %d %s (%s): %s, %d boots, %.1f s", mark, c.Rec.Name, res.Point, res.Variant, res.Where, ended,
		len(res.Loaded), res.Took.Seconds())
	if res.Bad != "" {
		r.Say("         again: %s", r.command(c.Rec, res.Cut))
	}
	return ctx.Err()
}

// recover boots the disk of c.
func (r *rig) recover(ctx context.Context, c *look.Checker, res *cuts.Result, finish bool, log string) error {
	offer, err := os.ReadFile(r.path(c.Rec.Offer))
	if err != nil {
		return err
	}
	if err := r.Net.Inject(wire.ChannelTopic("stable"), offer); err != nil {
		return err
	}
	disk := r.path("cut.img")
	if err := c.Disk.Save(disk); err != nil {
		return err
	}
	r.Net.Forget()
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
			return r.resting() && r.field("confirmed") == "true" && c.Rec.Ends(e, r.target.Tries) &&
				(res.Offered.Ended == "" || res.Offered.Ended == e)
		}
	}
	err = r.until(ctx, within, what, done)
	res.Story = append(res.Story, r.said...)
	res.Loaded = started(r.said)
	if err == nil && slices.ContainsFunc(r.said,
		func(l string) bool { return strings.HasPrefix(l, "rig: the agent does not answer") }) {
		err = errors.New("the agent hung; what it waited for stands in cut.console")
	}
	if err != nil {
		return err
	}
	if finish {
		all := r.chain(ctx)
		res.Ended = r.ends() + "; " + all
		if all != cuts.AllThere {
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
func (r *rig) readable(ctx context.Context, path string) error {
	d, err := disk.Open(path)
	if err != nil {
		return err
	}
	dir := r.path("left")
	defer os.RemoveAll(dir)
	defer d.Close()
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	s, err := r.target.Metadata(ctx, r.target.Access(d, dir))
	if err == nil && s.Next == "" {
		err = errors.New("the bootloader has no slot to boot")
	}
	if err != nil {
		return fmt.Errorf("after that boot: %w", err)
	}
	return nil
}
