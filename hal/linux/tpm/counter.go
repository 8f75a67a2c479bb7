//go:build linux

package tpm

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"

	"github.com/ratchet-ota/ratchet/hal"
)

const (
	// DefaultDevice is the TPM behind the kernel's resource manager, which any number of programs share.
	DefaultDevice = "/dev/tpmrm0"
	// DefaultIndex is in the range that the TCG leaves to owners, 0x01800000 to 0x01BFFFFF (TCG
	// Registry of Reserved TPM 2.0 Handles and Localities, section 2.2).
	DefaultIndex = 0x01805254
	// MaxRaise is the most that one Raise may go up: each step wears the TPM's memory, and the
	// number that is kept steps by one.
	MaxRaise = 1024
)

var (
	// ErrMissing: the index of a TPM counter is not there. It is never made in passing, since
	// that would turn it back.
	ErrMissing = errors.New("the TPM has no such counter: it was never made, or was deleted; " +
		"check its state, then run: ratchet counter init")
	// ErrUnfinished: the making of the index was interrupted, so that it counts nothing yet.
	ErrUnfinished = errors.New("the making of the TPM's counter was interrupted; run it again: ratchet counter init")
	// ErrForeign: the index is somebody else's, or was changed.
	ErrForeign = errors.New("the TPM's index is not a counter of Ratchet's; name another one in counter.index")
)

// Attributes of an index (TPM 2.0 Library, part 2, section 13.4, TPMA_NV).
const (
	nvAuthWrite      = 1 << 2
	nvCounter        = 1 << 4 // TPM_NT_COUNTER in bits 7:4
	nvPPRead         = 1 << 16
	nvOwnerRead      = 1 << 17
	nvAuthRead       = 1 << 18
	nvNoDA           = 1 << 25 // neither causes a lockout nor suffers from one
	nvWritten        = 1 << 29
	nvPlatformCreate = 1 << 30

	counterAttributes = nvAuthWrite | nvCounter | nvPPRead | nvOwnerRead | nvAuthRead | nvNoDA
)

// counterMark begins the authPolicy of the index; the base follows, 8 bytes, big-endian.
const counterMark = "ratchet counter, base 1\x00"

// Counter is a counter in a TPM 2.0: one NV index of type TPM_NT_COUNTER, which a TPM only counts
// up, one at a time. Kind says "tpm2-nv".
//
// # Why a counter, and where its zero is
//
// A new TPM counter does not begin at zero but above every counter that the TPM ever had, deleted
// ones too (part 3, section 31.2), so that to delete and make it again does not turn it back. The
// price is that the number at its making, its base, must be kept; the counter's value here is the
// TPM's number less the base. The base stands in the index itself, as its authPolicy: that is fixed
// when the index is defined, for as long as it exists, is readable by everybody, and is part of the
// index's name. It is no digest that any policy could have, so no policy session ever opens the index:
// it cannot be written but by an increment, and its (empty) password cannot be changed. A bit field
// (TPM_NT_BITS) would need no base, but it ends at 64, and one that was deleted and made again looks
// as if nothing had happened.
//
// # What survives what
//
//   - A power cut in Raise: each increment is old or new within the TPM, and durable when it is
//     answered (TPMA_NV_ORDERLY is clear). A raise by several may be left half way; it is never
//     beyond what was asked, and the next Raise begins by reading.
//   - A power cut while it is made: an index that was never incremented counts nothing and is refused
//     (ErrUnfinished); making it again deletes it first. See Counter.Make.
//   - Deletion: whoever has the password of the owner hierarchy, or clears the TPM, deletes an index
//     that the owner made; one that the platform made, only the platform. A missing index is
//     ErrMissing, not zero, and is never made again in passing. One that somebody else made
//     again has another base, so another Origin, which evidence carries.
//   - Root on the device can raise it, which makes the device wait for a newer root for ever; and
//     where the owner's password was left empty can make it again with any value, and another Origin.
type Counter struct {
	path  string
	index uint32
	mu    sync.Mutex
}

var _ hal.Counter = (*Counter)(nil)

// New uses the index of the TPM at path, a device or the unix socket of a TPM that is a
// program. Nothing is opened before it is used, nor kept open.
func New(path string, index uint32) *Counter {
	return &Counter{path: path, index: index}
}

// Kind implements hal.Counter.
func (c *Counter) Kind() string { return "tpm2-nv" }

// Read implements hal.Counter. Errors: ErrMissing, ErrUnfinished, ErrForeign, and
// those of the TPM in words.
func (c *Counter) Read(ctx context.Context) (v uint64, err error) {
	err = c.with(ctx, "read", func(link device) error {
		v, _, err = c.value(ctx, link)
		return err
	})
	return v, err
}

// Raise implements hal.Counter. More than MaxRaise steps at once are refused.
func (c *Counter) Raise(ctx context.Context, to uint64) error {
	return c.with(ctx, "raise", func(link device) error {
		now, _, err := c.value(ctx, link)
		if err == nil && to > now && to-now > MaxRaise {
			return errorf("from %d to %d is more than %d steps", now, to, MaxRaise)
		}
		// Crash: before an increment is answered -> the old number or the next; after -> the next. It is
		// read again before each, so that none is made twice.
		for err == nil && now < to {
			if err = c.increment(ctx, link); err == nil {
				now, _, err = c.value(ctx, link)
			}
		}
		return err
	})
}

