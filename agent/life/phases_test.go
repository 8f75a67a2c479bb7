package life_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/ratchet-ota/ratchet/agent/life"
	"github.com/ratchet-ota/ratchet/agent/reason"
	"github.com/ratchet-ota/ratchet/bootctl"
)

// TestConfirmInVain: a healthy system that cannot be confirmed is never disabled. After three tries in a row it is
// rebooted while the loader and the budget have boots left; else it goes on running, and is confirmed later.
func TestConfirmInVain(t *testing.T) {
	failed := life.Done{Moment: moment, Do: life.Confirm{Slot: "B"}, Class: life.IO, Text: "locked",
		Boot: metadata(full, tried, "B"), BootOK: true}
	for _, c := range []struct {
		tried, boots, reboots int
		want                  life.Action
	}{
		{0, 1, 0, life.Wait{Until: now + 2*time.Second}},
		{1, 1, 0, life.Wait{Until: now + 2*time.Second}},
		{2, 1, 0, life.Reboot{}},
		{2, 3, 2, life.Reboot{}},
		{2, 4, 0, life.Wait{Until: now + time.Minute, Requests: true}},
		{2, 1, 3, life.Wait{Until: now + time.Minute, Requests: true}},
	} {
		s := usual(life.Confirming)
		s.Tried, s.Budget.Boots, s.Budget.Reboots = c.tried, c.boots, c.reboots
		next, eff := life.Step(s, failed)
		if eff.Do != c.want || next.Rec.Phase != life.Confirming {
			t.Errorf("%+v: %s, %#v", c, next.Rec.Phase, eff.Do)
		}
		if c.tried < 2 && next.Tried != c.tried+1 || c.tried == 2 && (next.Tried != 0 || eff.Tell.Failed == nil) {
			t.Errorf("%+v: tried %d, told %+v", c, next.Tried, eff.Tell.Failed)
		}
	}
}

// TestReadBackAgain: a target that was read back more than an hour ago is read back again before it is armed, and only
// then: to wait costs neither reads nor records.
func TestReadBackAgain(t *testing.T) {
	for _, c := range []struct {
		ago     time.Duration
		outcome life.Outcome
		want    life.Phase
		why     string
	}{
		{time.Hour, life.Install, life.Arming, ""},
		{time.Hour + 1, life.Install, life.Checking, "waited long; reading back again"},
		{time.Hour + 1, life.Defer, life.Ready, ""},
	} {
		s := usual(life.Ready)
		s.CheckedAt = now - c.ago
		r := ruling()
		r.Outcome = c.outcome
		next, eff := life.Step(s, life.Decided{Moment: moment, Ask: life.Ask{Stage: life.Arm}, Ruling: r})
		if next.Rec.Phase != c.want {
			t.Errorf("%v ago, %s: phase %s", c.ago, c.outcome, next.Rec.Phase)
		} else if c.want != life.Ready && eff.Commit.Events[0].Detail["why"] != c.why {
			t.Errorf("%v ago, %s: on record as %+v", c.ago, c.outcome, eff.Commit.Events)
		}
	}
	s := usual(life.Checking)
	if next, _ := life.Step(s, life.Done{Moment: moment, Do: life.Check{}}); !next.Held || next.CheckedAt != now {
		t.Errorf("after it was read back: held %v, at %v", next.Held, next.CheckedAt)
	}
}

