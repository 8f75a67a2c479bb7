package explorer

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/fxamacker/cbor/v2"

	"github.com/ratchet-ota/ratchet/agent/evidence"
	"github.com/ratchet-ota/ratchet/agent/journal"
	"github.com/ratchet-ota/ratchet/agent/life"
	"github.com/ratchet-ota/ratchet/bootctl"
	"github.com/ratchet-ota/ratchet/hal"
	"github.com/ratchet-ota/ratchet/hal/sim"
)

// The watched parts of the machine hand every call on, and hold it against the invariants of package
// agent: what the durable record says at this moment, what was read back, what is on the media.

// watchedBoot watches the bootloader's metadata.
type watchedBoot struct {
	bootctl.Backend
	d *Device
}

func (b watchedBoot) Refresh(ctx context.Context, running bootctl.Slot) error {
	if b.d.off() {
		return sim.ErrPowerCut
	}
	if string(running) != b.d.runsReally() {
		b.d.breach("I1", "slot %s is refreshed while %q runs", running, b.d.runsReally())
	}
	return b.Backend.Refresh(ctx, running)
}

func (b watchedBoot) Disable(ctx context.Context, target bootctl.Slot) error {
	d := b.d
	if d.off() {
		return sim.ErrPowerCut
	}
	d.expect("slot "+string(target)+" is disabled", life.Preparing, life.Writing, life.Reverting, life.Idle)
	if d.rec.Phase != life.Idle && d.rec.Target != target {
		d.breach("I5", "slot %s is disabled, the durable record names %q", target, d.rec.Target)
	}
	return b.Backend.Disable(ctx, target)
}

func (b watchedBoot) Try(ctx context.Context, target bootctl.Slot, tries int) error {
	d := b.d
	if d.off() {
		return sim.ErrPowerCut
	}
	d.expect("slot "+string(target)+" is armed", life.Arming)
	if d.rec.Target != target {
		d.breach("I5", "slot %s is armed, the durable record names %q", target, d.rec.Target)
	}
	n := d.content(d.W, string(target))
	if n == 0 {
		d.breach("I9", "slot %s is armed and holds no image that anybody signed", target)
	} else if len(d.rec.Ext.Images) > 0 {
		sum := d.p.sum(n)
		if !bytes.Equal(sum[:], d.rec.Ext.Images[0].Digest) {
			d.breach("I9", "slot %s is armed and holds image %d, which is not the record's", target, n)
		}
		for c, dev := range d.parts(string(target)) {
			if want := int64(len(d.image(c, n))); d.read[dev] < want {
				d.breach("I2", "slot %s is armed after %d of %d bytes of %s were read back in this boot", target,
					d.read[dev], want, c)
			}
		}
	}
	d.count("armed", 8)
	return b.Backend.Try(ctx, target, tries)
}

func (b watchedBoot) Confirm(ctx context.Context, slot bootctl.Slot) error {
	d := b.d
	if d.off() {
		return sim.ErrPowerCut
	}
	d.expect("slot "+string(slot)+" is confirmed", life.Confirming)
	if string(slot) != d.runsReally() {
		d.breach("I1", "slot %s is confirmed while %q runs", slot, d.runsReally())
	}
	if n := d.content(d.W, string(slot)); d.sick(n) && d.fired["confirm"] == 0 {
		d.breach("I1", "slot %s is confirmed, and image %d is sick", slot, n)
	} else if n > 0 {
		d.proven[string(slot)] = n
	}
	return b.Backend.Confirm(ctx, slot)
}

// watchedBlocks watches the slots.
type watchedBlocks struct {
	hal.Blocks
	d *Device
}

