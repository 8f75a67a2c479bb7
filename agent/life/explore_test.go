package life_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/ratchet-ota/ratchet/agent/life"
	"github.com/ratchet-ota/ratchet/agent/reason"
)

// TestEveryCutAndFault plays the machine on an abstract device: from every state that a power cut can leave
// the device is played to its rest, once without a fault and once with each fault at each point, and the
// power is cut everywhere in all of these plays, until no new state is found. So any number of cuts is
// covered, with up to one fault in every boot between two of them. Held are I1 to I5, I8, I9, and what a device at
// rest must be.
func TestEveryCutAndFault(t *testing.T) {
	most := 8000
	if testing.Short() {
		most = 2500
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
	t.Logf("%d states, %d plays, %d states not played", len(states), plays, len(queue))
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
	for _, never := range []reason.Reason{reason.HealthFailed, reason.ImageCorrupt, reason.ReadBackMismatch,
		reason.SlotIO, reason.RebootFailed, reason.RevertImpossible, reason.LostAfterConfirm} {
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
	return fmt.Sprintf("%-10s %-12s -> %-10s %-55s do %s",
		s.Rec.Phase, what(e), next.Rec.Phase, strings.Join(commits, ", "), name(eff.Do))
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
