package life_test

import (
	"crypto/sha256"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ratchet-ota/ratchet/agent/life"
	"github.com/ratchet-ota/ratchet/agent/reason"
)

// TestEveryCutAndFault plays the machine on an abstract device: from every state that a power cut can leave
// the device is played to its rest, once without a fault and once with each fault at each point, and the
// power is cut everywhere in all of these plays, until no new state is found. So any number of cuts is
// covered, with up to one fault in every boot between two of them. Held are I1 to I5, I8, I9, and what a device at
// rest must be.
func TestEveryCutAndFault(t *testing.T) {
	most := 20_000
	if testing.Short() {
		most = catalogued
	}
	states := map[string]bool{}
	var queue []*world
	meet := func(w *world) {
		if k := w.key(); !states[k] {
			states[k] = true
			queue = append(queue, w)
		}
	}
	meet(newWorld())
	plays, failed := 0, 0
	steps := map[string]bool{}
	for len(queue) > 0 && plays < most && failed < 5 {
		from := queue[0]
		queue = queue[1:]
		clean := from.off()
		clean.power(meet)
		plays++
		failed += tell(t, from, clean)
		for _, kind := range faults {
			for at := 0; at < clean.point; {
				w := from.off()
				w.fault = &fault{point: at, kind: kind}
				if plays < catalogued {
					w.seen = steps
				}
				hit := 0
				w.power(func(c *world) {
					if w.fault.hit && hit == 0 {
						hit = w.point
					}
					meet(c)
				})
				plays++
				failed += tell(t, from, w)
				if hit == 0 {
					break // nothing of this kind is left in this play
				}
				at = hit + 1
			}
		}
	}
	t.Logf("%d states, %d plays, %d states not played, %d kinds of step", len(states), plays, len(queue), len(steps))
	catalogue(t, steps)
}

// catalogue holds every kind of step that the first plays met against testdata/steps.txt: for each phase, event and
// next phase, how many kinds there are, and a sum of what they commit, say and do in full. A change of the
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
			if head := strings.TrimSpace(line[:min(40, len(line))]); head != "" && !strings.Contains(string(old), line) {
				t.Errorf("%s does otherwise than before; one of its kinds is now\n%s", head, groups[head][0])
			}
		}
	}
	golden(t, "testdata/steps.txt", b.String())
}

// catalogued is how many plays make testdata/steps.txt.
const catalogued = 2500

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
		part("evidence %s", words(string(x.Kind), string(x.Reason), x.From+">"+x.To, "slot", x.Slot, x.Component, fmt.Sprint(x.Sequence), x.Actor, fmt.Sprint(x.Detail)))
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
	return words(string(r.Phase), string(r.Target), r.Digest, string(x.Cause), string(x.Pending), nonzero("revert", x.Revert), nonzero("local", x.Local),
		nonzero("synthetic", x.Synthetic), nonzero("boots", r.Boots), nonzero("tries", x.Tries), nonzero("rewrites", x.Restarts), nonzero("untried", x.NeverTried),
		nonzero("reboots", x.Reboots), nonzero("arms", x.Arms), nonzero("budgets", len(x.Budgets)), x.Version)
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

// TestEveryCut is the same without faults, to the end: any number of cuts.
func TestEveryCut(t *testing.T) {
	states := map[string]bool{}
	var queue []*world
	meet := func(w *world) {
		if k := w.key(); !states[k] {
			states[k] = true
			queue = append(queue, w)
		}
	}
	meet(newWorld())
	ends := map[string]int{}
	for len(queue) > 0 && !t.Failed() {
		from := queue[0]
		queue = queue[1:]
		w := from.off()
		w.power(meet)
		tell(t, from, w)
		for _, e := range w.ends {
			ends[strings.TrimSpace(e.Result+" "+string(e.Reason))]++
		}
	}
	t.Logf("%d states; ends: %v", len(states), ends)
	for _, never := range []reason.Reason{reason.HealthFailed, reason.ImageCorrupt, reason.ReadBackMismatch, reason.SlotIO, reason.RebootFailed, reason.RevertImpossible, reason.LostAfterConfirm} {
		for end := range ends {
			if strings.HasSuffix(end, string(never)) {
				t.Errorf("an update ended as %q, and nothing but the power was cut", end)
			}
		}
	}
	if ends["updated"] == 0 {
		t.Error("no update came to its good end")
	}
}

// tell says what is wrong with a play, and how it went.
func tell(t *testing.T, from, w *world) int {
	t.Helper()
	if len(w.bad) == 0 {
		return 0
	}
	var b strings.Builder
	again := from.off()
	if w.fault != nil {
		again.fault = &fault{point: w.fault.point, kind: w.fault.kind}
		fmt.Fprintf(&b, "fault %s at point %d\n", w.fault.kind, w.fault.point)
	}
	lines := []string{}
	again.log = func(l string) { lines = append(lines, l) }
	again.power(func(*world) {})
	if len(lines) > 40 {
		lines = lines[len(lines)-40:]
	}
	t.Errorf("%s\n%sfrom %s\n%s", strings.Join(w.bad, "; "), b.String(), from.key(), strings.Join(lines, "\n"))
	return 1
}

// line is one step for people: the phase, what happened, what is committed, what is done.
func line(s life.State, e life.Event, next life.State, eff life.Effects) string {
	var commits []string
	if eff.Commit.Record != nil {
		commits = append(commits, fmt.Sprintf("record %s", eff.Commit.Record.Phase))
	}
	for _, x := range eff.Commit.Events {
		commits = append(commits, strings.TrimSpace(fmt.Sprintf("evidence %s %s", x.Kind, x.Reason)))
	}
	for _, op := range eff.Commit.Ops {
		commits = append(commits, strings.TrimPrefix(fmt.Sprintf("%T", op), "life."))
	}
	for _, op := range eff.Commit.Quar {
		commits = append(commits, "quarantine file: "+strings.TrimPrefix(fmt.Sprintf("%T", op), "life."))
	}
	name := func(v any) string { return strings.TrimPrefix(fmt.Sprintf("%T", v), "life.") }
	return fmt.Sprintf("%-10s %-12s -> %-10s %-55s do %s", s.Rec.Phase, what(e), next.Rec.Phase, strings.Join(commits, ", "), name(eff.Do))
}

func what(e life.Event) string {
	if d, ok := e.(life.Done); ok {
		end := strings.TrimPrefix(fmt.Sprintf("%T", d.Do), "life.")
		if d.Class != life.OK {
			return fmt.Sprintf("%s failed", end)
		}
		return end
	}
	return strings.TrimPrefix(fmt.Sprintf("%T", e), "life.")
}