func (b watchedBlocks) OpenTarget(path string, running hal.DeviceID) (hal.Medium, error) {
	d := b.d
	if d.off() {
		return nil, sim.ErrPowerCut
	}
	d.expect(path+" is opened for writing", life.Writing)
	for _, dev := range d.parts(d.runsReally()) {
		if dev == path {
			d.breach("I3", "%s is opened for writing, and runs", path)
		}
	}
	slot := d.slotOf(path)
	// What the loader sees after a cut now, with the cache lost or kept, must not start the target. Of a medium that
	// lies it counts what comes of it.
	caches := []sim.Cache{sim.Keep, sim.LoseAll}
	if d.l.lies > 0 {
		caches = caches[:1]
	}
	for _, c := range caches {
		w := d.W.Fork()
		w.SetCache(c)
		w.PowerOn()
		if st, err := d.state(w); err == nil &&
			(st.Slots[bootctl.Slot(slot)].Bootable || st.Next == bootctl.Slot(slot)) {
			d.breach("I1", "%s is opened for writing while slot %s is bootable (cache %v)", path, slot, c)
			break
		}
	}
	m, err := b.Blocks.OpenTarget(path, running)
	if err != nil {
		return nil, err
	}
	return watchedMedium{m, d, path, slot}, nil
}

func (b watchedBlocks) OpenMedium(path string) (hal.Medium, error) {
	m, err := b.Blocks.OpenMedium(path)
	if err != nil {
		return nil, err
	}
	return watchedMedium{m, b.d, path, ""}, nil
}

// watchedMedium is one opened part of a slot; writes is the slot that it may write.
type watchedMedium struct {
	hal.Medium
	d      *Device
	path   string
	writes string
}

func (m watchedMedium) WriteAt(p []byte, off int64) (int, error) {
	delete(m.d.proven, m.writes)
	m.d.read[m.path] = 0
	return m.Medium.WriteAt(p, off)
}

func (m watchedMedium) ReadAt(p []byte, off int64) (int, error) {
	n, err := m.Medium.ReadAt(p, off)
	if err == nil && m.writes == "" && off <= m.d.read[m.path] {
		m.d.read[m.path] = max(m.d.read[m.path], off+int64(n))
	}
	return n, err
}

// watchedFS lets a scenario act between two operations on files.
type watchedFS struct {
	hal.Tree
	d *Device
}

func (f watchedFS) Open(path string, a hal.Access) (hal.Medium, error) {
	if f.d.s.OnOpen != nil {
		if err := f.d.s.OnOpen(f.d, path, a); err != nil {
			return nil, err
		}
	}
	if a == hal.ReadOnly || strings.HasPrefix(path, "/dev/") {
		return f.Tree.Open(path, a)
	}
	if a == hal.Create {
		if err := f.d.noRoom(path); err != nil {
			return nil, err
		}
	}
	m, err := f.Tree.Open(path, a)
	if err != nil {
		return nil, err
	}
	return roomyFile{m, f.d, path}, nil
}

func (f watchedFS) Checkpoint(path string) error { return placed(f.Tree)(path) }

// watchedCounter watches the rollback counter.
type watchedCounter struct {
	hal.Counter
	d *Device
}

func (c watchedCounter) Raise(ctx context.Context, to uint64) error {
	d := c.d
	if d.off() {
		return sim.ErrPowerCut
	}
	d.expect(fmt.Sprintf("the counter is raised to %d", to), life.Sealing, life.Idle)
	runs := d.runsReally()
	st, err := d.state(d.W.Fork())
	if err != nil || !st.Slots[bootctl.Slot(runs)].Confirmed {
		d.breach("I4", "the counter is raised to %d while slot %q is not confirmed", to, runs)
	}
	if n := d.content(d.W, runs); uint64(n) < to {
		d.breach("I4", "the counter is raised to %d, image %d runs", to, n)
	}
	return c.Counter.Raise(ctx, to)
}

// watchedPower watches reboots.
type watchedPower struct {
	hal.Power
	d *Device
}

