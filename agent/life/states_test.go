package life_test

import (
	"fmt"
	"strings"
	"time"

	"github.com/ratchet-ota/ratchet/agent/life"
	"github.com/ratchet-ota/ratchet/agent/reason"
	"github.com/ratchet-ota/ratchet/bootctl"
)

// now is the uptime of every event of TestEveryStep.
const now = 10 * time.Hour

var (
	full  = bootctl.SlotState{Bootable: true, Confirmed: true, Tries: 3}
	armed = bootctl.SlotState{Bootable: true, Tries: 3}
	tried = bootctl.SlotState{Bootable: true, Tries: 2}
	off   = bootctl.SlotState{}
	used  = bootctl.SlotState{Exhausted: true}
)

func metadata(a, b bootctl.SlotState, next bootctl.Slot) bootctl.State {
	return bootctl.State{Slots: map[bootctl.Slot]bootctl.SlotState{"A": a, "B": b}, Next: next,
		Caps: bootctl.Caps{MaxTries: 9}}
}

// usual is a device in the middle of an update of slot B, or with one that waits.
func usual(p life.Phase) life.State {
	s := life.State{Dev: dev}
	s.Have, s.BootID, s.Run = true, "boot1", "A"
	s.TendAt, s.Known, s.Counter = now+2*time.Hour, true, "tpm"
	s.Floors = life.Floors{{Component: "rootfs", Sequence: 1, Digest: "sha256:1111"}}
	s.Slots[0] = life.Content{Manifest: "sha256:1111", Sequence: 1, Version: "1", Images: oldImages, Confirmed: true}
	s.Waiting = life.Waiting{Envelope: []byte("envelope"), Digest: offered, Sequence: 2, Reason: reason.LowBattery,
		Said: "19 %", Rules: "low-battery",
		Budget: life.Budget{Digest: offered, Failures: 1, Costly: 1, Reverts: 1}}
	s.Rec = life.Record{Phase: life.Idle, Ext: life.Ext{Cause: reason.Expired}}
	if p == life.Idle {
		return s
	}
	s.Rec = life.Record{Phase: p, Target: "B", Digest: offered, Ext: life.Ext{BootID: "boot1", Sequence: 2,
		Images: images, Version: "2"}}
	s.Budget = life.Budget{Digest: offered, Failures: 1, Costly: 1, Reverts: 1}
	switch p {
	case life.Ready, life.Arming:
		s.Held, s.CheckedAt = true, now-time.Minute
	case life.Rebooting, life.Trial, life.Confirming, life.Sealing, life.Reverting:
		s.Rec.Ext.Tries, s.Budget.Arms = 3, 1
	}
	switch p {
	case life.Arming:
		s.Budget.Arms = 1
	case life.Trial, life.Confirming, life.Sealing, life.Reverting:
		s.Run, s.Budget.Boots, s.Rec.Ext.Began = "B", 1, now-time.Minute
		s.Tally = life.Tally{Key: offered, Boots: 1}
	}
	if p == life.Reverting {
		s.Rec.Ext.Cause = reason.HealthFailed
	}
	s.Rec.Boots = s.Budget.Boots
	return s
}

var oldImages = []life.SlotImage{{Component: "rootfs", Alg: -16, Digest: []byte("image 1"), Size: 1}}

// otherwise is one thing that is not as usual.
type otherwise struct {
	name string
	set  func(*life.State)
}

type otherwises []otherwise

func (o otherwises) String() string {
	names := []string{"as usual"}
	for i, x := range o {
		names = append(names[:i], x.name)
	}
	return strings.Join(names, ", ")
}

