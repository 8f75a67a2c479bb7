package trust

import (
	"bytes"
	"crypto/sha256"
	"errors"
)

// Bundle holds every version of a root from the first on, in the order of their versions: a CBOR
// array of byte strings, each a signed root. It is only split; nothing in it is verified.
type Bundle struct {
	msgs [][]byte
	docs []document
}

// ParseBundle splits a bundle. ErrEmpty: there are no bytes, as in a retained message that somebody
// cleared; it means nothing and changes nothing.
func ParseBundle(b []byte) (Bundle, error) {
	msgs, err := splitBundle(b)
	if err != nil {
		return Bundle{}, errorf("cannot read root bundle: %w", err)
	}
	out := Bundle{msgs: msgs}
	for i, msg := range msgs {
		d, err := open("root", msg)
		if err != nil {
			return Bundle{}, errorf("cannot read root bundle: version %d: %w", i+1, err)
		}
		out.docs = append(out.docs, d)
	}
	return out, nil
}

func splitBundle(b []byte) ([][]byte, error) {
	if len(b) == 0 {
		return nil, ErrEmpty
	}
	if len(b) > MaxBundle {
		return nil, errorf("%d bytes, at most %d: %w", len(b), MaxBundle, ErrMalformed)
	}
	var msgs [][]byte
	if err := Decode(b, &msgs); err != nil {
		return nil, err
	}
	if len(msgs) == 0 || len(msgs) > MaxVersions {
		return nil, errorf("%d versions, want 1 to %d: %w", len(msgs), MaxVersions, ErrMalformed)
	}
	return msgs, nil
}

// Len is the number of versions, and the newest one.
func (b Bundle) Len() int { return len(b.docs) }

// BuildBundle puts signed roots, from version 1 on, into a bundle and proves that a device can walk
// all of it.
func BuildBundle(roots ...[]byte) ([]byte, error) {
	b, err := Encode(roots)
	if err != nil {
		return nil, err
	}
	if _, err := Anchor(b); err != nil {
		return nil, errorf("cannot build root bundle: %w", err)
	}
	return b, nil
}

// SplitBundle returns the signed roots of a bundle, from version 1 on, unverified.
func SplitBundle(b []byte) ([][]byte, error) {
	msgs, err := splitBundle(b)
	if err != nil {
		return nil, errorf("cannot read root bundle: %w", err)
	}
	return msgs, nil
}

// Anchor reads the root that a device is built with: one signed root, or a bundle. It is trusted for
// where it comes from (the image that runs), and must still be what its own signers signed, all the
// way along its chain. Expiry does not matter: who uses the root looks at it.
func Anchor(b []byte) (Root, error) {
	if !bytes.HasPrefix(b, tagSign) {
		bundle, err := ParseBundle(b)
		if err != nil {
			return Root{}, errorf("cannot use root anchor: %w", err)
		}
		roots, err := bundle.whole()
		if err != nil {
			return Root{}, errorf("cannot use root anchor: %w", err)
		}
		return roots[len(roots)-1], nil
	}
	d, err := open("root", b)
	if err != nil {
		return Root{}, errorf("cannot use root anchor: %w", err)
	}
	r, err := anchor(d)
	if err != nil {
		return Root{}, errorf("cannot use root anchor: %w", err)
	}
	return r, nil
}

// anchor verifies a root by itself.
func anchor(d document) (Root, error) {
	r, err := parseRoot(d.payload)
	if err != nil {
		return Root{}, err
	}
	return r, r.own(d)
}

// follow returns all versions of a bundle that leads on from a trusted root; none where it ends with that. It goes one
// version at a time: each must be signed by enough signers of the version before it, and by enough of its own. So
// must those before the trusted one be where a newer one follows: who keeps the bundle walks all of it from an older
// image. Expiry does not matter on the way. A refused bundle changes nothing. Errors: ErrReplay (the bundle ends
// before the trusted version), ErrFork (another root in its place), ErrVersion, ErrMalformed, ErrThreshold,
// ErrNoSigner, ErrSignature, ErrAlgorithm.
func (b Bundle) follow(trusted Root) ([]Root, error) {
	fail := func(err error) ([]Root, error) { return nil, errorf("cannot take root bundle: %w", err) }
	if trusted.IsZero() {
		return fail(errors.New("there is no trusted root to begin with"))
	}
	v := trusted.Version()
	if v > uint64(len(b.docs)) {
		return fail(errorf("it ends at version %d, version %d is trusted: %w", len(b.docs), v, ErrReplay))
	}
	if sha256.Sum256(b.docs[v-1].payload) != trusted.Digest() {
		return fail(errorf("version %d in it is not the trusted one: %w", v, ErrFork))
	}
	if v == uint64(len(b.docs)) {
		return nil, nil
	}
	roots, err := b.whole()
	if err != nil {
		return fail(err)
	}
	return roots, nil
}
