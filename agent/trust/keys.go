package trust

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"

	"github.com/fxamacker/cbor/v2"
	"github.com/veraison/go-cose"
)

// Keys are the flat anchors: any one of them suffices. The zero value trusts nobody.
type Keys struct {
	keys   []Key
	legacy bool
	algs   []int64 // the identifiers that a root admits, nil = the fully specified ones and legacy
}

// NewKeys takes 1 to MaxKeys distinct keys. With legacy, the older identifiers -7 (for P-256 keys)
// and -8 (for Ed25519 keys) are admitted beside -9 and -19. The same key twice is an error: it would
// look like two signers.
func NewKeys(keys []Key, legacy bool) (Keys, error) {
	if len(keys) == 0 {
		return Keys{}, errors.New("cannot build trust anchors: no key")
	}
	if len(keys) > MaxKeys {
		return Keys{}, errorf("cannot build trust anchors: %d keys, at most %d", len(keys), MaxKeys)
	}
	seen := make(map[string]bool, len(keys))
	for i, k := range keys {
		if k.pub == nil {
			return Keys{}, errorf("cannot build trust anchors: key %d is empty", i+1)
		}
		if k.alg == MLDSA65 {
			return Keys{}, errorf("cannot build trust anchors: key %.16s is ML-DSA-65, which counts "+
				"only in a pair, in a root", k.id)
		}
		if seen[k.id] {
			return Keys{}, errorf("cannot build trust anchors: key %.16s is listed twice", k.id)
		}
		seen[k.id] = true
	}
	return Keys{keys: append([]Key(nil), keys...), legacy: legacy}, nil
}

// KeysOf is one key as the only anchor, whatever its algorithm: who signs holds the result against it. A device never
// trusts a key like this: the second half of a pair counts in a root, beside the first.
func KeysOf(key Key) Keys { return Keys{keys: []Key{key}, algs: []int64{key.alg}} }

// IDs lists the anchors' key ids in their order.
//
//go:noinline
func (k Keys) IDs() []string {
	ids := make([]string, len(k.keys))
	for i, key := range k.keys {
		ids[i] = key.id
	}
	return ids
}

// Authenticate says which anchors signed payload in the detached blocks of a SUIT envelope (tagged
// COSE_Sign1 or COSE_Sign, external data empty), in the order in which they were found, each once.
// It implements manifest.Authority.
//
// A block that is not acceptable (MAC, other tag, unknown crit, algorithm not protected, payload
// attached, longer than MaxBlock ...) counts for nobody and is passed over, as are signatures of others
// and by other algorithms (draft-ietf-suit-manifest section 8.3: an envelope may carry blocks for other
// recipients). When no anchor remains the error is ErrNoSigner, ErrSignature, ErrAlgorithm or, where
// nothing else is there, ErrMalformed. More than MaxSignatures signatures by algorithms that count
// refuse the whole with ErrMalformed: each costs a verification.
func (k Keys) Authenticate(payload []byte, blocks [][]byte) ([]string, error) {
	signers, worst, err := k.authenticate(payload, blocks)
	if err == nil && len(signers) == 0 {
		err = worst
	}
	if err != nil {
		return nil, err
	}
	return signers, nil
}

// authenticate returns the keys whose signatures hold, and the most telling reason why another does
// not. The error refuses the whole.
func (k Keys) authenticate(payload []byte, blocks [][]byte) (signers []string, worst, err error) {
	if len(blocks) == 0 {
		return nil, nil, errorf("nothing is signed: %w", ErrNoSigner)
	}
	if payload == nil {
		payload = []byte{}
	}
	var sigs []signature
	for i, b := range blocks {
		s, err := detached(b, payload)
		if err != nil {
			worst = worse(worst, errorf("block %d: %w", i+1, err))
			continue
		}
		for _, x := range s {
			if _, ok := k.admits(x.alg); !ok {
				worst = worse(worst, errorf("algorithm %d: %w", x.alg, ErrAlgorithm))
				continue
			}
			if sigs = append(sigs, x); len(sigs) > MaxSignatures {
				return nil, nil, errorf("more than %d signatures: %w", MaxSignatures, ErrMalformed)
			}
		}
	}
	for _, s := range sigs {
		id, err := k.check(s)
		if err != nil {
			worst = worse(worst, err)
			continue
		}
		if !contains(signers, id) {
			signers = append(signers, id)
		}
	}
	return signers, worst, nil
}

