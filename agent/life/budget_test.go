package life_test

import (
	"fmt"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/ratchet-ota/ratchet/agent/life"
	"github.com/ratchet-ota/ratchet/agent/reason"
)

// TestBudgetIsBounded: each counter counts what is allowed, and not once more (I8).
func TestBudgetIsBounded(t *testing.T) {
	limits := life.Limits{MaxBoots: 4}
	for _, r := range life.Rules() {
		b := life.Budget{Digest: offered}
		allowed, ok := r.Allowed(limits), true
		if allowed < 0 {
			allowed = 100
		}
		for n := 1; n <= allowed; n++ {
			if b, ok = b.Charge(r.Counter, limits); !ok || b.Over(r.Counter, limits) || counter(b, r.Counter) != n {
				t.Errorf("%s: the %dth of %d is counted as %+v, %v", r.Name, n, allowed, b, ok)
			}
		}
		if r.Allowed(limits) < 0 {
			continue
		}
		if same, ok := b.Charge(r.Counter, limits); ok || same != b {
			t.Errorf("%s: %d are allowed, and one more is counted: %+v", r.Name, allowed, same)
		}
	}
	if _, ok := (life.Budget{}).Charge(life.Boots, life.Limits{}); ok {
		t.Error("no trial boots are allowed, and one is counted")
	}
	// While reverting the loader may have to use up the tries of a slot that cannot be disabled.
	if n := life.Rules()[life.Reboots].Allowed(life.Limits{MaxBoots: 4, Reverting: true}); n != 7 {
		t.Errorf("%d reboots while reverting", n)
	}
}

// TestBackoff: a failed attempt is repeated after one minute, two, four and so on up to the limit, however often it
// failed.
func TestBackoff(t *testing.T) {
	for _, c := range []struct {
		failures int // before
		limit    time.Duration
		want     time.Duration
	}{
		{0, time.Hour, time.Minute}, {1, time.Hour, 2 * time.Minute}, {2, time.Hour, 4 * time.Minute},
		{5, time.Hour, 32 * time.Minute},
		{6, time.Hour, time.Hour}, {100, time.Hour, time.Hour}, {0, 30 * time.Second, 30 * time.Second},
		{11, 1e4 * time.Hour, 2048 * time.Minute}, {12, 1e4 * time.Hour, 4096 * time.Minute},
		{100, 1e4 * time.Hour, 4096 * time.Minute},
	} {
		s := usual(life.Preparing)
		s.Budget = life.Budget{Digest: offered, Failures: c.failures}
		s.Waiting.Budget = s.Budget
		s.Dev.RetryMax = c.limit
		next, _ := life.Step(s, life.Done{Moment: moment, Do: life.Reach{}, Class: life.Gone})
		if got := next.RetryAt - now; got != c.want || next.Waiting.Budget.Failures != c.failures+1 {
			t.Errorf("after %d failures, at most %v: again in %v, want %v; counted %d", c.failures, c.limit, got,
				c.want, next.Waiting.Budget.Failures)
		}
	}
}

// TestBudgetOverAPowerCut: what was counted is counted after a power cut, in the record that another version of the
// agent wrote, too.
func TestBudgetOverAPowerCut(t *testing.T) {
	all := life.Budget{Digest: offered, Boots: 1, Rewrites: 5, Arms: 2, Untried: 6, Reboots: 3, Failures: 4, Costly: 2,
		Fell: 1, Reverts: 2, Broker: true}
	copies := life.Record{Phase: life.Trial, Target: "B", Digest: offered, Boots: 1,
		Ext: life.Ext{Restarts: 5, Arms: 2, NeverTried: 6, Reboots: 3}}
	with := func(r life.Record, b ...life.Budget) life.Record { r.Ext.Budgets = b; return r }
	attempt := life.Budget{Digest: offered, Boots: 1, Rewrites: 5, Arms: 2, Untried: 6, Reboots: 3}
	update := life.Budget{Digest: offered, Failures: 4, Costly: 2, Fell: 1, Reverts: 2, Broker: true}
	merged := all
	offer := life.Waiting{Digest: offered, Budget: life.Budget{Digest: offered}}
	other := life.Waiting{Digest: "sha256:5555"}
	otherCount := life.Budget{Digest: "sha256:5555", Failures: 7}
	boots := all
	boots.Boots = 3
	more := with(copies, all)
	more.Boots = 3
	idle := life.Record{Phase: life.Idle}
	for _, c := range []struct {
		name    string
		rec     life.Record
		waiting life.Waiting
		budget  life.Budget
		waits   life.Budget
	}{
		{"this version's record", with(copies, all), offer, all, update},
		{"of the version before, nothing waits", copies, life.Waiting{}, attempt, life.Budget{}},
		{"of the version before, the offer waits", copies, life.Waiting{Digest: offered, Budget: update}, merged,
			update},
		{"the core counts a boot more", more, offer, boots, update},
		{"a technician's install before an offer that waits", with(copies, all, otherCount), other, all, otherCount},
		{"the offer's alone", with(copies, otherCount), other, attempt, otherCount},
		{"idle, an offer waits", with(idle, update), offer, life.Budget{}, update},
		{"idle, another's count is left", with(idle, update), other, life.Budget{}, life.Budget{}},
		{"idle, nothing waits", with(idle, life.Budget{Failures: 3}), life.Waiting{}, life.Budget{}, life.Budget{}},
	} {
		b, err := c.rec.Encode()
		if err != nil {
			t.Fatal(err)
		}
		s := life.Stored{Have: true, Waiting: c.waiting}
		if s.Rec, err = life.DecodeRecord(b); err != nil {
			t.Fatal(err)
		}
		s.Open()
		if s.Budget != c.budget || s.Waiting.Budget != c.waits || s.Rec.Ext.Budgets != nil {
			t.Errorf("%s: counts\n%+v, want\n%+v, and for the offer\n%+v, want\n%+v", c.name, s.Budget, c.budget,
				s.Waiting.Budget, c.waits)
		}
	}
}

