package life_test

import (
	"crypto/sha256"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ratchet-ota/ratchet/agent/life"
	"github.com/ratchet-ota/ratchet/agent/reason"
	"github.com/ratchet-ota/ratchet/bootctl"
)

// TestSteps plays devices of every kind by a seeded chance in which anything fails, anybody asks, and the
// power goes at any time. It holds what must hold in every play, and every kind of step that the machine takes against
// what it was.
func TestSteps(t *testing.T) {
	plays := uint64(3000)
	if testing.Short() {
		plays = 400
	}
	steps := map[string]bool{}
	for seed := range plays {
		rng := rand.New(rand.NewPCG(seed, 9))
		w := starts[int(seed)%len(starts)]()
		for range 5 {
			w.seen, w.chance, w.odds = steps, rng, 10+rng.IntN(60)
			var left *world
			w.power(func(c *world) {
				if left == nil && rng.IntN(60) == 0 {
					left = c
				}
			})
			if left == nil {
				left = w.off()
			}
			if len(w.bad) > 0 {
				t.Errorf("play %d: %s", seed, strings.Join(w.bad, "; "))
			}
			w = left
		}
	}
	catalogue(t, steps)
}

// starts are the kinds of device that the chance begins with.
var starts = []func() *world{
	newWorld,
	newWorld,
	func() *world { // the configuration cannot be used
		w := newWorld()
		w.safe = []string{"line 3: unknown key"}
		return w
	},
	func() *world { // another version's record
		w := newWorld()
		w.s.Frozen, w.s.Have, w.safe = true, true, []string{"the update record cannot be understood"}
		return w
	},
	func() *world { // the journal was lost while B was on trial
		w := onTrial()
		w.s = life.Stored{Rec: life.Record{Phase: life.Idle}}
		w.lost = reason.JournalLost
		return w
	},
	func() *world { // somebody armed B
		w := onTrial()
		w.s = life.Stored{Have: true, Rec: life.Record{Phase: life.Idle}}
		return w
	},
	onTrial,
	func() *world { // B holds an older release that was confirmed here
		w := newWorld()
		w.s.Have, w.holds["B"] = true, 2
		w.s.Slots[1] = life.Content{Manifest: "sha256:0000", Sequence: 1, Version: "0", Images: images, Confirmed: true}
		w.final[offered] = reason.Expired
		return w
	},
	func() *world { // B holds what was never confirmed
		w := newWorld()
		w.s.Slots[1] = life.Content{Manifest: "sha256:0000", Sequence: 1, Images: images}
		return w
	},
	func() *world { // an offer that has failed often
		w := newWorld()
		w.s.Have = true
		w.s.Waiting = life.Waiting{Envelope: []byte("envelope"), Digest: offered, Sequence: 2, Reason: reason.SlotIO,
			Said: "slot-io-error", Budget: life.Budget{Digest: offered, Failures: 5, Costly: 3, Fell: 1, Reverts: 3}}
		return w
	},
	func() *world { // one that waits for the broker
		w := newWorld()
		w.s.Have = true
		w.s.Waiting = life.Waiting{Envelope: []byte("envelope"), Digest: offered, Sequence: 2,
			Reason: reason.HealthUnreachable,
			Budget: life.Budget{Digest: offered, Failures: 1, Reverts: 1, Broker: true}}
		return w
	},
	func() *world { // what was left open
		w := newWorld()
		w.s.Have, w.s.Rec.Ext.Pending = true, reason.FloorPending
		return w
	},
	func() *world { // in the middle, at the bounds
		w := newWorld()
		w.s = life.Stored{Have: true,
			Rec: life.Record{Phase: life.Arming, Target: "B", Digest: offered,
				Ext: life.Ext{Sequence: 2, Images: images, Tries: 3}},
			Budget: life.Budget{Digest: offered, Arms: 3, Rewrites: 1, Untried: 1, Reboots: 3}}
		w.s.Waiting = life.Waiting{Envelope: []byte("envelope"), Digest: offered, Sequence: 2,
			Budget: life.Budget{Digest: offered}}
		w.boot["B"], w.holds["B"] = bootctl.SlotState{}, 2
		return w
	},
	func() *world { // a technician's install
		w := newWorld()
		w.s = life.Stored{Have: true,
			Rec: life.Record{Phase: life.Preparing, Target: "B", Digest: offered,
				Ext: life.Ext{Sequence: 2, Images: images, Local: true}}, Permitted: offered}
		return w
	},
}

var images = []life.SlotImage{{Component: "rootfs", Alg: -16, Digest: []byte("image 2"), Size: 1}}