// Verify1 checks a tagged COSE_Sign1 that carries its payload, made by Sign1 with the same external
// data and typ (an empty typ means that the header must be absent), and returns the payload and the
// signer's key id. The payload shares memory with msg.
func (k Keys) Verify1(msg, aad []byte, typ string) (payload []byte, signer string, err error) {
	if len(msg) > MaxMessage {
		return nil, "", errorf("cannot verify message of %d bytes, at most %d: %w",
			len(msg), MaxMessage, ErrMalformed)
	}
	m, err := decode1(msg)
	if err != nil {
		return nil, "", errorf("cannot verify message: %w", err)
	}
	if m.Payload == nil {
		return nil, "", errorf("cannot verify message: payload is missing: %w", ErrMalformed)
	}
	alg, err := headers(m.Headers, message)
	if err != nil {
		return nil, "", errorf("cannot verify message: %w", err)
	}
	got, present := m.Headers.Protected[cose.HeaderLabelType]
	if s, ok := got.(string); present != (typ != "") || present && (!ok || s != mediaType(typ)) {
		return nil, "", errorf("cannot verify message: typ is %.60q, want %q: %w",
			fmt.Sprint(got), mediaType(typ), ErrMalformed)
	}
	signer, err = k.check(signature{
		alg: alg, kid: kid(m.Headers),
		verify: func(v cose.Verifier) error { return m.Verify(aad, v) },
	})
	if err != nil {
		return nil, "", errorf("cannot verify message: %w", err)
	}
	return m.Payload, signer, nil
}

// signature is one signature whose headers are acceptable.
type signature struct {
	alg    int64
	kid    []byte // nil = none
	verify func(cose.Verifier) error
}

// check returns the anchor that made the signature.
func (k Keys) check(s signature) (string, error) {
	bound, ok := k.admits(s.alg)
	if !ok {
		return "", errorf("algorithm %d: %w", s.alg, ErrAlgorithm)
	}
	// A kid that names an anchor settles which key it is. Any other kid says nothing: older tools
	// put their own names there.
	named := ""
	if id := hex.EncodeToString(s.kid); len(s.kid) == 32 && contains(k.IDs(), id) {
		named = id
	}
	tried := false
	for _, key := range k.keys {
		if named != "" && key.id != named || key.alg != bound {
			continue
		}
		tried = true
		v, err := key.verifier(s.alg)
		if err != nil {
			return "", err
		}
		if s.verify(v) == nil {
			return key.id, nil
		}
	}
	switch {
	case named != "" && !tried:
		return "", errorf("key %.16s is not for algorithm %d: %w", named, s.alg, ErrAlgorithm)
	case named != "":
		return "", errorf("signature by key %.16s: %w", named, ErrSignature)
	case tried && s.kid == nil:
		return "", errorf("signature without a key id fits none of the anchors: %w", ErrSignature)
	case s.kid == nil:
		return "", errorf("no anchor for algorithm %d: %w", s.alg, ErrNoSigner)
	}
	return "", errorf("signed by %.16x: %w", s.kid, ErrNoSigner)
}

// admits maps the algorithm of a header to the one that keys are bound to.
func (k Keys) admits(alg int64) (bound int64, ok bool) {
	if k.algs != nil {
		return ordinary(alg), slices.Contains(k.algs, alg)
	}
	switch {
	case alg == ESP256 || alg == Ed25519 || alg == ESP384:
		return alg, true
	case alg == legacyES256 && k.legacy:
		return ESP256, true
	case alg == legacyEdDSA && k.legacy:
		return Ed25519, true
	}
	return 0, false
}

// ordinary is the algorithm that a key is bound to, of which alg may be the older name.
func ordinary(alg int64) int64 {
	switch alg {
	case legacyES256:
		return ESP256
	case legacyEdDSA:
		return Ed25519
	}
	return alg
}

// worse keeps the most telling of two reasons: a broken signature, then an unknown signer, then an
// algorithm, then a block that is none.
func worse(a, b error) error {
	rank := func(err error) int {
		switch {
		case err == nil:
			return 0
		case errors.Is(err, ErrMalformed):
			return 1
		case errors.Is(err, ErrAlgorithm):
			return 2
		case errors.Is(err, ErrNoSigner):
			return 3
		}
		return 4
	}
	if rank(b) > rank(a) {
		return b
	}
	return a
}

//go:noinline
func contains(list []string, s string) bool {
	for _, e := range list {
		if e == s {
			return true
		}
	}
	return false
}

