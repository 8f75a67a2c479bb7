package keys

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/fxamacker/cbor/v2"

	"github.com/ratchet-ota/ratchet/agent/manifest"
	"github.com/ratchet-ota/ratchet/agent/trust"
	"github.com/ratchet-ota/ratchet/cmd/internal/cli"
	"github.com/ratchet-ota/ratchet/cmd/internal/files"
)

// Older identifiers of signature algorithms, by the words of --allow-alg and of facts files.
const (
	algES256 = -7
	algEdDSA = -8
)

// Allowed reads --allow-alg: what is always allowed is allowed to be named.
func Allowed(words []string) (es256, eddsa bool, err error) {
	for _, w := range words {
		switch strings.ToLower(w) {
		case "es256", strconv.Itoa(algES256):
			es256 = true
		case "eddsa", strconv.Itoa(algEdDSA):
			eddsa = true
		case "esp256", "ed25519", "esp384", "-9", "-19", "-51":
		default:
			return false, false, fmt.Errorf("%q is not an algorithm: want ES256 (-7) or EdDSA (-8); ESP256, ESP384 "+
				"and Ed25519 are always allowed", manifest.Printable(w))
		}
	}
	return es256, eddsa, nil
}

// Verifiers reads the keys that envelopes are verified with, and admits older identifiers of
// their algorithms as asked.
func Verifiers(c cli.Console, paths []string, es256, eddsa bool) (manifest.Authority, error) {
	var plain, old []trust.Key
	for _, p := range paths {
		k, err := readVerifier(c, p)
		if err != nil {
			return nil, err
		}
		if es256 && k.Alg() == trust.ESP256 || eddsa && k.Alg() == trust.Ed25519 {
			old = append(old, k)
		} else {
			plain = append(plain, k)
		}
	}
	all, err := trust.NewKeys(append(plain[:len(plain):len(plain)], old...), false) // the same key twice, too many keys
	if err != nil || len(old) == 0 {
		return all, err
	}
	legacy, err := trust.NewKeys(old, true)
	if err != nil || len(plain) == 0 {
		return legacy, err
	}
	strict, err := trust.NewKeys(plain, false)
	return eitherKeys{strict, legacy}, err
}

// eitherKeys are keys of two kinds: a signer of any counts.
type eitherKeys []trust.Keys

// Authenticate implements manifest.Authority.
func (e eitherKeys) Authenticate(payload []byte, blocks [][]byte) (signers []string, err error) {
	for _, k := range e {
		ids, kerr := k.Authenticate(payload, blocks)
		signers = append(signers, ids...)
		if err == nil || errors.Is(err, trust.ErrAlgorithm) {
			err = kerr // the more telling of two reasons
		}
	}
	if len(signers) > 0 {
		err = nil
	}
	return signers, err
}

// readVerifier reads one key: PEM, or a COSE_Key. Of a private key its public half is taken.
func readVerifier(c cli.Console, path string) (trust.Key, error) {
	b, err := files.Read(path, trust.MaxPEM, "public key")
	if err != nil {
		return trust.Key{}, err
	}
	k, err := parseVerifier(b)
	if err != nil {
		return trust.Key{}, fmt.Errorf("%s: %w", path, err)
	}
	if bytes.Contains(b, []byte("PRIVATE KEY-----")) {
		c.Warn("%s holds a private key; only its public half is used here. Keep it where it is signed with.", path)
	}
	return k, nil
}

func parseVerifier(b []byte) (trust.Key, error) {
	switch {
	case bytes.Contains(b, []byte("ENCRYPTED PRIVATE KEY-----")), bytes.Contains(b, []byte("Proc-Type: 4,ENCRYPTED")):
		return trust.Key{}, errors.New("cannot read public key: the file holds an encrypted private key; name its " +
			"public half, NAME.pub.pem")
	case bytes.Contains(b, []byte("PRIVATE KEY-----")):
		s, err := trust.ParsePrivate(b)
		if err != nil {
			return trust.Key{}, err
		}
		return s.Key(), nil
	case bytes.Contains(b, []byte("-----BEGIN")):
		return trust.ParsePublic(b)
	}
	pub, err := coseKey(b)
	if err != nil {
		return trust.Key{}, fmt.Errorf("cannot read public key: neither PEM nor a COSE_Key of this profile: %w", err)
	}
	der, err := x509.MarshalPKIXPublicKey(pub)
	if err != nil {
		return trust.Key{}, fmt.Errorf("cannot read public key: %w", err)
	}
	return trust.ParsePublic(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))
}

// coseKey reads a COSE_Key (RFC 9052 section 7): EC2 on P-256 or P-384 with both coordinates, or OKP
// on Ed25519.
func coseKey(b []byte) (crypto.PublicKey, error) {
	mode, err := cbor.DecOptions{DupMapKey: cbor.DupMapKeyEnforcedAPF,
		IndefLength: cbor.IndefLengthForbidden, MaxNestedLevels: 4}.DecMode()
	if err != nil {
		return nil, err
	}
	var k struct {
		Kty int    `cbor:"1,keyasint"`
		Crv int    `cbor:"-1,keyasint"`
		X   []byte `cbor:"-2,keyasint"`
		Y   []byte `cbor:"-3,keyasint"`
	}
	if err := mode.Unmarshal(b, &k); err != nil {
		return nil, err
	}
	curve := map[int]elliptic.Curve{1: elliptic.P256(), 2: elliptic.P384()}[k.Crv]
	switch {
	case k.Kty == 2 && curve != nil:
		return ecdsa.ParseUncompressedPublicKey(curve, bytes.Join([][]byte{{4}, k.X, k.Y}, nil))
	case k.Kty == 1 && k.Crv == 6 && len(k.X) == ed25519.PublicKeySize:
		return ed25519.PublicKey(k.X), nil
	}
	return nil, fmt.Errorf("key type %d on curve %d is not P-256, P-384 or Ed25519", k.Kty, k.Crv)
}
