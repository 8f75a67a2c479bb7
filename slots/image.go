package slots

import (
	"crypto/sha256"
	"crypto/sha512"
	"hash"

	"github.com/ratchet-ota/ratchet/hal"
)

// MaxFrame is the largest number of image bytes that one zstd frame may decode to, and the largest
// window it may ask for. It belongs to the payload format and does not depend on Options.
const MaxFrame = DefaultCheckpoint

// newHash makes the running hash of a digest algorithm.
func newHash(alg int) (hash.Hash, error) {
	switch alg {
	case SHA256:
		return sha256.New(), nil
	case SHA384:
		return sha512.New384(), nil
	case SHA512:
		return sha512.New(), nil
	}
	return nil, errorf("unknown digest algorithm %d", alg)
}

// fits checks img by itself and against a slot of the given size.
func (img Image) fits(slot int64) error {
	h, err := newHash(img.Alg)
	switch {
	case err != nil:
		return err
	case len(img.Digest) != h.Size():
		return errorf("digest of %d bytes, the algorithm has %d", len(img.Digest), h.Size())
	case img.Size <= 0 || img.PayloadSize < 0:
		return errorf("image of %d bytes in a payload of %d", img.Size, img.PayloadSize)
	case img.Encoding != Raw && img.Encoding != Zstd:
		return errorf("unknown encoding %d: %w", img.Encoding, ErrEncoding)
	case img.Encoding == Raw && img.PayloadSize != 0 && img.PayloadSize != img.Size:
		return errorf("raw payload of %d bytes for an image of %d: %w", img.PayloadSize, img.Size, ErrEncoding)
	case img.Size > slot-slot%tailUnit:
		return errorf("image of %d bytes, slot of %d: %w", img.Size, slot, ErrTooLarge)
	}
	return nil
}

// maxPayload bounds what is fetched where the manifest does not say the payload's size: zstd adds
// at most a few bytes to each block of 128 KiB.
func (img Image) maxPayload() int64 {
	switch {
	case img.Encoding == Raw:
		return img.Size
	case img.PayloadSize > 0:
		return img.PayloadSize
	}
	return img.Size + img.Size/64 + 1<<20
}

// payload is the payload's size, 0 when it is not known.
func (img Image) payload() int64 {
	if img.Encoding == Raw {
		return img.Size
	}
	return img.PayloadSize
}

// tailUnit is the access unit behind a slot's last multiple of hal.Align.
const tailUnit = 512

// span is one aligned access that covers a part of the image.
type span struct {
	off int64
	n   int // bytes to access, a multiple of the unit there
}

// spans divides the image bytes [off, off+n) of a slot into aligned accesses, at most two: up to
// the slot's last multiple of hal.Align, and behind it. off is a multiple of hal.Align. What the
// last access covers beyond the image is padding.
func spans(slot, off int64, n int) []span {
	body := slot - slot%hal.Align
	end := off + int64(n)
	padded := (end + hal.Align - 1) / hal.Align * hal.Align
	if padded <= body {
		return []span{{off, int(padded - off)}}
	}
	var s []span
	if off < body {
		s = append(s, span{off, int(body - off)})
	}
	rest := (end - body + tailUnit - 1) / tailUnit * tailUnit
	return append(s, span{body, int(rest)})
}
