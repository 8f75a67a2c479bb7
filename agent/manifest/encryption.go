package manifest

import (
	"bytes"
	"fmt"
	"slices"

	"github.com/ratchet-ota/ratchet/agent/manifest/internal/suit"
)

// Algorithms that encrypt content (IANA "COSE Algorithms"). The CTR ones are RFC 9459.
const (
	A128GCM int64 = 1
	A256GCM int64 = 3
	A128CTR int64 = -65534
	A256CTR int64 = -65532
)

// Algorithms that hand the content key to a recipient.
const (
	A128KW     int64 = -3  // the recipient shares a key with the sender
	A256KW     int64 = -5  // likewise
	ECDHA128KW int64 = -29 // ECDH-ES + A128KW: the recipient has a P-256 key pair
)

// Encryption is a parsed encryption-info: which algorithm a payload is encrypted with, and for whom
// (draft-ietf-suit-firmware-encryption, "SUIT_Encryption_Info"). Package cipher makes use of it. The
// zero value is none.
type Encryption struct {
	alg        int64
	iv         []byte
	protected  []byte
	recipients []Recipient
}

// Recipient is somebody who can get the content key.
type Recipient struct {
	Alg       int64  // A128KW, A256KW or ECDHA128KW
	KeyID     []byte // a hint, nil when not said
	Ephemeral []byte // ECDHA128KW: the sender's P-256 point (SEC 1, uncompressed)
	Salt      []byte // ECDHA128KW: of the key derivation, nil when not said
	Protected []byte // ECDHA128KW: the protected header, which goes into the key derivation
	Wrapped   []byte // the content key, wrapped with AES key wrap (RFC 3394)
}

// IsZero reports whether there is no encryption.
func (e Encryption) IsZero() bool { return e.alg == 0 }

// Algorithm is the content's algorithm: A128GCM, A256GCM, A128CTR or A256CTR.
func (e Encryption) Algorithm() int64 { return e.alg }

// IV is the nonce of GCM, 12 bytes, or the first counter block of CTR, 16 bytes.
func (e Encryption) IV() []byte { return bytes.Clone(e.iv) }

// Protected is the protected header that GCM authenticates, as it came.
func (e Encryption) Protected() []byte { return bytes.Clone(e.protected) }

// Recipients are those of the recipients whose algorithm is supported, at least one.
func (e Encryption) Recipients() []Recipient { return slices.Clone(e.recipients) }

// KeySize is the size of the content key in bytes.
func (e Encryption) KeySize() int { return contentAlgorithms[e.alg].key }

// Overhead is by how many bytes the encrypted payload is longer than the plain one.
func (e Encryption) Overhead() int64 { return contentAlgorithms[e.alg].overhead }

// Authenticated reports whether the algorithm detects changes by itself. One that does cannot be
// taken up in the middle.
func (e Encryption) Authenticated() bool { return contentAlgorithms[e.alg].overhead > 0 }

// contentAlgorithms has the sizes of each in bytes.
var contentAlgorithms = map[int64]struct {
	name     string
	key, iv  int
	overhead int64 // 0 = not authenticated
}{
	A128GCM: {"A128GCM", 16, 12, 16},
	A256GCM: {"A256GCM", 32, 12, 16},
	A128CTR: {"A128CTR", 16, 16, 0},
	A256CTR: {"A256CTR", 32, 16, 0},
}

// AlgorithmName names an algorithm that encrypts content or hands on its key; "" where it is none that
// is supported.
func AlgorithmName(alg int64) string {
	switch alg {
	case A128KW:
		return "A128KW"
	case A256KW:
		return "A256KW"
	case ECDHA128KW:
		return "ECDH-ES + A128KW"
	}
	return contentAlgorithms[alg].name
}

// ParseEncryption reads the content of an encryption-info parameter: a tagged COSE_Encrypt whose
// ciphertext is elsewhere. An error is an *Error.
func ParseEncryption(b []byte) (Encryption, error) {
	var e Encryption
	if err := unordered(b, e.read); err != nil {
		return Encryption{}, refused(err, CodeCOSE, "encryption-info is malformed")
	}
	return e, nil
}

// unordered is wrapped for COSE structures.
func unordered(b []byte, fn func(r *reader) error) error {
	return wrapped(b, func(r *reader) error {
		r.unordered = true
		return fn(r)
	})
}

func readEncryption(r *reader) (any, error) {
	b, err := r.bytes(MaxEncryption)
	if err != nil {
		return nil, err
	}
	e, err := ParseEncryption(b)
	return e, err
}

func (e *Encryption) read(r *reader) error {
	if tag, err := r.expect(suit.MajorTag, "tag 96 (COSE_Encrypt)"); err != nil {
		return err
	} else if tag != 96 {
		return r.errorf("tag %d, want 96 (COSE_Encrypt)", tag)
	}
	if _, err := r.array(4, 4); err != nil {
		return err
	}
	h, err := r.headers()
	if err != nil {
		return err
	}
	sizes, known := contentAlgorithms[h.alg]
	if !known {
		return &Error{Code: CodeAlgorithm, Offset: -1,
			What: fmt.Sprintf("content encryption algorithm %d is not supported", h.alg)}
	}
	// RFC 9459 section 4: CTR has nothing to protect a header with. What AEAD protects, it must protect.
	switch {
	case h.algProtected != (sizes.overhead > 0):
		return r.errorf("algorithm %s is in the wrong header", sizes.name)
	case len(h.iv) != sizes.iv:
		return r.errorf("IV of %d bytes, %s has %d", len(h.iv), sizes.name, sizes.iv)
	case h.salt != nil:
		return r.errorf("headers of a recipient stand in the content's layer")
	case !r.null():
		return r.errorf("ciphertext must be nil: it is elsewhere")
	}
	e.alg, e.iv, e.protected = h.alg, h.iv, h.protected
	n, err := r.array(1, MaxRecipients)
	if err != nil {
		return err
	}
	for range n {
		if err := e.recipient(r, sizes.key); err != nil {
			return fmt.Errorf("recipient: %w", err)
		}
	}
	if len(e.recipients) == 0 {
		return &Error{Code: CodeAlgorithm, Offset: -1,
			What: "no recipient of the encrypted payload has a supported algorithm"}
	}
	return nil
}

