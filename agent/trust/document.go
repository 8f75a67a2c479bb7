package trust

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"strings"

	"github.com/fxamacker/cbor/v2"
)

// document is a COSE_Sign of ours (RFC 9052 section 4.1) whose form is acceptable. Nothing of its
// payload is verified or parsed. There is one way to write it: the body's protected header is the typ
// and nothing else, each signature's the algorithm and nothing else, its unprotected one the key id,
// and signatures stand in the order of their key ids, one per key. So an unknown critical header, a
// second algorithm or an unprotected one have no place to be.
type document struct {
	kind    string
	payload []byte
	sigs    []cosignature
}

// cosignature is one signature of a document.
type cosignature struct {
	protected []byte
	alg       int64
	kid       string // hex
	sig       []byte
}

// The wire forms. Their fields are as RFC 9052 numbers them.
type (
	coseSign struct {
		_           struct{} `cbor:",toarray"`
		Protected   []byte
		Unprotected map[int]cbor.RawMessage
		Payload     []byte
		Signatures  []coseSignature
	}
	coseSignature struct {
		_           struct{} `cbor:",toarray"`
		Protected   []byte
		Unprotected kidHeader
		Signature   []byte
	}
	algHeader struct {
		Alg int64 `cbor:"1,keyasint"`
	}
	kidHeader struct {
		Kid []byte `cbor:"4,keyasint"`
	}
	typHeader struct {
		Typ string `cbor:"16,keyasint"`
	}
)

// tagSign begins a tagged COSE_Sign: tag 98.
var tagSign = []byte{0xd8, 0x62}

// open reads the form of a document of a kind ("root", "plan" ...).
func open(kind string, msg []byte) (document, error) {
	switch {
	case len(msg) == 0:
		return document{}, ErrEmpty
	case len(msg) > MaxMessage:
		return document{}, errorf("%d bytes, at most %d: %w", len(msg), MaxMessage, ErrMalformed)
	case !bytes.HasPrefix(msg, tagSign):
		return document{}, errorf("want a tagged COSE_Sign; MACs, single signatures and untagged "+
			"ones are not accepted: %w", ErrMalformed)
	}
	var m coseSign
	if err := Decode(msg[len(tagSign):], &m); err != nil {
		return document{}, err
	}
	head, err := Encode(typHeader{mediaType("ratchet-" + kind)})
	if err != nil {
		return document{}, err
	}
	switch {
	case !bytes.Equal(m.Protected, head) || len(m.Unprotected) > 0:
		return document{}, errorf("header is %.80x, want typ %q and nothing else: %w",
			m.Protected, mediaType("ratchet-"+kind), ErrMalformed)
	case len(m.Payload) == 0:
		return document{}, errorf("payload is missing: %w", ErrMalformed)
	case len(m.Signatures) > MaxCosigned:
		return document{}, errorf("%d signatures, at most %d: %w", len(m.Signatures), MaxCosigned, ErrMalformed)
	}
	d := document{kind: kind, payload: m.Payload}
	last := ""
	for i, s := range m.Signatures {
		var h algHeader
		if err := Decode(s.Protected, &h); err != nil {
			return document{}, errorf("signature %d: header is %.40x, want an algorithm and nothing else: %w",
				i+1, s.Protected, ErrMalformed)
		}
		kid := hex.EncodeToString(s.Unprotected.Kid)
		if len(s.Unprotected.Kid) != sha256.Size || i > 0 && kid <= last {
			return document{}, errorf("signature %d: key ids must be thumbprints in their order, each once: %w",
				i+1, ErrMalformed)
		}
		last = kid
		d.sigs = append(d.sigs, cosignature{protected: s.Protected, alg: h.Alg, kid: kid, sig: s.Signature})
	}
	return d, nil
}

// encode writes the document.
func (d document) encode() ([]byte, error) {
	head, err := Encode(typHeader{mediaType("ratchet-" + d.kind)})
	if err != nil {
		return nil, err
	}
	m := coseSign{Protected: head, Payload: d.payload}
	for _, s := range d.sigs {
		kid, err := hex.DecodeString(s.kid)
		if err != nil {
			return nil, errorf("internal error: key id %q is not hex", s.kid)
		}
		m.Signatures = append(m.Signatures,
			coseSignature{Protected: s.protected, Unprotected: kidHeader{kid}, Signature: s.sig})
	}
	b, err := Encode(m)
	if err != nil {
		return nil, err
	}
	b = append(slices.Clone(tagSign), b...)
	if len(b) > MaxMessage {
		return nil, errorf("document has %d bytes, at most %d", len(b), MaxMessage)
	}
	return b, nil
}

