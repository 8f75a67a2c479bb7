// Package trust decides who signed a document. It knows flat anchors: public keys, each bound to
// exactly one algorithm, all of one standing.
//
// Documents are COSE (RFC 9052). A SUIT envelope carries detached COSE_Sign1 or COSE_Sign blocks
// with empty external data; documents of ours carry their payload and are bound to their kind by the
// external data and by the protected typ header (RFC 9596). A signer is a key, named by its RFC 9679
// thumbprint, which is computed here and never taken from a message: a kid is only a hint where to
// look first. Distinct signers count, not signatures.
//
// What a verifier does not understand it refuses: other tags (a MAC proves nothing about an author),
// an algorithm outside the protected header, an unknown critical header, a payload where none
// belongs. A signature of an algorithm or a key that is unknown here is passed over, because an
// envelope may carry blocks for other recipients; it never counts.
//
// The package is pure: no state, no clock, no files. Signatures are deterministic (RFC 6979 for
// ECDSA), so that signing needs no random numbers, which a device may lack early in its boot.
package trust

import "errors"

// Algorithms by their COSE identifiers (RFC 9864 "fully specified", IANA "COSE Algorithms").
const (
	ESP256  int64 = -9  // ECDSA, P-256, SHA-256
	Ed25519 int64 = -19 // EdDSA, Ed25519
	ESP384  int64 = -51 // ECDSA, P-384, SHA-384
	MLDSA65 int64 = -49 // ML-DSA-65 (RFC 9964), only as the second key of a pair
)

// Older identifiers of the same mathematics (RFC 9053), admitted only on demand.
const (
	legacyES256 int64 = -7
	legacyEdDSA int64 = -8
)

// Limits. Together they bound an Authenticate to MaxSignatures * MaxKeys signature checks.
const (
	MaxKeys       = 16       // anchors in one Keys
	MaxSignatures = 8        // signatures over one document, all blocks together
	MaxBlock      = 4 << 10  // bytes of a detached block
	MaxMessage    = 64 << 10 // bytes of a message with its payload
	MaxPEM        = 8 << 10  // bytes of a key file

	maxDepth    = 8    // nested items of a document
	maxElements = 1024 // items of one array or map of a document
)

// Why a document is not trusted. Callers branch on these with errors.Is.
var (
	// ErrNoSigner: nothing is signed, or only by keys that are not known here.
	ErrNoSigner = errors.New("no known signer")
	// ErrSignature: a signature that names a known key, or no key at all, does not verify.
	ErrSignature = errors.New("signature does not verify")
	// ErrAlgorithm: every signature uses an algorithm that is not allowed here.
	ErrAlgorithm = errors.New("signature algorithm not allowed")
	// ErrMalformed: a block or message is not the COSE structure that this profile asks for.
	ErrMalformed = errors.New("not an acceptable COSE structure")
)