// recipient reads one COSE_recipient; those of algorithms that others use are passed over.
func (e *Encryption) recipient(r *reader, keySize int) error {
	start := r.pos
	n, err := r.array(3, 4)
	if err != nil {
		return err
	}
	h, err := r.headers()
	if err != nil {
		return err
	}
	switch h.alg {
	case A128KW, A256KW, ECDHA128KW:
	default:
		r.pos = start
		return r.skip(maxSkip)
	}
	if n != 3 {
		return r.errorf("a recipient of this algorithm has no recipients of its own")
	}
	to := Recipient{Alg: h.alg, KeyID: h.kid}
	agreed := h.alg == ECDHA128KW
	switch {
	case h.algProtected != agreed:
		return r.errorf("algorithm %d is in the wrong header", h.alg)
	case h.iv != nil:
		return r.errorf("IV in a recipient")
	case !agreed && h.salt != nil:
		return r.errorf("salt without key agreement")
	case agreed && h.ephemeral == nil:
		return r.errorf("ephemeral key is missing")
	case agreed:
		to.Ephemeral, to.Salt, to.Protected = h.ephemeral, h.salt, h.protected
	}
	if to.Wrapped, err = r.bytes(keySize + 8); err != nil {
		return err
	}
	if len(to.Wrapped) != keySize+8 {
		return r.errorf("wrapped key of %d bytes, want %d", len(to.Wrapped), keySize+8)
	}
	e.recipients = append(e.recipients, to)
	return nil
}

// encryptionHeaders are the two header maps of a layer of COSE_Encrypt.
type encryptionHeaders struct {
	alg          int64
	algProtected bool
	protected    []byte // as encoded, with AAD and key derivation in mind
	kid, iv      []byte
	ephemeral    []byte
	salt         []byte
}

// headers reads the protected and unprotected header. What is not understood is refused where it is
// of an algorithm that is (RFC 9052 section 3.1 would let unprotected ones pass: a closed profile does not).
func (r *reader) headers() (h encryptionHeaders, err error) {
	if h.protected, err = r.bytes(MaxEncryption); err != nil {
		return h, err
	}
	var unknown error
	if len(h.protected) > 0 {
		err = unordered(h.protected, func(r *reader) error {
			return r.pairs(0, 8, func(key []byte) error {
				if k, _ := intKey(key); k == suit.HeaderAlg {
					h.algProtected = true
					h.alg, err = r.int()
					return err
				}
				unknown = r.errorf("protected header %s is not understood", suit.Brief(key))
				return r.skip(maxSkip)
			})
		})
		if err != nil {
			return h, err
		}
	}
	err = r.pairs(0, 8, func(key []byte) (err error) {
		k, _ := intKey(key)
		switch {
		case k == suit.HeaderAlg && !h.algProtected:
			h.alg, err = r.int()
		case k == suit.HeaderKeyID:
			h.kid, err = r.bytes(MaxKeyID)
		case k == suit.HeaderIV:
			h.iv, err = r.bytes(16)
		case k == suit.HeaderSalt:
			h.salt, err = r.bytes(64)
		case k == suit.HeaderEphemeral && h.algProtected && h.alg == ECDHA128KW:
			h.ephemeral, err = r.point()
		default:
			unknown = r.errorf("unprotected header %s is not understood", suit.Brief(key))
			err = r.skip(maxSkip)
		}
		return err
	})
	if err != nil {
		return h, err
	}
	switch h.alg {
	case 0:
		return h, r.errorf("there is no algorithm")
	case A128KW, A256KW, ECDHA128KW:
		return h, unknown
	}
	if _, ok := contentAlgorithms[h.alg]; ok {
		return h, unknown
	}
	return h, nil
}

// point reads a COSE_Key with a point of P-256 (RFC 9053 section 7.1.1) and gives it in the form of
// SEC 1. Whether it lies on the curve is checked when it is used.
func (r *reader) point() ([]byte, error) {
	point := make([]byte, 65)
	point[0] = 4
	// Four fields, each of these and none twice, are all of them.
	err := r.pairs(4, 4, func(key []byte) error {
		k, _ := intKey(key)
		switch k {
		case 1, -1: // kty EC2, crv P-256
			n, err := r.int()
			if err == nil && n != map[int64]int64{1: 2, -1: 1}[k] {
				return &Error{Code: CodeAlgorithm, Offset: -1, What: "key agreement is supported with P-256 only"}
			}
			return err
		case -2, -3:
			b, err := r.bytes(32)
			if err == nil && len(b) != 32 {
				return r.errorf("coordinate of %d bytes, want 32", len(b))
			}
			copy(point[1+32*(-2-k):], b)
			return err
		}
		return r.errorf("key has a field that is not understood")
	})
	return point, err
}
