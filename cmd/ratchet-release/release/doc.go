// Package release makes releases: from a release file, which people write, to a signed and verified
// envelope and its images. It also verifies and shows envelopes of others.
//
// An image becomes a payload that is named by its digest, so that a published one is never replaced by
// other bytes. Payloads are made before the envelope, and images are copied before an offer is made:
// whatever names a payload comes after it. Nothing leaves this package signed that a device would refuse.
package release
