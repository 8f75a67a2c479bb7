package life_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/ratchet-ota/ratchet/agent/evidence"
	"github.com/ratchet-ota/ratchet/agent/life"
	"github.com/ratchet-ota/ratchet/agent/reason"
)

// TestGlance: an offer that failed waits for its back-off, and an older one than the one that waits is left aside,
// except where the newer one needs the older one first.
func TestGlance(t *testing.T) {
	for _, c := range []struct {
		name     string
		waiting  life.Waiting
		sequence uint64
		retry    time.Duration
		want     string
	}{
		{"nothing waits", life.Waiting{}, 1, now + 1, "decide"},
		{"it failed", life.Waiting{Digest: offered, Reason: reason.SlotIO, Budget: life.Budget{Failures: 1}}, 2,
			now + 1, "early slot-io-error"},
		{"it failed, and its time has come", life.Waiting{Digest: offered, Reason: reason.SlotIO,
			Budget: life.Budget{Failures: 1}}, 2, now, "decide"},
		{"it was only deferred", life.Waiting{Digest: offered, Reason: reason.LowBattery}, 2, now + 1, "decide"},
		{"a newer one waits", life.Waiting{Digest: "sha256:5555", Sequence: 3, Reason: reason.LowBattery}, 2, now + 1,
			"passed"},
		{"a newer one needs a step first", life.Waiting{Digest: "sha256:5555", Sequence: 3,
			Reason: reason.VersionCondition}, 2, now + 1, "decide"},
		{"an older one waits", life.Waiting{Digest: "sha256:5555", Sequence: 1, Reason: reason.LowBattery}, 2, now + 1,
			"decide"},
		{"a newer one waits that writes all of it", life.Waiting{Digest: "sha256:5555", Sequence: 3,
			Components: []string{"app", "rootfs"}}, 2, now + 1, "passed"},
		{"one with a higher number of another component waits", life.Waiting{Digest: "sha256:5555", Sequence: 3,
			Components: []string{"app"}}, 2, now + 1, "decide"},
		{"another one of the same sequence waits", life.Waiting{Digest: "sha256:5555", Sequence: 2}, 2, now + 1,
			"decide"},
	} {
		s := life.State{}
		s.Waiting, s.RetryAt = c.waiting, c.retry
		r := ruling()
		r.Sequence, r.Writes = c.sequence, []string{"rootfs"}
		r = s.Glance(r, now)
		got := "decide"
		switch {
		case r.Early:
			got = "early " + string(r.Why)
		case r.Passed:
			got = "passed"
		}
		if got != c.want {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
	}
}

// TestBadOffersAreBounded: offers that nobody vouches for are on record once each, twenty in an hour at most, and the
// next that is on record says how many were not. Sixty-four are remembered.
func TestBadOffersAreBounded(t *testing.T) {
	s := usual(life.Idle)
	offer := func(n int, at time.Duration) (recorded bool, dropped string) {
		r := ruling()
		r.Unverified, r.Outcome, r.Why, r.Garbage = true, life.Refuse, reason.SignerUnknown,
			fmt.Appendf(nil, "%016d", n)
		next, eff := life.Step(s, life.Decided{Moment: life.Moment{Uptime: at}, Ask: life.Ask{Offer: true}, Ruling: r})
		s = next
		if eff.Tell.Answer == nil || eff.Tell.Answer.Refused != reason.SignerUnknown {
			t.Errorf("offer %d is answered with %+v", n, eff.Tell.Answer)
		}
		for _, e := range eff.Commit.Events {
			return true, e.Detail["not-recorded-before"]
		}
		return false, ""
	}
	for n := range 20 {
		if ok, _ := offer(n, now); !ok {
			t.Errorf("offer %d is not on record", n)
		}
		if ok, _ := offer(n, now); ok {
			t.Errorf("offer %d is on record twice", n)
		}
	}
	if ok, _ := offer(20, now+time.Hour-1); ok {
		t.Error("21 offers are on record within an hour")
	}
	if ok, dropped := offer(30, now+time.Hour); !ok || dropped != "1" {
		t.Errorf("after an hour: on record %v, and %q were not before", ok, dropped)
	}
	if ok, dropped := offer(31, now+time.Hour); !ok || dropped != "" {
		t.Errorf("the next: on record %v, and %q were not before", ok, dropped)
	}
	for n := range 62 { // 20, 30, 31 and these: twenty an hour
		if ok, _ := offer(100+n, now+2*time.Hour+time.Duration(n)*4*time.Minute); !ok {
			t.Errorf("offer %d is not on record", 100+n)
		}
	}
	if len(s.Seen) != 64 || string(s.Seen[0]) != fmt.Sprintf("%016d", 30) {
		t.Errorf("%d are remembered, the oldest is %s", len(s.Seen), s.Seen[0])
	}
	if _, ok := s.Recorded(s.Seen[0], now+20*time.Hour); ok {
		t.Error("a document that is on record is to be recorded again")
	}
	if next, ok := s.Recorded([]byte("new"), now+20*time.Hour); !ok || len(next.Seen) != 64 ||
		string(next.Seen[63]) != "new" || string(s.Seen[63]) == "new" {
		t.Errorf("a new document: %v, %d remembered", ok, len(next.Seen))
	}
}

// TestEmptyCommit: the executor asks before it opens a transaction.
func TestEmptyCommit(t *testing.T) {
	for name, c := range map[string]life.Commit{
		"a record": {Record: &life.Record{}}, "evidence": {Events: make([]evidence.Event, 1)},
		"an operation": {Ops: []life.Op{life.DropPermit{}}},
	} {
		if c.Empty() {
			t.Errorf("%s is nothing for the journal", name)
		}
	}
	if c := (life.Commit{Optional: "why", Quar: []life.QuarOp{life.Save{}}}); !c.Empty() {
		t.Error("the quarantine file is no matter of the journal")
	}
}

// TestMay: who watches a device from outside asks which phase may follow.
func TestMay(t *testing.T) {
	for _, c := range []struct {
		from, to life.Phase
		want     bool
	}{
		{life.Writing, life.Checking, true}, {life.Writing, life.Idle, true}, {life.Writing, life.Ready, false},
		{life.Trial, life.Idle, false},
		{life.Sealing, life.Idle, true}, {life.Sealing, life.Reverting, false}, {life.Rebooting, life.Idle, false},
		{"", life.Trial, false},
		{"by-mail", life.Idle, false},
	} {
		if got := c.from.May(c.to); got != c.want {
			t.Errorf("%s -> %s: %v", c.from, c.to, got)
		}
	}
}
