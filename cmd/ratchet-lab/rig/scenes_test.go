package rig

import (
	"testing"

	"github.com/ratchet-ota/ratchet/cmd/ratchet-lab/rig/board"
	"github.com/ratchet-ota/ratchet/cmd/ratchet-lab/rig/disk"
	"github.com/ratchet-ota/ratchet/cmd/ratchet-lab/stage"
)

// TestScenes: every board has scenes. One that stands for a matter has its own only, another begins with the healthy
// update and ends with the power cuts, where its log tells what they leave; words leave scenes out, and never the
// first.
func TestScenes(t *testing.T) {
	for _, k := range board.Kinds() {
		r := &rig{o: &Options{Mode: "all"}, target: k}
		all := r.scenes()
		switch {
		case len(all) == 0:
			t.Fatalf("%s plays nothing", k.Name)
		case k.Matter:
			if len(all) != len(r.ownScenes()) || all[0].what == "healthy update" {
				t.Errorf("%s plays %d scenes, %d are its own", k.Name, len(all), len(r.ownScenes()))
			}
			continue
		case all[0].what != "healthy update" || (all[len(all)-1].what == "power cuts") == k.Uncut:
			t.Errorf("%s begins with %q and ends with %q", k.Name, all[0].what, all[len(all)-1].what)
		}
		r.o.Scene = "panic,broker"
		if few := r.scenes(); len(few) != 3 || few[0].what != "healthy update" || few[1].what != "kernel panic" ||
			few[2].what != "broker not reached" {
			t.Errorf("%s: %v", k.Name, few)
		}
		r.o = &Options{Mode: "smoke"}
		if smoke := r.scenes(); len(smoke) >= len(all) {
			t.Errorf("%s: a smoke test of %d scenes of %d", k.Name, len(smoke), len(all))
		}
	}
}

// TestWanted: the recording and the cut that the options name, the recovery by the cut that it recovers from.
func TestWanted(t *testing.T) {
	o := &Options{Update: "healthy", Point: 7, Variant: "torn", Seed: 3, Second: -1, SecondVariant: "lost"}
	r := &rig{Stage: &stage.Stage{Dir: t.TempDir()}, o: o}
	healthy, first := disk.Healthy(), disk.Cut{Point: 7, Variant: disk.Torn, Seed: 3}
	if err := disk.SaveRecordings(r.Dir, []*disk.Recording{healthy, healthy.Recovery(first)}); err != nil {
		t.Fatal(err)
	}
	if rec, x, err := r.wanted(); err != nil || rec.Name != "healthy" || x != first {
		t.Errorf("%+v, %+v, %v", rec, x, err)
	}
	o.Second = 9
	if rec, x, err := r.wanted(); err != nil || rec.Name != "healthy-7-torn" ||
		x != (disk.Cut{Point: 9, Variant: disk.Lost, Seed: 3}) {
		t.Errorf("%+v, %+v, %v", rec, x, err)
	}
	for _, change := range []func(*Options){func(o *Options) { o.Seed = 4 }, func(o *Options) { o.Point = 8 },
		func(o *Options) { o.Update = "sick" }} {
		other := *o
		change(&other)
		if rec, _, err := (&rig{Stage: r.Stage, o: &other}).wanted(); err == nil {
			t.Errorf("%+v finds %s", other, rec.Name)
		}
	}
}