// onTrial is a device whose new system has been tried twice.
func onTrial() *world {
	w := newWorld()
	w.boot["B"], w.first, w.holds["B"] = bootctl.SlotState{Bootable: true, Tries: 2}, "B", 2
	w.s = life.Stored{Have: true,
		Rec: life.Record{Phase: life.Trial, Target: "B", Digest: offered, Ext: life.Ext{Sequence: 2, Images: images,
			Tries: 3, Version: "2"}}, Budget: life.Budget{Digest: offered, Boots: 2},
		Tally:  life.Tally{Key: offered, Boots: 3},
		Floors: life.Floors{{Component: "rootfs", Sequence: 1, Digest: "sha256:0000"}}}
	w.s.Rec.Boots = 2
	w.s.Waiting = life.Waiting{Envelope: []byte("envelope"), Digest: offered, Sequence: 2,
		Budget: life.Budget{Digest: offered}}
	return w
}

// catalogue holds the steps that the plays of TestSteps met against testdata/steps.txt: for each phase, event and next
// phase a short sum of each kind of step, of all that it commits, says, does and remembers. A step that is not in it is
// shown in full; -update rewrites it: say in the commit why.
func catalogue(t *testing.T, steps map[string]bool) {
	t.Helper()
	old := map[string]bool{}
	for head, line := range sums(t, "testdata/steps.txt") {
		for _, sum := range strings.Fields(line) {
			old[head+sum] = true
		}
	}
	groups := map[string][]string{}
	failed := 0
	for _, s := range slices.Sorted(maps.Keys(steps)) {
		head, rest, _ := strings.Cut(s, "\n")
		sum := sha256.Sum256([]byte(rest))
		short := fmt.Sprintf("%x", sum[:2])
		groups[head] = append(groups[head], short)
		if !*update && !old[head+short] {
			if failed++; failed <= 3 {
				t.Errorf("the machine never did this before:\n%s", s)
			}
		}
	}
	if failed > 3 {
		t.Errorf("and %d other steps", failed-3)
	}
	if failed > 0 || testing.Short() {
		return
	}
	var b strings.Builder
	for _, head := range slices.Sorted(maps.Keys(groups)) {
		slices.Sort(groups[head])
		fmt.Fprintf(&b, "%s\t%s\n", head, strings.Join(groups[head], " "))
	}
	golden(t, "testdata/steps.txt", b.String())
}

// inFull is one step with everything that it commits, says, does and remembers; times are told from now.
func inFull(s life.State, e life.Event, next life.State, eff life.Effects) string {
	var b strings.Builder
	now := uptime(e)
	fmt.Fprintf(&b, "%s, %s -> %s", s.Rec.Phase, what(e), next.Rec.Phase)
	part := func(format string, args ...any) { fmt.Fprintf(&b, "\n\t"+format, args...) }
	c := eff.Commit
	if c.Record != nil {
		part("record %s", record(*c.Record, s.BootID, now))
	}
	for _, x := range c.Events {
		part("evidence %s", words(string(x.Kind), string(x.Reason), x.From+">"+x.To, "slot", x.Slot, x.Component,
			x.Manifest, fmt.Sprint(x.Sequence), x.Image, x.Actor, fmt.Sprint(x.Detail)))
	}
	for _, op := range c.Ops {
		part("%T %s", op, plain(op))
	}
	for _, op := range c.Quar {
		part("quarantine %T %+v", op, op)
	}
	if c.Optional != "" {
		part("optional: %s", c.Optional)
	}
	if a := eff.Tell.Answer; a != nil {
		part("answer %+v", *a)
	}
	if f := eff.Tell.Failed; f != nil {
		part("failed: %s: %s", f.What, f.Text)
	}
	if eff.Tell.Well != "" || eff.Tell.Missed || eff.Tell.Waits != "" {
		part("well %q, missed %v, waits for %s (%s)", eff.Tell.Well, eff.Tell.Missed, eff.Tell.Waits, eff.Tell.WaitFor)
	}
	if eff.Tell.Entered {
		part("entered")
	}
	switch do := eff.Do.(type) {
	case life.Wait:
		do.Until -= now
		part("do %T %+v", do, do)
	case life.Prove:
		part("do prove, began %v ago", now-do.Began)
	default:
		part("do %s", plain(do))
	}
	remembers(part, s, next, now)
	return b.String()
}

