package explorer

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"slices"
	"sort"
	"strings"
	"time"

	"github.com/fxamacker/cbor/v2"

	"github.com/ratchet-ota/ratchet/agent/journal"
	"github.com/ratchet-ota/ratchet/agent/life"
	"github.com/ratchet-ota/ratchet/hal"
	"github.com/ratchet-ota/ratchet/hal/sim"
)

// A state is what a device is at a power-on, as far as what comes after it depends on it: what the slots
// hold, the boot metadata, the counter, the journal, the quarantine file, and what the scenario remembers.
//
// Left out, because no decision depends on it:
//   - which boot it is, boot ids, and when a trial began: nothing is of this boot at a power-on;
//   - the time, but for scenarios with a window, where it is kept to the half hour;
//   - numbers, hashes and bytes of evidence, how much of it was sent, the report, the time of an outcome; of
//     final verdicts the order alone counts. Each play's evidence is checked at its rest;
//   - of two copies of U-Boot's environment the older one's bytes, and the serials: it is overwritten unread.
//     Whether it is valid is kept, and its bytes are in scenarios in which somebody takes the power away;
//   - of the quarantine's copies the older one, and the generation; of the witness file the head of the evidence;
//   - bytes of a slot that holds no whole image: none is read that was not written before in the
//     same update, and those before a durable checkpoint are compared when it becomes durable;
//   - failures beyond the longest back-off, and the lab's own counts.
//
// TestStatesGoOnAlike plays states that differ in these alone, and finds no difference.

// settle makes everything of a machine at a power-on the same that no state remembers.
func (d *Device) settle(w *sim.World) {
	wall, quality := w.Clock().Wall()
	day := time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)
	switch {
	case quality == hal.TimeUnknown:
		w.SetWall(time.Unix(0, 0), quality)
	case d.s.Clocked:
		h, m, _ := wall.Clock()
		w.SetWall(day.Add(time.Duration(h)*time.Hour+time.Duration(m/30)*30*time.Minute), quality)
	default:
		w.SetWall(day, quality)
	}
}

// stateKey identifies the state of a machine of this device at a power-on.
func (d *Device) stateKey(w *sim.World) string {
	var b bytes.Buffer
	for _, slot := range []string{"A", "B"} {
		fmt.Fprintf(&b, "%s=%d ", slot, d.holds(w, slot))
	}
	d.addFiles(&b, w)
	if d.l.disk != "" {
		d.addCopies(&b, d.envOn(w))
	}
	for _, v := range append(w.VariableTexts(), w.JournalTexts()...) {
		b.WriteString(v)
	}
	wall, quality := w.Clock().Wall()
	fmt.Fprintf(&b, " counter=%d,%v supply=%v clock=%v", w.CounterValue(), w.HasCounter(), w.Power().Supply(), quality)
	if d.s.Clocked {
		fmt.Fprintf(&b, " at=%v", wall)
	}
	fmt.Fprintf(&b, " online=%v broken=%d opened=%d lost=%s proven=%d,%d kills=%d", d.Online, min(d.broken, 10),
		min(len(d.opened), 2), d.lost, d.proven["A"], d.proven["B"], d.kills)
	fired := make([]string, 0, len(d.fired))
	for k, n := range d.fired {
		if !slices.Contains(ownCounts, k) {
			fired = append(fired, fmt.Sprint(k, "=", n))
		}
	}
	sort.Strings(fired)
	fmt.Fprint(&b, fired)
	if d.inJournal == "" {
		d.inJournal = d.journalKey()
	}
	b.WriteString(d.inJournal)
	sum := sha256.Sum256(b.Bytes())
	return string(sum[:16])
}

// ownCounts are of the lab, not of the device: how often a boot had to be patient, or got the time.
var ownCounts = []string{patient.Name, timeComes.Name, "armed", "rebooted"}

// holds is content, remembered.
func (d *Device) holds(w *sim.World, slot string) byte {
	key := fmt.Sprint(d.s.Carries, " ")
	for _, dev := range d.parts(slot) {
		key += fmt.Sprint(dev, w.Version(dev), " ")
	}
	d.p.mu.Lock()
	n, ok := d.p.held[key]
	d.p.mu.Unlock()
	if ok {
		return n
	}
	n = d.content(w, slot)
	d.p.mu.Lock()
	defer d.p.mu.Unlock()
	if len(d.p.held) > 100_000 {
		clear(d.p.held)
	}
	d.p.held[key] = n
	return n
}