// TestReadyWaits: what an update waits for is on record once per change of the rules, and shown each time. A newer
// offer is heard meanwhile, except behind what a person began.
func TestReadyWaits(t *testing.T) {
	r := ruling()
	r.Outcome, r.Why, r.Said, r.Rules = life.Defer, reason.OutsideWindow, "until 02:00", "outside-window"
	for _, c := range []struct {
		name     string
		set      func(*life.State)
		recorded bool
		messages bool
	}{
		{"for the first time", func(*life.State) {}, true, true},
		{"again", func(s *life.State) { s.Rules = "outside-window" }, false, true},
		{"for something else", func(s *life.State) { s.Rules = "low-battery" }, true, true},
		{"without a network", func(s *life.State) { s.Dev.Inbox = false }, true, false},
		{"a technician's", func(s *life.State) { s.Rec.Ext.Local = true }, true, false},
		{"on the way back", func(s *life.State) { s.Rec.Ext.Revert = true }, true, false},
	} {
		s := usual(life.Ready)
		c.set(&s)
		next, eff := life.Step(s, life.Decided{Moment: moment, Ask: life.Ask{Stage: life.Arm}, Ruling: r})
		if (len(eff.Commit.Events) == 1) != c.recorded || next.Rules != "outside-window" {
			t.Errorf("%s: on record as %+v", c.name, eff.Commit.Events)
		}
		if eff.Do != life.Action(life.Wait{Until: now + 15*time.Minute, Requests: true, Messages: c.messages}) {
			t.Errorf("%s: %#v", c.name, eff.Do)
		}
		if eff.Tell.Waits != reason.OutsideWindow || eff.Tell.WaitFor != "until 02:00" {
			t.Errorf("%s: told %+v", c.name, eff.Tell)
		}
	}
}

// TestNewerOffer: an offer that comes while an update waits to be armed is decided beside it. It takes its place where
// it is newer and is to be installed; else it is kept until the update has ended.
func TestNewerOffer(t *testing.T) {
	s := usual(life.Ready)
	_, eff := life.Step(s, life.Came{Moment: moment})
	ask := life.Ask{Offer: true, Over: true}
	if eff.Do != life.Action(ask) {
		t.Errorf("it is decided as %#v", eff.Do)
	}
	if _, eff := life.Step(usual(life.Idle), life.Came{Moment: moment}); eff.Do != life.Action(life.Ask{Offer: true}) {
		t.Errorf("idle, it is decided as %#v", eff.Do)
	}
	for _, c := range []struct {
		sequence uint64
		outcome  life.Outcome
		writes   string
		takes    bool
	}{{3, life.Install, "rootfs", true}, {2, life.Install, "rootfs", false}, {1, life.Install, "rootfs", false},
		{3, life.Defer, "rootfs", false}, {3, life.Refuse, "rootfs", false}, {3, life.Install, "app", false}} {
		r := ruling()
		r.Writes = []string{c.writes}
		r.Digest, r.Sequence, r.Outcome = "sha256:3333", c.sequence, c.outcome
		next, eff := life.Step(s, life.Decided{Moment: moment, Ask: ask, Ruling: r})
		if c.takes != (next.Rec.Phase == life.Idle) || c.takes == eff.Tell.Missed {
			t.Errorf("%+v: phase %s, missed %v", c, next.Rec.Phase, eff.Tell.Missed)
		}
		if c.takes && (next.Rec.Ext.Cause != reason.Superseded || eff.Do != life.Action(life.Ask{Offer: true})) {
			t.Errorf("%+v: ended for %s, then %#v", c, next.Rec.Ext.Cause, eff.Do)
		}
	}
}

// TestTrialCannotBeRecorded: where the journal cannot be written, a trial is handed back to the loader by a plain
// reboot, if there is something to fall back to and the loader counts; else the system goes on running (loop 12).
func TestTrialCannotBeRecorded(t *testing.T) {
	s, eff := life.Step(usual(life.Trial), life.NotTaken{Moment: moment, Text: "disk full"})
	if eff.Do != life.Action(life.Look{Proof: true}) || !s.Bail {
		t.Fatalf("begins with %#v", eff.Do)
	}
	for _, c := range []struct {
		name string
		run  bootctl.Slot
		boot bootctl.State
		ok   bool
		want bool
	}{
		{"on trial", "B", metadata(full, tried, "B"), true, true},
		{"on its last try", "B", metadata(full, bootctl.SlotState{Bootable: true}, "B"), true, true},
		{"exhausted in a loader that does not count", "B", metadata(full, bootctl.SlotState{Bootable: true,
			Exhausted: true, Tries: -1}, "B"), true, true},
		{"in a loader that does not count", "B", metadata(full, bootctl.SlotState{Bootable: true, Tries: -1}, "B"),
			true, false},
		{"confirmed", "B", metadata(full, full, "B"), true, false},
		{"without a fallback", "B", metadata(off, tried, "B"), true, false},
		{"without metadata", "B", bootctl.State{}, false, false},
		{"the other slot runs", "A", metadata(full, tried, "B"), true, false},
	} {
		next, eff := life.Step(s, life.Done{Moment: moment, Do: life.Look{Proof: true}, Run: c.run, Boot: c.boot,
			BootOK: c.ok})
		_, waits := eff.Do.(life.Wait)
		if reboots := eff.Do == life.Action(life.Reboot{Plain: true}); reboots != c.want || waits == c.want ||
			next.Bail {
			t.Errorf("%s: %#v", c.name, eff.Do)
		}
	}
}

