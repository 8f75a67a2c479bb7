//go:build linux

package tpm

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/sha256"
	"encoding/asn1"
	"encoding/binary"
	"fmt"
	"math/big"
)

// Attributes of an object (TPM 2.0 Library, part 2, section 8.3, TPMA_OBJECT).
const (
	objFixedTPM    = 1 << 1 // it cannot be duplicated
	objFixedParent = 1 << 4
	objOrigin      = 1 << 5 // sensitiveDataOrigin: the TPM drew it, nobody brought it
	objUserAuth    = 1 << 6 // userWithAuth: its (empty) password opens it
	objNoDA        = 1 << 10
	objRestricted  = 1 << 16
	objDecrypt     = 1 << 17
	objSign        = 1 << 18

	keyAttributes = objFixedTPM | objFixedParent | objOrigin | objUserAuth | objNoDA | objSign
)

const (
	curveP256 = 0x0003 // TPM_ECC_NIST_P256 (part 2, section 6.4)
	width     = 32     // bytes of a coordinate, of r and of s
)

// object is what everybody may read of a key: TPMT_PUBLIC (part 2, section 12.2.4). Of a key that is no ECC key, kind,
// hash, attributes and policy alone are read.
type object struct {
	kind       uint16
	hash       uint16 // of its name
	attributes uint32
	policy     []byte
	parms      []byte // TPMS_ECC_PARMS: symmetric, scheme, curve, kdf
	x, y       []byte
}

// What a key's parameters may be: TPMS_ECC_PARMS (part 2, section 12.2.3.6) without symmetric algorithm and kdf, on
// P-256, that signs by ECDSA with SHA-256, or leaves it to the command.
var (
	parmsECDSA = parameters(algECDSA, algSHA256)
	parmsAny   = parameters(algNull)
)

func parameters(scheme ...uint16) (b []byte) {
	b = binary.BigEndian.AppendUint16(nil, algNull)
	for _, v := range append(scheme, curveP256, algNull) {
		b = binary.BigEndian.AppendUint16(b, v)
	}
	return b
}

// template is what a key is made from. unique goes into what the TPM derives the key from (part 1, section 26): without
// it every key of this template would be the same key.
func template(unique []byte) object {
	return object{kind: algECC, hash: algSHA256, attributes: keyAttributes, parms: parmsECDSA,
		x: unique[:width], y: unique[width:]}
}

func (o object) encode() []byte {
	b := binary.BigEndian.AppendUint16(nil, o.kind)
	b = binary.BigEndian.AppendUint16(b, o.hash)
	b = binary.BigEndian.AppendUint32(b, o.attributes)
	b = appendTPM2B(b, o.policy)
	b = append(b, o.parms...)
	return appendTPM2B(appendTPM2B(b, o.x), o.y)
}

// decodeObject reads the parameters of a response to TPM2_ReadPublic (part 3, section 12.4): the public area, its name,
// which must be that of the area (part 1, section 16), and the qualified name.
func decodeObject(b []byte) (object, error) {
	area, rest, err := takeTPM2B(b)
	if err != nil {
		return object{}, err
	}
	name, rest, err := takeTPM2B(rest)
	if err == nil {
		_, rest, err = takeTPM2B(rest)
	}
	if err != nil || len(rest) != 0 || len(area) < 10 {
		return object{}, errorf("%w: a public area of %d bytes", errResponse, len(area))
	}
	o := object{kind: binary.BigEndian.Uint16(area), hash: binary.BigEndian.Uint16(area[2:]),
		attributes: binary.BigEndian.Uint32(area[4:])}
	if o.hash == algSHA256 {
		sum := sha256.Sum256(area)
		if !bytes.Equal(name, append([]byte{0, algSHA256}, sum[:]...)) {
			return object{}, errorf("%w: the name is not that of the public area", errResponse)
		}
	}
	policy, rest, err := takeTPM2B(area[8:])
	if err != nil {
		return object{}, err
	}
	o.policy = bytes.Clone(policy)
	for _, parms := range [][]byte{parmsECDSA, parmsAny} {
		if o.kind == algECC && bytes.HasPrefix(rest, parms) {
			o.parms, rest = parms, rest[len(parms):]
			if o.x, rest, err = takeTPM2B(rest); err != nil {
				return object{}, err
			}
			if o.y, rest, err = takeTPM2B(rest); err != nil || len(rest) != 0 {
				return object{}, errorf("%w: a public area of %d bytes", errResponse, len(area))
			}
			break
		}
	}
	return o, nil
}

// key is the object's public key, or an error that says why it is none that is used here.
func (o object) key() (*ecdsa.PublicKey, error) {
	const fixed = objFixedTPM | objFixedParent | objOrigin
	why := ""
	switch {
	case o.kind == algRSA:
		why = "an RSA key"
	case o.kind != algECC:
		why = fmt.Sprintf("no signing key (type %#x)", o.kind)
	case o.attributes&objRestricted != 0:
		why = "a restricted key, which signs only what the TPM says itself"
	case o.attributes&objDecrypt != 0 || o.attributes&objSign == 0:
		why = "a key that decrypts, or does not sign"
	case o.attributes&fixed != fixed:
		why = "a key that somebody brought into the TPM, or can take out of it"
	case o.attributes&objUserAuth == 0:
		why = "a key that a policy guards"
	case o.parms == nil:
		why = "a key of another curve or scheme"
	}
	if why != "" {
		return nil, errorf("%w: it is %s (attributes %#x)", ErrKind, why, o.attributes)
	}
	point := make([]byte, 1+2*width)
	point[0] = 4 // SEC 1, uncompressed
	if !pad(point[1:1+width], o.x) || !pad(point[1+width:], o.y) {
		return nil, errorf("%w: a point of %d and %d bytes", errResponse, len(o.x), len(o.y))
	}
	pub, err := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), point)
	if err != nil {
		return nil, errorf("%w: %w", errResponse, err)
	}
	return pub, nil
}

// pad puts a number at the end of a field of zeros, and tells whether it has room there.
func pad(field, number []byte) bool {
	if len(number) > len(field) {
		return false
	}
	copy(field[len(field)-len(number):], number)
	return true
}

// decodeSignature reads the parameters of a response to TPM2_Sign (part 3, section 20.2): TPMT_SIGNATURE of ECDSA with
// SHA-256 (part 2, sections 11.3.4 and 11.3.2). It is returned as Go has it, ASN.1.
func decodeSignature(b []byte) ([]byte, error) {
	if len(b) < 4 || binary.BigEndian.Uint16(b) != algECDSA || binary.BigEndian.Uint16(b[2:]) != algSHA256 {
		return nil, errorf("%w: no signature by ECDSA with SHA-256", errResponse)
	}
	r, rest, err := takeTPM2B(b[4:])
	if err != nil {
		return nil, err
	}
	s, rest, err := takeTPM2B(rest)
	if err != nil || len(rest) != 0 || len(r) > width || len(s) > width {
		return nil, errorf("%w: a signature of %d bytes", errResponse, len(b))
	}
	return asn1.Marshal(struct{ R, S *big.Int }{new(big.Int).SetBytes(r), new(big.Int).SetBytes(s)})
}