// remembers says what is otherwise in the state after a step, but for what the commit shows.
func remembers(part func(string, ...any), s, next life.State, now time.Duration) {
	if s.Budget != next.Budget {
		part("budget %+v", next.Budget)
	}
	for _, x := range []struct {
		name     string
		old, new time.Duration
	}{{"look", s.TendAt, next.TendAt}, {"retry", s.RetryAt, next.RetryAt}, {"start again", s.RetakeAt, next.RetakeAt},
		{"checked", s.CheckedAt, next.CheckedAt}} {
		switch {
		case x.old == x.new:
		case x.new == 0:
			part("%s: never or at once", x.name)
		default:
			part("%s in %v", x.name, x.new-now)
		}
	}
	type word = [3]any
	for _, x := range []word{{"hold", s.Hold, next.Hold}, {"start again", s.Retake, next.Retake},
		{"stayed", s.Stayed, next.Stayed}, {"starting", s.Starting, next.Starting},
		{"tending", s.Tending, next.Tending}, {"first", s.First, next.First}, {"invalid", s.Invalid, next.Invalid},
		{"bail", s.Bail, next.Bail}, {"bail for", s.BailWhy, next.BailWhy},
		{"lapses", s.Lapses, next.Lapses}, {"failed", s.Failed, next.Failed}, {"tried", s.Tried, next.Tried},
		{"held", s.Held, next.Held}, {"rules", s.Rules, next.Rules},
		{"known", s.Known, next.Known}, {"noted", s.Noted, next.Noted}, {"runs", s.Run, next.Run},
		{"have", s.Have, next.Have},
		{"bad offers", len(s.Garbage.Times), len(next.Garbage.Times)}, {"not recorded", s.Garbage.Dropped,
			next.Garbage.Dropped}} {
		if x[1] != x[2] {
			part("%s: %v", x[0], x[2])
		}
	}
	if n := len(next.Garbage.Times); n > 0 && len(s.Garbage.Times) > 0 && s.Garbage.Times[0] != next.Garbage.Times[0] {
		part("the oldest bad offer came %v ago", now-next.Garbage.Times[0])
	}
	if s.Rec.Phase == next.Rec.Phase && (s.Rec.Ext.Cause != next.Rec.Ext.Cause ||
		s.Rec.Ext.Pending != next.Rec.Ext.Pending) {
		part("cause %s, pending %s", next.Rec.Ext.Cause, next.Rec.Ext.Pending)
	}
}

func record(r life.Record, boot string, now time.Duration) string {
	x := r.Ext
	began := ""
	if x.Began > 0 {
		began = fmt.Sprintf("began %v ago", now-x.Began)
	}
	here := ""
	if x.BootID != boot {
		here = "of another boot"
	}
	return words(string(r.Phase), string(r.Target), r.Digest, fmt.Sprint(x.Sequence), string(x.Cause),
		string(x.Pending), nonzero("revert", x.Revert), nonzero("local", x.Local),
		nonzero("synthetic", x.Synthetic), nonzero("boots", r.Boots), nonzero("tries", x.Tries),
		nonzero("rewrites", x.Restarts), nonzero("untried", x.NeverTried),
		nonzero("reboots", x.Reboots), nonzero("arms", x.Arms), nonzero("images", len(x.Images)), fmt.Sprint(x.Budgets),
		x.Version, began, here)
}

func nonzero(name string, v any) string {
	if v == false || v == 0 {
		return ""
	}
	return fmt.Sprint(name, "=", v)
}

func words(w ...string) string {
	return strings.Join(slices.DeleteFunc(w, func(s string) bool {
		return s == "" || s == ">" || s == "map[]" ||
			s == "[]"
	}), " ")
}

// plain is a value without what envelopes and images hold.
func plain(v any) string {
	switch v := v.(type) {
	case life.PutWaiting:
		v.Waiting.Envelope = v.Waiting.Envelope[:min(1, len(v.Waiting.Envelope))]
		return fmt.Sprintf("%+v", v)
	case life.PutContent:
		if v.Content != nil {
			return fmt.Sprint(v.Slot, " ", v.Content.Manifest, " ", v.Content.Sequence, " ", v.Content.Version, " ",
				len(v.Content.Images), " ", v.Content.Confirmed)
		}
	case life.PutNoted:
		if v.Ending != nil {
			return fmt.Sprintf("%+v", *v.Ending)
		}
	case life.PutSeen:
		return fmt.Sprintf("%d, %q to %q", len(v.Seen), v.Seen[0], v.Seen[len(v.Seen)-1])
	case life.KeepReport:
		if v.Rec != nil {
			return fmt.Sprint(v.Result, " ", v.Why, " ", v.Rec.Phase, " ", v.Rec.Digest, " ", v.Rec.Boots, " ",
				v.Rec.Ext.Cause)
		}
	}
	s := fmt.Sprintf("%T %+v", v, v)
	if i := strings.Index(s, "Images:["); i >= 0 {
		s = s[:i] + "..."
	}
	return s
}

func uptime(e life.Event) time.Duration {
	switch e := e.(type) {
	case life.Started:
		return e.Uptime
	case life.Begun:
		return e.Uptime
	case life.Due:
		return e.Uptime
	case life.Done:
		return e.Uptime
	case life.Decided:
		return e.Uptime
	case life.Taken:
		return e.Uptime
	case life.Came:
		return e.Uptime
	case life.Documented:
		return e.Uptime
	case life.Stepped:
		return e.Uptime
	case life.Asked:
		return e.Uptime
	case life.NotTaken:
		return e.Uptime
	case life.Verdict:
		return e.Uptime
	case life.Round:
		return e.Uptime
	}
	return 0
}
