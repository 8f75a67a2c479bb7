package explorer

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/fxamacker/cbor/v2"

	"github.com/ratchet-ota/ratchet/agent/evidence"
	"github.com/ratchet-ota/ratchet/agent/evidence/export"
	"github.com/ratchet-ota/ratchet/agent/journal"
	"github.com/ratchet-ota/ratchet/agent/life"
	"github.com/ratchet-ota/ratchet/agent/reason"
	"github.com/ratchet-ota/ratchet/bootctl"
	"github.com/ratchet-ota/ratchet/hal/sim"
)

// checkFallback boots a fork of the machine on which every slot fails that is not proven: I1 says
// that it comes up all the same.
func (d *Device) checkFallback() {
	if d.doomed() {
		return
	}
	// One that fails starts and panics, or cannot be loaded at all.
	if d.fallsBack(d.loads) {
		d.fallsBack(d.isProven)
	}
}

// fallsBack boots a fork on which the slots load that loads names, and fail if they are not proven. It tells
// whether one that is not proven was started on the way.
func (d *Device) fallsBack(loads func(*sim.World, string) bool) (failed bool) {
	w := d.W.Fork()
	w.CutAt(0, 0)
	var tried []string
	for range 14 {
		slot, err := d.l.boot(w, func(slot string) bool { return loads(w, slot) })
		if errors.Is(err, errIO) {
			w.Restart()
			continue
		}
		if err != nil || slot == "" {
			d.breach("brick", "after the cut the bootloader starts nothing%s; slots tried before: %v", why(err), tried)
			return false
		}
		if d.isProven(w, slot) {
			return len(tried) > 0
		}
		tried = append(tried, slot)
		w.Restart()
	}
	d.breach("I1", "no proven slot is started when the others fail: %v, proven are %v", tried, d.proven)
	return false
}

// isProven tells whether a slot of w holds an image that has proven itself there.
func (d *Device) isProven(w *sim.World, slot string) bool {
	n := d.holds(w, slot)
	return n > 0 && d.proven[slot] == n
}

// doomed: by the scenario somebody has taken the only fallback away, and no agent can bring it back.
func (d *Device) doomed() bool { return d.s.Alone && d.proven["A"] == 0 }

// check looks at a device at rest.
func (d *Device) check() {
	if d.brick != "" || d.stopped {
		return
	}
	run := d.Runs()
	n := d.Image()
	rests := append([]life.Phase{life.Idle}, d.s.Rests...)
	if d.s.Asked && d.short() {
		rests = append(rests, life.Ready) // nobody has agreed
	}
	if !slices.Contains(rests, d.rec.Phase) {
		d.breach("rest", "the device rests in phase %s", d.rec.Phase)
	}
	if !d.s.Wrong && !d.s.Alone {
		d.checkBoot(run, n)
	}
	d.checkEnd(n)
	d.checkEvidence(n)
}

func (d *Device) checkBoot(run string, n byte) {
	st, err := d.state(d.W.Fork())
	if err != nil {
		d.breach("rest", "the boot metadata cannot be read at rest: %v", err)
		return
	}
	self := st.Slots[bootctl.Slot(run)]
	if d.outcome().Result == "stuck" && d.proven[string(st.Next)] != 0 && st.Slots[st.Next].Confirmed {
		return // the machine does not reboot: what runs is left by the next power cycle
	}
	if !slices.Contains(d.s.Rests, d.rec.Phase) && (!self.Confirmed || !self.Bootable || st.Next != bootctl.Slot(run)) {
		d.breach("rest", "slot %s runs and is not confirmed and next: %+v", run, st)
	}
	for name, s := range st.Slots {
		if s.Bootable && !s.Confirmed && d.rec.Phase == life.Idle {
			d.breach("rest", "slot %s is left armed: %+v", name, s)
		}
	}
	if n == 0 || d.proven[run] != n {
		d.breach("I1", "slot %s runs, holds image %d and was never proven (proven: %v)", run, n, d.proven)
	}
	if c := d.W.CounterValue(); c > 1 && c > uint64(max(n, d.proven["A"]%oldImage, d.proven["B"]%oldImage)) {
		d.breach("I4", "the counter is %d, image %d runs", c, n)
	}
}

