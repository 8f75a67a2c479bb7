package life_test

import (
	"slices"
	"testing"

	"github.com/ratchet-ota/ratchet/agent/life"
	"github.com/ratchet-ota/ratchet/agent/reason"
	"github.com/ratchet-ota/ratchet/bootctl"
)

// halved is an update in a phase that writes rootfs and carries app.
func halved(p life.Phase) life.State {
	s := usual(p)
	s.Dev.Parts = []string{"app", "rootfs"}
	s.Rec.Ext.Images = append(slices.Clone(images), carriedApp)
	return s
}

var carriedApp = life.SlotImage{Component: "app", Alg: -16, Digest: []byte("app 1"), Size: 1, Sequence: 1,
	Manifest: "sha256:1111", Carried: true}

// TestComparedBeforeDisabled: what is carried is read back in the running slot before the target is touched. What
// cannot be proven is put back, at no cost to the flash, and what a person began fails.
func TestComparedBeforeDisabled(t *testing.T) {
	s := halved(life.Preparing)
	_, eff := life.Step(s, life.Done{Moment: moment, Do: life.Reach{}})
	if eff.Do != life.Action(life.Compare{}) {
		t.Fatalf("after the sources: %#v", eff.Do)
	}
	if _, eff := life.Step(usual(life.Preparing), life.Done{Moment: moment, Do: life.Reach{}}); eff.Do !=
		life.Action(life.Disable{Slot: "B"}) {
		t.Errorf("with nothing to carry: %#v", eff.Do)
	}
	if _, eff = life.Step(s, life.Done{Moment: moment, Do: life.Compare{}}); eff.Do !=
		life.Action(life.Disable{Slot: "B"}) {
		t.Errorf("where it is equal: %#v", eff.Do)
	}
	next, eff := life.Step(s, life.Done{Moment: moment, Do: life.Compare{}, Class: life.Uncarried, Text: "changed"})
	if next.Rec.Phase != life.Idle || next.Rec.Ext.Cause != reason.SlotIncomplete || next.Waiting.Digest != offered ||
		next.Waiting.Budget.Costly != s.Budget.Costly || next.RetryAt == 0 {
		t.Errorf("where it is not: %s for %s, waits %+v", next.Rec.Phase, next.Rec.Ext.Cause, next.Waiting)
	}
	s.Rec.Ext.Local = true
	next, _ = life.Step(s, life.Done{Moment: moment, Do: life.Compare{}, Class: life.Uncarried})
	if next.Rec.Phase != life.Idle || next.Waiting.Digest == offered && next.Waiting.Reason == reason.SlotIncomplete {
		t.Errorf("a technician's: %s, waits %+v", next.Rec.Phase, next.Waiting)
	}
}

// TestPartialRecord: a record that lacks a part of the slot is never armed. It is made whole, and prepared again.
func TestPartialRecord(t *testing.T) {
	for _, p := range []life.Phase{life.Preparing, life.Writing, life.Ready} {
		ask := life.Ask{Stage: life.Download}
		if p == life.Ready {
			ask.Stage = life.Arm
		}
		r := ruling()
		r.Images = halved(p).Rec.Ext.Images
		for name, lacks := range map[string][]life.SlotImage{
			"app": images, "rootfs": {carriedApp}, "all": nil,
			"the right app": {images[0], {Component: "app", Alg: -16, Digest: []byte("app 0"), Size: 1}},
		} {
			s := halved(p)
			s.Rec.Ext.Images = lacks
			s.Held, s.CheckedAt = p == life.Ready, now
			next, eff := life.Step(s, life.Decided{Moment: moment, Ask: ask, Ruling: r})
			if next.Rec.Phase != life.Preparing || len(next.Rec.Ext.Images) != 2 || eff.Commit.Record == nil ||
				next.Held || eff.Do != life.Action(life.Begin{}) {
				t.Errorf("%s without %s: %s with %d images, then %#v", p, name, next.Rec.Phase,
					len(next.Rec.Ext.Images), eff.Do)
			}
		}
		s := halved(p)
		s.Held, s.CheckedAt = p == life.Ready, now
		if next, _ := life.Step(s, life.Decided{Moment: moment, Ask: ask, Ruling: r}); p != life.Preparing &&
			next.Rec.Phase == life.Preparing {
			t.Errorf("%s with a whole record is prepared again", p)
		}
	}
}

