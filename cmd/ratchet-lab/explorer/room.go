package explorer

import (
	"io/fs"
	"slices"
	"strings"
	"syscall"

	"github.com/ratchet-ota/ratchet/hal"
	"github.com/ratchet-ota/ratchet/hal/sim"
)

// room is where the agent meets a full disk: at operation at, where it writes there, and with stays from then on. The
// bootloader needs no room: it writes into blocks that it knows.
type room struct {
	at    int64
	stays bool
	none  bool // now
	waits int  // how often the device has waited since
	// unsaid: the journal had none while an image was to be tried, or on trial.
	unsaid bool
}

// vainly is how often a device tries before somebody makes room.
const vainly = 30

// afterRoom is how often a device may wait for hours when there is room again: what failed is tried later and later.
const afterRoom = 40

// noRoom is asked before the agent writes to a file, a firmware's variable or the journal.
func (d *Device) noRoom(what string) error {
	if r := &d.room; r.at > 0 && d.W.Ops()+1 >= r.at {
		r.at = 0
		d.note("there is no room for %s", what)
		r.none, r.waits = r.stays, 0
		d.patience = afterRoom
		return &fs.PathError{Op: "write", Path: what, Err: syscall.ENOSPC}
	}
	if d.room.none {
		return &fs.PathError{Op: "write", Path: what, Err: syscall.ENOSPC}
	}
	return nil
}

// makeRoom ends a want of room, where the device has nothing to do for long, or tries in vain again and again. It
// tells whether it did.
func (d *Device) makeRoom(busy bool) bool {
	if d.room.waits++; !d.room.none || busy && d.room.waits < vainly {
		return false
	}
	d.room.none = false
	d.note("somebody makes room")
	return true
}

// short tells whether the story has a full disk in it.
func (d *Device) short() bool { return slices.ContainsFunc(d.cuts, func(c Cut) bool { return c.Full }) }

// needsRoom tells whether an operation is one that a full disk refuses.
func needsRoom(op sim.Op) bool {
	switch op.Kind {
	case "create", "write":
		return !strings.HasPrefix(op.What, "/dev/")
	case "variable", "commit":
		return true
	}
	return false
}

// roomyFile is an opened file for which room is needed.
type roomyFile struct {
	hal.Medium
	d    *Device
	path string
}

func (m roomyFile) WriteAt(p []byte, off int64) (int, error) {
	if err := m.d.noRoom(m.path); err != nil {
		return 0, err
	}
	return m.Medium.WriteAt(p, off)
}
