// Package trust decides who signed a document, and whether that suffices.
//
// Documents are COSE (RFC 9052). A SUIT envelope carries detached COSE_Sign1 or COSE_Sign blocks
// with empty external data; documents of ours are COSE_Sign over a deterministic CBOR payload, bound
// to their kind by the external data "ratchet/<kind>/v1" and by the protected typ header (RFC 9596).
// A key is named by its RFC 9679 thumbprint, which is computed here and never taken from a message:
// a kid is only a hint where to look first. Distinct signers count, not signatures.
//
// Authority comes from a Root. Root version N says which signers (a key, or a pair of an ordinary
// and an ML-DSA-65 key of which both must sign) serve which role, how many of them it takes, and for
// which devices and components. Version N+1 counts when both N and N+1 have signed it at their
// thresholds. All versions travel together as one Bundle, so that a device that was away for long,
// even one without a clock, walks from the version it trusts to the newest, one step at a time.
// Keys are the flat anchors of a device that has no root yet: all of one standing, any one suffices.
//
// What a verifier does not understand it refuses: other tags (a MAC proves nothing about an author),
// an algorithm outside the protected header, an unknown critical header, a payload where none
// belongs or none where one does. A signature of an algorithm or a key that is unknown here is
// passed over, because an envelope may carry blocks for other recipients; it never counts. No byte
// of a payload is parsed before its signatures hold.
//
// The package is pure: no state, no clock, no files. What a caller stores are the bytes of a bundle;
// after a loss of power or of that file it walks again from the anchor in its image. Signatures are
// deterministic (RFC 6979 for ECDSA), so that signing needs no random numbers, which a device may
// lack early in its boot.
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

	MaxBundle     = 512 << 10 // bytes of a bundle of roots
	MaxVersions   = 256       // roots in a bundle
	MaxMembers    = 32        // signers of one root, all roles together
	MaxCosigned   = 32        // signatures over one document of ours
	MaxGrants     = 16        // grants of one role
	MaxScope      = 8         // vendors, and classes, that one grant names
	MaxName       = 64        // bytes of a name
	MaxComponents = 32        // components with a range of sequences
	MaxRevoked    = 256       // revoked manifests

	maxDepth    = 8    // nested items of a document
	maxElements = 1024 // items of one array or map of a document
)

// Why a document is not trusted. Callers branch on these with errors.Is.
var (
	// ErrNoSigner: nothing is signed, or only by keys that are not known here.
	ErrNoSigner = errors.New("no trusted signer")
	// ErrSignature: a signature that names a known key, or no key at all, does not verify.
	ErrSignature = errors.New("signature does not verify")
	// ErrAlgorithm: every signature uses an algorithm that is not allowed here.
	ErrAlgorithm = errors.New("signature algorithm not allowed")
	// ErrMalformed: a block, a message or a payload is not the structure that this profile asks for.
	ErrMalformed = errors.New("not an acceptable COSE structure")
	// ErrThreshold: genuine signatures, but of too few signers of the role. It is also ErrNoSigner.
	ErrThreshold error = tooFew{}
	// ErrReplay: a bundle ends before the root that is trusted already.
	ErrReplay = errors.New("older than what is trusted already")
	// ErrFork: another document stands where the trusted root stood.
	ErrFork = errors.New("another root of the same version")
	// ErrVersion: a root is not the next one in the chain.
	ErrVersion = errors.New("not the next version")
	// ErrEmpty: there is no document, only its absence, as a retained message that was cleared.
	ErrEmpty = errors.New("empty: nothing is said")
)

// tooFew is ErrThreshold: ErrNoSigner to who asks, without its words to who reads.
type tooFew struct{}

func (tooFew) Error() string { return "too few signers" }
func (tooFew) Unwrap() error { return ErrNoSigner }
