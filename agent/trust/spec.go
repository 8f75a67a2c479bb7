package trust

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// RootSpec is what a root says. The payload is a CBOR map: 1 version, 2 name, 3 development,
// 4 issued, 5 expires (seconds since 1970), 6 algorithms (ascending), 7 signers [name, [COSE_Key ...]],
// 8 roles {name: [generation, [[threshold, [index of a signer ...], scope] ...]]}, 9 {component:
// [min, max]}, 10 revoked [[algorithm, digest] ...] (ascending). A scope is {1: [vendor ...],
// 2: [class ...], 3: component}.
type RootSpec struct {
	Version     uint64
	Name        string // of the chain: visible ASCII, at most MaxName bytes
	Development bool
	Issued      time.Time // whole seconds, before Expires
	Expires     time.Time
	Algorithms  []int64 // identifiers that signatures may have; -7 and -8 only for manifests
	Members     []Member
	Roles       map[Role]RoleSpec
	Components  map[string]SequenceRange // by component
	Revoked     []string                 // digests of manifests, "sha256:<hex>"
}

// RoleSpec is one role of a root.
type RoleSpec struct {
	Generation uint64 // version of the root that last changed the grants
	Grants     []Grant
}

// SequenceRange bounds the sequences of manifests that contain a component.
type SequenceRange struct{ Min, Max uint64 }

type (
	wireRoot struct {
		Version     uint64               `cbor:"1,keyasint"`
		Name        string               `cbor:"2,keyasint"`
		Development bool                 `cbor:"3,keyasint"`
		Issued      uint64               `cbor:"4,keyasint"`
		Expires     uint64               `cbor:"5,keyasint"`
		Algorithms  []int64              `cbor:"6,keyasint"`
		Members     []wireMember         `cbor:"7,keyasint"`
		Roles       map[string]wireRole  `cbor:"8,keyasint"`
		Components  map[string][2]uint64 `cbor:"9,keyasint"`
		Revoked     []wireDigest         `cbor:"10,keyasint"`
	}
	wireMember struct {
		_    struct{} `cbor:",toarray"`
		Name string
		Keys []rawItem
	}
	wireRole struct {
		_          struct{} `cbor:",toarray"`
		Generation uint64
		Grants     []wireGrant
	}
	wireGrant struct {
		_         struct{} `cbor:",toarray"`
		Threshold uint64
		Members   []uint64
		Scope     wireScope
	}
	wireScope struct {
		Vendors   [][]byte `cbor:"1,keyasint,omitempty"`
		Classes   [][]byte `cbor:"2,keyasint,omitempty"`
		Component string   `cbor:"3,keyasint,omitempty"`
	}
	wireDigest struct {
		_   struct{} `cbor:",toarray"`
		Alg int64
		Sum []byte
	}
)

// rawItem is a COSE_Key that parseKey reads.
type rawItem []byte

func (r rawItem) MarshalCBOR() ([]byte, error)  { return r, nil }
func (r *rawItem) UnmarshalCBOR(b []byte) error { *r = bytes.Clone(b); return nil }

// parseRoot reads a payload and checks everything that can be checked without other roots.
func parseRoot(payload []byte) (Root, error) {
	var w wireRoot
	if err := Decode(payload, &w); err != nil {
		return Root{}, err
	}
	bad := func(format string, args ...any) (Root, error) {
		return Root{}, errorf("%w: %s", ErrMalformed, fmt.Sprintf(format, args...))
	}
	issued, ok := Seconds(w.Issued)
	expires, ok2 := Seconds(w.Expires)
	if !ok || !ok2 {
		return bad("time is beyond the year 9999")
	}
	if len(w.Members) > MaxMembers {
		return bad("%d signers, at most %d", len(w.Members), MaxMembers)
	}
	s := RootSpec{Version: w.Version, Name: w.Name, Development: w.Development, Issued: issued, Expires: expires,
		Algorithms: w.Algorithms, Roles: map[Role]RoleSpec{}, Components: map[string]SequenceRange{}}
	for i, wm := range w.Members {
		m := Member{Name: wm.Name}
		if len(wm.Keys) > 2 {
			return bad("signer %d has %d keys", i+1, len(wm.Keys))
		}
		for _, b := range wm.Keys {
			k, err := parseKey(b)
			if err != nil {
				return Root{}, errorf("signer %d: %w", i+1, err)
			}
			m.Keys = append(m.Keys, k)
		}
		s.Members = append(s.Members, m)
	}
	for name, wr := range w.Roles {
		rs := RoleSpec{Generation: wr.Generation}
		for _, wg := range wr.Grants {
			g, err := wg.grant(s.Members)
			if err != nil {
				return bad("role %.40q: %v", name, err)
			}
			rs.Grants = append(rs.Grants, g)
		}
		s.Roles[Role(name)] = rs
	}
	for c, r := range w.Components {
		s.Components[c] = SequenceRange{r[0], r[1]}
	}
	for _, d := range w.Revoked {
		text, err := d.text()
		if err != nil {
			return bad("revoked: %v", err)
		}
		s.Revoked = append(s.Revoked, text)
	}
	if err := s.validate(); err != nil {
		return bad("%v", err)
	}
	return Root{&root{spec: s, digest: sha256.Sum256(payload)}}, nil
}