// outcome is the end of an update, read from the journal by a decoder of our own.
type outcome struct {
	Result string        `cbor:"1,keyasint"`
	Reason reason.Reason `cbor:"2,keyasint"`
	Detail string        `cbor:"3,keyasint"`
}

// outcome is how the last update ended, as the agent stores it.
func (d *Device) outcome() (o outcome) {
	_ = d.mem.View(func(tx journal.Tx) error {
		if b := tx.Get(journal.State, "outcome"); len(b) > 0 {
			return cbor.Unmarshal(b, &o)
		}
		return nil
	})
	return o
}

func (d *Device) faulty() bool {
	return slices.ContainsFunc(d.cuts, func(c Cut) bool { return c.Fail })
}

func (d *Device) checkEnd(n byte) {
	o := d.outcome()
	for _, e := range d.s.Ends {
		if e.Image == n && e.Result == o.Result && e.Reason == o.Reason && (!e.Cut || len(d.cuts) > 0) &&
			(!e.Faulty || d.faulty()) && (!e.OneTry || d.l.Tries == 1) {
			return
		}
	}
	if d.faulty() && o.Result == "updated" && o.Reason == reason.FloorPending &&
		slices.ContainsFunc(d.s.Ends, func(e End) bool { return e.Image == n && e.Result == "updated" }) {
		return // raising the counter failed; it is retried at the next start
	}
	if o.Result != "updated" && d.ghosts.excuse(o.Reason) && n > 0 && d.proven[d.Runs()] == n {
		return // so many cuts in one attempt look like a sick image, and it was left
	}
	if d.short() && d.s.Asked && n > 0 && d.proven[d.Runs()] == n {
		return
	}
	if d.room.unsaid && n > 0 && d.proven[d.Runs()] == n &&
		(o.Reason == reason.TrialBootsExhausted || o.Reason == reason.FellBack) {
		return // the journal had no room in the trial: the loader's count decides, and looks like a sick image
	}
	if d.blamedTwice() || d.faulty() && n > 0 && d.proven[d.Runs()] == n && !d.s.sick(n) {
		return // an operation that failed may end the update; what runs is proven
	}
	d.breach("end", "image %d runs and the last update ended as %q for %q (%s); allowed are %v", n, o.Result, o.Reason,
		o.Detail, d.s.Ends)
}

// blamedTwice is the known limit of loaders that count one try: a cut in the only trial boot looks like a
// crash of the image, and the second time the image is blamed.
func (d *Device) blamedTwice() bool {
	return d.l.Tries == 1 && len(d.cuts) > 1 && !d.faulty() && !d.tellsAll() &&
		(d.outcome().Reason == reason.FellBack || d.outcome().Reason == reason.TrialBootsExhausted)
}

// excused: with one try and a cut in it the tries are used up, which is true, and says nothing yet about
// the image; after the second time it does.
func (d *Device) excused(why reason.Reason) bool {
	if d.ghosts.excuse(why) {
		return true
	}
	return d.l.Tries == 1 && len(d.cuts) > 0 && !d.tellsAll() && why == reason.TrialBootsExhausted ||
		why == reason.Quarantined && d.blamedTwice()
}

// blames are the reasons that accuse an image, a server or a medium.
var blames = []reason.Reason{reason.HealthFailed, reason.HealthTimeout, reason.ImageCorrupt,
	reason.ReadBackMismatch, reason.SlotIO, reason.TrialBootsExhausted, reason.Quarantined, reason.SourceChanged,
	reason.BootMetadataInvalid, reason.JournalLost, reason.RevertImpossible, reason.RebootFailed, reason.ArmNotLanded,
	reason.NeverTried, reason.RecordUnknown, reason.LostAfterConfirm}