// detached reads a block of an envelope and binds its signatures to payload.
func detached(b, payload []byte) ([]signature, error) {
	if len(b) > MaxBlock {
		return nil, errorf("%d bytes, at most %d are read: %w", len(b), MaxBlock, ErrMalformed)
	}
	if bytes.HasPrefix(b, []byte{0xd8, 0x62}) { // tag 98
		return detachedSign(b, payload)
	}
	m, err := decode1(b)
	if err != nil {
		return nil, err
	}
	if m.Payload != nil {
		return nil, errorf("payload is attached, want nil: %w", ErrMalformed)
	}
	alg, err := headers(m.Headers, block)
	if err != nil {
		return nil, err
	}
	m.Payload = payload
	return []signature{{
		alg: alg, kid: kid(m.Headers),
		verify: func(v cose.Verifier) error { return m.Verify(nil, v) },
	}}, nil
}

// detachedSign reads a COSE_Sign block: each signature counts for itself.
func detachedSign(b, payload []byte) ([]signature, error) {
	if err := wellformed(b); err != nil {
		return nil, err
	}
	var m cose.SignMessage
	if err := m.UnmarshalCBOR(b); err != nil {
		return nil, errorf("%w: %w", ErrMalformed, err)
	}
	if m.Payload != nil {
		return nil, errorf("payload is attached, want nil: %w", ErrMalformed)
	}
	if _, err := headers(m.Headers, body); err != nil {
		return nil, err
	}
	protected, err := m.Headers.MarshalProtected()
	if err != nil {
		return nil, errorf("%w: %w", ErrMalformed, err)
	}
	if bytes.Equal(protected, []byte{0x41, 0xa0}) {
		protected = []byte{0x40} // RFC 9052 section 4.4: an empty map is signed as the empty string
	}
	var sigs []signature
	for _, s := range m.Signatures {
		alg, err := headers(s.Headers, block)
		if err != nil {
			return nil, err
		}
		sigs = append(sigs, signature{
			alg: alg, kid: kid(s.Headers),
			verify: func(v cose.Verifier) error { return s.Verify(v, protected, payload, nil) },
		})
	}
	return sigs, nil
}

// decode1 reads a tagged COSE_Sign1.
func decode1(b []byte) (*cose.Sign1Message, error) {
	if len(b) == 0 || b[0] != 0xd2 { // tag 18
		return nil, errorf("want a tagged COSE_Sign1 or COSE_Sign; MACs and untagged blocks are not accepted: %w",
			ErrMalformed)
	}
	if err := wellformed(b); err != nil {
		return nil, err
	}
	var m cose.Sign1Message
	if err := m.UnmarshalCBOR(b); err != nil {
		return nil, errorf("%w: %w", ErrMalformed, err)
	}
	return &m, nil
}

// wellformed refuses deep nesting and oversized containers before anything is decoded; what remains
// costs memory in proportion to its bytes.
func wellformed(b []byte) error {
	mode, err := cbor.DecOptions{
		DupMapKey: cbor.DupMapKeyEnforcedAPF, IndefLength: cbor.IndefLengthForbidden,
		MaxNestedLevels: 8, MaxArrayElements: 64, MaxMapPairs: 64,
	}.DecMode()
	if err != nil {
		return errorf("internal error: cannot make a CBOR decoder: %w", err)
	}
	if err := mode.Wellformed(b); err != nil {
		return errorf("%w: %w", ErrMalformed, err)
	}
	return nil
}

// layer says what a pair of header maps belongs to.
type layer int

const (
	block   layer = iota // a detached signature
	message              // a signature with its payload, whose typ is checked
	body                 // the body of a COSE_Sign: not signed itself, needs no algorithm
)

// headers checks both header maps and returns the protected algorithm, 0 for a body.
func headers(h cose.Headers, l layer) (alg int64, err error) {
	for label := range h.Unprotected {
		if _, twice := h.Protected[label]; twice || label == cose.HeaderLabelAlgorithm {
			return 0, errorf("header %v must be protected, and only that: %w", label, ErrMalformed)
		}
	}
	crit, err := h.Protected.Critical()
	if err != nil {
		return 0, errorf("%w: %w", ErrMalformed, err)
	}
	for _, label := range crit {
		// RFC 9052 section 3.1: what is critical must be understood.
		known := label == cose.HeaderLabelAlgorithm || label == cose.HeaderLabelKeyID ||
			label == cose.HeaderLabelType && l == message
		if !known {
			return 0, errorf("critical header %v is not understood: %w", label, ErrMalformed)
		}
	}
	if l == body {
		return 0, nil
	}
	a, err := h.Protected.Algorithm()
	if err != nil {
		return 0, errorf("no usable algorithm in the protected header: %w: %w", ErrMalformed, err)
	}
	return int64(a), nil
}

// kid is the key id hint, protected or not.
func kid(h cose.Headers) []byte {
	if id, ok := h.Protected[cose.HeaderLabelKeyID].([]byte); ok {
		return id
	}
	id, _ := h.Unprotected[cose.HeaderLabelKeyID].([]byte)
	return id
}
