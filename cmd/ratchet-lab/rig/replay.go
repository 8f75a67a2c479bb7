package rig

import (
	"context"
	"fmt"

	"github.com/ratchet-ota/ratchet/cmd/ratchet-lab/rig/cuts"
	"github.com/ratchet-ota/ratchet/cmd/ratchet-lab/rig/disk"
	"github.com/ratchet-ota/ratchet/cmd/ratchet-lab/rig/look"
)

// command repeats one cut alone.
func (r *rig) command(rec *disk.Recording, x disk.Cut) string {
	s := fmt.Sprintf("ratchet-lab rig cut --dir %s --target %s --seed %d", r.o.Dir, r.target.Name, x.Seed)
	if rec.First != nil {
		return s + fmt.Sprintf(" --update %s --point %d --variant %s --second %d --second-variant %s", rec.Update,
			rec.First.Point, rec.First.Variant, x.Point, x.Variant)
	}
	return s + fmt.Sprintf(" --update %s --point %d --variant %s", rec.Name, x.Point, x.Variant)
}

// wanted finds the recording and the cut that the command line names.
func (r *rig) wanted() (*disk.Recording, disk.Cut, error) {
	all, err := disk.LoadRecordings(r.Dir)
	if err != nil {
		return nil, disk.Cut{}, err
	}
	x := disk.Cut{Point: r.o.Point, Variant: disk.Variant(r.o.Variant), Seed: r.o.Seed}
	for _, rec := range all {
		switch {
		case r.o.Second < 0 && rec.First == nil && rec.Name == r.o.Update:
			return rec, x, nil
		case r.o.Second >= 0 && rec.First != nil && rec.Update == r.o.Update && *rec.First == x:
			return rec, disk.Cut{Point: r.o.Second, Variant: disk.Variant(r.o.SecondVariant), Seed: r.o.Seed}, nil
		}
	}
	return nil, x, fmt.Errorf("in %s no update %q is recorded with that first cut and this seed", r.Dir, r.o.Update)
}

// replay is one cut of a run that is there, and its story.
func (r *rig) replay(ctx context.Context) error {
	rec, x, err := r.wanted()
	if err != nil {
		return err
	}
	if err := r.reopen(); err != nil {
		return err
	}
	c, err := look.Open(r.run(), r.path("check"), rec)
	if err != nil {
		return err
	}
	defer c.Close()
	if x.Point > len(c.Log.Writes) {
		return fmt.Errorf("there is no point %d, the log of %s has %d", x.Point, rec.Name, len(c.Log.Writes))
	}
	found, err := r.lookAll(ctx, rec, []disk.Cut{x})
	if err != nil {
		return err
	}
	v := &cuts.Coverage{Rec: rec, Log: c.Log}
	r.covered = append(r.covered, v)
	v.Cuts = append(v.Cuts, cuts.NewResult(r.target, c.Log, x, found[0]))
	res := &v.Cuts[0]
	r.Chapter(fmt.Sprintf("Recording %s, cut after %d of %d, unflushed writes %s", rec.Name, x.Point, len(c.Log.Writes),
		x.Variant))
	for _, line := range res.Tells() {
		r.Say("    %s", line)
	}
	r.Chapter("The same disk, booted")
	if err := c.Disk.Rebuild(c.Log, x); err != nil {
		return err
	}
	told := r.o.Verbose
	r.o.Verbose = true
	defer func() { r.o.Verbose = told }()
	return r.bootCut(ctx, c, res, true, "")
}
