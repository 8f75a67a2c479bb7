package life_test

import (
	"fmt"
	"time"

	"github.com/ratchet-ota/ratchet/agent/evidence"
	"github.com/ratchet-ota/ratchet/agent/life"
	"github.com/ratchet-ota/ratchet/agent/reason"
	"github.com/ratchet-ota/ratchet/bootctl"
)

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
	for _, do := range []life.Action{life.Reach{}, life.Compare{}, life.Write{Part: 1}, life.Check{}} {
		for _, no := range []life.Ruling{
			{Outcome: life.Defer, Why: reason.Halted, Said: "halted (pulse 2)"},
			{Outcome: life.Refuse, Why: reason.Revoked, Said: "revoked (by root 2)"},
		} {
			e := life.Done{Moment: moment, Do: do, Class: life.Stopped, Text: no.Said, Forbids: no, Component: "rootfs",
				Written: 3, Resumed: 1}
			add(on(do), "stopped: "+no.Said, e)
		}
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
		{"sick for the broker", life.Verdict{Local: true, Failed: "broker", Text: "away", Checks: checks[1:]}},
		{"sick for another server", life.Verdict{Local: true, Failed: "cloud", Text: "away"}},
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
	add(life.OnStepped, "", life.Stepped{Moment: moment})

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
	add(life.OnNotTaken, "", life.NotTaken{Moment: moment, Text: "disk full"})
	return out
}()

// on is what the end of an action is called.
func on(do life.Action) life.On {
	switch do.(type) {
	case life.Reach:
		return life.OnReached
	case life.Compare:
		return life.OnCompared
	case life.Write:
		return life.OnWrote
	}
	return life.OnChecked
}

// ruling is an offer that is to be installed.
func ruling() life.Ruling {
	return life.Ruling{Envelope: []byte("envelope"), Digest: offered, Sequence: 2, Version: "2", Images: images,
		Origin: "broker", Garbage: []byte("0123456789abcdef"),
		Outcome: life.Install, Rules: "", Detail: map[string]string{"battery": "17 %"}, Retry: 15 * time.Minute}
}