// content is what a signature covers: the Sig_structure of RFC 9052 section 4.4, over the bytes of
// the headers and the payload as they were received.
func (d document) content(protected []byte) ([]byte, error) {
	head, err := Encode(typHeader{mediaType("ratchet-" + d.kind)})
	if err != nil {
		return nil, err
	}
	return Encode([]any{"Signature", head, protected, []byte("ratchet/" + d.kind + "/v1"), d.payload})
}

// signedBy returns the ids of those keys whose signatures hold, and the most telling reason why
// another does not. Each signature costs one check at most.
func (d document) signedBy(members []Member) (ids map[string]bool, worst error) {
	keys := map[string]Key{}
	for _, m := range members {
		for _, k := range m.Keys {
			keys[k.id] = k
		}
	}
	ids = map[string]bool{}
	for _, s := range d.sigs {
		k, known := keys[s.kid]
		switch {
		case !known:
			worst = worse(worst, errorf("signed by %.16s: %w", s.kid, ErrNoSigner))
		case k.alg != s.alg:
			worst = worse(worst, errorf("key %.16s is not for algorithm %d: %w", s.kid, s.alg, ErrAlgorithm))
		default:
			if err := d.check(s, k); err != nil {
				worst = worse(worst, err)
				continue
			}
			ids[k.id] = true
		}
	}
	return ids, worst
}

// check verifies one signature with its key.
func (d document) check(s cosignature, k Key) error {
	tbs, err := d.content(s.protected)
	if err != nil {
		return err
	}
	v, err := k.verifier(k.alg)
	if err != nil {
		return err
	}
	if v.Verify(tbs, s.sig) != nil {
		return errorf("signature by key %.16s: %w", k.id, ErrSignature)
	}
	return nil
}

// meets tells whether enough signers of the grant have signed, and says who did.
func (d document) meets(g Grant) ([]string, error) {
	ids, worst := d.signedBy(g.Members)
	signers, err := g.meet(ids)
	switch {
	case err == nil:
		return signers, nil
	case len(signers) == 0 && worst != nil:
		return nil, worst // says more than "0 of 3"
	}
	return nil, err
}

// kindOK: a kind is a word, since it becomes part of a media type and of the external data.
func kindOK(kind string) bool {
	return kind != "" && len(kind) <= 32 && strings.Trim(kind, "abcdefghijklmnopqrstuvwxyz-") == ""
}

// BuildDocument wraps a payload, deterministic CBOR of a kind of ours, into a document that nobody
// has signed yet.
func BuildDocument(kind string, payload []byte) ([]byte, error) {
	if !kindOK(kind) || len(payload) == 0 {
		return nil, errorf("cannot build document of kind %.40q with %d bytes", kind, len(payload))
	}
	b, err := document{kind: kind, payload: payload}.encode()
	if err != nil {
		return nil, errorf("cannot build %s: %w", kind, err)
	}
	return b, nil
}

// SignDocument adds a signature to a document of a kind. Several people sign the same file one after
// another, in any order: the result is the same. Signing again with the same key replaces its
// signature.
func SignDocument(kind string, msg []byte, s *Signer) ([]byte, error) {
	d, err := open(kind, msg)
	if err != nil {
		return nil, errorf("cannot sign %s: %w", kind, err)
	}
	protected, err := Encode(algHeader{s.key.alg})
	if err != nil {
		return nil, err
	}
	tbs, err := d.content(protected)
	if err != nil {
		return nil, err
	}
	sig, err := raw{s}.Sign(nil, tbs)
	if err != nil {
		return nil, errorf("cannot sign %s with key %.16s: %w", kind, s.key.id, err)
	}
	mine := cosignature{protected: protected, alg: s.key.alg, kid: s.key.id, sig: sig}
	if err := d.check(mine, s.key); err != nil {
		return nil, errorf("cannot sign %s: the signer gave something else than a signature: %w", kind, err)
	}
	at, again := slices.BinarySearchFunc(d.sigs, mine.kid,
		func(c cosignature, kid string) int { return strings.Compare(c.kid, kid) })
	if again {
		d.sigs[at] = mine
	} else {
		if len(d.sigs) == MaxCosigned {
			return nil, errorf("cannot sign %s: it has %d signatures already", kind, MaxCosigned)
		}
		d.sigs = slices.Insert(d.sigs, at, mine)
	}
	b, err := d.encode()
	if err != nil {
		return nil, errorf("cannot sign %s: %w", kind, err)
	}
	return b, nil
}

// Payload returns what a document of a kind says, without a look at who signed it: for showing it to
// people. Whatever acts on a document takes it from Root.Verify.
func Payload(kind string, msg []byte) (payload []byte, kids []string, err error) {
	d, err := open(kind, msg)
	if err != nil {
		return nil, nil, errorf("cannot read %s: %w", kind, err)
	}
	for _, s := range d.sigs {
		kids = append(kids, s.kid)
	}
	return d.payload, kids, nil
}
