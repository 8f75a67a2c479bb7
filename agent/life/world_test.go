package life_test

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"time"

	"github.com/ratchet-ota/ratchet/agent/evidence"
	"github.com/ratchet-ota/ratchet/agent/life"
	"github.com/ratchet-ota/ratchet/agent/reason"
	"github.com/ratchet-ota/ratchet/bootctl"
)

// world is a device around the machine: what its parts are after each action, and nothing of how they do
// it. Image 1 is the old system, image 2 the offered one.
type world struct {
	s       life.Stored
	boot    map[bootctl.Slot]bootctl.SlotState
	first   bootctl.Slot
	durable life.Record          // as it was encoded last
	holds   map[bootctl.Slot]int // image, 0 for none that is whole
	count   int
	final   map[string]reason.Reason
	bars    int
	ends    []life.Ending // of this play
	boots   int

	live    life.Live
	run     bootctl.Slot
	now     time.Duration
	checked bool // the target was read back in this boot
	point   int
	fault   *fault
	bad     []string
	down    bool
	log     func(string)
	seen    map[string]bool // every kind of step, in full
	chance  *rand.Rand      // where it is set, anything fails by chance, one time in odds
	odds    int
	safe    []string
	nth     int // boot since the beginning
	lost    reason.Reason
}

// fault is one thing that goes wrong at a point of a play.
type fault struct {
	point int
	kind  string // see faults
	hit   bool
}

var dev = life.Device{Slots: [2]bootctl.Slot{"A", "B"}, Running: "1", Tries: 3, MaxBoots: 4, RetryMax: time.Hour,
	Deadline: 2 * time.Minute, Counter: true, Inbox: true}

const offered = "sha256:2222"

func newWorld() *world {
	full := bootctl.SlotState{Bootable: true, Confirmed: true, Tries: 3}
	w := &world{boot: map[bootctl.Slot]bootctl.SlotState{"A": full, "B": full}, first: "A",
		holds: map[bootctl.Slot]int{"A": 1, "B": 1}, final: map[string]reason.Reason{}}
	w.s.Rec.Phase = life.Idle
	return w
}

// off is what a power cut leaves.
func (w *world) off() *world {
	c := &world{s: w.s, boot: maps.Clone(w.boot), first: w.first, holds: maps.Clone(w.holds), count: w.count,
		final: maps.Clone(w.final), bars: w.bars, safe: w.safe, nth: w.nth}
	c.s.Tally.Dirty = false
	if c.durable = w.durable; c.durable.Phase != "" { // what the next start reads
		c.s.Rec = c.durable
		c.s.Open()
	}
	return c
}

// key identifies the state at a power-on.
func (w *world) key() string {
	s := w.s
	s.Rec.Ext.BootID, s.Rec.Ext.Began = "", 0
	for _, b := range []*life.Budget{&s.Budget, &s.Waiting.Budget} { // beyond, the back-off is the longest
		b.Failures, b.Costly, b.Reverts = min(b.Failures, 7), min(b.Costly, 5), min(b.Reverts, 5)
	}
	return fmt.Sprintf("%+v %+v %s %v %d %v %d", s, w.boot, w.first, w.holds, w.count, w.final, w.bars)
}

func (w *world) state() bootctl.State {
	st := bootctl.State{Slots: maps.Clone(w.boot), Caps: bootctl.Caps{MaxTries: 9}}
	other := bootctl.Slot("AB"[0:1])
	if w.first == "A" {
		other = "B"
	}
	for _, n := range []bootctl.Slot{w.first, other} {
		if w.boot[n].Bootable {
			st.Next = n
			break
		}
	}
	return st
}

// load is the bootloader.
func (w *world) load() bool {
	for range 3 {
		n := w.state().Next
		b := w.boot[n]
		switch {
		case n == "":
			w.wrong("brick: nothing boots")
			return false
		case b.Confirmed:
		case b.Tries == 0:
			b.Bootable, b.Exhausted = false, true
			w.boot[n] = b
			continue
		default:
			b.Tries--
			w.boot[n] = b
		}
		w.run = n
		return true
	}
	w.wrong("brick: the loader goes round")
	return false
}

func (w *world) wrong(format string, args ...any) {
	w.bad = append(w.bad, fmt.Sprintf(format, args...))
}

// power plays from a power-on to rest. Each time that something happens, at is called with what a cut
// there would leave.
func (w *world) power(at func(*world)) {
	for w.boots = 0; w.boots < 40 && (len(w.bad) == 0 || w.chance != nil); w.boots++ {
		if !w.load() {
			return
		}
		if !w.awake(at) {
			return
		}
	}
	if len(w.bad) == 0 {
		w.wrong("I8: it boots for ever")
	}
}

