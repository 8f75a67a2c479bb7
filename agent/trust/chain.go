package trust

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"slices"
)

// Chain is consecutive versions of one root, each verified by the one before it, from the root that is trusted
// for where it comes from (the image that runs) to the newest one. It is a value: Take returns another one.
type Chain struct {
	msgs  [][]byte // as they were received
	roots []Root
}

// NewChain begins a chain with the root that a device is built with, see Anchor.
func NewChain(anchor []byte) (Chain, error) {
	if !IsRoot(anchor) {
		b, err := ParseBundle(anchor)
		if err != nil {
			return Chain{}, errorf("cannot use root anchor: %w", err)
		}
		roots, err := b.whole()
		if err != nil {
			return Chain{}, errorf("cannot use root anchor: %w", err)
		}
		return Chain{msgs: b.msgs, roots: roots}, nil
	}
	r, err := Anchor(anchor)
	if err != nil {
		return Chain{}, err
	}
	return Chain{msgs: [][]byte{bytes.Clone(anchor)}, roots: []Root{r}}, nil
}

// IsZero tells whether there is no root in it.
func (c Chain) IsZero() bool { return len(c.roots) == 0 }

// Newest is the version that counts now; the zero value where there is none.
//
//go:noinline
func (c Chain) Newest() Root {
	if c.IsZero() {
		return Root{}
	}
	return c.roots[len(c.roots)-1]
}

// First is the lowest version in it.
func (c Chain) First() uint64 { return c.roots[0].Version() }

// Roots are its versions, in their order.
func (c Chain) Roots() []Root { return slices.Clone(c.roots) }

// Message is one version as it was received; nil where the chain does not have it.
func (c Chain) Message(version uint64) []byte {
	if c.IsZero() || version < c.First() || version > c.Newest().Version() {
		return nil
	}
	return c.msgs[version-c.First()]
}

// Take goes on with what was received: the version that follows the newest one by itself, or a bundle of all
// versions. Of a bundle every signature must hold, those of the versions before the newest one here too: what
// is taken is kept, and must lead to the same place from an older image. An error leaves the chain as it was.
// Errors: ErrReplay (nothing in it is new), ErrFork (another root in the place of a trusted one), ErrVersion (a
// single version that is not the next one, as far as the trusted signers have signed it), ErrMalformed,
// ErrThreshold, ErrNoSigner, ErrSignature, ErrAlgorithm.
// Expiry does not matter: a root that has expired is genuine, and a newer one may follow it.
func (c Chain) Take(msg []byte) (Chain, error) {
	if c.IsZero() {
		return c, errors.New("cannot take root: there is no trusted root to begin with")
	}
	if IsRoot(msg) {
		return c.takeOne(msg)
	}
	b, err := ParseBundle(msg)
	if err != nil {
		return c, err
	}
	roots, err := b.follow(c.Newest())
	switch {
	case err != nil:
		return c, err
	case len(roots) == 0:
		return c, errorf("cannot take root bundle: it ends at version %d: %w", b.Len(), ErrReplay)
	}
	return Chain{msgs: b.msgs, roots: roots}, nil
}

func (c Chain) takeOne(msg []byte) (Chain, error) {
	d, err := open("root", msg)
	if err != nil {
		return c, errorf("cannot take root: %w", err)
	}
	fail := func(err error) (Chain, error) { return c, errorf("cannot take root: %w", err) }
	now, digest := c.Newest(), sha256.Sum256(d.payload)
	if slices.ContainsFunc(c.roots, func(r Root) bool { return r.Digest() == digest }) {
		return fail(ErrReplay)
	}
	n, err := now.next(d)
	if err != nil {
		return fail(errorf("version %d: %w", now.Version()+1, err))
	}
	size := len(msg)
	for _, m := range c.msgs {
		size += len(m)
	}
	if len(c.msgs) >= MaxVersions || size > MaxBundle {
		return fail(errorf("%d versions of %d bytes, at most %d of %d: %w",
			len(c.msgs)+1, size, MaxVersions, MaxBundle, ErrMalformed))
	}
	return Chain{msgs: append(slices.Clone(c.msgs), bytes.Clone(msg)), roots: append(slices.Clone(c.roots), n)}, nil
}

// IsRoot tells a single root from a bundle, by its first bytes. Nothing of it is verified.
func IsRoot(msg []byte) bool { return bytes.HasPrefix(msg, tagSign) }

// whole verifies every version of a bundle, from the first on.
func (b Bundle) whole() ([]Root, error) {
	r, err := anchor(b.docs[0])
	if err == nil && r.Version() != 1 {
		err = errorf("the first root of a bundle is version %d: %w", r.Version(), ErrVersion)
	}
	if err != nil {
		return nil, err
	}
	roots := []Root{r}
	for _, d := range b.docs[1:] {
		if r, err = r.next(d); err != nil {
			return nil, errorf("version %d: %w", len(roots)+1, err)
		}
		roots = append(roots, r)
	}
	return roots, nil
}
