package boottest

import (
	"errors"
	"fmt"
	"testing"

	"github.com/ratchet-ota/ratchet/bootctl"
)

var errFault = errors.New("input/output error")

// Faults lets each operation of each verb fail once, on a board that is fresh, armed, or confirmed, and on one whose
// metadata damage has made invalid. The error is told, and the verb called again ends where it ends without one.
func Faults(t *testing.T, board Board, damage func(d *Disk)) {
	t.Helper()
	ctx, run, target := t.Context(), board.Slots[0], board.Slots[1]
	refresh := func(b bootctl.Backend) error { return b.Refresh(ctx, run) }
	disable := func(b bootctl.Backend) error { return b.Disable(ctx, target) }
	try := func(b bootctl.Backend) error { return b.Try(ctx, target, 1) }
	confirm := func(b bootctl.Backend) error { return b.Confirm(ctx, target) }
	back := func(b bootctl.Backend) error { return b.Confirm(ctx, run) }
	for _, c := range []struct {
		name   string
		before []func(bootctl.Backend) error
		damage bool
		verb   func(bootctl.Backend) error
	}{
		{"Refresh of a fresh board", nil, false, refresh},
		{"Disable on a fresh board", nil, false, disable},
		{"Try on a fresh board", nil, false, try},
		{"Try of a disabled slot", []func(bootctl.Backend) error{refresh, disable}, false, try},
		{"Disable of an armed slot", []func(bootctl.Backend) error{refresh, try}, false, disable},
		{"Confirm of an armed slot", []func(bootctl.Backend) error{refresh, try}, false, confirm},
		{"Confirm of the slot before", []func(bootctl.Backend) error{refresh, try}, false, back},
		{"Disable of a confirmed slot", []func(bootctl.Backend) error{refresh, try, confirm, back}, false, disable},
		{"Refresh of a damaged board", []func(bootctl.Backend) error{refresh}, true, refresh},
		{"Refresh of an armed board that is damaged", []func(bootctl.Backend) error{refresh, try}, true, refresh},
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
		for fault := 0; ; fault++ { // 0: none
			d := start.Clone()
			hit := false
			d.Before = func(op int) error {
				if op == fault {
					hit = true
					return errFault
				}
				return nil
			}
			err := c.verb(board.Backend(d))
			d.Before = nil
			if hit != errors.Is(err, errFault) || !hit && err != nil {
				t.Errorf("%s, operation %d fails: %v", c.name, fault, err)
			}
			if hit {
				if err := c.verb(board.Backend(d)); err != nil {
					t.Errorf("%s, after operation %d failed: %v", c.name, fault, err)
				}
			}
			s, err := board.Backend(d).State(ctx)
			end := fmt.Sprintf("%v %q %v", s.Slots, s.Next, err)
			if fault == 0 {
				want = end
				continue
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
