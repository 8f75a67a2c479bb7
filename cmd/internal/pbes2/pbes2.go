package pbes2

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/pbkdf2"
	"crypto/rand"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"fmt"
	"hash"

	"golang.org/x/crypto/scrypt"
)

// PEM is the type of the PEM block.
const PEM = "ENCRYPTED PRIVATE KEY"

// What Encrypt asks for. OpenSSL opens no scrypt of more than 32 MiB unless it is told to, so that p is
// raised in place of N: with 16 MiB, OWASP's table wants p = 5 for what N = 2^17 gives.
const (
	scryptN, scryptR, scryptP = 1 << 14, 8, 5
	saltSize                  = 16
)

// What a file may ask for, at most. On a machine of 2020 each is a few seconds.
const (
	MaxIterations = 10_000_000 // of PBKDF2
	MaxMemory     = 256 << 20  // bytes of scrypt, 128 N r
	MaxWork       = 1 << 24    // of scrypt, N r p
	maxSalt       = 1 << 10    // bytes
)

// Below these a passphrase is cheap to guess. OpenSSL's own default, 2048 iterations, is far below.
const (
	fairIterations = 210_000
	fairWork       = 1 << 17
)

// ErrPassphrase: the passphrase is wrong, or the file is damaged; which of the two cannot be told.
var ErrPassphrase = errors.New("wrong passphrase, or the file is damaged")

// ErrScheme: the file is encrypted in another way than those that are read here, or at a higher cost.
var ErrScheme = errors.New("this is not read here")

// Cipher and function numbers, by their dotted form.
var (
	oidPBES2  = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 5, 13}
	oidPBKDF2 = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 5, 12}
	oidScrypt = asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 11591, 4, 11}
	oidAES256 = asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 1, 42}
	keySizes  = map[string]int{"2.16.840.1.101.3.4.1.2": 16, "2.16.840.1.101.3.4.1.22": 24, oidAES256.String(): 32}
	hashes    = map[string]func() hash.Hash{"1.2.840.113549.2.7": sha1.New, "1.2.840.113549.2.9": sha256.New,
		"1.2.840.113549.2.10": sha512.New384, "1.2.840.113549.2.11": sha512.New}
)

// encryptedKey is EncryptedPrivateKeyInfo.
type encryptedKey struct {
	Algorithm pkix.AlgorithmIdentifier
	Data      []byte
}

// scheme is PBES2-params.
type scheme struct{ Derivation, Encryption pkix.AlgorithmIdentifier }

// scryptParams are those of RFC 7914 section 7.
type scryptParams struct {
	Salt      []byte
	N, R, P   int64 // on every processor
	KeyLength int   `asn1:"optional"`
}

// pbkdf2Params are those of RFC 8018 appendix A.2, with the salt as it is always written.
type pbkdf2Params struct {
	Salt       []byte
	Iterations int64
	KeyLength  int                      `asn1:"optional"`
	PRF        pkix.AlgorithmIdentifier `asn1:"optional"`
}

// plainKey is PrivateKeyInfo, as far as it tells a right passphrase from a wrong one.
type plainKey struct {
	Version    int
	Algorithm  pkix.AlgorithmIdentifier
	Key        []byte
	Attributes asn1.RawValue `asn1:"optional,tag:0"`
	Public     asn1.RawValue `asn1:"optional,tag:1"`
}

// Sealed is an encrypted key of which everything is known but the passphrase. Only Parse makes one.
type Sealed struct {
	keySize  int
	iv, data []byte
	derive   func(passphrase []byte, size int) ([]byte, error)
	cost     string
	weak     bool
}

