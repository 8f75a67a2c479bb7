package engine

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"

	"github.com/ratchet-ota/ratchet/hal"
)

const (
	shadowMagic  = "RTSHADW1"
	shadowHeader = len(shadowMagic) + 8
)

var (
	// ErrShadow is returned for a file that is no shadow copy.
	ErrShadow = errors.New("shadow copy is not valid")
	errNone   = errors.New("no shadow copy is configured")
)

// Shadow keeps a copy of boot metadata in a file of the agent's own, from which the variables of other
// programs are restored when the metadata itself is lost. It is never what a loader reads.
//
// Format: "RTSHADW1", length of the payload (u32, little endian), CRC-32 (IEEE) of the payload (u32,
// little endian), payload. It is replaced as a whole, so that a power cut leaves the old or the new.
type Shadow struct {
	FS    hal.FS
	Path  string // "": no shadow copy is kept
	Limit int64  // of the payload, in bytes
	Of    string // what it is a copy of, in errors
}

// Load returns the payload. The error wraps io/fs.ErrNotExist when there is no file, ErrShadow when it does
// not validate.
func (s Shadow) Load() ([]byte, error) {
	if s.Path == "" {
		return nil, errNone
	}
	b, err := hal.ReadFile(s.FS, s.Path, s.Limit+int64(shadowHeader))
	if err != nil {
		return nil, err
	}
	return decodeShadow(b)
}

// Keep replaces the payload where it differs. err is why there is no payload.
//
// Crash: before -> the old shadow; after -> the new. Neither decides what boots.
func (s Shadow) Keep(payload []byte, err error) error {
	if s.Path == "" {
		return nil
	}
	if kept, failed := s.Load(); failed == nil && err == nil && bytes.Equal(kept, payload) {
		return nil
	}
	if err == nil {
		err = hal.ReplaceFile(s.FS, s.Path, encodeShadow(payload))
	}
	if err != nil {
		return fmt.Errorf("cannot keep the shadow copy of %s: %w", s.Of, err)
	}
	return nil
}

// decodeShadow validates a shadow's bytes.
func decodeShadow(b []byte) ([]byte, error) {
	if len(b) < shadowHeader || string(b[:len(shadowMagic)]) != shadowMagic {
		return nil, fmt.Errorf("%w: no signature", ErrShadow)
	}
	n := binary.LittleEndian.Uint32(b[len(shadowMagic):])
	sum := binary.LittleEndian.Uint32(b[len(shadowMagic)+4:])
	payload := b[shadowHeader:]
	if uint64(n) != uint64(len(payload)) {
		return nil, fmt.Errorf("%w: %d bytes where %d are announced", ErrShadow, len(payload), n)
	}
	if crc32.ChecksumIEEE(payload) != sum {
		return nil, fmt.Errorf("%w: bad CRC", ErrShadow)
	}
	return payload, nil
}

// encodeShadow is the file for payload.
func encodeShadow(payload []byte) []byte {
	var b bytes.Buffer
	b.WriteString(shadowMagic)
	b.Write(binary.LittleEndian.AppendUint32(nil, uint32(len(payload))))
	b.Write(binary.LittleEndian.AppendUint32(nil, crc32.ChecksumIEEE(payload)))
	b.Write(payload)
	return b.Bytes()
}
