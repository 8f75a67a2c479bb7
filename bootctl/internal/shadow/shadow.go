// Package shadow keeps a copy of boot metadata in a file of the agent's own, from which the variables
// of other programs are restored when the metadata itself is lost. It is never what a loader reads.
//
// Format: "RTSHADW1", length of the payload (u32, little endian), CRC-32 (IEEE) of the payload (u32,
// little endian), payload. It is replaced as a whole, so that a power cut leaves the old or the new.
package shadow

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"

	"github.com/ratchet-ota/ratchet/hal"
)

const (
	magic  = "RTSHADW1"
	header = len(magic) + 8
)

// ErrInvalid is returned for a file that is no shadow copy.
var ErrInvalid = errors.New("shadow copy is not valid")

// Load returns the payload of the shadow at path, of at most limit bytes. The error wraps
// io/fs.ErrNotExist when there is none, ErrInvalid when it does not validate.
func Load(fsys hal.FS, path string, limit int64) ([]byte, error) {
	b, err := hal.ReadFile(fsys, path, limit+int64(header))
	if err != nil {
		return nil, err
	}
	return Decode(b)
}

// Decode validates a shadow's bytes.
func Decode(b []byte) ([]byte, error) {
	if len(b) < header || string(b[:len(magic)]) != magic {
		return nil, fmt.Errorf("%w: no signature", ErrInvalid)
	}
	n := binary.LittleEndian.Uint32(b[len(magic):])
	sum := binary.LittleEndian.Uint32(b[len(magic)+4:])
	payload := b[header:]
	if uint64(n) != uint64(len(payload)) {
		return nil, fmt.Errorf("%w: %d bytes where %d are announced", ErrInvalid, len(payload), n)
	}
	if crc32.ChecksumIEEE(payload) != sum {
		return nil, fmt.Errorf("%w: bad CRC", ErrInvalid)
	}
	return payload, nil
}

// Encode is the file for payload.
func Encode(payload []byte) []byte {
	var b bytes.Buffer
	b.WriteString(magic)
	b.Write(binary.LittleEndian.AppendUint32(nil, uint32(len(payload))))
	b.Write(binary.LittleEndian.AppendUint32(nil, crc32.ChecksumIEEE(payload)))
	b.Write(payload)
	return b.Bytes()
}

// Store replaces the shadow at path.
//
// Crash: before -> the old shadow; after -> the new. Neither decides what boots.
func Store(fsys hal.FS, path string, payload []byte) error {
	return hal.ReplaceFile(fsys, path, Encode(payload))
}
