package grubenv

import (
	"errors"
	"fmt"
	"io"
	"io/fs"

	"github.com/ratchet-ota/ratchet/hal"
)

// place is the file.
type place struct {
	fs         hal.FS
	path       string
	checkpoint func(path string) error
}

func (c codec) place() place { return place{c.fs, c.o.Path, c.o.Checkpoint} }

func (p place) String() string { return p.path }

// Read returns the file's bytes, at most MaxSize and one; nil when it is not there.
func (p place) Read() ([]byte, error) {
	m, err := p.fs.Open(p.path, hal.ReadOnly)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("cannot read the environment block: %w", err)
	}
	defer m.Close()
	raw := make([]byte, min(m.Size(), MaxSize+1))
	if n, err := m.ReadAt(raw, 0); err != nil && (err != io.EOF || n < len(raw)) {
		return nil, fmt.Errorf("cannot read the environment block: %w", err)
	}
	return raw, nil
}

// Write overwrites the block in place with one write.
//
// Crash: GRUB replays no journal. Bytes in blocks that the file has are there once they are flushed, with ext4's
// data=ordered; else, and where the file is a new one, behind the checkpoint: before it GRUB sees the old block, or
// none, which is as if the power had gone before the write. So nobody is told that it is done before.
func (p place) Write(data []byte) error {
	if err := p.write(data); err != nil || p.checkpoint == nil {
		return err
	}
	return p.checkpoint(p.path)
}

func (p place) write(data []byte) error {
	m, err := p.fs.Open(p.path, hal.InPlace)
	if errors.Is(err, fs.ErrNotExist) {
		return hal.ReplaceFile(p.fs, p.path, data)
	}
	if err != nil {
		return err
	}
	defer m.Close()
	if m.Size() != int64(len(data)) {
		// Crash: before -> the file that has no room, or is no block; after -> the new block. GRUB reads
		// the new file's place when it boots.
		return hal.ReplaceFile(p.fs, p.path, data)
	}
	// Crash: before -> old; after -> new. Torn: while the variables fit into the first sector, old or
	// new; else the first sector new and the second old or the other way round (Caps.Weakness).
	if _, err := m.WriteAt(data, 0); err != nil {
		return err
	}
	return m.Sync()
}