// addFiles adds what the file systems hold.
func (d *Device) addFiles(b *bytes.Buffer, w *sim.World) {
	var env [][]byte
	var quarantine []byte
	gen := uint64(0)
	for _, name := range w.Files() {
		data, _ := w.File(name)
		switch {
		case strings.HasSuffix(name, ".new"): // of a replacement that was cut off: it is made anew
			fmt.Fprintf(b, "%s ", name)
		case name == "/state/witness":
			fmt.Fprintf(b, "%s=%s ", name, witnessed(data))
		case strings.HasPrefix(name, "/state/quarantine."):
			if g, rest, ok := generation(data); ok && (quarantine == nil || g > gen) {
				gen, quarantine = g, rest
			} else if !ok {
				fmt.Fprintf(b, "%s damaged ", name)
			}
		case d.l.uboot != nil && d.l.disk == "" && strings.HasPrefix(name, "/boot/uboot.env"):
			env = append(env, data)
		default:
			fmt.Fprintf(b, "%s=%x ", name, sha256.Sum256(data))
		}
	}
	d.addCopies(b, env)
	fmt.Fprintf(b, "quarantine=%x ", quarantine)
}

// witnessed is what the witness file says besides evidence: the journal never goes back here.
func witnessed(b []byte) string {
	if len(b) < 8 {
		return "damaged"
	}
	return without(b[8:], 1, 2, 3)
}

// generation of a copy of the quarantine file, and what it says besides generation and evidence.
func generation(b []byte) (gen uint64, rest []byte, ok bool) {
	var f struct {
		Gen     uint64          `cbor:"1,keyasint"`
		Entries cbor.RawMessage `cbor:"2,keyasint"`
		Boots   map[string]int  `cbor:"3,keyasint"`
	}
	if len(b) < 8 || crc32.ChecksumIEEE(b[8:]) != binary.LittleEndian.Uint32(b[4:8]) ||
		cbor.Unmarshal(b[8:], &f) != nil {
		return 0, nil, false
	}
	return f.Gen, fmt.Appendf(nil, "%x %v", []byte(f.Entries), f.Boots), true
}

// envOn are the copies of U-Boot's environment on a block device.
func (d *Device) envOn(w *sim.World) (out [][]byte) {
	for _, c := range d.l.uboot.Copies {
		off := c.Offset
		if off < 0 {
			off += 64 << 10
		}
		out = append(out, w.Disk(d.l.disk, off, c.Size))
	}
	return out
}

// addCopies adds one or two copies of U-Boot's environment: which one counts, what it says, and
// whether the other one is valid. Where the scenario itself takes the power away, sectors of the other
// one can be what is left of a write that it interrupted.
func (d *Device) addCopies(b *bytes.Buffer, copies [][]byte) {
	switch len(copies) {
	case 0:
		return
	case 1:
		fmt.Fprintf(b, "env=%x ", sha256.Sum256(copies[0]))
		return
	}
	valid := func(c []byte) bool {
		return len(c) > 5 && crc32.ChecksumIEEE(c[5:]) == binary.LittleEndian.Uint32(c)
	}
	one, two := valid(copies[0]), valid(copies[1])
	newer := 0
	if two && (!one || copies[1][4] == copies[0][4]+1) {
		newer = 1
	}
	step := 0
	if one && two {
		step = int(copies[newer][4] - copies[1-newer][4])
	}
	fmt.Fprintf(b, "env=%d,%x valid=%v,%v step=%d ", newer, sha256.Sum256(copies[newer][5:]), one, two, step)
	if d.s.Endless {
		fmt.Fprintf(b, "older=%x ", sha256.Sum256(copies[1-newer][5:]))
	}
}