// encode writes the payload. parseRoot reads it back to the same spec.
func (s RootSpec) encode() ([]byte, error) {
	if err := s.validate(); err != nil {
		return nil, err
	}
	w := wireRoot{Version: s.Version, Name: s.Name, Development: s.Development, Issued: uint64(s.Issued.Unix()),
		Expires: uint64(s.Expires.Unix()), Algorithms: s.Algorithms, Roles: map[string]wireRole{},
		Components: map[string][2]uint64{}}
	index := map[string]uint64{}
	for i, m := range s.Members {
		wm := wireMember{Name: m.Name}
		for _, k := range m.Keys {
			wm.Keys = append(wm.Keys, rawItem(k.cose))
		}
		w.Members = append(w.Members, wm)
		index[m.ID()] = uint64(i)
	}
	for role, rs := range s.Roles {
		wr := wireRole{Generation: rs.Generation}
		for _, g := range rs.Grants {
			wg := wireGrant{Threshold: uint64(g.Threshold),
				Scope: wireScope{ids(g.Scope.Vendors), ids(g.Scope.Classes), g.Scope.Component}}
			for _, m := range g.Members {
				wg.Members = append(wg.Members, index[m.ID()])
			}
			slices.Sort(wg.Members)
			wr.Grants = append(wr.Grants, wg)
		}
		w.Roles[string(role)] = wr
	}
	for c, r := range s.Components {
		w.Components[c] = [2]uint64{r.Min, r.Max}
	}
	for _, text := range s.Revoked {
		d, err := digestOf(text)
		if err != nil {
			return nil, err
		}
		w.Revoked = append(w.Revoked, d)
	}
	return Encode(w)
}

func (g wireGrant) grant(members []Member) (Grant, error) {
	out := Grant{Scope: Scope{Component: g.Scope.Component}}
	if g.Threshold > MaxMembers {
		return out, errorf("threshold %d", g.Threshold)
	}
	out.Threshold = int(g.Threshold)
	for i, n := range g.Members {
		if n >= uint64(len(members)) || i > 0 && n <= g.Members[i-1] {
			return out, errorf("signer %d is not in the list, or out of order", n)
		}
		out.Members = append(out.Members, members[n])
	}
	var err error
	if out.Scope.Vendors, err = uuids(g.Scope.Vendors); err != nil {
		return out, err
	}
	out.Scope.Classes, err = uuids(g.Scope.Classes)
	return out, err
}

func uuids(list [][]byte) (out [][16]byte, err error) {
	for _, b := range list {
		if len(b) != 16 {
			return nil, errorf("scope has a UUID of %d bytes", len(b))
		}
		out = append(out, [16]byte(b))
	}
	return out, nil
}

func ids(list [][16]byte) (out [][]byte) {
	for _, id := range list {
		out = append(out, bytes.Clone(id[:]))
	}
	return out
}

// Digests of manifests (draft-ietf-suit-manifest, IANA "COSE Algorithms").
const (
	sha256ID, sha384ID, sha512ID int64 = -16, -43, -44
)

func (d wireDigest) text() (string, error) {
	name, size := hashName(d.Alg)
	if name == "" || len(d.Sum) != size {
		return "", errorf("digest of algorithm %d with %d bytes", d.Alg, len(d.Sum))
	}
	return name + ":" + hex.EncodeToString(d.Sum), nil
}

func digestOf(text string) (wireDigest, error) {
	name, digits, _ := strings.Cut(text, ":")
	for _, alg := range []int64{sha256ID, sha384ID, sha512ID} {
		if n, size := hashName(alg); n == name {
			b, err := hex.DecodeString(digits)
			if err != nil || len(b) != size || strings.ToLower(digits) != digits {
				return wireDigest{}, errorf("digest %.160q: want %d lower-case hex digits", text, 2*size)
			}
			return wireDigest{Alg: alg, Sum: b}, nil
		}
	}
	return wireDigest{}, errorf("digest %.160q: want sha256:, sha384: or sha512: and hex digits", text)
}

func hashName(alg int64) (name string, size int) {
	switch alg {
	case sha256ID:
		return "sha256", 32
	case sha384ID:
		return "sha384", 48
	case sha512ID:
		return "sha512", 64
	}
	return "", 0
}

// Seconds turns the seconds of a document into a time, as long as it is one that can be written.
func Seconds(n uint64) (time.Time, bool) {
	const last = 253402300799 // 9999-12-31T23:59:59Z
	if n > last {
		return time.Time{}, false
	}
	return time.Unix(int64(n), 0).UTC(), true
}

// clone copies what a caller could change.
func (s RootSpec) clone() RootSpec {
	s.Algorithms, s.Members, s.Revoked = slices.Clone(s.Algorithms), slices.Clone(s.Members), slices.Clone(s.Revoked)
	s.Components = maps.Clone(s.Components)
	roles := map[Role]RoleSpec{}
	for name, r := range s.Roles {
		r.Grants = slices.Clone(r.Grants)
		roles[name] = r
	}
	s.Roles = roles
	return s
}
