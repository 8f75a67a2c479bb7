package ubootenv

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"strings"

	"github.com/ratchet-ota/ratchet/bootctl"
	"github.com/ratchet-ota/ratchet/hal"
)

// one is one copy of the environment as it was read.
type one struct {
	raw   []byte // nil when the copy is not there
	flags byte
	crcOK bool
	list  list
	fault error // why the copy does not validate
}

func parseCopy(raw []byte, redundant bool) one {
	c := one{raw: raw}
	head := headerSingle
	if redundant {
		head = headerRedundant
	}
	if len(raw) < minSize || len(raw) > maxSize {
		c.fault = fmt.Errorf("%d bytes are no environment", len(raw))
		return c
	}
	if redundant {
		c.flags = raw[crcLen]
	}
	if binary.LittleEndian.Uint32(raw) != crc32.ChecksumIEEE(raw[head:]) {
		c.fault = errors.New("bad CRC: torn by a power cut, or the configured size or place is wrong")
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

// valid is the current copy, or an error that wraps bootctl.ErrInvalid.
func (e env) valid() (one, error) {
	if e.current >= 0 && e.copies[e.current].fault == nil {
		// A current copy with a good CRC whose list U-Boot refuses is not replaced by the other
		// copy: U-Boot takes its defaults then, so the other copy would be a lie here.
		return e.copies[e.current], nil
	}
	var say []string
	for i, c := range e.copies {
		if c.fault != nil {
			say = append(say, fmt.Sprintf("copy %d: %v", i, c.fault))
		}
	}
	return one{}, fmt.Errorf("%w: %s", bootctl.ErrInvalid, strings.Join(say, "; "))
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

func (b *Backend) read() (env, error) {
	e := env{copies: make([]one, len(b.o.Copies))}
	failed := 0
	for i, loc := range b.o.Copies {
		raw, err := b.readRaw(loc)
		switch {
		case err != nil:
			// U-Boot goes on with the other copy, and so do we. Where no copy can be read it is
			// not the metadata that is bad, and nothing may be restored over it.
			if failed++; failed == len(e.copies) {
				return env{}, fmt.Errorf("cannot read the environment: %w", err)
			}
			e.copies[i].fault = err
		case raw == nil:
			e.copies[i].fault = fmt.Errorf("%s is not there, or too short", loc.Path)
		default:
			e.copies[i] = parseCopy(raw, len(e.copies) == 2)
		}
	}
	e.current = choose(e.copies)
	return e, nil
}

// readRaw returns the bytes at loc, nil when a file is not there or ends before them.
func (b *Backend) readRaw(loc Location) ([]byte, error) {
	m, err := b.fs.Open(loc.Path, hal.ReadOnly)
	if errors.Is(err, fs.ErrNotExist) && !loc.device() {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer m.Close()
	off := loc.at(m.Size())
	if off < 0 || off > m.Size()-loc.Size {
		if loc.device() {
			return nil, fmt.Errorf("%s has %d bytes, the environment of %d bytes at %d is outside", loc.Path, m.Size(), loc.Size, loc.Offset)
		}
		return nil, nil
	}
	raw := make([]byte, loc.Size)
	if n, err := m.ReadAt(raw, off); err != nil && (err != io.EOF || n < len(raw)) {
		return nil, fmt.Errorf("cannot read %s: %w", loc.Path, err)
	}
	return raw, nil
}

// at is the absolute offset in a device or file of size bytes.
func (l Location) at(size int64) int64 {
	if l.Offset < 0 {
		return size + l.Offset
	}
	return l.Offset
}

func (l Location) device() bool {
	return l.Kind == Block || l.Kind == Auto && strings.HasPrefix(l.Path, "/dev/")
}

// write stores l as the next environment after e. Nothing else may have been written since e was read.
func (b *Backend) write(e env, l list) error {
	target, flags := 0, -1
	if len(b.o.Copies) == 2 {
		flags = 1
		if e.current >= 0 {
			// Never the copy that counts: it is what boots if this write is cut.
			target = 1 - e.current
			flags = (int(e.copies[e.current].flags) + 1) & 0xff
		}
	}
	loc := b.o.Copies[target]
	raw, err := l.encode(loc.Size, flags)
	if err != nil {
		return err
	}
	if err := b.unchanged(e); err != nil {
		return err
	}
	if e.current >= 0 && len(b.o.Copies) == 2 {
		// Crash: U-Boot's saveenv sends no flush. If the copy that counts is its own, and is still in
		// the drive's cache, a cut in our write could take both.
		if err := b.flush(b.o.Copies[e.current]); err != nil {
			return fmt.Errorf("cannot flush %s: %w", b.o.Copies[e.current].Path, err)
		}
	}
	if err := b.put(loc, raw, len(b.o.Copies) == 1); err != nil {
		return fmt.Errorf("cannot write %s: %w", loc.Path, err)
	}
	back, err := b.readRaw(loc)
	if err != nil {
		return fmt.Errorf("%w: cannot read it: %w", bootctl.ErrNotVerified, err)
	}
	if !bytes.Equal(back, raw) {
		return fmt.Errorf("%w: %s", bootctl.ErrNotVerified, loc.Path)
	}
	return nil
}

func (b *Backend) flush(loc Location) error {
	m, err := b.fs.Open(loc.Path, hal.InPlace)
	if err != nil {
		return err
	}
	defer m.Close()
	return m.Sync()
}

// unchanged reads all copies again. Programs that take the lock cannot have written since; this is
// for those that do not.
func (b *Backend) unchanged(e env) error {
	now, err := b.read()
	if err != nil {
		return err
	}
	for i := range e.copies {
		if !bytes.Equal(now.copies[i].raw, e.copies[i].raw) {
			return fmt.Errorf("%w: copy %d", bootctl.ErrChanged, i)
		}
	}
	return nil
}

// put makes raw durable at loc. only says that there is no second copy.
func (b *Backend) put(loc Location, raw []byte, only bool) error {
	size := int64(-1)
	m, err := b.fs.Open(loc.Path, hal.InPlace)
	switch {
	case err == nil:
		size = m.Size()
		defer m.Close()
	case loc.device() || !errors.Is(err, fs.ErrNotExist):
		return err
	}
	off := loc.at(size)
	if fits := size >= 0 && off >= 0 && off <= size-loc.Size; !fits || only && b.replaces(loc, size) {
		if loc.device() || loc.Offset != 0 {
			return fmt.Errorf("%d bytes at %d are outside of its %d bytes", loc.Size, loc.Offset, size)
		}
		// Crash: before -> the old file, or none where none was; after -> the new one. Nothing
		// between, where the file system commits a rename as one (ext4, UBIFS); FAT may have
		// neither name, then U-Boot boots with its defaults.
		return hal.ReplaceFile(b.fs, loc.Path, raw)
	}
	// Crash, two copies: before and torn -> the other copy, with the old choice, is the only or the
	// newer good one; after -> this copy is newer by one. The flags byte is outside of the CRC: a
	// cut that leaves it old leaves a serial below the other copy's, which then counts.
	// Crash, one copy: before -> old; torn -> no good copy, U-Boot boots with its defaults (Caps.Weakness);
	// after -> new.
	if _, err := m.WriteAt(raw, off); err != nil {
		return err
	}
	return m.Sync()
}

// replaces tells whether the only copy is a file of its own, which is replaced instead of overwritten.
func (b *Backend) replaces(loc Location, size int64) bool {
	return !loc.device() && loc.Offset == 0 && size == loc.Size
}