// journalKey is what the journal holds, evidence left out.
func (d *Device) journalKey() string {
	var b bytes.Buffer
	var finals []struct {
		key string
		at  uint64
	}
	_ = d.mem.View(func(tx journal.Tx) error {
		return tx.Scan(journal.State, "", func(k string, v []byte) bool {
			switch {
			case k == "head" || k == "sent" || k == "report":
			case k == "record":
				fmt.Fprintf(&b, "record=%x ", plainRecord(v))
			case k == "outcome" || k == "offer":
				fmt.Fprintf(&b, "%s=%s ", k, without(v, 7, 8))
			case k == "waiting":
				fmt.Fprintf(&b, "waiting=%s ", plainWaiting(v))
			case k == "wear": // it only makes an offer wait, when whole images are used up
				var n int
				_ = cbor.Unmarshal(v, &n)
				fmt.Fprintf(&b, "wear=%d ", (n+999)/1000)
			case strings.HasPrefix(k, "final/"):
				var f struct {
					At  uint64 `cbor:"1,keyasint"`
					Why string `cbor:"2,keyasint"`
				}
				_ = cbor.Unmarshal(v, &f)
				finals = append(finals, struct {
					key string
					at  uint64
				}{k + f.Why, f.At})
			default:
				fmt.Fprintf(&b, "%x=%x ", k, v)
			}
			return true
		})
	})
	sort.SliceStable(finals, func(i, j int) bool { return finals[i].at < finals[j].at })
	for _, f := range finals {
		b.WriteString(f.key + " ")
	}
	sum := sha256.Sum256(b.Bytes())
	return string(sum[:])
}

// manyFailures is where the back-off has reached its longest: 1, 2, 4 ... minutes, an hour. manyDear is the same of
// what costs a download, the slot's life or a reboot: 1, 8, 64 ... minutes, a day.
const (
	manyFailures = 7
	manyDear     = 5
)

// plainRecord is a record without what is of one boot.
func plainRecord(raw []byte) []byte {
	r, err := life.DecodeRecord(raw)
	if err != nil {
		return raw
	}
	r.Ext.BootID, r.Ext.Began = "", 0
	for i := range r.Ext.Budgets {
		b := &r.Ext.Budgets[i]
		b.Failures = min(b.Failures, manyFailures)
		b.Costly, b.Reverts = min(b.Costly, manyDear), min(b.Reverts, manyDear)
	}
	b, err := r.Encode()
	if err != nil {
		return raw
	}
	return b
}

// plainWaiting is an offer that waits, with failures up to the longest back-off.
func plainWaiting(raw []byte) string {
	var m map[int]any
	if cbor.Unmarshal(raw, &m) != nil {
		return string(raw)
	}
	for key, most := range map[int]uint64{5: manyFailures, 8: manyDear, 11: manyDear} {
		if n, ok := m[key].(uint64); ok {
			m[key] = min(n, most)
		}
	}
	return text(m)
}

// without is a CBOR map without some of its keys.
func without(raw []byte, keys ...int) string {
	var m map[int]any
	if cbor.Unmarshal(raw, &m) != nil {
		return string(raw)
	}
	for _, k := range keys {
		delete(m, k)
	}
	return text(m)
}

// text is a map in the order of its keys.
func text(m map[int]any) string { return fmt.Sprint(m) }

// signature is what a play from a power-on was, as far as it must be the same for two devices in the same
// state: its operations, phases and end.
func (d *Device) signature(at *Device) string {
	var b strings.Builder
	since := at.W.Ops()
	for _, op := range d.W.Trace() {
		if op.N <= since {
			continue
		}
		what := op.What
		for _, copies := range []string{"/boot/uboot.env", "/state/quarantine."} {
			if strings.HasPrefix(what, copies) { // which copy is written depends on the serials
				what = copies
			}
		}
		if d.l.disk != "" && strings.HasPrefix(what, d.l.disk) {
			what = d.l.disk
		}
		fmt.Fprintf(&b, "%s %s\n", op.Kind, what)
	}
	o := d.outcome()
	fmt.Fprintf(&b, "runs %s, image %d, %s, %s %s, counter %d\n", d.Runs(), d.Image(), d.rec.Phase, o.Result, o.Reason,
		d.W.CounterValue())
	return b.String()
}

func firstDifference(a, b string) string {
	x, y := strings.Split(a, "\n"), strings.Split(b, "\n")
	for i := range x {
		if i >= len(y) || x[i] != y[i] {
			return fmt.Sprintf("step %d was %q, and is %q",
				i+1, x[i], strings.Join(y[min(i, len(y)):min(i+1, len(y))], ""))
		}
	}
	return fmt.Sprintf("step %d is new", len(x)+1)
}