func (d *Device) checkEvidence(n byte) {
	var recs []evidence.Record
	var raw [][]byte
	_ = d.mem.View(func(tx journal.Tx) error {
		return tx.Scan(journal.Evidence, "", func(_ string, v []byte) bool {
			raw = append(raw, bytes.Clone(v))
			return true
		})
	})
	phase := ""
	for i, b := range raw {
		r, err := evidence.Decode(b)
		if err != nil {
			d.breach("I10", "record %d of the evidence cannot be read: %v", i+1, err)
			return
		}
		if i > 0 {
			if sum := sha256.Sum256(raw[i-1]); r.Seq != recs[i-1].Seq+1 || r.Prev != sum || r.Chain != recs[0].Chain {
				d.breach("I10", "record %d of the evidence does not follow the one before it", r.Seq)
			}
		}
		recs = append(recs, r)
		if slices.Contains(blames, r.Reason) && !slices.Contains(d.s.Blames, r.Reason) && !d.faulty() && !d.short() &&
			!d.excused(r.Reason) {
			d.breach("lie", "record %d says %s, and nothing but the power was cut: %s", r.Seq, r.Reason, line(r))
		}
		if r.From != "" && r.To != "" {
			if phase != "" && r.From != phase && d.rec.Phase.Known() {
				d.breach("I6", "record %d goes from %s, and the one before led to %s", r.Seq, r.From, phase)
			}
			phase = r.To
		}
	}
	if len(recs) == 0 {
		if !d.s.Unwritable && !d.short() { // a chain that had no room begins with the next record
			d.breach("I10", "there is no evidence")
		}
		return
	}
	for _, why := range d.s.MustSay {
		if !slices.ContainsFunc(recs, func(r evidence.Record) bool { return r.Reason == why }) && !d.faulty() &&
			!d.short() { // a refusal that had no room is not said later, where nobody signed what was refused
			d.breach("lie", "no record says %s", why)
		}
	}
	first := recs[0]
	if first.Seq == 1 && first.Kind != evidence.KindChain || (d.lost != "" && first.Seq == 1 && first.Reason == "") {
		d.breach("I10", "the chain begins with %s and does not say why", line(first))
	}
	if seq := recs[len(recs)-1].Seq; seq != d.seq {
		d.breach("I10", "the newest record is %d, the head says %d", seq, d.seq)
	}
	last := slices.IndexFunc(recs, func(r evidence.Record) bool { return r.Detail["confirmed"] != "" })
	if n > 1 && d.Runs() == "B" && n != oldImage && last < 0 && d.lost == "" && !d.s.Unwritable && first.Seq == 1 &&
		d.fired["external"] == 0 && d.outcome().Result != "stuck" {
		d.breach("lie", "image %d runs and no record says that it was confirmed", n)
	}
	d.checkExport(len(recs))
}

// checkExport verifies the evidence as an auditor does, with the signatures.
func (d *Device) checkExport(want int) {
	if len(d.cuts) > 1 || len(d.cuts) == 1 && d.cuts[0].Op%10 != 0 {
		return // the links of the chain are checked above; signatures of a tenth of the cases
	}
	var b bytes.Buffer
	for _, r := range d.raw() {
		msg, err := evidence.Sign(r, d.p.device)
		if err != nil {
			d.breach("I10", "evidence cannot be signed: %v", err)
			return
		}
		b.Write(msg)
	}
	got := 0
	if _, err := export.Verify(&b, d.p.deviceKeys, func(evidence.Record) error { got++; return nil }); err != nil ||
		got != want {
		d.breach("I10", "the exported evidence does not verify: %v, %d of %d records", err, got, want)
	}
}

func (d *Device) raw() (out [][]byte) {
	_ = d.mem.View(func(tx journal.Tx) error {
		return tx.Scan(journal.Evidence, "", func(_ string, v []byte) bool {
			out = append(out, bytes.Clone(v))
			return true
		})
	})
	return out
}

// line is one record for people.
func line(r evidence.Record) string {
	var details []string
	for _, k := range []string{"result", "why", "trial-boot", "armed", "reboot", "resumed-from", "read-back",
		"confirmed", "disabled", "restored", "running", "phase"} {
		if v := r.Detail[k]; v != "" {
			details = append(details, k+"="+v)
		}
	}
	step := ""
	if r.From != "" || r.To != "" {
		step = r.From + " -> " + r.To
	}
	return strings.Join(strings.Fields(fmt.Sprintf("%d %s %s slot %s sequence %d %s %s", r.Seq, r.Kind, step, r.Slot,
		r.Sequence, r.Reason, strings.Join(details, " "))), " ")
}

// Evidence is the whole evidence for people.
func (d *Device) Evidence() (out []string) {
	for _, b := range d.raw() {
		r, err := evidence.Decode(b)
		if err != nil {
			out = append(out, err.Error())
			continue
		}
		out = append(out, line(r))
	}
	return out
}

var errBroken = errors.New("connection reset by peer")
