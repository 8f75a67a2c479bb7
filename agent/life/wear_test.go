package life_test

import (
	"testing"
	"time"

	"github.com/ratchet-ota/ratchet/agent/life"
	"github.com/ratchet-ota/ratchet/agent/reason"
)

// TestWritesInVainAreCounted: what goes into the slot counts as a part of the image, rounded up, whether the write
// succeeded or not; what was there before does not, and a person's install neither. A confirmed update takes it back.
func TestWritesInVainAreCounted(t *testing.T) {
	images := []life.SlotImage{{Component: "rootfs", Size: 1999}, {Component: "boot", Size: 1}}
	half := func(c life.Class) life.Done {
		return life.Done{Moment: moment, Do: life.Write{}, Class: c, Written: 1000, Resumed: 1}
	}
	for _, c := range []life.Class{life.OK, life.IO, life.Mismatch, life.Medium, life.Unusable} {
		s := usual(life.Writing)
		s.Wear, s.WearAt, s.Rec.Ext.Images = 7, now, images
		if next, _ := life.Step(s, half(c)); next.Wear != 507 {
			t.Errorf("class %d: half an image written, %d thousandths counted", c, next.Wear-7)
		}
		s.Rec.Ext.Local = true
		if next, _ := life.Step(s, half(c)); next.Wear != 7 {
			t.Errorf("class %d: of a person's install %d are counted", c, next.Wear-7)
		}
	}
	s := usual(life.Confirming)
	s.Wear = 4000
	if next, eff := life.Step(s, life.Done{Moment: moment, Do: life.Confirm{Slot: "B"},
		Boot: metadata(full, full, "B"), BootOK: true}); next.Wear != 0 {
		t.Errorf("after a confirmed update: %d, %+v", next.Wear, eff.Commit.Ops)
	}
}

// TestWearIsBounded: six images in vain are borne in a row, and one more for each day of uptime. Until then an offer
// waits for that alone, except one that is in the slot already, and one that a person brings.
func TestWearIsBounded(t *testing.T) {
	decided := life.Decided{Moment: moment, Ask: life.Ask{Offer: true}, Ruling: ruling()}
	for _, c := range []struct {
		name  string
		set   func(*life.State, *life.Ruling)
		waits time.Duration
	}{
		{"five", func(s *life.State, _ *life.Ruling) { s.Wear = 5000 }, 0},
		{"a little more", func(s *life.State, _ *life.Ruling) { s.Wear = 5001 }, 24 * time.Hour / 1000},
		{"six", func(s *life.State, _ *life.Ruling) { s.Wear = 6000 }, time.Hour},
		{"six, a day ago", func(s *life.State, _ *life.Ruling) { s.Wear, s.WearAt = 6000, now-24*time.Hour }, 0},
		{"six, nearly a day ago", func(s *life.State, _ *life.Ruling) {
			s.Wear, s.WearAt = 6000, now-24*time.Hour+2*time.Minute
		}, 24 * time.Hour * 2 / 1000},
		{"six, and it is in the slot", func(s *life.State, _ *life.Ruling) {
			s.Wear, s.Waiting.Budget.Whole = 6000, true
		}, 0},
		{"six, and another one is", func(s *life.State, _ *life.Ruling) {
			s.Wear, s.Waiting.Budget.Whole, s.Waiting.Digest = 6000, true, "sha256:5555"
		}, time.Hour},
		{"six, at the console", func(s *life.State, r *life.Ruling) { s.Wear, r.Console = 6000, true }, 0},
	} {
		s, d := usual(life.Idle), decided
		s.WearAt = now
		c.set(&s, &d.Ruling)
		next, _ := life.Step(s, d)
		waits := time.Duration(0)
		if next.Waiting.Reason == reason.WriteLimit {
			waits = next.RetryAt - now
		}
		if waits != c.waits {
			t.Errorf("%s: waits %v, want %v", c.name, waits, c.waits)
		}
	}
	s := usual(life.Writing)
	s.Wear, s.WearAt = 6000, now
	mismatch := life.Done{Moment: moment, Do: life.Write{}, Class: life.Mismatch}
	if next, _ := life.Step(s, mismatch); next.Rec.Phase != life.Idle {
		t.Error("it begins again from zero although the slot is worn enough")
	}
}

// TestWearIsTakenBack: the uptime takes back what was written in vain, durably with each look after the metadata, and
// a restart of the daemon does not count the uptime twice.
func TestWearIsTakenBack(t *testing.T) {
	s := usual(life.Idle)
	s.Wear, s.WearAt, s.TendAt = 3000, now-12*time.Hour, now
	next, _ := life.Step(s, life.Begun{Moment: moment})
	if next.Wear != 2500 || next.WearAt != now {
		t.Errorf("after half a day: %d at %v", next.Wear, next.WearAt)
	}
	s.WearAt = now - time.Minute // less than a thousandth: kept for later
	if next, _ := life.Step(s, life.Begun{Moment: moment}); next.Wear != 3000 || next.WearAt != s.WearAt {
		t.Errorf("after a minute: %d at %v", next.Wear, next.WearAt)
	}
	s.Live = life.Live{}
	if next, _ := life.Step(s, life.Started{Moment: moment, Run: "A"}); next.Wear != 3000 || next.WearAt != now {
		t.Errorf("after a restart: %d at %v", next.Wear, next.WearAt)
	}
}
