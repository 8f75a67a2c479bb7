//go:build linux

package tpmtest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"math/big"
	"slices"
)

// Key is a key of the model: its public area, and what signs.
type Key struct {
	Area     []byte // TPMT_PUBLIC
	Priv     *ecdsa.PrivateKey
	Password string
}

// keyTemplate is the area that a key must be asked for with, but for the unique field (TPM 2.0 Library, part 2, section
// 12.2.4): ECC, SHA-256, fixedTPM fixedParent sensitiveDataOrigin userWithAuth noDA sign, no policy, no symmetric
// algorithm, ECDSA with SHA-256, P-256, no kdf.
var keyTemplate = []byte{0, 0x23, 0, 0x0B, 0, 4, 4, 0x72, 0, 0, 0, 0x10, 0, 0x18, 0, 0x0B, 0, 3, 0, 0x10}

// newKey is a key as the model makes it from the owner's seed and the unique field.
func (m *Model) newKey(area []byte) *Key {
	seed, err := hkdf.Key(sha256.New, append(area, m.Owner...), []byte{byte(m.Highest)}, "", 32)
	if err != nil {
		panic(err)
	}
	seed[0] &= 0x7F // below the order
	priv, err := ecdsa.ParseRawPrivateKey(elliptic.P256(), seed)
	if err != nil {
		panic(err)
	}
	point, err := priv.PublicKey.Bytes()
	if err != nil {
		panic(err)
	}
	k := &Key{Priv: priv, Area: slices.Clone(keyTemplate)}
	for _, coordinate := range [][]byte{point[1:33], point[33:]} {
		k.Area = append(append(k.Area, 0, 32), coordinate...)
	}
	return k
}

// doKey does a command about keys (part 3, sections 12, 20, 24 and 28). auth is its first handle.
func (m *Model) doKey(code, auth uint32, r *request) ([]byte, uint32) {
	sized := func(b []byte) []byte { return append(binary.BigEndian.AppendUint16(nil, uint16(len(b))), b...) }
	switch code {
	case 0x131: // CreatePrimary
		_, rc := r.hierarchy(auth)
		r.sized()
		area := r.sized()
		switch {
		case rc != 0:
			return nil, rc
		case auth != 0x40000001 || len(area) != len(keyTemplate)+68 || !slices.Equal(area[:20], keyTemplate):
			return nil, 0x2C2
		case len(m.Loaded()) == 3:
			return nil, 0x902
		}
		h := uint32(0x80000000)
		for m.Keys[h] != nil {
			h++
		}
		m.Keys[h] = m.newKey(slices.Clone(area))
		return append(binary.BigEndian.AppendUint32(nil, h), make([]byte, 40)...), 0
	case 0x120: // EvictControl
		loaded := r.u32()
		_, rc := r.hierarchy(auth)
		h := r.u32()
		switch {
		case rc != 0:
			return nil, rc
		case m.Keys[loaded] == nil:
			return nil, 0x28B
		case h == loaded:
			delete(m.Keys, h)
			return nil, 0
		case m.Keys[h] != nil:
			return nil, 0x14C
		}
		m.Keys[h] = m.Keys[loaded]
		return nil, 0
	case 0x165: // FlushContext
		delete(m.Keys, auth)
		return nil, 0
	case 0x173: // ReadPublic
		k := m.Keys[auth]
		if k == nil {
			return nil, 0x18B
		}
		sum := sha256.Sum256(k.Area)
		name := append([]byte{0, 0x0B}, sum[:]...)
		return slices.Concat(sized(k.Area), sized(name), sized(name)), 0
	case 0x15D: // Sign
		k := m.Keys[auth]
		if k == nil {
			return nil, 0x18B
		}
		if r.password() != k.Password {
			return nil, 0x9A2
		}
		digest := r.sized()
		if len(digest) != 32 || !slices.Equal(r.b, []byte{0, 0x18, 0, 0x0B, 0x80, 0x24, 0x40, 0, 0, 7, 0, 0}) {
			return nil, 0x1D5
		}
		x, y, err := ecdsa.Sign(rand.Reader, k.Priv, digest)
		if err != nil {
			panic(err)
		}
		if m.Flip {
			y.Xor(y, big.NewInt(1<<20))
		}
		return slices.Concat([]byte{0, 0x18, 0, 0x0B}, sized(x.Bytes()), sized(y.Bytes())), 0
	}
	return nil, 0x143
}

// Loaded are the handles of keys that go with the power.
func (m *Model) Loaded() (out []uint32) {
	for h := range m.Keys {
		if h>>24 == 0x80 {
			out = append(out, h)
		}
	}
	return out
}