// Origin implements hal.Counter: the index and its base, which is another one after each making.
func (c *Counter) Origin(ctx context.Context) (origin string, err error) {
	err = c.with(ctx, "read", func(link device) error {
		_, p, err := c.value(ctx, link)
		origin = fmt.Sprintf("%#08x made at %d", c.index, p.base())
		if p.attributes&nvPlatformCreate != 0 {
			origin += " by the platform"
		}
		return err
	})
	if err != nil {
		return "", err
	}
	return origin, nil
}

// with opens the TPM for one use.
func (c *Counter) with(ctx context.Context, what string, f func(device) error) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := use(ctx, c.path, f); err != nil {
		return errorf("cannot %s counter %#08x of the TPM %s: %w", what, c.index, c.path, err)
	}
	return nil
}

// value reads the counter, and what the index is.
func (c *Counter) value(ctx context.Context, link device) (uint64, nvPublic, error) {
	p, err := c.public(ctx, link)
	if err != nil {
		return 0, p, err
	}
	if err := p.check(c.index); err != nil {
		return 0, p, err
	}
	n, err := c.number(ctx, link)
	if err == nil && n < p.base() {
		err = errorf("%w: it stands at %d, below its base %d", ErrForeign, n, p.base())
	}
	if err != nil {
		return 0, p, err
	}
	return n - p.base(), p, nil
}

// public is TPM2_NV_ReadPublic (part 3, section 31.6).
func (c *Counter) public(ctx context.Context, link device) (nvPublic, error) {
	b, err := command{code: ccNVReadPublic, handles: []uint32{c.index}}.run(ctx, link)
	if isCode(err, rcHandle) {
		return nvPublic{}, ErrMissing
	}
	if err != nil {
		return nvPublic{}, err
	}
	return decodePublic(b)
}

// number is TPM2_NV_Read of the eight bytes (part 3, section 31.13).
func (c *Counter) number(ctx context.Context, link device) (uint64, error) {
	read := command{code: ccNVRead, handles: []uint32{c.index, c.index}, session: true, params: []byte{0, 8, 0, 0}}
	b, err := read.run(ctx, link)
	if err != nil {
		return 0, err
	}
	return decodeNumber(b)
}

// increment is TPM2_NV_Increment (part 3, section 31.8).
func (c *Counter) increment(ctx context.Context, link device) error {
	_, err := command{code: ccNVIncrement, handles: []uint32{c.index, c.index}, session: true}.run(ctx, link)
	return err
}

func decodeNumber(b []byte) (uint64, error) {
	data, rest, err := takeTPM2B(b)
	if err != nil {
		return 0, err
	}
	if len(data) != 8 || len(rest) != 0 {
		return 0, errorf("%w: a counter of %d bytes", errResponse, len(data))
	}
	return binary.BigEndian.Uint64(data), nil
}

// nvPublic is what everybody may read of an index: TPMS_NV_PUBLIC (part 2, section 13.5).
type nvPublic struct {
	index      uint32
	hash       uint16
	attributes uint32
	policy     []byte
	size       uint16
}

// decodePublic reads the parameters of a response to TPM2_NV_ReadPublic: the public area, and the
// name, which must be that of the area (part 1, section 16).
func decodePublic(b []byte) (nvPublic, error) {
	area, rest, err := takeTPM2B(b)
	if err != nil {
		return nvPublic{}, err
	}
	name, rest, err := takeTPM2B(rest)
	if err != nil || len(rest) != 0 || len(area) < 12 {
		return nvPublic{}, errorf("%w: a public area of %d bytes", errResponse, len(area))
	}
	p := nvPublic{index: binary.BigEndian.Uint32(area), hash: binary.BigEndian.Uint16(area[4:]),
		attributes: binary.BigEndian.Uint32(area[6:])}
	policy, rest, err := takeTPM2B(area[10:])
	if err != nil || len(rest) != 2 {
		return nvPublic{}, errorf("%w: a public area of %d bytes", errResponse, len(area))
	}
	p.policy, p.size = bytes.Clone(policy), binary.BigEndian.Uint16(rest)
	if p.hash == algSHA256 {
		sum := sha256.Sum256(area)
		if !bytes.Equal(name, append([]byte{0, algSHA256}, sum[:]...)) {
			return nvPublic{}, errorf("%w: the name is not that of the public area", errResponse)
		}
	}
	return p, nil
}

func (p nvPublic) encode() []byte {
	b := binary.BigEndian.AppendUint32(nil, p.index)
	b = binary.BigEndian.AppendUint16(b, p.hash)
	b = binary.BigEndian.AppendUint32(b, p.attributes)
	b = appendTPM2B(b, p.policy)
	return binary.BigEndian.AppendUint16(b, p.size)
}

// ours tells whether it is an index as Counter.Make makes it, written or not.
func (p nvPublic) ours(index uint32) bool {
	return p.index == index && p.hash == algSHA256 && p.size == 8 &&
		p.attributes&^(nvWritten|nvPlatformCreate) == counterAttributes &&
		len(p.policy) == len(counterMark)+8 && bytes.HasPrefix(p.policy, []byte(counterMark))
}

// check says what is wrong with it as a counter.
func (p nvPublic) check(index uint32) error {
	switch {
	case !p.ours(index):
		return errorf("%w (attributes %#x, %d bytes)", ErrForeign, p.attributes, p.size)
	case p.attributes&nvWritten == 0:
		return ErrUnfinished
	case p.base() == measuring:
		return ErrUnfinished
	}
	return nil
}

// base is the number at which the counter began. Only for what is ours.
func (p nvPublic) base() uint64 {
	if len(p.policy) != len(counterMark)+8 {
		return 0
	}
	return binary.BigEndian.Uint64(p.policy[len(counterMark):])
}