func (p watchedPower) Reboot(ctx context.Context, arg string) error {
	d := p.d
	if d.off() {
		return sim.ErrPowerCut
	}
	if !d.s.Unwritable && !d.faulty() && !d.short() { // else: the sole exception to I5
		d.expect("a reboot is asked for", life.Rebooting, life.Reverting, life.Confirming)
		if d.rec.Ext.Reboots < 1 {
			d.breach("I8", "a reboot is asked for that the durable record does not count")
		}
	}
	d.count("rebooted", 16)
	if d.s.NoReboot {
		return errIO
	}
	return p.Power.Reboot(ctx, arg)
}

func (p watchedPower) Force(ctx context.Context) error {
	if p.d.s.NoReboot {
		return errIO
	}
	return p.Power.Force(ctx)
}

// watchedJournal makes each transaction one operation of the machine, old or new, and reads what it
// made durable.
type watchedJournal struct {
	*journal.Memory
	d  *Device
	mu sync.Mutex // the reporter commits, too, where it is one that sends
}

func (j *watchedJournal) Update(fn func(journal.Tx) error) (err error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	d := j.d
	if d.unusable {
		return errIO
	}
	if full := d.noRoom("the journal"); full != nil {
		switch d.rec.Phase {
		case life.Rebooting, life.Trial, life.Confirming:
			d.room.unsaid = true
		}
		return j.Memory.Update(func(tx journal.Tx) error { return errors.Join(fn(tx), journal.ErrFull, full) })
	}
	commit := func() { err = j.Memory.Update(fn) }
	fails := slices.IndexFunc(d.cuts, func(c Cut) bool { return c.Fail && c.Op == d.Op()+1 })
	if fails >= 0 {
		commit = func() {}
	}
	if cut := d.W.Atomic("journal", commit); cut != nil {
		if fails >= 0 && errors.Is(cut, errIO) {
			j.fail(fn, d.cuts[fails].chance(d.seed))
		}
		d.observe()
		return cut
	}
	d.observe()
	return err
}

// fail is a commit that fails, in one of four ways: before its function, so that nothing has run; after it, for want
// of room or at the first sync; at the last sync, with the old state on the medium or with the new one. After that
// the journal is of no use until the daemon is started again, as package journal has it.
func (j *watchedJournal) fail(fn func(journal.Tx) error, chance uint64) {
	switch how := chance >> 32 % 4; how {
	case 1, 2:
		_ = j.Memory.Update(func(tx journal.Tx) error { return errors.Join(fn(tx), errIO) })
		j.d.unusable = how == 2
	case 3:
		_ = j.Memory.Update(fn)
		j.d.unusable, j.d.told = true, j.d.rec.Phase
	}
}

func (j *watchedJournal) Close() error { return nil }

// head is the newest evidence as the agent stores it.
type head struct {
	Chain []byte `cbor:"1,keyasint"`
	Seq   uint64 `cbor:"2,keyasint"`
	Hash  []byte `cbor:"3,keyasint"`
	First uint64 `cbor:"4,keyasint"`
}

// observe reads the durable record after a transaction: a transition has its evidence in the same one
// (I6), and a checkpoint names bytes that are durable.
func (d *Device) observe() {
	var rec life.Record
	var h head
	var check, raw []byte
	err := d.mem.View(func(tx journal.Tx) error {
		raw = bytes.Clone(tx.Get(journal.State, "record"))
		if b := tx.Get(journal.State, "record"); len(b) > 0 {
			if err := cbor.Unmarshal(b, &rec); err != nil {
				return err
			}
		} else {
			rec.Phase = life.Idle
		}
		if b := tx.Get(journal.State, "head"); len(b) > 0 {
			if err := cbor.Unmarshal(b, &h); err != nil {
				return err
			}
		}
		check = bytes.Clone(tx.Get(journal.State, "check/rootfs"))
		return nil
	})
	if err != nil {
		d.breach("I10", "the journal cannot be read: %v", err)
		return
	}
	if d.branch != nil {
		d.inJournal = ""
	}
	if h.Seq == d.seq && bytes.Equal(raw, d.stored) && bytes.Equal(check, d.known) {
		return // how far evidence was sent, and the like: nothing here is written for it
	}
	d.stored = raw
	old, seq := d.rec, d.seq
	d.rec, d.seq = rec, h.Seq
	if rec.Phase != old.Phase {
		d.ghosts.enter(rec.Phase)
		d.note("%s -> %s", old.Phase, rec.Phase)
		if d.s.OnPhase != nil {
			d.s.OnPhase(d, old.Phase, rec.Phase)
		}
		if h.Seq == seq {
			d.breach("I6", "%s -> %s is durable and its evidence is not", old.Phase, rec.Phase)
		}
		if !old.Phase.May(rec.Phase) {
			d.breach("I5", "%s -> %s is not in the table of phases", old.Phase, rec.Phase)
		}
		if h.Seq != seq && !d.says(seq, old.Phase, rec.Phase) {
			d.breach("I6", "%s -> %s is durable and its evidence says something else", old.Phase, rec.Phase)
		}
	}
	if rec.Boots > old.Boots && rec.Boots > 4 {
		d.breach("I8", "trial boot %d is recorded", rec.Boots)
	}
	if !bytes.Equal(check, d.known) {
		d.known = check
		d.checkCheckpoint(check)
	}
}

