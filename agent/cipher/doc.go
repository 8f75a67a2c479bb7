// Package cipher decrypts payloads for this device, and encrypts them for others
// (draft-ietf-suit-firmware-encryption): AES key wrap and ECDH-ES with AES key wrap hand over a
// content key, AES-GCM and AES-CTR encrypt the content.
//
// Unwrap comes before anything is erased: key wrap detects a wrong key, so that a payload that this
// device cannot read is known as such without a byte of it. A Stream decrypts while the payload is
// fetched, in bounded memory, and stands between a source and the slot; neither knows of it.
//
// Integrity is the manifest's: package manifest takes no encrypted payload without the digest of the
// plain image. GCM is checked besides: io.EOF comes only after its tag was verified, and the last
// bytes of a payload are handed out only then. Whoever reads to the end has genuine bytes; package
// slots does.
//
// Nothing is kept over a power cut. CTR can begin at any block, so a fetch resumes where it was. With
// GCM that would mean to store the authenticator's state, which an attacker with the disk could
// forge; so it reads from the beginning again.
package cipher

import "errors"

var (
	// ErrKey: no decryption key of this device opens the payload.
	ErrKey = errors.New("no decryption key of this device opens the payload")
	// ErrTag: the payload is not the one that was encrypted.
	ErrTag = errors.New("payload was changed, damaged or cut: its authentication tag does not match")
	// ErrTooLong: the payload is longer than the algorithm allows.
	ErrTooLong = errors.New("encrypted payload is longer than its algorithm allows")
)

// MaxKeys is how many decryption keys a device may have. Together with manifest.MaxRecipients it
// bounds an Unwrap.
const MaxKeys = 8