// Parse reads an EncryptedPrivateKeyInfo, DER. What asks for more than the bounds is refused.
func Parse(der []byte) (Sealed, error) {
	var (
		e encryptedKey
		s scheme
	)
	if err := whole(der, &e, "EncryptedPrivateKeyInfo"); err != nil {
		return Sealed{}, err
	}
	if !e.Algorithm.Algorithm.Equal(oidPBES2) {
		return Sealed{}, fmt.Errorf("its encryption %s is not PBES2: %w", e.Algorithm.Algorithm, ErrScheme)
	}
	if err := whole(e.Algorithm.Parameters.FullBytes, &s, "PBES2-params"); err != nil {
		return Sealed{}, err
	}
	b := Sealed{keySize: keySizes[s.Encryption.Algorithm.String()], data: e.Data}
	if b.keySize == 0 {
		return Sealed{}, fmt.Errorf("its cipher %s is not AES in CBC mode: %w", s.Encryption.Algorithm, ErrScheme)
	}
	if err := whole(s.Encryption.Parameters.FullBytes, &b.iv, "the cipher's parameter"); err != nil {
		return Sealed{}, err
	}
	if len(b.iv) != aes.BlockSize || len(b.data) == 0 || len(b.data)%aes.BlockSize != 0 {
		return Sealed{}, errors.New("its cipher text is not whole blocks of AES")
	}
	var err error
	switch d := s.Derivation; {
	case d.Algorithm.Equal(oidScrypt):
		err = b.scrypt(d.Parameters.FullBytes)
	case d.Algorithm.Equal(oidPBKDF2):
		err = b.pbkdf2(d.Parameters.FullBytes)
	default:
		err = fmt.Errorf("its key derivation %s is neither PBKDF2 nor scrypt: %w", d.Algorithm, ErrScheme)
	}
	return b, err
}

// scrypt reads and bounds the parameters of scrypt.
func (b *Sealed) scrypt(der []byte) error {
	var p scryptParams
	if err := whole(der, &p, "scrypt-params"); err != nil {
		return err
	}
	switch {
	case len(p.Salt) > maxSalt || p.KeyLength != 0 && p.KeyLength != b.keySize:
		return errors.New("its scrypt-params do not fit the cipher")
	case p.N < 2 || p.N&(p.N-1) != 0 || p.R < 1 || p.P < 1:
		return fmt.Errorf("its scrypt-params are void: N %d, r %d, p %d", p.N, p.R, p.P)
	// Each factor by itself first: the products cannot overflow then.
	case p.N > MaxMemory/128 || p.R > MaxMemory/128 || 128*p.N*p.R > MaxMemory:
		return fmt.Errorf("its scrypt (N %d, r %d) asks for more than %d MiB of memory: %w", p.N, p.R, MaxMemory>>20,
			ErrScheme)
	case p.P > MaxWork || p.N*p.R*p.P > MaxWork:
		return fmt.Errorf("its scrypt (N %d, r %d, p %d) asks for more work than N r p = %d: %w", p.N, p.R, p.P,
			MaxWork, ErrScheme)
	}
	b.weak, b.cost = p.N*p.R*p.P < fairWork, fmt.Sprintf("scrypt with N %d, r %d, p %d", p.N, p.R, p.P)
	b.derive = func(passphrase []byte, size int) ([]byte, error) {
		return scrypt.Key(passphrase, p.Salt, int(p.N), int(p.R), int(p.P), size)
	}
	return nil
}

// pbkdf2 reads and bounds the parameters of PBKDF2.
func (b *Sealed) pbkdf2(der []byte) error {
	var p pbkdf2Params
	if err := whole(der, &p, "PBKDF2-params"); err != nil {
		return err
	}
	h := hashes[p.PRF.Algorithm.String()]
	if len(p.PRF.Algorithm) == 0 {
		h = sha1.New // the default of the standard
	}
	switch {
	case len(p.Salt) > maxSalt || p.KeyLength != 0 && p.KeyLength != b.keySize:
		return errors.New("its PBKDF2-params do not fit the cipher")
	case h == nil:
		return fmt.Errorf("its PBKDF2 has the function %s, which is none of HMAC with SHA-1, SHA-256, SHA-384 and "+
			"SHA-512: %w", p.PRF.Algorithm, ErrScheme)
	case p.Iterations < 1 || p.Iterations > MaxIterations:
		return fmt.Errorf("its PBKDF2 asks for %d iterations, want 1 to %d: %w", p.Iterations, MaxIterations, ErrScheme)
	}
	b.weak, b.cost = p.Iterations < fairIterations, fmt.Sprintf("PBKDF2 with %d iterations", p.Iterations)
	b.derive = func(passphrase []byte, size int) ([]byte, error) {
		return pbkdf2.Key(h, string(passphrase), p.Salt, int(p.Iterations), size)
	}
	return nil
}

