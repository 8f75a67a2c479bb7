package life_test

import (
	"time"

	"github.com/ratchet-ota/ratchet/agent/life"
	"github.com/ratchet-ota/ratchet/agent/reason"
	"github.com/ratchet-ota/ratchet/bootctl"
)

// faults are all that can go wrong once: a commit, or the end of an action. Those with "but" have happened
// and say that they have not; those with "lies" have not and say nothing.
var faults = []string{"commit", "look", "look-invalid", "reach-gone", "reach-key", "disable", "disable-but",
	"disable-lies", "disable-nofallback", "write-corrupt", "write-changed", "write-medium", "write-running",
	"write-busy", "write-gone", "write-notdurable", "check-mismatch", "check-medium", "check-busy", "try", "try-but",
	"try-lies", "stays", "confirm", "confirm-but", "confirm-lies", "refresh", "raise", "sick", "broker", "soak",
	"defer", "refuse", "void", "unverified", "restart", "halted", "revoked", "person-stops", "person-confirm",
	"person-revert", "person-approve", "person-approve-it", "document", "newer"}

// perform does an action.
func (w *world) perform(do life.Action) life.Event {
	if e, ok := life.Immediate(do, w.moment()); ok {
		return e
	}
	w.point++
	w.now += time.Second
	if e := w.meanwhile(do); e != nil {
		return e
	}
	switch do := do.(type) {
	case life.Start:
		return w.started()
	case life.Wait:
		if w.fails("restart") { // of the daemon, in the same boot
			w.live = life.Live{BootID: w.live.BootID, Safe: w.safe}
			return w.started()
		}
		if e := w.person(do); e != nil {
			return e
		}
		w.now = max(w.now, do.Until)
		if do.Messages && w.s.Rec.Phase == life.Idle && (w.offer() == "new" || w.offer() == "barred") {
			return life.Came{Moment: w.moment()}
		}
		return life.Due{Moment: w.moment()}
	case life.Ask:
		return life.Decided{Moment: w.moment(), Ask: do, Ruling: w.decide(do)}
	case life.Prove:
		return w.prove()
	}
	d := life.Done{Do: do, Moment: w.moment(), BootOK: true}
	w.act(do, &d)
	d.Boot = w.state()
	return d
}

// meanwhile is what ends a long action before its time: a document that forbids the update, or a person.
func (w *world) meanwhile(do life.Action) life.Event {
	d := life.Done{Do: do, Moment: w.moment(), Class: life.Stopped, Component: "rootfs"}
	switch do.(type) {
	case life.Reach, life.Write, life.Check:
	default:
		return nil
	}
	switch {
	case w.fails("halted"):
		d.Forbids = life.Ruling{Outcome: life.Defer, Why: reason.Halted, Said: "halted"}
	case w.fails("revoked"):
		d.Forbids = life.Ruling{Outcome: life.Refuse, Why: reason.Revoked, Said: "revoked"}
	case w.fails("person-stops"):
		return life.Asked{Moment: w.moment(), Verb: life.VerbRevert, Actor: "uid 0", Boot: w.state(), BootOK: true}
	default:
		return nil
	}
	return d
}