// TestRecordSaysWhatIsCounted: each commit of a record has the budget of the update, that of the offer that waits
// where there is another, and the copies for an agent of the version before.
func TestRecordSaysWhatIsCounted(t *testing.T) {
	all := life.Budget{Digest: offered, Boots: 1, Rewrites: 5, Arms: 2, Untried: 6, Reboots: 1, Failures: 4}
	other := life.Budget{Digest: "sha256:5555", Failures: 7}
	for _, c := range []struct {
		name    string
		waiting life.Waiting
		want    []life.Budget
	}{
		{"the same offer waits", life.Waiting{Digest: offered, Budget: life.Budget{Digest: offered, Failures: 4}},
			[]life.Budget{all}},
		{"another one waits", life.Waiting{Digest: other.Digest, Budget: other}, []life.Budget{all, other}},
		{"another one waits that never failed", life.Waiting{Digest: other.Digest,
			Budget: life.Budget{Digest: other.Digest}}, []life.Budget{all}},
		{"nothing waits", life.Waiting{}, []life.Budget{all}},
	} {
		s := usual(life.Reverting)
		s.Budget, s.Waiting = all, c.waiting
		_, eff := life.Step(s, life.Done{Moment: moment, Do: life.Disable{Slot: "B"}, Boot: metadata(full, off, "A"),
			BootOK: true})
		r := eff.Commit.Record
		want := slices.Clone(c.want)
		want[0].Reboots++
		if r == nil || !reflect.DeepEqual(r.Ext.Budgets, want) {
			t.Errorf("%s: %+v, want %+v", c.name, r, want)
			continue
		}
		if r.Boots != 1 || r.Ext.Restarts != 5 || r.Ext.Arms != 2 || r.Ext.NeverTried != 6 || r.Ext.Reboots != 2 {
			t.Errorf("%s: the copies are %+v", c.name, r)
		}
	}
}

// TestNextAttemptBeginsAtZero: the counters of one attempt begin at zero with the next one, those of the update stay.
func TestNextAttemptBeginsAtZero(t *testing.T) {
	s := usual(life.Idle)
	s.Waiting.Budget = life.Budget{Digest: offered, Boots: 2, Rewrites: 1, Arms: 2, Untried: 1, Reboots: 3, Failures: 4,
		Costly: 2, Fell: 1, Reverts: 2, Broker: true}
	want := life.Budget{Digest: offered, Failures: 4, Costly: 2, Fell: 1, Reverts: 2, Broker: true}
	next, _ := life.Step(s, life.Taken{Moment: moment, Ruling: ruling()})
	if next.Budget != want || next.Rec.Phase != life.Preparing {
		t.Errorf("phase %s, %+v", next.Rec.Phase, next.Budget)
	}
	r := ruling()
	r.Digest = "sha256:3333"
	if next, _ := life.Step(s, life.Taken{Moment: moment,
		Ruling: r}); next.Budget != (life.Budget{Digest: "sha256:3333"}) {
		t.Errorf("another update begins with %+v", next.Budget)
	}
}

// TestCostlyFailuresNeverEnd: what costs a download, a part of the slot's life or a reboot is tried again after a
// minute, eight, sixty-four and so on, up to a day, and however often it failed there is no final verdict.
func TestCostlyFailuresNeverEnd(t *testing.T) {
	for dear, want := range []time.Duration{time.Minute, 8 * time.Minute, 64 * time.Minute, 512 * time.Minute,
		24 * time.Hour, 24 * time.Hour} {
		for _, costly := range []int{0, dear, dear * 100} {
			s := usual(life.Writing)
			b := life.Budget{Digest: offered, Costly: costly, Reverts: dear - min(costly, dear)}
			s.Budget, s.Waiting.Budget = b, b
			next, eff := life.Step(s, life.Done{Moment: moment, Do: life.Write{}, Class: life.Medium, Text: "worn out"})
			if costly > dear {
				want = 24 * time.Hour
			}
			if final := finalOf(eff); next.Waiting.Digest != offered || final != "" || next.RetryAt != now+want {
				t.Errorf("after %+v: waits %q for %v, want %v, final verdict %q", b, next.Waiting.Digest,
					next.RetryAt-now, want, final)
			}
		}
	}
}