// awake is one boot; true when the machine reboots.
func (w *world) awake(at func(*world)) bool {
	w.live, w.checked, w.now, w.down = life.Live{BootID: fmt.Sprint("boot", w.nth), Safe: w.safe}, false, 0, false
	w.nth++
	var e life.Event = w.started()
	for range 3000 {
		s := life.State{Stored: w.s, Live: w.live, Dev: dev}
		next, eff := life.Step(s, e)
		if w.log != nil {
			w.log(line(s, e, next, eff))
		}
		w.told(s, next, eff)
		if w.seen != nil {
			w.seen[inFull(s, e, next, eff)] = true
		}
		if !w.commit(&next, eff) {
			w.live.Hold, e = s.Hold, life.NotTaken{Moment: w.moment(), Text: "disk full"}
			w.live = s.Live
			continue
		}
		w.s, w.live = next.Stored, next.Live
		if !eff.Commit.Empty() || len(eff.Commit.Quar) > 0 {
			at(w.off())
		}
		wait, ok := eff.Do.(life.Wait)
		if w.chance != nil && w.now > 40*time.Hour {
			return false
		}
		if ok && w.s.Rec.Phase == life.Idle && (w.live.Stayed || wait.Until-w.now > time.Hour && w.offer() != "new") {
			w.rest()
			return false
		}
		if e = w.perform(eff.Do); w.down {
			return true
		}
		switch eff.Do.(type) {
		case life.Disable, life.Write, life.Try, life.Confirm, life.Refresh, life.Raise:
			at(w.off())
		}
	}
	if w.chance == nil {
		w.wrong("the machine does not come to rest in phase %s", w.s.Rec.Phase)
	}
	return false
}

// told holds what a step puts on record against what it changes (I5, I6): a phase is entered with its record and one
// piece of evidence that names the way and the update; what is left behind is named by how it ended; and an update that
// is over leaves nothing of itself in the record.
func (w *world) told(s, next life.State, eff life.Effects) {
	r, from, to := eff.Commit.Record, s.Rec.Phase, next.Rec.Phase
	var ways []evidence.Event
	for _, e := range eff.Commit.Events {
		if e.To == string(to) && (e.Kind == evidence.KindPhase || e.From != "") {
			ways = append(ways, e)
		}
	}
	switch {
	case !eff.Tell.Entered:
		if from != to || len(ways) > 0 {
			w.wrong("I6: %s -> %s with %+v, and it is not entered", from, to, ways)
		}
		return
	case len(ways) != 1 || ways[0].From != string(from):
		w.wrong("I6: %s -> %s is on record as %+v", from, to, ways)
		return
	case r == nil && !s.Frozen || r != nil && (r.Phase != to || r.Target != next.Rec.Target ||
		r.Digest != next.Rec.Digest || r.Ext.BootID != s.BootID):
		w.wrong("I5: %s is entered with the record %+v", to, r)
	}
	is := next.Rec
	if to == life.Idle {
		is = s.Rec
		if n := next.Rec; n.Target != "" || n.Digest != "" || n.Boots != 0 || len(n.Ext.Images) > 0 || n.Ext.Revert ||
			n.Ext.Local || n.Ext.Synthetic || next.Budget != (life.Budget{}) {
			w.wrong("an update that is over leaves %+v and %+v", n, next.Budget)
		}
	}
	e := ways[0]
	if e.Slot != string(is.Target) || e.Manifest != is.Digest || e.Sequence != is.Ext.Sequence {
		w.wrong("%s -> %s of slot %s and %s is on record as %+v", from, to, is.Target, is.Digest, e)
	}
	if to == life.Reverting && (e.Reason == "" || e.Reason != next.Rec.Ext.Cause) {
		w.wrong("the way back for %q is on record as %+v", next.Rec.Ext.Cause, e)
	}
	if to != life.Idle || from == life.Idle {
		return
	}
	synthetic := is.Ext.Synthetic && e.Detail["result"] == "updated"
	var end *life.Ending
	for _, op := range eff.Commit.Ops {
		if o, ok := op.(life.PutOutcome); ok {
			end = &o.Ending
		}
	}
	if (end == nil) != synthetic {
		w.wrong("the end of %+v is kept as %+v", is, end)
	}
	if end != nil && (end.Reason != e.Reason || end.Result != e.Detail["result"] || end.Slot != is.Target ||
		end.Manifest != is.Digest || end.Sequence != is.Ext.Sequence || next.Rec.Ext.Cause != e.Reason) {
		w.wrong("the end is kept as %+v, and is on record as %+v", end, e)
	}
}