func (w *world) act(do life.Action, d *life.Done) {
	switch do := do.(type) {
	case life.Look:
		d.Run = w.run
		if w.fails("look") {
			d.Class, d.BootOK, d.Text = life.IO, false, "no such device"
		} else if w.fails("look-invalid") {
			d.Class, d.BootOK, d.Text = life.Invalid, false, "bad CRC"
		}
	case life.Reach:
		w.expect("the source is asked", life.Preparing)
		w.class(d, "reach-gone", life.Gone)
		w.class(d, "reach-key", life.NoKey)
	case life.Disable:
		w.disable(do.Slot, d)
	case life.Write:
		w.write(do, d)
	case life.Check:
		w.expect("the target is read back", life.Checking)
		w.class(d, "check-mismatch", life.Mismatch)
		w.class(d, "check-medium", life.Medium)
		w.class(d, "check-busy", life.Busy)
		if want := len(w.s.Rec.Ext.Images); d.Class == life.OK && want > 0 && w.holds[w.s.Rec.Target] != 2 {
			d.Class, d.Text = life.Mismatch, "wrong"
		}
		w.checked = d.Class == life.OK
	case life.Try:
		w.try(do, d)
	case life.Reboot:
		if !do.Plain {
			w.expect("a reboot is asked for", life.Rebooting, life.Reverting, life.Confirming)
			if w.s.Budget.Reboots < 1 {
				w.wrong("I8: a reboot that is not counted")
			}
		}
		w.down = !w.fails("stays")
	case life.Confirm:
		w.confirm(do, d)
	case life.Refresh:
		if do.Slot != w.run {
			w.wrong("I1: slot %s is refreshed, %s runs", do.Slot, w.run)
		}
		w.class(d, "refresh", life.IO)
		if b := w.boot[do.Slot]; d.Class == life.OK && b.Confirmed {
			b.Bootable, b.Tries = true, 3
			w.boot[do.Slot] = b
		}
	case life.Raise:
		if b := w.boot[w.run]; !b.Confirmed || w.s.Rec.Phase == life.Sealing && w.run != w.s.Rec.Target {
			w.wrong("I4: the counter is raised before the slot is confirmed")
		}
		w.class(d, "raise", life.IO)
		if d.Class == life.OK {
			w.count = 1
		}
	case life.Origin:
		d.Origin, d.Counter = "tpm", "tpm at 0"
	}
}

func (w *world) class(d *life.Done, kind string, c life.Class) {
	if w.fails(kind) {
		d.Class, d.Text = c, kind
	}
}

func (w *world) disable(slot bootctl.Slot, d *life.Done) {
	w.expect("a slot is disabled", life.Preparing, life.Writing, life.Reverting, life.Idle)
	if slot == w.run && w.s.Rec.Phase != life.Reverting {
		w.wrong("I1: the running slot is disabled")
	}
	silent := w.fails("disable-lies")
	w.class(d, "disable", life.IO)
	w.class(d, "disable-nofallback", life.NoFallback)
	if d.Class != life.OK || silent {
		return
	}
	w.class(d, "disable-but", life.Changed)
	other := bootctl.Slot("A")
	if slot == "A" {
		other = "B"
	}
	if !w.boot[other].Bootable {
		d.Class, d.Text = life.NoFallback, "nothing else boots"
		return
	}
	b := w.boot[slot]
	b.Bootable, b.Confirmed = false, false
	w.boot[slot], w.first = b, other
	w.good()
}

func (w *world) write(do life.Write, d *life.Done) {
	w.expect("the target is written", life.Writing)
	target := w.s.Rec.Target
	if target == w.run {
		w.wrong("I3: the running slot is written")
	}
	if w.boot[target].Bootable {
		w.wrong("I1: slot %s is written while it is bootable", target)
	}
	if do.Part > 0 {
		d.Last = true
		return
	}
	w.checked = false
	w.holds[target] = 0
	w.class(d, "write-corrupt", life.Mismatch)
	w.class(d, "write-changed", life.SourceChanged)
	w.class(d, "write-medium", life.Medium)
	w.class(d, "write-running", life.Running)
	w.class(d, "write-busy", life.Busy)
	w.class(d, "write-gone", life.Gone)
	w.class(d, "write-notdurable", life.NotDurable)
	if d.Class == life.OK {
		w.holds[target] = 2
	}
}

func (w *world) try(do life.Try, d *life.Done) {
	w.expect("the target is armed", life.Arming)
	if !w.checked {
		w.wrong("I2: armed without a read-back in this boot")
	}
	if w.holds[do.Slot] != 2 && !w.s.Rec.Ext.Revert {
		w.wrong("I9: a slot without a whole image is armed")
	}
	if silent := w.fails("try-lies"); silent || w.fails("try") {
		if !silent {
			d.Class, d.Text = life.IO, "try"
		}
		return
	}
	w.class(d, "try-but", life.IO)
	w.boot[do.Slot] = bootctl.SlotState{Bootable: true, Tries: do.Tries}
	w.first = do.Slot
	w.good()
}