// TestCarriedIsNotNamed: what was carried keeps the number that it came with, and is never to blame.
func TestCarriedIsNotNamed(t *testing.T) {
	s := halved(life.Confirming)
	s.Run, s.Floors = "B", life.Floors{{Component: "app", Sequence: 1}, {Component: "rootfs", Sequence: 1}}
	next, eff := life.Step(s, life.Done{Moment: moment, Do: life.Confirm{Slot: "B"}, Boot: metadata(full, full, "B"),
		BootOK: true})
	if next.Floors.Of("rootfs").Sequence != 2 || next.Floors.Of("app").Sequence != 1 {
		t.Errorf("the floors are %v", next.Floors)
	}
	for _, op := range eff.Commit.Ops {
		if b, ok := op.(life.Bind); ok && !slices.Equal(b.Components, []string{"rootfs"}) {
			t.Errorf("the number is bound for %v", b.Components)
		}
	}
	if c := next.Slots[1]; len(c.Images) != 2 || c.Images[1].Sequence != 1 || c.Images[1].Manifest != "sha256:1111" {
		t.Errorf("the slot is recorded as %+v", c)
	}
	s = halved(life.Reverting)
	s.Run, s.Rec.Ext.Cause = "B", reason.HealthFailed
	_, eff = life.Step(s, life.Done{Moment: moment, Do: life.Look{}, Boot: metadata(full, tried, "B"), BootOK: true})
	for _, q := range eff.Commit.Quar {
		if b, ok := q.(life.Bar); ok && !slices.Equal(b.Images, []string{images[0].Text()}) {
			t.Errorf("quarantined are %v", b.Images)
		}
	}
	if len(eff.Commit.Quar) == 0 {
		t.Error("nothing is quarantined")
	}
}

// TestNoWayBackToHalfASlot: a slot is gone back to where each part is on record, or none is.
func TestNoWayBackToHalfASlot(t *testing.T) {
	for _, c := range []struct {
		name   string
		images []life.SlotImage
		want   reason.Reason
	}{
		{"all", []life.SlotImage{images[0], carriedApp}, ""},
		{"no app", images, reason.SlotIncomplete},
		{"no rootfs", []life.SlotImage{carriedApp}, reason.SlotIncomplete},
		{"the factory's", nil, ""},
	} {
		s := usual(life.Idle)
		s.Dev.Parts = []string{"app", "rootfs"}
		s.Slots[1] = life.Content{Manifest: "sha256:0000", Sequence: 1, Images: c.images, Confirmed: true}
		_, eff := life.Step(s, life.Asked{Moment: moment, Verb: life.VerbRevert,
			Boot: metadata(full, full, bootctl.Slot("A")), BootOK: true})
		if a := eff.Tell.Answer; a == nil || a.Refused != c.want {
			t.Errorf("%s: %+v, want %q", c.name, a, c.want)
		}
	}
}

// TestThereAlready: what the target was on record to hold, and confirmed, need not be copied. What this update has
// written itself does not count, however it reads.
func TestThereAlready(t *testing.T) {
	held := []life.SlotImage{{Component: "app", Alg: -16, Digest: []byte("app 1"), Size: 1}, images[0]}
	other := []life.SlotImage{{Component: "app", Alg: -16, Digest: []byte("app 0"), Size: 1}, images[0]}
	for _, c := range []struct {
		name    string
		content life.Content
		want    bool
	}{
		{"on record", life.Content{Images: held, Confirmed: true}, true},
		{"never confirmed", life.Content{Images: held}, false},
		{"another one", life.Content{Images: other, Confirmed: true}, false},
		{"nothing on record", life.Content{}, false},
	} {
		s := usual(life.Idle)
		s.Slots[1] = c.content
		r := ruling()
		r.Images = append(slices.Clone(images), carriedApp)
		next, _ := life.Step(s, life.Taken{Moment: moment, Ruling: r})
		if got := next.Rec.Ext.Images; len(got) != 2 || got[0].There || got[1].There != c.want || r.Images[1].There {
			t.Errorf("%s: %+v", c.name, got)
		}
	}
	s := halved(life.Writing)
	s.Rec.Ext.Images[1].There = true
	next, _ := life.Step(s, life.Done{Moment: moment, Do: life.Write{}, Class: life.Mismatch})
	if next.Rec.Phase != life.Writing || next.Rec.Ext.Images[1].There {
		t.Errorf("once more from zero: %s, %+v", next.Rec.Phase, next.Rec.Ext.Images)
	}
}