// TestSafeTrial: a new system that cannot read its configuration is left. One that runs without an announced update is
// not: there is nothing that it could have come from.
func TestSafeTrial(t *testing.T) {
	for _, c := range []struct {
		safe, synthetic bool
		want            life.Phase
	}{{false, false, life.Trial}, {true, false, life.Reverting}, {true, true, life.Trial}} {
		s := usual(life.Trial)
		if c.safe {
			s.Safe = []string{"line 3: unknown key"}
		}
		s.Rec.Ext.Synthetic = c.synthetic
		next, eff := life.Step(s, life.Begun{Moment: moment})
		if next.Rec.Phase != c.want {
			t.Errorf("%+v: phase %s", c, next.Rec.Phase)
		}
		if c.want == life.Reverting && (next.Rec.Ext.Cause != reason.ConfigInvalid ||
			eff.Commit.Events[0].Detail["why"] != s.Safe[0]) {
			t.Errorf("left for %s, on record as %+v", next.Rec.Ext.Cause, eff.Commit.Events)
		}
	}
}

// TestBrokerFirst: an offer whose trial failed for want of the broker is not tried again before the broker is there.
func TestBrokerFirst(t *testing.T) {
	s := usual(life.Idle)
	s.RetryAt, s.Waiting.Budget.Broker = now, true
	if next, eff := life.Step(s, life.Due{Moment: life.Moment{Uptime: now}}); next.RetryAt != now+time.Minute ||
		eff.Do != life.Action(life.Begin{}) {
		t.Errorf("offline: again in %v, %#v", next.RetryAt-now, eff.Do)
	}
	if next, eff := life.Step(s, life.Due{Moment: moment}); next.RetryAt != 0 ||
		eff.Do != life.Action(life.Ask{Offer: true, Waiting: true}) {
		t.Errorf("online: again in %v, %#v", next.RetryAt-now, eff.Do)
	}
}

// TestSecondTime: the same failure a second time is written, too: the counters are what ends it.
func TestSecondTime(t *testing.T) {
	s := usual(life.Preparing)
	for n := 2; n < 5; n++ {
		next, eff := life.Step(s, life.Done{Moment: moment, Do: life.Reach{}, Class: life.Gone, Text: "status 404"})
		put := slices.ContainsFunc(eff.Commit.Ops, func(op life.Op) bool {
			w, ok := op.(life.PutWaiting)
			return ok && w.Waiting.Budget.Failures == n
		})
		if !put {
			t.Errorf("failure %d is not written", n)
		}
		w := next.Waiting
		s = usual(life.Preparing)
		s.Waiting, s.Budget = w, w.Budget
	}
}

// TestWrittenAgain: bytes that differ a second time are no matter of luck: the attempt ends, and was costly.
func TestWrittenAgain(t *testing.T) {
	for phase, do := range map[life.Phase]life.Action{life.Writing: life.Write{}, life.Checking: life.Check{}} {
		s := usual(phase)
		s.Budget.Rewrites = 1
		next, eff := life.Step(s, life.Done{Moment: moment, Do: do, Class: life.Mismatch, Text: "why"})
		why := map[life.Phase]reason.Reason{life.Writing: reason.ImageCorrupt,
			life.Checking: reason.ReadBackMismatch}[phase]
		want := fmt.Sprintf("failed %s: why; waits, counted, costly; from zero", why)
		if got := outcome(s, next, eff); got != want {
			t.Errorf("%s: %s, want %s", phase, got, want)
		}
	}
}

