package bootmodel

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"unicode/utf16"

	"github.com/ratchet-ota/ratchet/hal"
)

// UEFI is a machine whose firmware starts kernels by their EFI stub.
type UEFI struct {
	Vars hal.Variables
	// Loads tells whether the kernel of a slot can be loaded. nil means all can. Options that are of no
	// slot never load: a medium that is not in, a network that does not answer.
	Loads func(slot string) bool
}

const uefiGlobal = "-8be4df61-93ca-11d2-aa0d-00e098032b8c"

// Boot powers the machine on and returns the slot whose kernel is started and its command line. slot
// is "" when none is (UEFI 2.10, section 3.1.1: BootNext is deleted before it is used, then BootOrder).
func (m UEFI) Boot() (slot, args string, err error) {
	next, err := m.get("BootNext")
	if err != nil {
		return "", "", err
	}
	if next != nil {
		if err := m.Vars.Set("BootNext"+uefiGlobal, 7, nil); err != nil {
			return "", "", err
		}
		if len(next) == 2 {
			if slot, args, err = m.start(binary.LittleEndian.Uint16(next), true); err != nil || slot != "" {
				return slot, args, err
			}
		}
	}
	order, err := m.get("BootOrder")
	if err != nil {
		return "", "", err
	}
	for ; len(order) >= 2; order = order[2:] {
		if slot, args, err = m.start(binary.LittleEndian.Uint16(order), false); err != nil || slot != "" {
			return slot, args, err
		}
	}
	return "", "", nil
}

// start loads a load option; slot is "" when it is not there, not active or cannot be loaded.
func (m UEFI) start(number uint16, always bool) (slot, args string, err error) {
	b, err := m.get(fmt.Sprintf("Boot%04X", number))
	if err != nil || len(b) < 8 || !always && b[0]&1 == 0 {
		return "", "", err
	}
	paths := int(binary.LittleEndian.Uint16(b[4:]))
	title, rest, ok := ucs2(b[6:])
	if !ok || paths > len(rest) {
		return "", "", nil
	}
	slot, ok = strings.CutPrefix(title, "ratchet ")
	if !ok || m.Loads != nil && !m.Loads(slot) {
		return "", "", nil
	}
	args, _, _ = ucs2(rest[paths:])
	return slot, args, nil
}

// ucs2 reads UTF-16 up to its NUL.
func ucs2(b []byte) (text string, rest []byte, ok bool) {
	var units []uint16
	for ; len(b) >= 2; b = b[2:] {
		c := binary.LittleEndian.Uint16(b)
		if c == 0 {
			return string(utf16.Decode(units)), b[2:], true
		}
		units = append(units, c)
	}
	return "", nil, false
}

func (m UEFI) get(name string) ([]byte, error) {
	_, b, err := m.Vars.Get(name + uefiGlobal)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return b, err
}
