package manifest

import (
	"bytes"
	"errors"
	"fmt"

	"github.com/ratchet-ota/ratchet/agent/manifest/internal/suit"
)

// Sentinels that callers branch on, found with errors.Is within an *Error. An Authority's own
// errors are found the same way.
var (
	// ErrDigest: the manifest does not match the digest that is signed.
	ErrDigest = errors.New("manifest digest mismatch")
	// ErrUnsigned: the envelope carries no authentication block.
	ErrUnsigned = errors.New("envelope is not signed")
)

// Envelope is what Parse saw: the outer map and the authentication wrapper. Nothing of it is
// trusted.
type Envelope struct {
	raw        []byte
	claimed    Digest
	signed     []byte             // encoded SUIT_Digest, what the blocks sign
	blocks     [][]byte           // authentication blocks
	manifest   element            // key 3
	severable  map[int64]element  // keys 14 to 23
	integrated map[string]element // by name
}

// element is a byte string of the envelope.
type element struct {
	item    []byte // with its head: what digests cover
	content []byte
}

// Raw returns a copy of the envelope's bytes as they came.
func (e Envelope) Raw() []byte { return bytes.Clone(e.raw) }

// ClaimedDigest is the manifest digest that the wrapper states. It is good for recognising an
// envelope that was seen before, and for nothing else.
func (e Envelope) ClaimedDigest() Digest { return e.claimed }

// Matches reports whether the manifest has the digest that the wrapper states.
func (e Envelope) Matches() bool { return sum(e.claimed.Alg, e.manifest.item) == e.claimed }

// Parts are what an envelope is made of: the contents of its byte strings.
type Parts struct {
	Digest     []byte            // the encoded SUIT_Digest, which the blocks sign
	Blocks     [][]byte          // authentication blocks, in order
	Manifest   []byte            // its encoding
	Severable  map[int64][]byte  // by the keys of the envelope, 14 to 23
	Integrated map[string][]byte // payloads by name
}

// Parts returns copies of the parts, to make another envelope of.
func (e Envelope) Parts() Parts {
	p := Parts{Digest: bytes.Clone(e.signed), Manifest: bytes.Clone(e.manifest.content),
		Severable: map[int64][]byte{}, Integrated: map[string][]byte{}}
	for _, b := range e.blocks {
		p.Blocks = append(p.Blocks, bytes.Clone(b))
	}
	for k, el := range e.severable {
		p.Severable[k] = bytes.Clone(el.content)
	}
	for name, el := range e.integrated {
		p.Integrated[name] = bytes.Clone(el.content)
	}
	return p
}

// Parse reads the outer map and the authentication wrapper of a tagged envelope
// (draft-ietf-suit-manifest sections 8.2 and 8.3) and nothing beyond. It keeps a copy of b. An
// error is an *Error.
func Parse(b []byte) (Envelope, error) {
	if len(b) > MaxEnvelope {
		return Envelope{}, &Error{Code: CodeParse, Offset: -1,
			What: fmt.Sprintf("envelope is %d bytes, at most %d", len(b), MaxEnvelope)}
	}
	e := Envelope{raw: bytes.Clone(b), severable: map[int64]element{}, integrated: map[string]element{}}
	if err := e.parse(); err != nil {
		return Envelope{}, refused(err, CodeParse, "envelope is malformed")
	}
	return e, nil
}

func (e *Envelope) parse() error {
	r := &reader{b: e.raw}
	if tag, err := r.expect(suit.MajorTag, "tag 107 (SUIT envelope)"); err != nil {
		return err
	} else if tag != suit.TagEnvelope {
		return fmt.Errorf("tag %d found, want 107 (SUIT envelope)", tag)
	}
	err := r.pairs(2, 8+MaxIntegrated, func(key []byte) error {
		start := r.pos
		content, err := r.bytes(MaxEnvelope)
		if err != nil {
			return err
		}
		el := element{item: r.b[start:r.pos:r.pos], content: content}
		if k, ok := intKey(key); ok {
			return e.element(k, el)
		}
		name, ok := textKey(key)
		if !ok {
			return errors.New("envelope key is neither an integer nor a text")
		}
		if len(e.integrated) == MaxIntegrated {
			return fmt.Errorf("more than %d integrated payloads", MaxIntegrated)
		}
		e.integrated[name] = el
		return nil
	})
	if err != nil {
		return err
	}
	if err := r.end(); err != nil {
		return err
	}
	if e.signed == nil {
		return errors.New("authentication wrapper is missing")
	}
	if e.manifest.item == nil {
		return errors.New("manifest is missing")
	}
	return nil
}

func (e *Envelope) element(key int64, el element) error {
	switch key {
	case suit.KeyAuthentication:
		return wrapped(el.content, e.authentication)
	case suit.KeyManifest:
		e.manifest = el
		return nil
	case suit.KeyCoSWID, 15, suit.KeyFetch, 18, suit.KeyInstall, suit.KeyText:
		e.severable[key] = el
		return nil
	}
	return fmt.Errorf("envelope key %d is unknown", key)
}

// authentication reads the wrapper: the digest, then the blocks, all as byte strings.
func (e *Envelope) authentication(r *reader) error {
	n, err := r.array(1, 1+MaxBlocks)
	if err != nil {
		return err
	}
	if e.signed, err = r.bytes(MaxSmall); err != nil {
		return err
	}
	err = wrapped(e.signed, func(r *reader) (err error) {
		e.claimed, err = r.digest()
		return err
	})
	if err != nil {
		return err
	}
	for range n - 1 {
		b, err := r.bytes(MaxBlock)
		if err != nil {
			return err
		}
		e.blocks = append(e.blocks, b)
	}
	return nil
}