func finalOf(eff life.Effects) reason.Reason {
	for _, op := range eff.Commit.Ops {
		if f, ok := op.(life.PutFinal); ok {
			return f.Why
		}
	}
	return ""
}

// TestFailuresOfAnOfferThatGaveWay: what an offer has failed is remembered when another one takes its place: it waits
// when it comes again, and goes on counting. Of four it is remembered; over a power cut too; and not that the slot
// holds it, once another image was begun.
func TestFailuresOfAnOfferThatGaveWay(t *testing.T) {
	failed := life.Budget{Digest: offered, Failures: 3, Reverts: 2, Fell: 1, Excused: 5, Whole: true}
	another := func(n int) life.Ruling {
		r := ruling()
		r.Digest = fmt.Sprintf("sha256:aaa%d", n)
		return r
	}
	deferred := func(s life.State, r life.Ruling) life.State {
		r.Outcome, r.Why, r.Rules, r.Retry = life.Defer, reason.LowBattery, "low-battery", time.Minute
		next, _ := life.Step(s, life.Decided{Moment: moment, Ask: life.Ask{Offer: true}, Ruling: r})
		return next
	}
	install := func(s life.State, r life.Ruling) (life.State, life.Effects) {
		return life.Step(s, life.Decided{Moment: moment, Ask: life.Ask{Offer: true}, Ruling: r})
	}
	s := usual(life.Idle)
	s.Waiting = life.Waiting{Digest: offered, Sequence: 2, Reason: reason.FellBack, Budget: failed}
	s = deferred(s, another(0))
	if s.Waiting.Digest != "sha256:aaa0" || len(s.Left) != 1 || s.Left[0] != failed {
		t.Fatalf("%s waits, and of others is remembered: %+v", s.Waiting.Digest, s.Left)
	}
	next, _ := install(s, ruling())
	if next.Waiting.Digest != offered || next.Waiting.Reason != reason.FailedBefore || next.Waiting.Budget != failed ||
		next.RetryAt-now != 8*time.Minute || len(next.Left) != 0 {
		t.Errorf("it came again: waits %+v, again in %v, remembered %+v", next.Waiting, next.RetryAt-now, next.Left)
	}
	begun, _ := life.Step(s, life.Taken{Moment: moment, Ruling: another(0)})
	stored := life.Stored{Have: true, Rec: begun.Rec, Waiting: begun.Waiting}
	stored.Rec.Ext.Budgets = append([]life.Budget{begun.Budget}, begun.Left...)
	stored.Open()
	whole := failed
	whole.Whole = false
	if !slices.Equal(begun.Left, []life.Budget{whole}) || !slices.Equal(stored.Left, begun.Left) ||
		s.Left[0] != failed {
		t.Errorf("when another one is begun %+v is remembered, after a power cut %+v", begun.Left, stored.Left)
	}
	for n := range 6 {
		s.Waiting.Budget.Failures = n + 1
		s = deferred(s, another(n+1))
	}
	if len(s.Left) != 4 || s.Left[3].Digest != "sha256:aaa5" || s.Left[0].Digest != "sha256:aaa2" {
		t.Errorf("of %+v is remembered", s.Left)
	}
}

// TestRetryForgetsAnOfferThatGaveWay: a person can have an offer tried again that another one has taken the place of.
func TestRetryForgetsAnOfferThatGaveWay(t *testing.T) {
	s := usual(life.Idle)
	s.Left = []life.Budget{{Digest: "sha256:aaa0", Failures: 1}, {Digest: "sha256:aaa1", Failures: 2}}
	asked := life.Asked{Moment: moment, Verb: life.VerbRetry, Digest: "sha256:aaa0", Actor: "uid 0"}
	next, eff := life.Step(s, asked)
	if a := eff.Tell.Answer; a == nil || a.Refused != reason.None || len(next.Left) != 1 ||
		next.Left[0].Digest != "sha256:aaa1" {
		t.Errorf("the answer is %+v, and remembered are %+v", a, next.Left)
	}
	asked.Digest = "sha256:aaa2"
	if _, eff := life.Step(s, asked); eff.Tell.Answer == nil || eff.Tell.Answer.Refused != reason.NothingToDo {
		t.Errorf("of one that was never offered: %+v", eff.Tell.Answer)
	}
}
