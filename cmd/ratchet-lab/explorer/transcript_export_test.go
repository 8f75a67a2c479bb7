package explorer

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/ratchet-ota/ratchet/agent"
	"github.com/ratchet-ota/ratchet/agent/evidence"
	"github.com/ratchet-ota/ratchet/agent/journal"
	"github.com/ratchet-ota/ratchet/agent/trust"
	"github.com/ratchet-ota/ratchet/transport"
)

// Transcript plays the clean run of a scenario on a loader and tells it line by line: each operation of the
// machine, under it what the journal holds since then (evidence, the SUIT report to be sent), and how the
// device rests.
//
// With a desk, an outbox that takes everything, it tells the evidence, the rest, and what the desk heard last.
// Which commit of the reporter falls between which operations is chance, so operations and uptimes are left
// out there. Keys and signatures are never told: they are others in each process.
func (x *Lab) Transcript(scenario, loader string, desk bool) (string, error) {
	s, ok := FindScenario(scenario)
	if !ok || s.Needs != "" {
		return "", fmt.Errorf("no scenario %q that can be played", scenario)
	}
	l, ok := FindLoader(loader)
	if !ok {
		return "", fmt.Errorf("no loader %q", loader)
	}
	o := &scribe{desk: desk, under: map[int64][]string{}}
	options := s.Options
	s.Options = func(d *Device, a *agent.Options) {
		if options != nil {
			options(d, a)
		}
		o.attend(d)
		a.Journal = told{a.Journal, o}
		if desk {
			a.Outbox = o
		}
	}
	s.Report = s.Report || desk
	d, err := x.play(&s, &l, 1, nil, nil, nil)
	if err != nil {
		return "", err
	}
	return o.text(d), nil
}

// scribe writes down what a device makes durable, under the operation that did.
type scribe struct {
	d      *Device
	mem    *journal.Memory // of which seq and report are
	seq    uint64
	report []byte
	under  map[int64][]string

	desk   bool
	keys   trust.Keys
	heard  uint64 // newest evidence that the desk has
	status evidence.Status
	wrong  string
}

// attend begins a boot.
func (o *scribe) attend(d *Device) {
	if o.d, o.keys = d, d.p.deviceKeys; o.mem != d.mem {
		o.mem, o.seq, o.report = d.mem, 0, nil
	}
}

// told is a journal that the scribe reads after each commit.
type told struct {
	journal.Store
	o *scribe
}

func (j told) Update(fn func(journal.Tx) error) error {
	err := j.Store.Update(fn)
	j.o.read(err)
	return err
}

func (o *scribe) read(failed error) {
	op := o.d.Op()
	say := func(format string, args ...any) { o.under[op] = append(o.under[op], fmt.Sprintf(format, args...)) }
	if failed != nil {
		say("not committed: %v", failed)
	}
	err := o.d.mem.View(func(tx journal.Tx) error {
		if r := tx.Get(journal.State, "report"); !bytes.Equal(r, o.report) {
			o.report = bytes.Clone(r)
			say("report %.8x", sha256.Sum256(r))
		}
		from := string(binary.BigEndian.AppendUint64(nil, o.seq+1))
		return tx.Scan(journal.Evidence, from, func(k string, v []byte) bool {
			o.seq = binary.BigEndian.Uint64([]byte(k))
			r, err := evidence.Decode(v)
			if err != nil {
				say("evidence %d: %v", o.seq, err)
				return true
			}
			say("%s", o.whole(r))
			return true
		})
	})
	if err != nil {
		say("%v", err)
	}
}

// whole is one record with all that it says but the time of day, which follows from the uptime.
func (o *scribe) whole(r evidence.Record) string {
	text := fmt.Sprintf("evidence %d %s %s>%s", r.Seq, r.Kind, r.From, r.To)
	say := func(name, value string) {
		if value != "" {
			text += " " + name + "=" + value
		}
	}
	say("reason", string(r.Reason))
	say("slot", r.Slot)
	say("component", r.Component)
	if r.Sequence > 0 {
		say("sequence", fmt.Sprint(r.Sequence))
	}
	say("manifest", fmt.Sprintf("%.15s", r.Manifest))
	say("image", fmt.Sprintf("%.15s", r.Image))
	say("actor", r.Actor)
	if !o.desk {
		say("at", r.Uptime.String())
	}
	for _, k := range slices.Sorted(maps.Keys(r.Detail)) {
		say(k, fmt.Sprintf("%q", facts(r.Detail[k])))
	}
	return text
}

// facts is what prose says: its figures, slots and words like plan-withdrawn. How it is worded may change. Names
// of keys are left out.
func facts(text string) string {
	if !strings.Contains(text, " ") {
		return text
	}
	return strings.Join(fact.FindAllString(key.ReplaceAllString(text, ""), -1), " ")
}

var (
	key  = regexp.MustCompile(`[0-9a-f]{32}`)
	fact = regexp.MustCompile(`[0-9][0-9a-z:.]*|\b[AB]\b|\b[a-z]+(-[a-z]+)+\b`)
)

// Send is the outbox of a device that has a desk.
func (o *scribe) Send(_ context.Context, m transport.Message) error {
	switch m.Kind {
	case transport.Evidence:
		if m.Seq > o.heard+1 || m.Seq == 0 {
			o.wrong += fmt.Sprintf("evidence %d comes after %d\n", m.Seq, o.heard)
		}
		o.heard = m.Seq
	case transport.Status:
		st, _, err := evidence.VerifyStatus(m.Body, o.keys)
		if err != nil {
			o.wrong += err.Error() + "\n"
		}
		o.status = st
	}
	return nil
}

func (o *scribe) text(d *Device) string {
	var b strings.Builder
	trace := d.W.Trace()[d.base:]
	for op := int64(0); op <= int64(len(trace)); op++ {
		if op > 0 && !o.desk {
			fmt.Fprintf(&b, "%d %s %s\n", op, trace[op-1].Kind, trace[op-1].What)
		}
		if n := d.notes[d.base+op]; n != "" && !o.desk {
			fmt.Fprintf(&b, "  %s\n", strings.ReplaceAll(n, "\n", "\n  "))
		}
		for _, line := range o.under[op] {
			fmt.Fprintf(&b, "  %s\n", line)
		}
	}
	last := d.outcome()
	fmt.Fprintf(&b, "rests: slot %s with image %d, phase %s, last update %q %s %q, counter %d, %d boots\n",
		d.Runs(), d.Image(), d.rec.Phase, last.Result, last.Reason, facts(last.Detail), d.W.CounterValue(), d.boots)
	if st, err := d.state(d.W.Fork()); err != nil {
		fmt.Fprintf(&b, "boot metadata: %v\n", err)
	} else {
		fmt.Fprintf(&b, "boot metadata: next %s, A %+v, B %+v\n", st.Next, st.Slots["A"], st.Slots["B"])
	}
	_ = d.mem.View(func(tx journal.Tx) error {
		return tx.Scan(journal.State, "", func(k string, _ []byte) bool {
			fmt.Fprintf(&b, "key %q\n", k)
			return true
		})
	})
	if o.desk {
		st := o.status
		fmt.Fprintf(&b, "desk: %sevidence to %d; %s runs %s, phase %s, target %s, problem %s, last %s %s %d\n",
			o.wrong, o.heard, cmp.Or(st.Device, "no status"), st.Running, st.Phase, st.Target, st.Problem,
			st.Last.Result, st.Last.Reason, st.Last.Sequence)
	}
	for _, x := range d.breaches {
		fmt.Fprintf(&b, "BROKEN %v\n", x)
	}
	return b.String()
}
