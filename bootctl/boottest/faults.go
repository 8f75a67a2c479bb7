package boottest

import (
	"errors"
	"fmt"
	"testing"

	"github.com/ratchet-ota/ratchet/bootctl"
)

var errFault = errors.New("input/output error")

// Faults lets each operation of each verb fail once, on a board that is fresh, armed, or confirmed, and on one whose
// metadata damage has made invalid. The error is told, and the verb called again, by the same process and by
// a new one, ends where it ends without one.
func Faults(t *testing.T, board Board, damage func(d *Disk)) {
	t.Helper()
	ctx, run, target := t.Context(), board.Slots[0], board.Slots[1]
	refresh := func(b bootctl.Backend) error { return b.Refresh(ctx, run) }
	disable := func(b bootctl.Backend) error { return b.Disable(ctx, target) }
	try := func(b bootctl.Backend) error { return b.Try(ctx, target, 1) }
	confirm := func(b bootctl.Backend) error { return b.Confirm(ctx, target) }
	back := func(b bootctl.Backend) error { return b.Confirm(ctx, run) }
	type verb = func(bootctl.Backend) error
	for _, c := range []struct {
		name    string
		before  []verb
		damage  bool
		refresh bool
		verb    verb
	}{
		{"Refresh of a fresh board", nil, false, true, refresh},
		{"Disable on a fresh board", nil, false, false, disable},
		{"Try on a fresh board", nil, false, false, try},
		{"Try of a disabled slot", []verb{refresh, disable}, false, false, try},
		{"Disable of an armed slot", []verb{refresh, try}, false, false, disable},
		{"Confirm of an armed slot", []verb{refresh, try}, false, false, confirm},
		{"Confirm of the slot before", []verb{refresh, try}, false, false, back},
		{"Disable of a confirmed slot", []verb{refresh, try, confirm, back}, false, false, disable},
		{"Refresh of a damaged board", []verb{refresh}, true, true, refresh},
		{"Refresh of an armed board that is damaged", []verb{refresh, try}, true, true, refresh},
	} {
		start := board.Factory.Clone()
		for _, f := range c.before {
			if err := f(board.Backend(start)); err != nil {
				t.Fatalf("%s: %v", c.name, err)
			}
		}
		if c.damage {
			damage(start)
		}
		want := ""
		for turn := 0; ; turn++ {
			fault, restarted := (turn+1)/2, turn%2 == 0 // 0: none
			if restarted && fault > 0 && c.damage && board.Halves {
				continue
			}
			d := start.Clone()
			hit := false
			d.Before = func(op int) error {
				if op == fault {
					hit = true
					return errFault
				}
				return nil
			}
			b := board.Backend(d)
			err := c.verb(b)
			d.Before = nil
			if hit != errors.Is(err, errFault) || !hit && err != nil {
				t.Errorf("%s, operation %d fails: %v", c.name, fault, err)
			}
			if hit {
				if restarted {
					b = board.Backend(d)
				}
				if err := c.verb(b); err != nil {
					t.Errorf("%s, after operation %d failed: %v", c.name, fault, err)
				}
			}
			s, err := board.Backend(d).State(ctx)
			end := fmt.Sprintf("%v %q %v", s.Slots, s.Next, err)
			if fault == 0 {
				want = end
				continue
			}
			for _, left := range d.Cut() {
				if restarted && c.refresh {
					break // nothing is written where nothing is wrong: what a failed flush left may go with the power
				}
				s, err := board.Backend(left).State(ctx)
				if cut := fmt.Sprintf("%v %q %v", s.Slots, s.Next, err); cut != want {
					t.Errorf("%s again after operation %d failed (restarted %v): a power cut leaves %s, want %s",
						c.name, fault, restarted, cut, want)
					break
				}
			}
			if end != want {
				t.Errorf("%s, after operation %d failed: %s, want %s", c.name, fault, end, want)
			}
			if !hit {
				break
			}
		}
	}
}
