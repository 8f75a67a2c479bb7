package ubootenv

import (
	"errors"
	"io"
	"io/fs"
	"strings"

	"github.com/ratchet-ota/ratchet/hal"
)

// place is where one copy lies.
type place struct {
	Location
	fs   hal.FS
	only bool // there is no second copy

	checkpoint func(path string) error
}

func (c codec) place(l Location) place {
	return place{Location: l, fs: c.fs, only: len(c.o.Copies) == 1, checkpoint: c.o.Checkpoint}
}

func (p place) String() string { return p.Path }

// at is the absolute offset in a device or file of size bytes.
func (l Location) at(size int64) int64 {
	if l.Offset < 0 {
		return size + l.Offset
	}
	return l.Offset
}

//go:noinline
func (l Location) device() bool {
	return l.Kind == Block || l.Kind == Auto && strings.HasPrefix(l.Path, "/dev/")
}

// Read returns the bytes of the copy, nil when a file is not there or ends before them.
func (p place) Read() ([]byte, error) {
	m, err := p.fs.Open(p.Path, hal.ReadOnly)
	if errors.Is(err, fs.ErrNotExist) && !p.device() {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer m.Close()
	off := p.at(m.Size())
	if off < 0 || off > m.Size()-p.Size {
		if p.device() {
			return nil, errorf("%s has %d bytes, the environment of %d bytes at %d is outside",
				p.Path, m.Size(), p.Size, p.Offset)
		}
		return nil, nil
	}
	raw := make([]byte, p.Size)
	if n, err := m.ReadAt(raw, off); err != nil && (err != io.EOF || n < len(raw)) {
		return nil, errorf("cannot read %s: %w", p.Path, err)
	}
	return raw, nil
}

// Write makes raw durable in place, or by rename where that is safer.
//
// Crash: U-Boot replays no journal. In blocks that a file has bytes are there once they are flushed, with ext4's
// data=ordered; else, and in a new file, they are behind the checkpoint. Before it U-Boot sees the copy as it was, or
// none: as if the power had gone before the write.
func (p place) Write(raw []byte) error {
	if err := p.write(raw); err != nil || p.checkpoint == nil || p.device() {
		return err
	}
	return p.checkpoint(p.Path)
}

func (p place) write(raw []byte) error {
	size := int64(-1)
	m, err := p.fs.Open(p.Path, hal.InPlace)
	switch {
	case err == nil:
		size = m.Size()
		defer m.Close()
	case p.device() || !errors.Is(err, fs.ErrNotExist):
		return err
	}
	off := p.at(size)
	if fits := size >= 0 && off >= 0 && off <= size-p.Size; !fits || p.only && p.whole(size) {
		if p.device() || p.Offset != 0 {
			return errorf("%d bytes at %d are outside of its %d bytes", p.Size, p.Offset, size)
		}
		// Crash: before -> the old file, or none where none was; after -> the new one. Nothing
		// between, where the file system commits a rename as one (ext4, UBIFS); FAT may have
		// neither name, then U-Boot boots with its defaults.
		return hal.ReplaceFile(p.fs, p.Path, raw)
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

// whole tells whether the copy is a file of its own, which is replaced instead of overwritten.
func (p place) whole(size int64) bool {
	return !p.device() && p.Offset == 0 && size == p.Size
}

// flush makes what stands there durable.
func (p place) flush() error {
	m, err := p.fs.Open(p.Path, hal.InPlace)
	if err != nil {
		return err
	}
	defer m.Close()
	return m.Sync()
}