// others are everything that a step may depend on.
var others = func() []otherwise {
	out := []otherwise{
		{"no record yet", func(s *life.State) { s.Have = false }},
		{"another version's record", func(s *life.State) { s.Frozen = true }},
		{"a technician's install", func(s *life.State) { s.Rec.Ext.Local = true }},
		{"an operator goes back", func(s *life.State) { s.Rec.Ext.Revert = true }},
		{"an operator goes back to the factory's system", func(s *life.State) {
			s.Rec.Digest, s.Budget.Digest = "", ""
			s.Rec.Ext.Revert, s.Rec.Ext.Images, s.Rec.Ext.Version, s.Rec.Ext.Sequence = true, nil, "", 0
		}},
		{"synthetic", func(s *life.State) {
			s.Rec.Digest, s.Budget.Digest = "", ""
			s.Rec.Ext.Synthetic, s.Rec.Ext.Images, s.Rec.Ext.Version, s.Rec.Ext.Sequence = true, nil, "", 0
		}},
		{"an extension was lost", func(s *life.State) { s.Rec.Ext = life.Ext{} }},
		{"another boot", func(s *life.State) { s.BootID = "boot2" }},
		{"no boot ID", func(s *life.State) { s.BootID, s.Rec.Ext.BootID = "", "" }},
		{"one try was armed", func(s *life.State) { s.Rec.Ext.Tries = 1 }},
		{"the loader counts as the record says", func(s *life.State) { s.Rec.Ext.Tries = 2 }},
		{"disable pending", func(s *life.State) { s.Rec.Ext.Pending = reason.DisablePending }},
		{"floor pending", func(s *life.State) { s.Rec.Ext.Pending = reason.FloorPending }},
		{"floor pending without a counter", func(s *life.State) {
			s.Rec.Ext.Pending, s.Dev.Counter = reason.FloorPending, false
		}},
		{"no trial boots", func(s *life.State) { s.Budget.Boots, s.Rec.Boots, s.Tally = 0, 0, life.Tally{} }},
		{"one trial boot is left", func(s *life.State) { s.Budget.Boots, s.Rec.Boots, s.Tally.Boots = 3, 3, 3 }},
		{"no trial boot is left", func(s *life.State) { s.Budget.Boots, s.Rec.Boots, s.Tally.Boots = 4, 4, 4 }},
		{"the quarantine file counted a boot more", func(s *life.State) {
			s.Tally = life.Tally{Key: s.Rec.Digest, Boots: s.Budget.Boots + 1}
		}},
		{"the quarantine file counted another trial", func(s *life.State) {
			s.Tally = life.Tally{Key: "sha256:7777", Boots: 2}
		}},
		{"the quarantine file counted a synthetic trial", func(s *life.State) {
			s.Tally = life.Tally{Key: "synthetic:B", Boots: 2}
		}},
		{"the quarantine file counted a synthetic trial of A",
			func(s *life.State) { s.Tally = life.Tally{Key: "synthetic:A", Boots: 3} }},
		{"the quarantine file is behind", func(s *life.State) { s.Tally.Dirty = true }},
		{"written from zero once", func(s *life.State) { s.Budget.Rewrites = 1 }},
		{"armed three times", func(s *life.State) { s.Budget.Arms = 3 }},
		{"armed four times", func(s *life.State) { s.Budget.Arms = 4 }},
		{"never tried once", func(s *life.State) { s.Budget.Untried = 1 }},
		{"two reboots", func(s *life.State) { s.Budget.Reboots = 2 }},
		{"three reboots", func(s *life.State) { s.Budget.Reboots = 3 }},
		{"six reboots", func(s *life.State) { s.Budget.Reboots = 6 }},
		{"seven reboots", func(s *life.State) { s.Budget.Reboots = 7 }},
		{"one costly failure is left", func(s *life.State) { s.Budget.Costly, s.Waiting.Budget.Costly = 2, 2 }},
		{"no costly failure is left", func(s *life.State) { s.Budget.Costly, s.Waiting.Budget.Costly = 3, 3 }},
		{"one attempt is left", func(s *life.State) { s.Budget.Reverts, s.Waiting.Budget.Reverts = 2, 2 }},
		{"no attempt is left", func(s *life.State) { s.Budget.Reverts, s.Waiting.Budget.Reverts = 3, 3 }},
		{"it fell back before", func(s *life.State) { s.Budget.Fell, s.Waiting.Budget.Fell = 1, 1 }},
		{"it never failed", func(s *life.State) {
			s.Budget.Failures, s.Waiting.Budget = 0, life.Budget{Digest: offered}
		}},
		{"it failed four times", func(s *life.State) { s.Budget.Failures, s.Waiting.Budget.Failures = 4, 4 }},
		{"it failed often", func(s *life.State) { s.Budget.Failures, s.Waiting.Budget.Failures = 70, 70 }},
		{"it failed often, and may wait long", func(s *life.State) {
			s.Budget.Failures, s.Waiting.Budget.Failures, s.Dev.RetryMax = 70, 70, 1000*time.Hour
		}},
		{"it waits for the broker", func(s *life.State) {
			s.Budget.Broker, s.Waiting.Budget.Broker, s.RetryAt = true, true, now
		}},
		{"nothing waits", func(s *life.State) { s.Waiting = life.Waiting{} }},
		{"another offer waits", func(s *life.State) {
			s.Waiting.Digest, s.Waiting.Budget.Digest = "sha256:5555", "sha256:5555"
		}},
		{"another offer waits that never failed", func(s *life.State) {
			s.Waiting.Digest, s.Waiting.Budget = "sha256:5555", life.Budget{Digest: "sha256:5555"}
		}},
		{"it waits for other rules", func(s *life.State) {
			s.Waiting.Rules, s.Rules = "outside-window", "outside-window"
		}},
		{"it waits with the same words", func(s *life.State) { s.Waiting.Said, s.Rules = "said", "low-battery" }},
		{"written in vain", func(s *life.State) { s.Wear, s.WearAt = 5000, now }},
		{"written in vain too often", func(s *life.State) { s.Wear, s.WearAt = 5001, now }},
		{"written in vain long ago", func(s *life.State) { s.Wear = 9000 }},
		{"in the slot already", func(s *life.State) {
			s.Wear, s.WearAt, s.Waiting.Budget.Whole, s.Budget.Whole = 9000, now, true, true
		}},
		{"permitted", func(s *life.State) { s.Permitted = offered }},
		{"another one is permitted", func(s *life.State) { s.Permitted = "sha256:5555" }},
		{"an offer was refused", func(s *life.State) { s.Noted = reason.SignerUnknown }},
		{"another counter", func(s *life.State) { s.Counter, s.Known = "rpmb", false }},
		{"a first look at the counter", func(s *life.State) { s.Counter, s.Known = "", false }},
		{"no counter", func(s *life.State) { s.Dev.Counter, s.Known = false, false }},
		{"no network", func(s *life.State) { s.Dev.Inbox = false }},
		{"no version", func(s *life.State) { s.Rec.Ext.Version = "" }},
		{"a short back-off", func(s *life.State) { s.Dev.RetryMax = 10 * time.Second }},
		{"the offer is on record", func(s *life.State) { s.Seen = [][]byte{[]byte("0123456789abcdef")} }},
		{"another offer is on record", func(s *life.State) { s.Seen = [][]byte{[]byte("fedcba9876543210")} }},
		{"many offers are on record", func(s *life.State) {
			for i := range 64 {
				s.Seen = append(s.Seen, fmt.Appendf(nil, "offer %d", i))
			}
		}},
		{"the slot's content is known", func(s *life.State) {
			s.Slots[1] = life.Content{Manifest: "sha256:0000", Sequence: 1, Version: "0", Images: images,
				Confirmed: true}
		}},
		{"the slot's content was never confirmed",
			func(s *life.State) { s.Slots[1] = life.Content{Manifest: "sha256:0000", Images: images} }},
		{"the slot's content is confirmed and without images",
			func(s *life.State) { s.Slots[1] = life.Content{Confirmed: true} }},
		{"the slot's content is known by its version", func(s *life.State) { s.Slots[1] = life.Content{Version: "0"} }},
		{"the slot's content is known by its sequence", func(s *life.State) { s.Slots[1] = life.Content{Sequence: 1} }},
		{"the slot's content is known by its images",
			func(s *life.State) { s.Slots[1] = life.Content{Images: images} }},
		{"the slot has the content already", func(s *life.State) {
			s.Slots[1] = life.Content{Manifest: offered, Sequence: 2, Version: "2", Images: images, Confirmed: true}
		}},
		{"the floor is the same", func(s *life.State) { s.Floors = rootfs(2) }},
		{"the floor is higher", func(s *life.State) { s.Floors = rootfs(3) }},
		{"A runs", func(s *life.State) { s.Run = "A" }},
		{"B runs", func(s *life.State) { s.Run = "B" }},
		{"it is not known what runs", func(s *life.State) { s.Run = "" }},
		{"boot-safe mode", func(s *life.State) { s.Safe = []string{"line 3: unknown key"} }},
		{"boot-safe mode just started", func(s *life.State) {
			s.Safe, s.Starting, s.Found = []string{"line 3: unknown key"}, true,
				life.Started{Run: s.Run, Boot: metadata(full, tried, "A"), BootOK: true}
		}},
		{"it holds", func(s *life.State) { s.Hold = reason.RunningUnproven }},
		{"it holds, and starts again later", func(s *life.State) {
			s.Hold, s.Retake, s.RetakeAt = reason.JournalUnwritable, true, now+time.Minute
		}},
		{"it holds, and starts again now", func(s *life.State) {
			s.Hold, s.Retake, s.RetakeAt = reason.JournalUnwritable, true, now
		}},
		{"stuck in this boot", func(s *life.State) { s.Stayed = true }},
		{"idle looks after the metadata", func(s *life.State) { s.Tending = true }},
		{"idle looks for the first time", func(s *life.State) { s.Tending, s.First = true, true }},
		{"idle looks at invalid metadata", func(s *life.State) { s.Tending, s.Invalid = true, true }},
		{"the trial cannot be made durable", func(s *life.State) { s.Bail, s.BailWhy = true, "disk full" }},
		{"it is time to look", func(s *life.State) { s.TendAt = now }},
		{"it is time for the first look", func(s *life.State) { s.TendAt = 0 }},
		{"it will soon be time to decide", func(s *life.State) { s.RetryAt = now + time.Minute }},
		{"it is time to decide", func(s *life.State) { s.RetryAt = now }},
		{"it was time to decide", func(s *life.State) { s.RetryAt = now - time.Minute }},
		{"it failed before, and it will soon be time", func(s *life.State) {
			s.RetryAt, s.Waiting.Budget.Failures = now+time.Minute, 3
		}},
		{"one look failed", func(s *life.State) { s.Lapses = 1 }},
		{"many looks failed", func(s *life.State) { s.Lapses = 70 }},
		{"one commit failed", func(s *life.State) { s.Failed = 1 }},
		{"many commits failed", func(s *life.State) { s.Failed = 70 }},
		{"many commits failed, and it may wait long", func(s *life.State) {
			s.Failed, s.Dev.RetryMax = 70,
				1000*time.Hour
		}},
		{"one try failed", func(s *life.State) { s.Tried = 1 }},
		{"two tries failed", func(s *life.State) { s.Tried = 2 }},
		{"the target is not held", func(s *life.State) { s.Held = false }},
		{"the target was checked an hour ago", func(s *life.State) { s.CheckedAt = now - time.Hour }},
		{"the target was checked long ago", func(s *life.State) { s.CheckedAt = now - time.Hour - 1 }},
		{"as many bad offers as are on record", func(s *life.State) {
			for i := range 20 {
				s.Garbage.Times = append(s.Garbage.Times, now-time.Duration(i)*time.Minute)
			}
		}},
		{"bad offers an hour ago", func(s *life.State) {
			for range 19 {
				s.Garbage.Times = append(s.Garbage.Times, now-time.Minute)
			}
			s.Garbage.Times, s.Garbage.Dropped = append(s.Garbage.Times, now-time.Hour), 7
		}},
	}
	for _, why := range []reason.Reason{reason.None, reason.OperatorRevert, reason.OperatorConfirm, reason.FellBack,
		reason.TrialBootsExhausted, reason.NeverTried, reason.ConfirmedExternally} {
		out = append(out, otherwise{"the cause is " + string(why), func(s *life.State) { s.Rec.Ext.Cause = why }})
	}
	for _, f := range []struct {
		name string
		run  bootctl.Slot
		boot bootctl.State
		ok   bool
	}{
		{"A runs, B is off", "A", metadata(full, off, "A"), true},
		{"A runs, B is armed", "A", metadata(full, armed, "B"), true},
		{"A runs, B was tried", "A", metadata(full, tried, "B"), true},
		{"A runs, B is used up", "A", metadata(full, used, "A"), true},
		{"A runs, B is confirmed", "A", metadata(full, full, "B"), true},
		{"A runs unconfirmed", "A", metadata(armed, full, "A"), true},
		{"A runs, no metadata", "A", bootctl.State{}, false},
		{"B runs on trial", "B", metadata(full, tried, "B"), true},
		{"B runs, confirmed", "B", metadata(full, full, "B"), true},
		{"B runs, no metadata", "B", bootctl.State{}, false},
		{"nothing proven", "", metadata(full, tried, "B"), true},
	} {
		set := func(s *life.State) {
			s.Starting, s.Run, s.Found = true, f.run, life.Started{Run: f.run, Boot: f.boot, BootOK: f.ok}
		}
		out = append(out, otherwise{"just started: " + f.name, set},
			otherwise{"just started in another boot: " + f.name, func(s *life.State) { set(s); s.BootID = "boot2" }},
			otherwise{"just started without a record: " + f.name, func(s *life.State) {
				set(s)
				s.Have, s.Rec = false, life.Record{Phase: life.Idle}
			}})
	}
	return append(out, otherwise{"just started without a journal: A runs unconfirmed", func(s *life.State) {
		s.Have, s.Rec, s.Starting, s.Found = false, life.Record{Phase: life.Idle}, true,
			life.Started{Run: "A", Boot: metadata(armed, full, "A"), BootOK: true, Lost: reason.JournalLost}
	}})
}()

func rootfs(floor uint64) life.Floors {
	return life.Floors{{Component: "rootfs", Sequence: floor, Digest: "sha256:1111"}}
}
