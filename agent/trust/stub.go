// Package trust decides who signed.
package trust

import (
	"crypto"
	"errors"
)

// Algorithms (IANA "COSE Algorithms", RFC 9864).
const (
	ESP256  int64 = -9
	Ed25519 int64 = -19
	ESP384  int64 = -51
)

var (
	ErrNoSigner  = errors.New("no known signer")
	ErrSignature = errors.New("signature does not verify")
	ErrAlgorithm = errors.New("algorithm not allowed")
)

type Key struct{}

func (k Key) ID() string                  { return "" }
func (k Key) Alg() int64                  { return 0 }
func (k Key) Public() crypto.PublicKey    { return nil }
func (k Key) MarshalPEM() ([]byte, error) { return nil, ErrNoSigner }
func ParsePublic(pem []byte) (Key, error) { return Key{}, ErrNoSigner }

type Signer struct{}

func ParsePrivate(pem []byte) (*Signer, error)                          { return nil, ErrNoSigner }
func Generate(alg int64) (*Signer, error)                               { return nil, ErrNoSigner }
func (s *Signer) MarshalPEM() ([]byte, error)                           { return nil, ErrNoSigner }
func (s *Signer) Key() Key                                              { return Key{} }
func (s *Signer) Sign(payload, aad []byte) ([]byte, error)              { return nil, ErrNoSigner }
func (s *Signer) Sign1(payload, aad []byte, typ string) ([]byte, error) { return nil, ErrNoSigner }

type Keys struct{}

func NewKeys(keys []Key, legacy bool) (Keys, error) { return Keys{}, nil }
func (k Keys) Authenticate(payload []byte, blocks [][]byte) ([]string, error) {
	return nil, ErrNoSigner
}
func (k Keys) Verify1(msg, aad []byte, typ string) ([]byte, string, error) {
	return nil, "", ErrNoSigner
}