func (w *world) confirm(do life.Confirm, d *life.Done) {
	w.expect("a slot is confirmed", life.Confirming)
	if do.Slot != w.run {
		w.wrong("I1: slot %s is confirmed, %s runs", do.Slot, w.run)
	}
	if silent := w.fails("confirm-lies"); silent || w.fails("confirm") {
		if !silent {
			d.Class, d.Text = life.IO, "confirm"
		}
		return
	}
	w.class(d, "confirm-but", life.IO)
	w.boot[do.Slot] = bootctl.SlotState{Bootable: true, Confirmed: true, Tries: 3}
	w.first = do.Slot
}

// person is what somebody may want while the machine waits.
func (w *world) person(do life.Wait) life.Event {
	a := life.Asked{Moment: w.moment(), Actor: "uid 0", Note: "by hand", Boot: w.state(), BootOK: true}
	switch {
	case !do.Requests:
		return nil
	case w.fails("person-confirm"):
		a.Verb = life.VerbConfirm
	case w.fails("person-revert"):
		a.Verb = life.VerbRevert
	case w.fails("person-approve"):
		a.Verb = life.VerbApprove
	case w.fails("person-approve-it"):
		a.Verb, a.Digest, a.Final = life.VerbApprove, offered, w.final[offered] != ""
	case do.Messages && w.fails("document"):
		return life.Documented{Moment: w.moment()}
	case do.Messages && w.s.Rec.Phase == life.Ready && w.fails("newer"):
		return life.Came{Moment: w.moment()}
	default:
		return nil
	}
	return a
}

func (w *world) prove() life.Event {
	w.expect("health is asked", life.Trial)
	if w.run != w.s.Rec.Target {
		w.wrong("a trial of a slot that does not run")
	}
	if e := w.person(life.Wait{Requests: true}); e != nil {
		return e
	}
	w.now += 20 * time.Second
	v := life.Verdict{Moment: w.moment(), Healthy: true, Took: 20 * time.Second, Boot: w.state(), BootOK: true}
	switch {
	case w.fails("sick"):
		v.Healthy, v.Failed, v.Text, v.Checks = false, "service", "down",
			[]life.HealthCheck{{Name: "service", Err: "down"}}
	case w.fails("broker"):
		v.Healthy, v.Local, v.Failed, v.Text, v.Checks = false, true, "broker", "away",
			[]life.HealthCheck{{Name: "service"}, {Name: "broker", Err: "away", Broker: true}}
	case w.fails("soak"):
		v.Healthy, v.Failed = false, "soak"
	}
	return v
}

func (w *world) decide(ask life.Ask) life.Ruling {
	r := life.Ruling{Digest: offered, Sequence: 2, Version: "2", Origin: "broker", Envelope: []byte("envelope"),
		Outcome: life.Install, Retry: 15 * time.Minute, Garbage: []byte("0123456789abcdef"),
		Images: []life.SlotImage{{Component: "rootfs", Alg: -16, Digest: []byte("image 2"), Size: 1}}}
	say := func(o life.Outcome, why reason.Reason) life.Ruling {
		r.Outcome, r.Why, r.Said, r.Rules, r.Images = o, why, string(why), string(why), nil
		return r
	}
	if ask.Over {
		r.Digest, r.Sequence = "sha256:3333", 3
	}
	if ask.Offer && !ask.Over {
		if why := w.final[offered]; why != "" {
			r.Settled = why
			return r
		}
		s := life.State{Stored: w.s, Live: w.live, Dev: dev}
		if r = s.Glance(r, w.now); r.Early || r.Passed {
			return r
		}
	}
	switch {
	case w.fails("unverified"):
		r.Unverified = true
		return say(life.Refuse, reason.SignerUnknown)
	case w.fails("refuse"):
		return say(life.Refuse, reason.Expired)
	case w.fails("defer"):
		return say(life.Defer, reason.LowBattery)
	case w.fails("void"):
		r.Ends = reason.PlanWithdrawn
		return say(life.Defer, reason.PlanWithdrawn)
	case w.live.Stayed:
		return say(life.Defer, reason.RunningUnconfirmed)
	case w.bars > 0:
		return say(life.Refuse, reason.Quarantined)
	case ask.Offer && w.holds[w.run] == 2 && w.boot[w.run].Confirmed:
		return say(life.Refuse, reason.AlreadyInstalled)
	}
	return r
}
