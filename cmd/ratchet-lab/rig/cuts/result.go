package cuts

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/ratchet-ota/ratchet/cmd/ratchet-lab/rig/board"
	"github.com/ratchet-ota/ratchet/cmd/ratchet-lab/rig/disk"
	"github.com/ratchet-ota/ratchet/cmd/ratchet-lab/rig/look"
)

// Result is one cut and what became of it.
type Result struct {
	disk.Cut
	look.Finding
	Where  string   // partition of the last write before the cut
	Tail   []string // the writes that no flush had covered
	Equal  bool     // to a disk that was looked at before
	Booted bool     // with the real bootloader
	Ended  string   // how the real device ended, "" when it was only booted
	Loaded []string // slots whose system the real bootloader started
	Bad    string   // why the boot did not go well
	Story  []string // of the real boot
	Took   time.Duration
}

// Failed tells whether the disk is wrong or the boot did not go well.
func (c Result) Failed() bool { return c.Wrong != "" || c.Bad != "" }

// Agrees tells whether the model of the bootloader chose as the real one did; known is false where not
// both did.
func (c Result) Agrees() (same, known bool) {
	if c.Loads == "" || len(c.Loaded) == 0 {
		return false, false
	}
	return c.Loads == c.Loaded[0], true
}

// alike tells whether the device on the bench booted the same slots as the real one, to the end.
func (c Result) alike() (same, known bool) {
	if c.Ended == "" || len(c.Offered.Boots) == 0 {
		return false, false
	}
	return slices.Equal(c.Offered.Boots, c.Loaded) &&
		c.Offered.Ended == strings.TrimSuffix(c.Ended, "; "+AllThere), true
}

// AllThere is what is said of evidence that verifies as one whole chain.
const AllThere = "verified, nothing missing"

// NewResult is what a look has found after a cut of the log l of a board, before anything is booted.
func NewResult(k board.Kind, l *disk.Log, x disk.Cut, f look.Finding) Result {
	res := Result{Cut: x, Finding: f, Where: "start", Tail: tail(k, l, x)}
	if x.Point > 0 {
		res.Where = k.Where(l.Writes[x.Point-1])
	}
	return res
}

// tail says of each write after the last flush before a cut what of it is on the disk.
func tail(t board.Kind, l *disk.Log, x disk.Cut) (out []string) {
	from, sectors := l.Unflushed(x)
	for i, n := range sectors {
		w := l.Writes[from+i]
		what := "there"
		switch {
		case n == 0:
			what = "lost"
		case n < w.N:
			what = fmt.Sprintf("the first %d sectors there", n)
		}
		start := int64(0)
		for _, p := range t.Parts {
			if w.At >= p.Start && w.At < p.Start+p.Size {
				start = p.Start
			}
		}
		out = append(out, fmt.Sprintf("%d: %s +%d, %d sectors: %s", from+i+1, t.Where(w), w.At-start, w.N, what))
	}
	return out
}

// Tells is what user space has to say of a cut, in lines for a person.
func (c Result) Tells() []string {
	out := []string{"last: " + c.Where}
	if len(c.Tail) > 0 {
		out = append(out, "not covered by a flush:")
		for _, t := range c.Tail {
			out = append(out, "  "+t)
		}
	}
	if c.Phase != "" {
		out = append(out, fmt.Sprintf("durable: phase %s, %d records of evidence", c.Phase, c.Records))
	} else if c.Wrong == "" {
		out = append(out, "durable: no journal yet")
	}
	what := []string{"on the bench, offline", "on the bench, with the offer at hand"}
	for i, b := range c.Bouts() {
		if len(b.Boots) > 0 {
			out = append(out, fmt.Sprintf("%s: the model starts %s; the start makes of it: %s", what[i],
				strings.Join(b.Boots, ", "), b.First))
			out = append(out, "  "+strings.Join(b.Phases, "; "), "  ends "+b.Ended)
		}
	}
	if c.Wrong != "" {
		out = append(out, "WRONG: "+c.Wrong)
	} else {
		out = append(out, "boot metadata valid, file system and journal whole, evidence a whole chain")
	}
	return out
}
