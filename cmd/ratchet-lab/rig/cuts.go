package rig

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"

	"github.com/ratchet-ota/ratchet/cmd/ratchet-lab/rig/board"
	"github.com/ratchet-ota/ratchet/cmd/ratchet-lab/rig/cuts"
	"github.com/ratchet-ota/ratchet/cmd/ratchet-lab/rig/disk"
)

// cover looks at cuts of a recording: looks of them, 0: all.
func (r *rig) cover(ctx context.Context, rnd *rand.Rand, rec *disk.Recording, looks int) (*cuts.Coverage, error) {
	l, err := disk.OpenLog(r.path(rec.Log), board.DiskSize, rec.Entries)
	if err != nil {
		return nil, err
	}
	defer l.Close()
	v := &cuts.Coverage{Rec: rec, Log: l}
	r.covered = append(r.covered, v)
	list := cuts.Every(l, r.o.Seed)
	if looks > 0 {
		list = cuts.Sample(r.target, rnd, l, list, looks)
	}
	found, err := r.lookAll(ctx, rec, list)
	if err != nil {
		return nil, err
	}
	seen, wrong := map[string]bool{}, 0
	for i, x := range list {
		res := cuts.NewResult(r.target, l, x, found[i])
		res.Equal = seen[res.Sum]
		seen[res.Sum] = true
		if res.Failed() {
			wrong++
			r.Say("    FAIL %s, cut %d %s (%s): %s", rec.Name, x.Point, x.Variant, res.Where, res.Wrong)
			r.Say("         again: %s", r.command(rec, x))
		}
		v.Cuts = append(v.Cuts, res)
	}
	r.Say("    %s: %d cuts of %d writes and %d flushes looked at, %d different disks, %d wrong", rec.Name, len(list),
		len(l.Writes)-l.Flushes(), l.Flushes(), len(seen), wrong)
	return v, nil
}

// playCuts cuts the recorded updates. What was covered before an error counts all the same.
func (r *rig) playCuts(ctx context.Context) (err error) {
	defer func() {
		r.judge()
		err = errors.Join(err, disk.SaveRecordings(r.Dir, r.recordings))
	}()
	rnd := rand.New(rand.NewPCG(uint64(r.o.Seed), 1))
	r.Chapter(fmt.Sprintf("Power cuts, seed %d", r.o.Seed))
	err = r.timed("cuts looked at", func() error {
		for _, rec := range slices.Clone(r.recordings) {
			if _, err := r.cover(ctx, rnd, rec, r.scope().Looks(rec.Name)); err != nil {
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
	for _, s := range cuts.Tallies(r.covered) {
		r.Expect("cuts of "+s.What+" looked at", fmt.Sprintf("%d of %d whole", s.Looked, s.Looked),
			fmt.Sprintf("%d of %d whole", s.Looked-s.Wrong, s.Looked))
		if s.Booted > 0 {
			r.Expect("cuts of "+s.What+" booted", fmt.Sprintf("%d of %d as expected", s.Booted, s.Booted),
				fmt.Sprintf("%d of %d as expected", s.Booted-s.Bad, s.Booted))
			r.Expect("model and bootloader, "+s.What, fmt.Sprintf("%d of %d agree", s.Known, s.Known),
				fmt.Sprintf("%d of %d agree", s.Agreed, s.Known))
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
