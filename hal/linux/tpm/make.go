//go:build linux

package tpm

import (
	"context"
	"encoding/binary"
	"errors"
	"math"
)

// measuring is the base of an index that was made to see where the TPM's counters stand.
const measuring = math.MaxUint64

// makeTries is how often the making of a counter begins anew because the TPM counted elsewhere meanwhile.
const makeTries = 8

// Provision says how a counter is made.
type Provision struct {
	// Platform makes the index with the platform hierarchy: then neither the owner nor TPM2_Clear deletes
	// it, but only who has the platform's password, which firmware sets or disables before it boots a
	// system. Otherwise the owner hierarchy makes it.
	Platform bool
	Password []byte // of the hierarchy; empty in a factory
	Version  uint64 // where the counter is to begin, 0 on a new device; MaxRaise at most
	Replace  bool   // a counter that is there is deleted first: this turns it back
}

// Make makes the counter. One that is there and whole is left as it is unless Replace says so; made
// then is false.
//
// Where a new counter begins is known only when it has counted (part 3, section 31.2), and the base
// must be given when it is defined. So an index is made to see where the TPM's counters stand, deleted,
// and made again with the number that must come next. What came is compared; when something else
// counted in between, it begins anew.
//
// Crash: before the index is defined the second time -> none, or one that says that it is for
// measuring; before its increment is durable -> one that was never written; both are
// ErrUnfinished, and Make begins anew. After -> the counter at its base, or above it where a
// Version was asked for, which Make finds whole: it raises it then.
func (c *Counter) Make(ctx context.Context, how Provision) (made bool, err error) {
	if how.Version > MaxRaise {
		return false, errorf("cannot make a counter at %d: the maximum is %d", how.Version, MaxRaise)
	}
	err = c.with(ctx, "make", func(link device) error {
		p, err := c.public(ctx, link)
		switch {
		case errors.Is(err, ErrMissing):
		case err != nil:
			return err
		case !p.ours(c.index):
			return p.check(c.index)
		case p.check(c.index) == nil && !how.Replace:
			return nil
		default:
			if err := c.undefine(ctx, link, how); err != nil {
				return err
			}
		}
		made = true
		return c.define(ctx, link, how)
	})
	if err == nil {
		err = c.Raise(ctx, how.Version)
	}
	return made, err
}

// define makes an index whose first number is its base.
func (c *Counter) define(ctx context.Context, link device, how Provision) error {
	base, last, step := uint64(measuring), uint64(0), uint64(1)
	for range makeTries {
		if err := c.defineSpace(ctx, link, how, base); err != nil {
			return err
		}
		err := c.increment(ctx, link)
		var n uint64
		if err == nil {
			n, err = c.number(ctx, link)
		}
		if err == nil && n == base {
			return nil
		}
		if uerr := c.undefine(ctx, link, how); err != nil || uerr != nil {
			return errors.Join(err, uerr)
		}
		if n <= last || n >= measuring-MaxRaise {
			return errorf("the TPM's counters go from %d to %d; it cannot be used", last, n)
		}
		if base != measuring {
			step = n - last // as this TPM counts; one by the standard
		}
		base, last = n+step, n
	}
	return errors.New("something else makes counters in this TPM at the same time; try again")
}

func (how Provision) hierarchy() uint32 {
	if how.Platform {
		return handlePlatform
	}
	return handleOwner
}

// defineSpace is TPM2_NV_DefineSpace (part 3, section 31.3), with an empty password for the index.
func (c *Counter) defineSpace(ctx context.Context, link device, how Provision, base uint64) error {
	p := nvPublic{index: c.index, hash: algSHA256, attributes: counterAttributes, size: 8,
		policy: binary.BigEndian.AppendUint64([]byte(counterMark), base)}
	if how.Platform {
		p.attributes |= nvPlatformCreate
	}
	params := appendTPM2B(appendTPM2B(nil, nil), p.encode())
	_, err := command{code: ccNVDefine, handles: []uint32{how.hierarchy()}, session: true,
		password: how.Password, params: params}.run(ctx, link)
	return err
}

// undefine is TPM2_NV_UndefineSpace (part 3, section 31.4).
func (c *Counter) undefine(ctx context.Context, link device, how Provision) error {
	_, err := command{code: ccNVUndefine, handles: []uint32{how.hierarchy(), c.index}, session: true,
		password: how.Password}.run(ctx, link)
	return err
}
