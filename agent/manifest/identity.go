package manifest

import (
	"crypto"
	"crypto/sha1"
	_ "crypto/sha256" // crypto.SHA256.New
	_ "crypto/sha512" // crypto.SHA384.New, crypto.SHA512.New
	"encoding/hex"
	"fmt"
	"strings"

	"github.com/ratchet-ota/ratchet/agent/manifest/internal/suit"
)

// UUID identifies a vendor, a class of devices or one device (RFC 9562).
type UUID [16]byte

// namespaceDNS is the RFC 9562 name space of domain names.
var namespaceDNS = UUID{0x6b, 0xa7, 0xb8, 0x10, 0x9d, 0xad, 0x11, 0xd1, 0x80, 0xb4, 0x00, 0xc0, 0x4f, 0xd4, 0x30, 0xc8}

// ParseUUID reads the form 8-4-4-4-12 of hex digits.
func ParseUUID(s string) (UUID, error) {
	var u UUID
	if len(s) != 36 || s[8] != '-' || s[13] != '-' || s[18] != '-' || s[23] != '-' {
		return UUID{}, fmt.Errorf("cannot read UUID %.40q: want the form 6ba7b810-9dad-11d1-80b4-00c04fd430c8", s)
	}
	// What is no digit ends it early.
	if n, _ := hex.Decode(u[:], []byte(strings.ReplaceAll(s, "-", ""))); n != len(u) {
		return UUID{}, fmt.Errorf("cannot read UUID %.40q: not 32 hex digits", s)
	}
	return u, nil
}

// String gives the form 8-4-4-4-12.
func (u UUID) String() string {
	return fmt.Sprintf("%x-%x-%x-%x-%x", u[0:4], u[4:6], u[6:8], u[8:10], u[10:])
}

// UUIDv5 names name within ns (RFC 9562 section 5.5, SHA-1).
func UUIDv5(ns UUID, name string) UUID {
	h := sha1.New()
	h.Write(ns[:])
	h.Write([]byte(name))
	var u UUID
	copy(u[:], h.Sum(nil))
	u[6] = u[6]&0x0f | 0x50
	u[8] = u[8]&0x3f | 0x80
	return u
}

// VendorUUID is SUIT's vendor identifier for an internet domain (draft-ietf-suit-manifest section 8.4.8.2).
func VendorUUID(domain string) UUID { return UUIDv5(namespaceDNS, domain) }

// ClassUUID is SUIT's class identifier for a name, such as a model and hardware revision, that the
// vendor chose.
func ClassUUID(vendor UUID, name string) UUID { return UUIDv5(vendor, name) }

// Digest algorithms (COSE identifiers). SHA-256 is required by SUIT; the others are accepted.
const (
	SHA256 = -16
	SHA384 = -43
	SHA512 = -44
)

// Digest is a digest with its algorithm. It is comparable; the zero value is "none".
type Digest struct {
	Alg int    // SHA256, SHA384 or SHA512
	Sum string // raw bytes
}

// DigestSize is the length in bytes of a digest by alg, 0 where it is not supported.
func DigestSize(alg int) int {
	h, ok := hashes(int64(alg))
	if !ok {
		return 0
	}
	return h.Size()
}

func hashes(alg int64) (crypto.Hash, bool) {
	switch alg {
	case SHA256:
		return crypto.SHA256, true
	case SHA384:
		return crypto.SHA384, true
	case SHA512:
		return crypto.SHA512, true
	}
	return 0, false
}

// DigestName names a digest algorithm; one that is not supported is "alg" and its number.
func DigestName(alg int) string {
	switch alg {
	case SHA256:
		return "sha256"
	case SHA384:
		return "sha384"
	case SHA512:
		return "sha512"
	}
	return fmt.Sprintf("alg%d", alg)
}

// sum digests b. The algorithm must be one of hashes.
func sum(alg int, b ...[]byte) Digest {
	hash, ok := hashes(int64(alg))
	if !ok {
		panic(fmt.Sprintf("internal error: digest algorithm %d", alg))
	}
	h := hash.New()
	for _, p := range b {
		h.Write(p)
	}
	return Digest{Alg: alg, Sum: string(h.Sum(nil))}
}

// Sum digests b with SHA-256.
func Sum(b []byte) Digest { return sum(SHA256, b) }

// IsZero reports whether there is no digest.
//
//go:noinline
func (d Digest) IsZero() bool { return d == Digest{} }

// String gives "sha256:<hex>"; a zero digest gives "".
func (d Digest) String() string {
	if d.IsZero() {
		return ""
	}
	return DigestName(d.Alg) + ":" + hex.EncodeToString([]byte(d.Sum))
}

// ParseDigest reads what String writes, and nothing else; "" is not a digest.
func ParseDigest(s string) (Digest, error) {
	name, digits, _ := strings.Cut(s, ":")
	for _, alg := range []int{SHA256, SHA384, SHA512} {
		if name != DigestName(alg) {
			continue
		}
		b, err := hex.DecodeString(digits)
		h, _ := hashes(int64(alg))
		if err != nil || len(b) != h.Size() || strings.ToLower(digits) != digits {
			return Digest{}, fmt.Errorf("cannot read digest %.160q: want %d lower-case hex digits", s, 2*h.Size())
		}
		return Digest{Alg: alg, Sum: string(b)}, nil
	}
	return Digest{}, fmt.Errorf("cannot read digest %.160q: want sha256:, sha384: or sha512: and hex digits", s)
}

// ComponentID names a component: a path of byte strings.
type ComponentID [][]byte

// String joins the parts with "/". Bytes that are not printable ASCII, and "/" and "%", become %xx,
// so that no two identifiers look the same.
func (c ComponentID) String() string {
	var s strings.Builder
	for i, part := range c {
		if i > 0 {
			s.WriteByte('/')
		}
		for _, b := range part {
			if b <= ' ' || b >= 0x7f || b == '/' || b == '%' {
				fmt.Fprintf(&s, "%%%02x", b)
			} else {
				s.WriteByte(b)
			}
		}
	}
	return s.String()
}

// ParseComponentID reads what String writes.
func ParseComponentID(s string) (ComponentID, error) {
	var id ComponentID
	for _, text := range strings.Split(s, "/") {
		var part []byte
		for i := 0; i < len(text); i++ {
			b := text[i]
			if b == '%' {
				if i+2 >= len(text) {
					return nil, fmt.Errorf("cannot read component %.80q: %%xx is cut short", s)
				}
				v, err := hex.DecodeString(text[i+1 : i+3])
				if err != nil {
					return nil, fmt.Errorf("cannot read component %.80q: %w", s, err)
				}
				b, i = v[0], i+2
			}
			part = append(part, b)
		}
		if len(part) == 0 || len(part) > MaxPart {
			return nil, fmt.Errorf("cannot read component %.80q: a part has 1 to %d bytes", s, MaxPart)
		}
		id = append(id, part)
	}
	if len(id) > MaxParts {
		return nil, fmt.Errorf("cannot read component %.80q: at most %d parts", s, MaxParts)
	}
	if id.String() != s {
		return nil, fmt.Errorf("cannot read component %.80q: it is written %q", s, id.String())
	}
	return id, nil
}

// digested is a SUIT_Digest as it is written.
func digested(w *suit.Writer, d Digest) []any { return w.Digest(d.Alg, d.Sum) }
