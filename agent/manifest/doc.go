// Package manifest reads, checks and runs SUIT envelopes, and reads and writes SUIT reports
// (draft-ietf-suit-manifest-34, with parts of draft-ietf-suit-update-management-14,
// draft-ietf-suit-firmware-encryption-24 and draft-ietf-suit-report-20), as a closed profile:
// deterministic CBOR, tag 107, one manifest without dependencies, bounded by limits.go, and nothing
// accepted that is not understood. profile.go says what of SUIT a device does not do, and why.
//
// Trust is in the types. Parse looks at the outer map and the authentication wrapper only and gives
// an Envelope. Verify, the only maker of a Manifest, checks the digest and the signatures and only
// then parses the rest, completely: a manifest with an unknown key, command or parameter anywhere
// does not come into being. Resolve runs the command sequences symbolically against the facts of a
// device and says what would be installed and which conditions fail; it has no side effects, so a
// whole update is known and checked before its first one. Trace tells every command on the way,
// Report makes of it what the device answers.
//
// It holds what a device needs and no more: package author makes envelopes, package dump shows them.
// Encrypted payloads are described here (Encryption) and decrypted by package cipher.
//
// Format: docs/formats/envelope.md lists what this profile takes of SUIT; testdata/suit/RULES.tsv lists every rule
// with the section of the text that demands it. The envelope's bytes are kept as they came; they are
// what is stored, and verified again after a restart. The package holds no state of its own that a
// power cut could touch.
package manifest
