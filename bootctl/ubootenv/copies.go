package ubootenv

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"slices"
	"strings"

	"github.com/ratchet-ota/ratchet/bootctl"
	"github.com/ratchet-ota/ratchet/bootctl/internal/engine"
)

// one is one copy of the environment as it was read.
type one struct {
	raw   []byte // nil when the copy is not there
	flags byte
	crcOK bool
	other bool // it is whole in the other format, that of one copy or that of two
	list  list
	fault error // why the copy does not validate
}

// parseCopy reads a copy of minSize bytes or more.
func parseCopy(raw []byte, redundant bool) one {
	c := one{raw: raw}
	head, otherHead := headerSingle, headerRedundant
	if redundant {
		head, otherHead = headerRedundant, headerSingle
		c.flags = raw[crcLen]
	}
	sum := binary.LittleEndian.Uint32(raw)
	if sum != crc32.ChecksumIEEE(raw[head:]) {
		c.fault = errors.New("bad CRC: torn by a power cut, or the configured size or place is wrong")
		c.other = sum == crc32.ChecksumIEEE(raw[otherHead:])
		return c
	}
	c.crcOK = true
	c.list, c.fault = parseList(raw[head:])
	return c
}

// env is one reading of all copies.
type env struct {
	copies  []one
	current int // the copy that U-Boot takes, -1 when no copy has a good CRC
}

// errFormat: a copy is whole in the other format. U-Boot may be built for that one and boot with it, at once or, with
// CONFIG_ENV_REDUNDANT_UPGRADE, once more. It is no ErrInvalid: nothing is restored over what may count.
var errFormat = errors.New("cannot use the U-Boot environment: what is there has")

// valid is the current copy, or an error: one that wraps bootctl.ErrInvalid, or errFormat.
func (e env) valid() (one, error) {
	if e.current >= 0 && e.copies[e.current].fault == nil {
		// A current copy with a good CRC whose list U-Boot refuses is not replaced by the other
		// copy: U-Boot takes its defaults then, so the other copy would be a lie here.
		return e.copies[e.current], nil
	}
	if e.current < 0 && slices.ContainsFunc(e.copies, func(c one) bool { return c.other }) {
		if len(e.copies) == 2 {
			return one{}, errorf("%w the format of one copy, and two are configured. If U-Boot has one copy, "+
				"configure one; if it has two (and took over the one it had), let it write them: saveenv at its "+
				"prompt, twice", errFormat)
		}
		return one{}, errorf("%w the format of two copies, and one is configured: configure both, in U-Boot's "+
			"order", errFormat)
	}
	var say []string
	for i, c := range e.copies {
		if c.fault != nil {
			say = append(say, fmt.Sprintf("copy %d: %v", i, c.fault))
		}
	}
	return one{}, errorf("%w: %s", bootctl.ErrInvalid, strings.Join(say, "; "))
}

// choose is U-Boot's rule (env/common.c, env_import_redund) and fw_setenv's for devices that are not
// NOR flash: of two good copies the one whose serial is higher by one step, 0 being higher than 255;
// equal serials mean copy 0.
func choose(c []one) int {
	switch {
	case len(c) == 1 && c[0].crcOK:
		return 0
	case len(c) == 1:
		return -1
	case !c[0].crcOK && !c[1].crcOK:
		return -1
	case !c[1].crcOK:
		return 0
	case !c[0].crcOK:
		return 1
	}
	switch a, b := c[0].flags, c[1].flags; {
	case a == 255 && b == 0:
		return 1
	case b == 255 && a == 0:
		return 0
	case b > a:
		return 1
	}
	return 0
}

// copies reads all copies.
func (c codec) copies() (env, error) {
	e := env{copies: make([]one, len(c.o.Copies))}
	failed := 0
	for i, loc := range c.o.Copies {
		raw, err := c.place(loc).Read()
		switch {
		case err != nil:
			// U-Boot goes on with the other copy, and so do we. Where no copy can be read it is
			// not the metadata that is bad, and nothing may be restored over it.
			if failed++; failed == len(e.copies) {
				return env{}, errorf("cannot read the environment: %w", err)
			}
			e.copies[i].fault = err
		case raw == nil:
			e.copies[i].fault = errorf("%s is missing or too short", loc.Path)
		default:
			e.copies[i] = parseCopy(raw, len(e.copies) == 2)
		}
	}
	e.current = choose(e.copies)
	return e, nil
}

// write stores l as the next environment. Nothing else may have been written since it was read.
func (r *reading) write(l list) error {
	target, flags := 0, -1
	if len(r.o.Copies) == 2 {
		flags = 1
		if r.current >= 0 {
			// Never the copy that counts: it is what boots if this write is cut.
			target = 1 - r.current
			flags = (int(r.env.copies[r.current].flags) + 1) & 0xff
		}
	}
	p := r.place(r.o.Copies[target])
	raw, err := l.encode(p.Size, flags)
	if err != nil {
		return err
	}
	if err := r.unchanged(); err != nil {
		return err
	}
	if r.current >= 0 && len(r.o.Copies) == 2 {
		// Crash: U-Boot's saveenv sends no flush. If the copy that counts is its own, and is still in
		// the drive's cache, a cut in our write could take both.
		if err := r.place(r.o.Copies[r.current]).flush(); err != nil {
			return errorf("cannot flush %s: %w", r.o.Copies[r.current].Path, err)
		}
	}
	return engine.Put(p, raw)
}

// unchanged reads all copies again. One that cannot be read, now as before, does not count: hence not
// engine.Unchanged for each.
func (r *reading) unchanged() error {
	now, err := r.codec.copies()
	if err != nil {
		return err
	}
	for i, c := range r.env.copies {
		if !bytes.Equal(now.copies[i].raw, c.raw) {
			return errorf("%w: copy %d", bootctl.ErrChanged, i)
		}
	}
	return nil
}
