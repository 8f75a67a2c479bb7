package slots

import (
	"bytes"
	"encoding"
	"encoding/binary"
	"fmt"
	"hash"

	"github.com/ratchet-ota/ratchet/hal"
)

// CheckpointVersion is the version of Checkpoint. It covers the encoding of the hash state, which
// is that of the Go standard library.
const CheckpointVersion = 1

// restore checks that c is a checkpoint of img and returns the running hash as it was there.
func (c *Checkpoint) restore(img Image) (hash.Hash, error) {
	h, err := newHash(img.Alg)
	if err != nil {
		return nil, err
	}
	bad := func(why string) error { return errorf("cannot resume: %s: %w", why, ErrCheckpoint) }
	switch {
	case c.Version != CheckpointVersion:
		return nil, bad(fmt.Sprintf("version %d, this program writes %d", c.Version, CheckpointVersion))
	case c.Alg != img.Alg:
		return nil, bad("another digest algorithm")
	case !bytes.Equal(c.Image, img.Digest):
		return nil, bad("another image")
	case c.Written <= 0 || c.Written > img.Size, c.Written%hal.Align != 0 && c.Written != img.Size:
		return nil, bad(fmt.Sprintf("%d of %d bytes written", c.Written, img.Size))
	case img.Encoding == Raw && c.Payload != c.Written, c.Payload <= 0, c.Payload > img.maxPayload():
		return nil, bad(fmt.Sprintf("%d payload bytes for %d image bytes", c.Payload, c.Written))
	}
	// The library checks no more than its magic and the length.
	if err := h.(encoding.BinaryUnmarshaler).UnmarshalBinary(c.Hash); err != nil {
		return nil, bad("hash state: " + err.Error())
	}
	if n := len(c.Hash); n < 8 || binary.BigEndian.Uint64(c.Hash[n-8:]) != uint64(c.Written) {
		return nil, bad("hash state is of another position")
	}
	return h, nil
}

// tracker makes checkpoints along a running hash.
type tracker struct {
	h       hash.Hash
	img     Image
	latest  Checkpoint // the newest position to resume from; Hash is a buffer that is used again
	current bool       // latest is newer than what was last handed out
}

// at notes the present state of the hash as a position to resume from.
func (t *tracker) at(written, payload int64) error {
	if written == t.latest.Written {
		return nil
	}
	state, err := t.h.(encoding.BinaryAppender).AppendBinary(t.latest.Hash[:0])
	if err != nil {
		return errorf("cannot save the hash state: %w", err)
	}
	t.latest.Hash, t.latest.Written, t.latest.Payload, t.current = state, written, payload, true
	return nil
}

// take hands out the newest position, nil when there is none that was not handed out before.
func (t *tracker) take() *Checkpoint {
	if !t.current {
		return nil
	}
	t.current = false
	c := t.latest
	c.Hash = bytes.Clone(c.Hash)
	return &c
}
