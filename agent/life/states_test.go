package life_test

import (
	"fmt"
	"strings"
	"time"

	"github.com/ratchet-ota/ratchet/agent/evidence"
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
	s.Floor = life.Floor{Sequence: 1, Digest: "sha256:1111"}
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
		{"judged", func(s *life.State) {
			s.Judge = life.Judge{Digest: offered, Images: []string{"sha256:99"}, Cause: reason.HealthFailed}
		}},
		{"judged, and the start was long ago", func(s *life.State) {
			s.Judge, s.Dev.Deadline = life.Judge{Digest: offered, Images: []string{"sha256:99"},
				Cause: reason.HealthTimeout}, 11*time.Hour
		}},
		{"judged to the last moment", func(s *life.State) {
			s.Judge, s.Dev.Deadline = life.Judge{Digest: offered, Cause: reason.HealthTimeout}, now
		}},
		{"another one is judged", func(s *life.State) {
			s.Judge = life.Judge{Digest: "sha256:5555", Cause: reason.HealthFailed}
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
		{"the floor is the same", func(s *life.State) { s.Floor = life.Floor{Sequence: 2, Digest: "sha256:1111"} }},
		{"the floor is higher", func(s *life.State) { s.Floor.Sequence = 3 }},
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

// happening is one thing that can happen.
type happening struct {
	on    life.On
	name  string
	event func(life.State) life.Event
}

var moment = life.Moment{Uptime: now, Online: true}

// events are everything that can happen.
var events = func() []happening {
	var out []happening
	add := func(on life.On, name string, e life.Event) {
		out = append(out, happening{on, name, func(life.State) life.Event { return e }})
	}
	add(life.OnBegin, "online", life.Begun{Moment: moment})
	add(life.OnBegin, "offline", life.Begun{Moment: life.Moment{Uptime: now}})
	add(life.OnDue, "online", life.Due{Moment: moment})
	add(life.OnDue, "offline", life.Due{Moment: life.Moment{Uptime: now}})

	boots := []struct {
		name string
		boot bootctl.State
	}{
		{"B is off", metadata(full, off, "A")},
		{"B is armed", metadata(full, armed, "B")},
		{"B is armed and not next", metadata(full, armed, "A")},
		{"B is next and off", metadata(full, off, "B")},
		{"B is confirmed", metadata(full, full, "B")},
		{"B is confirmed and A is off", metadata(off, full, "B")},
		{"B is on trial and A is off", metadata(off, tried, "B")},
		{"A is armed", metadata(armed, off, "A")},
		{"A is confirmed and does not boot", metadata(bootctl.SlotState{Confirmed: true}, off, "")},
		{"B does not count", metadata(full, bootctl.SlotState{Bootable: true, Tries: -1}, "B")},
	}
	classes := []struct {
		name  string
		class life.Class
	}{
		{"invalid", life.Invalid}, {"changed", life.Changed}, {"no fallback", life.NoFallback}, {"I/O", life.IO},
		{"medium", life.Medium}, {"mismatch", life.Mismatch},
		{"busy", life.Busy}, {"running", life.Running}, {"no key", life.NoKey}, {"no copy", life.NoCopy},
		{"no file", life.NoFile}, {"forbidden", life.Forbidden},
		{"gone", life.Gone}, {"source changed", life.SourceChanged}, {"not durable", life.NotDurable},
	}
	const metadataOnly = 4
	for _, a := range []struct {
		on life.On
		do func(life.State) life.Action
		n  int // of the classes
	}{
		{life.OnLooked, func(life.State) life.Action { return life.Look{} }, metadataOnly},
		{life.OnDisabled, func(s life.State) life.Action { return life.Disable{Slot: "B"} }, metadataOnly},
		{life.OnTried, func(s life.State) life.Action { return life.Try{Slot: "B", Tries: 2} }, metadataOnly},
		{life.OnConfirmed, func(s life.State) life.Action { return life.Confirm{Slot: "B"} }, metadataOnly},
		{life.OnRefreshed, func(s life.State) life.Action { return life.Refresh{Slot: s.Run} }, metadataOnly},
		{life.OnReached, func(s life.State) life.Action { return life.Reach{} }, len(classes)},
		{life.OnWrote, func(s life.State) life.Action { return life.Write{Part: 1} }, len(classes)},
		{life.OnChecked, func(s life.State) life.Action { return life.Check{} }, len(classes)},
	} {
		done := func(name string, d life.Done) {
			d.Moment = moment
			out = append(out, happening{a.on, name, func(s life.State) life.Event { d := d; d.Do = a.do(s); return d }})
		}
		if a.n == metadataOnly {
			for _, b := range boots {
				done(b.name, life.Done{Boot: b.boot, BootOK: true, Run: "A"})
			}
			for _, not := range classes[:metadataOnly] {
				done("well, then "+not.name, life.Done{BootText: "cannot be read", BootNot: not.class})
			}
			for _, c := range classes[:metadataOnly] {
				done(c.name+", B is off", life.Done{Class: c.class, Text: "no such device",
					Boot: metadata(full, off, "A"), BootOK: true})
				done(c.name+", B is on trial", life.Done{Class: c.class, Text: "no such device",
					Boot: metadata(full, tried, "B"), BootOK: true, Run: "B"})
				done(c.name+", and it cannot be validated", life.Done{Class: c.class, Text: "no such device",
					BootText: "bad CRC", Boot: metadata(full, full, "B")})
				done(c.name+", nothing is known", life.Done{Class: c.class, Text: "no such device",
					BootText: "cannot be read", Run: "B"})
			}
			continue
		}
		done("well", life.Done{Component: "rootfs", Image: "sha256:99", Written: 3, Fetched: 2, Resumed: 1})
		done("well, the last", life.Done{Last: true})
		done("well, skipped", life.Done{Skipped: true, Component: "rootfs"})
		for _, c := range classes {
			done(c.name, life.Done{Class: c.class, Text: "no such thing", Component: "rootfs"})
		}
		done("mismatch without a word", life.Done{Class: life.Mismatch, Component: "rootfs"})
	}
	few := metadata(full, off, "A")
	few.Caps.MaxTries = 1
	none := metadata(full, off, "A")
	none.Caps.MaxTries = 0
	add(life.OnLooked, "one try can be armed", life.Done{Moment: moment, Do: life.Look{}, Boot: few, BootOK: true})
	add(life.OnLooked, "it is not known how many tries can be armed", life.Done{Moment: moment, Do: life.Look{},
		Boot: none, BootOK: true})
	add(life.OnStays, "asked", life.Done{Moment: moment, Do: life.Reboot{}})
	add(life.OnStays, "asked plainly", life.Done{Moment: moment, Do: life.Reboot{Plain: true}})
	add(life.OnRaised, "well", life.Done{Moment: moment, Do: life.Raise{}, Counter: "tpm at 2"})
	add(life.OnRaised, "not", life.Done{Moment: moment, Do: life.Raise{}, Class: life.IO, Text: "locked"})
	add(life.OnOrigin, "the same", life.Done{Moment: moment, Do: life.Origin{}, Origin: "tpm", Counter: "tpm at 1"})
	add(life.OnOrigin, "not known", life.Done{Moment: moment, Do: life.Origin{}})

	for _, run := range []bootctl.Slot{"", "A", "B"} {
		for _, b := range boots {
			if run == "" && b.name != "B is armed" {
				continue
			}
			e := life.Started{Moment: moment, Run: run, Boot: b.boot, BootOK: true}
			if run == "" {
				e.Proof = "an initramfs runs"
			}
			add(life.OnStarted, string(run)+" runs, "+b.name, e)
		}
		add(life.OnStarted, string(run)+" runs, no metadata", life.Started{Moment: moment, Run: run,
			Lost: reason.JournalLost})
	}

	checks := []life.HealthCheck{{Name: "service", Err: "down"}, {Name: "broker", Err: "away", Broker: true},
		{Name: "disk"}}
	many := make([]life.HealthCheck, evidence.MaxDetails+1)
	for i := range many {
		many[i] = life.HealthCheck{Name: fmt.Sprint("check ", i), Err: "down"}
	}
	add(life.OnRound, "one holds", life.Round{Moment: moment, Checks: checks[2:]})
	add(life.OnRound, "two fail", life.Round{Moment: moment, Checks: checks})
	add(life.OnRound, "many fail", life.Round{Moment: moment, Checks: many})
	for _, v := range []struct {
		name string
		v    life.Verdict
	}{
		{"healthy", life.Verdict{Healthy: true, Took: 20*time.Second + 300*time.Microsecond}},
		{"sick", life.Verdict{Failed: "service", Text: "down", Checks: checks}},
		{"sick for the broker", life.Verdict{Failed: "broker", Text: "away", Checks: checks[1:]}},
		{"sick, and nothing is checked", life.Verdict{Failed: "uptime"}},
		{"no soak", life.Verdict{Failed: "soak", Checks: checks[2:]}},
	} {
		v.v.Moment = moment
		for _, b := range []int{1, 4} {
			v.v.Boot, v.v.BootOK = boots[b].boot, true
			add(life.OnVerdict, v.name+", "+boots[b].name, v.v)
		}
		v.v.Boot, v.v.BootOK = metadata(full, full, "B"), false
		add(life.OnVerdict, v.name+", metadata that cannot be validated", v.v)
		v.v.Boot = bootctl.State{}
		add(life.OnVerdict, v.name+", no metadata", v.v)
	}

	for _, r := range []struct {
		name string
		set  func(*life.Ruling)
	}{
		{"install", func(*life.Ruling) {}},
		{"defer", func(r *life.Ruling) {
			r.Outcome, r.Why, r.Said, r.Rules, r.First = life.Defer, reason.LowBattery, "said", "low-battery", "17 %"
		}},
		{"defer for other rules", func(r *life.Ruling) {
			r.Outcome, r.Why, r.Said, r.Rules = life.Defer, reason.OutsideWindow, "until 02:00", "outside-window"
		}},
		{"defer as before, signed anew", func(r *life.Ruling) {
			r.Outcome, r.Why, r.Said, r.Rules = life.Defer, reason.LowBattery, "19 %", "low-battery"
			r.Envelope = []byte("signed anew")
		}},
		{"defer for other rules in the same words", func(r *life.Ruling) {
			r.Outcome, r.Why, r.Said, r.Rules = life.Defer, reason.OutsideWindow, "19 %", "outside-window"
		}},
		{"the plan is over", func(r *life.Ruling) {
			r.Outcome, r.Why, r.Said, r.Rules, r.Ends = life.Defer, reason.PlanMissing, "none", "plan-missing",
				reason.PlanWithdrawn
		}},
		{"refuse", func(r *life.Ruling) {
			r.Outcome, r.Why, r.Said, r.Rules, r.First = life.Refuse, reason.Expired, "expired", "expired", "yesterday"
		}},
		{"refuse quietly", func(r *life.Ruling) { r.Outcome, r.Why = life.Refuse, reason.WrongDevice }},
		{"refuse what is installed", func(r *life.Ruling) { r.Outcome, r.Why = life.Refuse, reason.AlreadyInstalled }},
		{"unverified", func(r *life.Ruling) {
			r.Outcome, r.Why, r.Said, r.Unverified, r.Digest, r.Sequence = life.Refuse, reason.SignerUnknown, "key 7",
				true, "", 0
		}},
		{"settled", func(r *life.Ruling) { r.Settled = reason.Expired }},
		{"settled, it is installed", func(r *life.Ruling) { r.Settled = reason.AlreadyInstalled }},
		{"early", func(r *life.Ruling) { r.Early, r.Why = true, reason.SlotBusy }},
		{"passed", func(r *life.Ruling) { r.Passed = true }},
	} {
		for _, by := range []struct {
			name string
			ask  life.Ask
			set  func(*life.Ruling)
		}{
			{"", life.Ask{}, nil},
			{" again, to arm", life.Ask{Stage: life.Arm}, nil},
			{" an offer", life.Ask{Offer: true}, nil},
			{" a technician's", life.Ask{Offer: true}, func(r *life.Ruling) { r.Console, r.Origin = true, "uid 0" }},
			{" a newer one", life.Ask{Offer: true, Over: true}, func(r *life.Ruling) {
				r.Digest,
					r.Sequence = "sha256:3333", 3
			}},
			{" an older one", life.Ask{Offer: true, Over: true}, func(r *life.Ruling) {
				r.Digest,
					r.Sequence = "sha256:0000", 1
			}},
			{" the same again", life.Ask{Offer: true, Over: true}, nil},
		} {
			x := ruling()
			r.set(&x)
			if by.set != nil {
				by.set(&x)
			}
			add(life.OnDecided, r.name+by.name, life.Decided{Moment: moment, Ask: by.ask, Ruling: x})
			if r.name == "install" && by.name != " again, to arm" {
				add(life.OnTaken, "install"+by.name, life.Taken{Moment: moment, Ruling: x})
			}
		}
	}
	add(life.OnCame, "", life.Came{Moment: moment})
	add(life.OnDocumented, "", life.Documented{Moment: moment})

	for _, a := range []struct {
		name string
		a    life.Asked
	}{
		{"confirm", life.Asked{Verb: life.VerbConfirm}},
		{"confirm with a note", life.Asked{Verb: life.VerbConfirm, Note: "seen by hand"}},
		{"revert without metadata", life.Asked{Verb: life.VerbRevert, BootText: "cannot be read"}},
		{"revert to what is barred", life.Asked{Verb: life.VerbRevert, Boot: boots[4].boot, BootOK: true,
			Barred: reason.Revoked, BarredBy: "root 3"}},
		{"approve", life.Asked{Verb: life.VerbApprove}},
		{"approve the offer", life.Asked{Verb: life.VerbApprove, Digest: offered, Note: "agreed"}},
		{"approve another", life.Asked{Verb: life.VerbApprove, Digest: "sha256:5555"}},
		{"approve what has a verdict", life.Asked{Verb: life.VerbApprove, Digest: "sha256:4444", Final: true}},
	} {
		a.a.Moment, a.a.Actor = moment, "uid 0"
		add(life.OnAsked, a.name, a.a)
	}
	for _, b := range boots {
		add(life.OnAsked, "revert, "+b.name, life.Asked{Moment: moment, Verb: life.VerbRevert, Actor: "uid 0",
			Boot: b.boot, BootOK: true})
	}
	add(life.OnAsked, "revert, B is confirmed and does not boot", life.Asked{Moment: moment, Verb: life.VerbRevert,
		Actor: "uid 0",
		Boot:  metadata(full, bootctl.SlotState{Confirmed: true}, "A"), BootOK: true})
	add(life.OnAborted, "", life.Aborted{Moment: moment, By: "uid 0"})
	add(life.OnNotTaken, "", life.NotTaken{Moment: moment, Text: "disk full"})
	return out
}()

// ruling is an offer that is to be installed.
func ruling() life.Ruling {
	return life.Ruling{Envelope: []byte("envelope"), Digest: offered, Sequence: 2, Version: "2", Images: images,
		Origin: "broker", Garbage: []byte("0123456789abcdef"),
		Outcome: life.Install, Rules: "", Detail: map[string]string{"battery": "17 %"}, Retry: 15 * time.Minute}
}