// whole reads one DER value with nothing behind it.
func whole(der []byte, into any, what string) error {
	rest, err := asn1.Unmarshal(der, into)
	if err == nil && len(rest) > 0 {
		err = errors.New("there are bytes behind it")
	}
	if err != nil {
		return fmt.Errorf("it has no %s: %w", what, err)
	}
	return nil
}

// Weak says how cheap guessing the passphrase is, "" where it is not.
func (b Sealed) Weak() string {
	if b.weak {
		return b.cost
	}
	return ""
}

// Open gives the PrivateKeyInfo, DER. Only a key comes out: anything else is ErrPassphrase.
func (b Sealed) Open(passphrase []byte) ([]byte, error) {
	if b.derive == nil {
		return nil, errors.New("internal error: no encrypted key")
	}
	key, err := b.derive(passphrase, b.keySize)
	if err != nil {
		return nil, err
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	plain := make([]byte, len(b.data))
	cipher.NewCBCDecrypter(block, b.iv).CryptBlocks(plain, b.data)
	n := int(plain[len(plain)-1])
	if n < 1 || n > aes.BlockSize || !bytes.Equal(plain[len(plain)-n:], bytes.Repeat([]byte{byte(n)}, n)) {
		return nil, ErrPassphrase
	}
	plain = plain[:len(plain)-n]
	if whole(plain, &plainKey{}, "PrivateKeyInfo") != nil {
		return nil, ErrPassphrase
	}
	return plain, nil
}

// Encrypt makes an EncryptedPrivateKeyInfo of a PrivateKeyInfo, both DER: scrypt and AES-256-CBC.
func Encrypt(plain, passphrase []byte) ([]byte, error) {
	if err := whole(plain, &plainKey{}, "PrivateKeyInfo"); err != nil {
		return nil, fmt.Errorf("cannot encrypt private key: %w", err)
	}
	random := make([]byte, saltSize+aes.BlockSize)
	if _, err := rand.Read(random); err != nil {
		return nil, fmt.Errorf("cannot encrypt private key: %w", err)
	}
	salt, iv := random[:saltSize], random[saltSize:]
	key, err := scrypt.Key(passphrase, salt, scryptN, scryptR, scryptP, 32)
	if err != nil {
		return nil, fmt.Errorf("cannot encrypt private key: %w", err)
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, fmt.Errorf("cannot encrypt private key: %w", err)
	}
	n := aes.BlockSize - len(plain)%aes.BlockSize
	data := append(bytes.Clone(plain), bytes.Repeat([]byte{byte(n)}, n)...)
	cipher.NewCBCEncrypter(block, iv).CryptBlocks(data, data)

	derivation, err := algorithm(oidScrypt, scryptParams{Salt: salt, N: scryptN, R: scryptR, P: scryptP}, nil)
	encryption, err := algorithm(oidAES256, iv, err)
	under, err := algorithm(oidPBES2, scheme{derivation, encryption}, err)
	if err != nil {
		return nil, fmt.Errorf("cannot encrypt private key: %w", err)
	}
	return asn1.Marshal(encryptedKey{Algorithm: under, Data: data})
}

// algorithm is an AlgorithmIdentifier; an earlier error passes through.
func algorithm(id asn1.ObjectIdentifier, params any, before error) (pkix.AlgorithmIdentifier, error) {
	if before != nil {
		return pkix.AlgorithmIdentifier{}, before
	}
	der, err := asn1.Marshal(params)
	return pkix.AlgorithmIdentifier{Algorithm: id, Parameters: asn1.RawValue{FullBytes: der}}, err
}
