package life_test

import (
	"crypto/sha256"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ratchet-ota/ratchet/agent/life"
	"github.com/ratchet-ota/ratchet/agent/reason"
	"github.com/ratchet-ota/ratchet/bootctl"
)

// TestSteps plays devices of every kind by a seeded chance in which anything fails, anybody asks, and the
// power goes at any time, and holds every kind of step that the machine takes against what it was.
func TestSteps(t *testing.T) {
	steps := map[string]bool{}
	for seed := range uint64(3000) {
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
	func() *world { // one that waits for the broker, and is judged
		w := newWorld()
		w.s.Have = true
		w.s.Waiting = life.Waiting{Envelope: []byte("envelope"), Digest: offered, Sequence: 2,
			Reason: reason.HealthFailed, Budget: life.Budget{Digest: offered, Failures: 1, Reverts: 1, Broker: true}}
		w.s.Judge = life.Judge{Digest: offered, Images: []string{"sha256:99"}, Cause: reason.HealthFailed}
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
			Budget: life.Budget{Digest: offered, Arms: 4, Rewrites: 1, Untried: 1, Reboots: 3}}
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
		Tally: life.Tally{Key: offered, Boots: 3}, Floor: life.Floor{Sequence: 1, Digest: "sha256:0000"}}
	w.s.Rec.Boots = 2
	w.s.Waiting = life.Waiting{Envelope: []byte("envelope"), Digest: offered, Sequence: 2,
		Budget: life.Budget{Digest: offered}}
	return w
}

// catalogue holds every kind of step that the plays of TestSteps met against testdata/steps.txt: for each phase, event
// and next phase, how many kinds there are, and a sum of what they commit, say and do in full. A change of the
// machine that changes what any of them does changes a sum; -update rewrites them: say in the commit why.
func catalogue(t *testing.T, steps map[string]bool) {
	t.Helper()
	groups := map[string][]string{}
	for _, s := range slices.Sorted(maps.Keys(steps)) {
		head, rest, _ := strings.Cut(s, "\n")
		groups[head] = append(groups[head], rest)
	}
	var b strings.Builder
	for _, head := range slices.Sorted(maps.Keys(groups)) {
		sum := sha256.Sum256([]byte(strings.Join(groups[head], "\n")))
		fmt.Fprintf(&b, "%-40s %4d %x\n", head, len(groups[head]), sum[:6])
	}
	old, err := os.ReadFile("testdata/steps.txt")
	if err == nil && !*update {
		for _, line := range strings.Split(b.String(), "\n") {
			if head := strings.TrimSpace(line[:min(40, len(line))]); head != "" &&
				!strings.Contains(string(old), line) {
				t.Errorf("%s does otherwise than before; one of its kinds is now\n%s", head, groups[head][0])
			}
		}
	}
	golden(t, "testdata/steps.txt", b.String())
}

// inFull is one step with everything that it commits, says and does; times are told from now.
func inFull(s life.State, e life.Event, next life.State, eff life.Effects) string {
	var b strings.Builder
	now := uptime(e)
	fmt.Fprintf(&b, "%s, %s -> %s", s.Rec.Phase, what(e), next.Rec.Phase)
	part := func(format string, args ...any) { fmt.Fprintf(&b, "\n\t"+format, args...) }
	c := eff.Commit
	if c.Record != nil {
		part("record %s", record(*c.Record))
	}
	for _, x := range c.Events {
		part("evidence %s", words(string(x.Kind), string(x.Reason), x.From+">"+x.To, "slot", x.Slot, x.Component,
			fmt.Sprint(x.Sequence), x.Actor, fmt.Sprint(x.Detail)))
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
	switch do := eff.Do.(type) {
	case life.Wait:
		do.Until -= now
		part("do %T %+v", do, do)
	case life.Prove:
		part("do prove")
	default:
		part("do %s", plain(do))
	}
	if next.RetryAt != s.RetryAt && next.RetryAt > 0 {
		part("retry in %v", next.RetryAt-now)
	}
	return b.String()
}

func record(r life.Record) string {
	x := r.Ext
	return words(string(r.Phase), string(r.Target), r.Digest, string(x.Cause), string(x.Pending),
		nonzero("revert", x.Revert), nonzero("local", x.Local), nonzero("synthetic", x.Synthetic),
		nonzero("boots", r.Boots), nonzero("tries", x.Tries), nonzero("rewrites", x.Restarts),
		nonzero("untried", x.NeverTried), nonzero("reboots", x.Reboots), nonzero("arms", x.Arms),
		nonzero("budgets", len(x.Budgets)), x.Version)
}

func nonzero(name string, v any) string {
	if v == false || v == 0 {
		return ""
	}
	return fmt.Sprint(name, "=", v)
}

func words(w ...string) string {
	return strings.Join(slices.DeleteFunc(w, func(s string) bool { return s == "" || s == ">" || s == "map[]" }), " ")
}

// plain is a value without what envelopes and images hold.
func plain(v any) string {
	switch v := v.(type) {
	case life.PutWaiting:
		v.Waiting.Envelope = nil
		return fmt.Sprintf("%+v", v)
	case life.PutContent:
		if v.Content != nil {
			return fmt.Sprint(v.Slot, " ", v.Content.Manifest, " ", v.Content.Version, " ", v.Content.Confirmed)
		}
	case life.PutNoted:
		if v.Ending != nil {
			return fmt.Sprintf("%+v", *v.Ending)
		}
	case life.KeepReport:
		return fmt.Sprint(v.Result, " ", v.Why, " ", v.Rec != nil)
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
	case life.Asked:
		return e.Uptime
	case life.Aborted:
		return e.Uptime
	case life.NotTaken:
		return e.Uptime
	case life.Verdict:
		return e.Uptime
	}
	return 0
}