func (d *Device) checkCheckpoint(raw []byte) {
	var c struct {
		Image []byte `cbor:"2,keyasint"`
		Done  bool   `cbor:"3,keyasint"`
		At    struct {
			Written int64 `cbor:"1,keyasint"`
		} `cbor:"4,keyasint"`
	}
	if len(raw) == 0 || cbor.Unmarshal(raw, &c) != nil || d.rec.Target == "" {
		return
	}
	for n := byte(1); n <= 9; n++ {
		if sum := d.p.sum(n); !bytes.Equal(sum[:], c.Image) {
			continue
		}
		img := d.p.image("rootfs", n)
		at := c.At.Written
		if c.Done {
			at = int64(len(img))
		}
		if got := d.W.Durable(d.parts(string(d.rec.Target))["rootfs"], 0, at); !bytes.Equal(got, img[:at]) &&
			!d.s.Rots {
			d.breach("I5", "a checkpoint at byte %d is durable, and the bytes before it are not", at)
		}
		return
	}
}

// says tells whether the evidence behind seq has the transition.
func (d *Device) says(seq uint64, from, to life.Phase) (found bool) {
	_ = d.mem.View(func(tx journal.Tx) error {
		return tx.Scan(journal.Evidence, string(binary.BigEndian.AppendUint64(nil, seq+1)),
			func(_ string, v []byte) bool {
				r, err := evidence.Decode(v)
				found = found || err == nil && r.From == string(from) && r.To == string(to)
				return true
			})
	})
	return found
}

// expect holds the durable phase against those in which something may happen (I5).
func (d *Device) expect(what string, phases ...life.Phase) {
	for _, p := range phases {
		if d.rec.Phase == p || d.unusable && d.told == p {
			return
		}
	}
	d.breach("I5", "%s while the durable phase is %s", what, d.rec.Phase)
}

// count bounds how often something happens in one case (I8).
func (d *Device) count(what string, limit int) {
	if d.fired[what]++; d.fired[what] == limit+1 && !d.s.Endless && !d.short() {
		d.breach("I8", "%s more than %d times", what, limit)
	}
}

// off: the power is gone, and what the program still asks for has no effect.
func (d *Device) off() bool {
	down, _ := d.W.Down()
	return down
}

// runsReally is the slot behind "/".
func (d *Device) runsReally() string {
	root, err := d.W.Identity().Root()
	if err != nil {
		return ""
	}
	for _, s := range []string{"A", "B"} {
		if id, err := d.W.Blocks().Identify(d.parts(s)["rootfs"]); err == nil && id == root {
			return s
		}
	}
	return ""
}

func (d *Device) slotOf(path string) string {
	for _, s := range []string{"A", "B"} {
		for _, dev := range d.parts(s) {
			if dev == path {
				return s
			}
		}
	}
	return ""
}
