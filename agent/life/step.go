package life

import (
	"bytes"
	"cmp"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"time"

	"github.com/ratchet-ota/ratchet/agent/evidence"
	"github.com/ratchet-ota/ratchet/agent/reason"
)

// Any stands for every phase in the table.
const Any Phase = ""

// Row is one line of the table: in this phase, when this happens and the condition holds, this is
// done, and the phase may become one of Next.
type Row struct {
	Phase Phase
	On    On
	If    string // the condition in words, "" for else
	Does  string // what is done, in words
	Next  []Phase
	when  func(*turn) bool
	then  func(*turn)
}

// Table is the life of an update, in the order in which its rows are tried.
func Table() []Row { return slices.Clone(table) }

// turn is one call of Step: the state that becomes the next one, the event, and the effects so far.
type turn struct {
	State
	e     Event
	eff   Effects
	moved bool
}

// Step is the machine: what is known and what has happened lead to what is known then, and to what to
// do. It is pure. The caller makes eff.Commit durable, and where that succeeded adopts next and
// performs eff.Do; where it failed it stays with s, and the next event is NotTaken.
//
// Crash: before the commit -> the old phase is durable, and the result that the event told is found out
// again; in it -> the old or the new phase; before the action -> it is announced and not begun, and the
// start leads to the same row; in it -> it is atomic, or can be resumed, or has no effect; after it,
// not committed -> it writes nothing a second time, or the loader shows it.
func Step(s State, e Event) (next State, eff Effects) {
	t := &turn{State: s, e: e}
	t.learn()
	r := t.find()
	if r == nil {
		// Nothing concerns this phase: whatever it was doing is taken up again.
		return s, Effects{Do: Begin{}}
	}
	r.then(t)
	if t.moved && !slices.Contains(r.Next, t.Rec.Phase) {
		panic(fmt.Sprintf("internal error: transition %s -> %s on %q", s.Rec.Phase, t.Rec.Phase, r.On))
	}
	t.finish(&s)
	return t.State, t.eff
}

// learn keeps what the boot metadata says of the loader.
func (t *turn) learn() {
	switch e := t.e.(type) {
	case Done:
		if e.BootOK {
			t.Most = e.Boot.Caps.MaxTries
		}
	case Started:
		if e.BootOK {
			t.Most = e.Boot.Caps.MaxTries
		}
	}
}

func (t *turn) find() *Row {
	on := t.e.on()
	for i := range table {
		r := &table[i]
		if r.On == on && (r.Phase == Any || r.Phase == t.Rec.Phase) && (r.when == nil || r.when(t)) {
			return r
		}
	}
	return nil
}

// finish adds to the commit what has changed, and takes the present phase up where no action was named.
func (t *turn) finish(old *State) {
	c := &t.eff.Commit
	c.Ops = append(changes(old, &t.State), c.Ops...)
	write := t.moved || t.Have && !slices.Equal(old.budgets(), t.budgets())
	if write && !t.Frozen {
		r := t.record()
		c.Record = &r
		t.Have = true
	}
	if !c.Empty() && c.Optional == "" {
		t.Failed = 0
	}
	if t.eff.Do == nil {
		t.eff.Do = Begin{}
	}
	t.eff.Tell.Entered = t.moved
}

// changes are what differs in Stored, as the journal keeps it.
func changes(old, next *State) []Op {
	var ops []Op
	if !reflect.DeepEqual(old.Waiting, next.Waiting) {
		ops = append(ops, PutWaiting{next.Waiting})
	}
	if old.Barred.Digest != next.Barred.Digest {
		ops = append(ops, PutBarred{next.Barred})
	}
	if old.Wear != next.Wear {
		ops = append(ops, PutWear{next.Wear})
	}
	if !slices.Equal(old.Floors, next.Floors) {
		ops = append(ops, PutFloors{next.Floors})
	}
	for i, c := range next.Slots {
		switch {
		case reflect.DeepEqual(c, old.Slots[i]):
		case reflect.DeepEqual(c, Content{}):
			ops = append(ops, PutContent{next.Dev.Slots[i], nil})
		default:
			ops = append(ops, PutContent{next.Dev.Slots[i], &c})
		}
	}
	if old.Counter != next.Counter {
		ops = append(ops, PutCounter{next.Counter})
	}
	if !slices.EqualFunc(old.Seen, next.Seen, bytes.Equal) {
		ops = append(ops, PutSeen{next.Seen})
	}
	if old.Permitted != "" && next.Permitted == "" {
		ops = append(ops, DropPermit{})
	}
	return ops
}

// move is a transition with its evidence. Nothing of the new phase happens before both are durable
// (I5, I6). What a step changes besides goes into the same commit.
func (t *turn) move(to Phase, why reason.Reason, e evidence.Event) {
	from := t.Rec
	t.Rec.Phase = to
	if to != from.Phase {
		t.Budget.Reboots = 0
	}
	t.become(from, why, e)
}

// become is move where the record was replaced already: from is the one before.
func (t *turn) become(from Record, why reason.Reason, e evidence.Event) {
	to := t.Rec
	t.Rec.Ext.BootID = t.BootID
	if e.Kind == "" {
		e.Kind = evidence.KindPhase
	}
	e.From, e.To, e.Reason = string(from.Phase), string(to.Phase), why
	e.Manifest, e.Sequence = from.Digest, from.Ext.Sequence
	if to.Digest != "" {
		e.Manifest, e.Sequence = to.Digest, to.Ext.Sequence
	}
	e.Slot = string(cmp.Or(to.Target, from.Target))
	switch to.Phase {
	case Checking, Ready, Arming:
	default:
		t.Held = false
	}
	t.Rules, t.Tried, t.Bail = "", 0, false
	t.moved = true
	t.note(e)
}

// note records an event that is no transition.
//
//go:noinline
func (t *turn) note(e evidence.Event) { t.eff.Commit.Events = append(t.eff.Commit.Events, e) }

//go:noinline
func (t *turn) ops(ops ...Op) { t.eff.Commit.Ops = append(t.eff.Commit.Ops, ops...) }

//go:noinline
func (t *turn) do(a Action) { t.eff.Do = a }

//go:noinline
func (t *turn) failed(what, text string) {
	t.eff.Tell.Failed = &Failed{What: what, Text: text}
}

// now is the uptime of the event.
func (t *turn) now() time.Duration { return t.e.moment().Uptime }

//go:noinline
func detail(pairs ...string) map[string]string {
	d := map[string]string{}
	for i := 0; i < len(pairs); i += 2 {
		d[pairs[i]] = pairs[i+1]
	}
	return d
}

func itoa(n int) string { return strconv.Itoa(n) }