func (w *world) moment() life.Moment {
	return life.Moment{Uptime: w.now, Online: w.chance == nil || w.chance.IntN(8) > 0}
}

func (w *world) started() life.Started {
	e := life.Started{Moment: w.moment(), Run: w.run, Boot: w.state(), BootOK: true, Lost: w.lost}
	if w.chance != nil && w.fails("start") {
		e.BootOK = false
	}
	if w.chance != nil && w.fails("proof") {
		e.Run, e.Proof = "", "cannot prove what runs"
	}
	return e
}

// fails tells whether the fault of this kind happens now.
func (w *world) fails(kind string) bool {
	if w.chance != nil {
		return w.chance.IntN(w.odds) == 0
	}
	f := w.fault
	if f == nil || f.hit || f.kind != kind || w.point < f.point {
		return false
	}
	f.hit = true
	return true
}

func (w *world) commit(next *life.State, eff life.Effects) bool {
	w.point++
	for _, op := range eff.Commit.Quar {
		switch op := op.(type) {
		case life.Count:
			w.s.Tally = life.Tally{Key: op.Key, Boots: op.Boots}
		case life.Bar:
			w.bars = 1
		}
	}
	next.Tally = w.s.Tally
	if eff.Commit.Empty() {
		return true
	}
	if w.fails("commit") {
		return eff.Commit.Optional != ""
	}
	if r := eff.Commit.Record; r != nil {
		b, err := r.Encode()
		if err == nil {
			w.durable, err = life.DecodeRecord(b)
		}
		if err != nil {
			w.wrong("the record cannot be read again: %v", err)
		}
	}
	if r := eff.Commit.Record; r != nil && (r.Phase != next.Rec.Phase || r.Boots != next.Budget.Boots) {
		w.wrong("the record that is committed is not the state that is adopted")
	}
	for _, op := range eff.Commit.Ops {
		switch op := op.(type) {
		case life.PutFinal:
			w.final[op.Digest] = op.Why
		case life.PutOutcome:
			w.ends = append(w.ends, op.Ending)
		}
	}
	for c, b := range map[life.Counter]int{life.Boots: 4, life.Rewrites: 1, life.Arms: 3, life.Untried: 1,
		life.Reboots: 7, life.Fell: 2, life.Excused: 8} {
		if n := counter(next.Budget, c); n > b {
			w.wrong("I8: counter %d is %d", c, n)
		}
	}
	return true
}

func counter(b life.Budget, c life.Counter) int {
	return []int{b.Boots, b.Rewrites, b.Arms, b.Untried, b.Reboots, b.Failures, b.Costly, b.Fell, b.Reverts, b.Cuts,
		b.Excused}[c]
}

// offer is what the broker's retained offer is to this device.
func (w *world) offer() string {
	switch {
	case w.final[offered] != "":
		return "settled"
	case w.bars > 0:
		return "barred"
	case w.holds[w.run] == 2 && w.boot[w.run].Confirmed:
		return "installed"
	case w.s.Waiting.Digest != "":
		return "waits"
	}
	return "new"
}

// expect holds an action against the durable phase (I5).
func (w *world) expect(what string, phases ...life.Phase) {
	for _, p := range phases {
		if w.s.Rec.Phase == p {
			return
		}
	}
	w.wrong("I5: %s in phase %s", what, w.s.Rec.Phase)
}

func (w *world) good() {
	for n, b := range w.boot {
		if b.Bootable && b.Confirmed && (w.holds[n] == 1 || w.holds[n] == 2) {
			return
		}
	}
	w.wrong("I1: no confirmed slot is bootable: %+v holds %v", w.boot, w.holds)
}

// rest holds a device at rest against what it must be.
func (w *world) rest() {
	b := w.boot[w.run]
	stuck := len(w.ends) > 0 && w.ends[len(w.ends)-1].Result == "stuck"
	if (!b.Confirmed || !b.Bootable || w.state().Next != w.run) && !stuck {
		w.wrong("rest: slot %s runs and is not confirmed and next: %+v", w.run, w.boot)
	}
	for n, s := range w.boot {
		if n != w.run && s.Bootable && !s.Confirmed {
			w.wrong("rest: slot %s is left armed", n)
		}
	}
	w.good()
}