// TestApprove: an approval is for what waits, for what is in progress, or for what has a verdict; there is room for
// one.
func TestApprove(t *testing.T) {
	for _, c := range []struct {
		name   string
		phase  life.Phase
		set    func(*life.State)
		digest string
		final  bool
		want   string // the digest that is approved, or why it is not
	}{
		{"what waits", life.Idle, nil, "", false, offered},
		{"what waits, by its digest", life.Idle, nil, offered, false, offered},
		{"nothing waits", life.Idle, func(s *life.State) { s.Waiting = life.Waiting{} }, "", false,
			"no update waits for approval"},
		{"what is ready", life.Ready, nil, "", false, offered},
		{"what is written", life.Writing, nil, "", false, "no update waits for approval"},
		{"what is written, by its digest", life.Writing, nil, offered, false, offered},
		{"what is written, and nothing waits", life.Writing, func(s *life.State) { s.Waiting = life.Waiting{} }, "",
			false, "no update waits for approval"},
		{"what waits behind a technician's install", life.Writing,
			func(s *life.State) { s.Waiting.Digest = "sha256:5555" }, "", false, "sha256:5555"},
		{"the same by its digest", life.Writing, func(s *life.State) { s.Waiting.Digest = "sha256:5555" },
			"sha256:5555", false, "sha256:5555"},
		{"what nobody offers", life.Idle, nil, "sha256:7777", false, "no update with this digest was offered here"},
		{"what has a verdict", life.Idle, nil, "sha256:7777", true, "sha256:7777"},
		{"the factory's system", life.Ready, func(s *life.State) { s.Rec.Digest, s.Rec.Ext.Revert = "", true }, "",
			false, "what is in progress has no manifest to approve"},
		{"what is on trial", life.Trial, nil, usual(life.Trial).Rec.Digest, false,
			"it needs no approval any more; the phase is trial"},
		{"what is armed", life.Rebooting, nil, usual(life.Rebooting).Rec.Digest, false,
			"it needs no approval any more; the phase is rebooting"},
	} {
		s := usual(c.phase)
		if c.set != nil {
			c.set(&s)
		}
		next, eff := life.Step(s, life.Asked{Moment: moment, Verb: life.VerbApprove, Actor: "uid 0", Digest: c.digest,
			Final: c.final})
		got := eff.Tell.Answer.Detail
		if eff.Tell.Answer.Refused == "" {
			e := eff.Commit.Events[0]
			got = e.Manifest
			if e.To != "approved" || e.Actor != "uid 0" || !slices.Contains(eff.Commit.Ops,
				life.Op(life.PutApproved{Digest: got})) ||
				!slices.Contains(eff.Commit.Ops, life.Op(life.DropFinal{Digest: got})) {
				t.Errorf("%s: %+v, %+v", c.name, e, eff.Commit.Ops)
			}
			if c.phase == life.Idle && next.RetryAt < now {
				t.Errorf("%s: it is not decided again", c.name)
			}
		}
		if got != c.want {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
	}
}

// TestAnswerHasItsTime: a decision that is handed back after its first commit comes at the time of that commit.
func TestAnswerHasItsTime(t *testing.T) {
	r := ruling()
	r.Unverified, r.Outcome, r.Why = true, life.Refuse, reason.SignerUnknown
	_, eff := life.Step(usual(life.Writing), life.Decided{Moment: moment, Ruling: r})
	later := life.Moment{Uptime: now + time.Second}
	e, ok := life.Immediate(eff.Do, later)
	if d, is := e.(life.Decided); !ok || !is || d.Moment != later || d.Ruling.Unverified ||
		d.Ruling.Why != reason.SignerUnknown {
		t.Errorf("%+v", e)
	}
}

// TestCounterIsNamed: which hardware counter guards the device is on record once, and what it was before where it is
// another one: somebody deleted it, or exchanged the chip.
func TestCounterIsNamed(t *testing.T) {
	for _, c := range []struct {
		before, found string
		why           reason.Reason
		was           string
		recorded      bool
	}{
		{"", "tpm", "", "", true}, {"tpm", "tpm", "", "", false}, {"rpmb", "tpm", reason.CounterReplaced, "rpmb", true},
		{"tpm", "", "", "", false},
	} {
		s := usual(life.Idle)
		s.Counter, s.Known = c.before, false
		next, eff := life.Step(s, life.Done{Moment: moment, Do: life.Origin{}, Origin: c.found, Counter: "at 1"})
		if (len(eff.Commit.Events) == 1) != c.recorded || next.Known != (c.found != "") {
			t.Errorf("%s, then %s: on record as %+v", c.before, c.found, eff.Commit.Events)
			continue
		}
		for _, e := range eff.Commit.Events {
			if e.Reason != c.why || e.Detail["was"] != c.was || e.Detail["origin"] != c.found ||
				next.Counter != c.found {
				t.Errorf("%s, then %s: on record as %+v", c.before, c.found, e)
			}
		}
	}
}

// TestRefusalIsOver: a refused offer that a person was shown is forgotten when the fleet offers what runs.
func TestRefusalIsOver(t *testing.T) {
	for _, c := range []struct {
		noted, settled reason.Reason
		forgets        bool
	}{
		{reason.Expired, reason.AlreadyInstalled, true}, {reason.Expired, reason.Quarantined, false},
		{"", reason.AlreadyInstalled, false},
	} {
		s := usual(life.Idle)
		s.Noted = c.noted
		r := ruling()
		r.Settled = c.settled
		next, eff := life.Step(s, life.Decided{Moment: moment, Ask: life.Ask{Offer: true}, Ruling: r})
		if slices.Contains(eff.Commit.Ops, life.Op(life.PutNoted{})) != c.forgets || c.forgets && next.Noted != "" {
			t.Errorf("%+v: %+v", c, eff.Commit.Ops)
		}
		if eff.Tell.Answer == nil || eff.Tell.Answer.Refused != c.settled {
			t.Errorf("%+v: answered with %+v", c, eff.Tell.Answer)
		}
	}
}

// TestHigherCountOfBoots: where record and quarantine file counted different boots of a trial, the higher one counts,
// and the boot beyond what is allowed is no trial any more.
func TestHigherCountOfBoots(t *testing.T) {
	for _, c := range []struct {
		record, file int
		want         life.Phase
	}{{1, 1, life.Trial}, {1, 3, life.Trial}, {1, 4, life.Reverting}, {3, 1, life.Trial}, {4, 1, life.Reverting}} {
		s := usual(life.Trial)
		s.BootID, s.Budget.Boots, s.Rec.Boots, s.Tally.Boots = "boot2", c.record, c.record, c.file
		s.Starting, s.Found = true, life.Started{Run: "B", Boot: metadata(full, tried, "B"), BootOK: true}
		next, _ := life.Step(s, life.Begun{Moment: moment})
		if next.Rec.Phase != c.want {
			t.Errorf("%+v: phase %s", c, next.Rec.Phase)
		}
		if n := max(c.record, c.file); c.want == life.Trial && next.Budget.Boots != n+1 {
			t.Errorf("%+v: %d boots", c, next.Budget.Boots)
		}
		if c.want == life.Reverting && next.Rec.Ext.Cause != reason.TrialBootsExhausted {
			t.Errorf("%+v: left for %s", c, next.Rec.Ext.Cause)
		}
	}
}

// TestHeldUntilArmed: a target that nobody holds any more is read back again. The factory's system has nothing to
// compare it with, and is asked for at once.
func TestHeldUntilArmed(t *testing.T) {
	for _, c := range []struct {
		held    bool
		images  []life.SlotImage
		want    life.Phase
		asks    bool
		because reason.Reason
	}{
		{true, images, life.Ready, true, ""}, {false, images, life.Checking, false, reason.Interrupted},
		{false, nil, life.Ready, true, ""},
	} {
		s := usual(life.Ready)
		s.Held, s.Rec.Ext.Images, s.Rec.Ext.Revert = c.held, c.images, c.images == nil
		next, eff := life.Step(s, life.Begun{Moment: moment})
		if _, asks := eff.Do.(life.Ask); next.Rec.Phase != c.want || asks != c.asks {
			t.Errorf("held %v, %d images: %s, %#v", c.held, len(c.images), next.Rec.Phase, eff.Do)
		}
		for _, e := range eff.Commit.Events {
			if e.Reason != c.because {
				t.Errorf("held %v: on record as %+v", c.held, e)
			}
		}
	}
}
