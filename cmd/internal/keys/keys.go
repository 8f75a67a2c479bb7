package keys

import (
	"fmt"
	"path/filepath"
	"strings"

	"github.com/ratchet-ota/ratchet/agent/trust"
	"github.com/ratchet-ota/ratchet/cmd/internal/cli"
	"github.com/ratchet-ota/ratchet/cmd/internal/files"
)

// Anchors reads public keys, PEM; legacy admits the older identifiers of their algorithms.
func Anchors(paths []string, legacy bool) (trust.Keys, error) {
	var keys []trust.Key
	for _, p := range paths {
		k, err := Public(p)
		if err != nil {
			return trust.Keys{}, err
		}
		keys = append(keys, k)
	}
	return trust.NewKeys(keys, legacy)
}

// Public reads one public key, PEM.
func Public(path string) (trust.Key, error) {
	b, err := files.Read(path, trust.MaxPEM, "public key")
	if err != nil {
		return trust.Key{}, err
	}
	k, err := trust.ParsePublic(b)
	if err != nil {
		return trust.Key{}, fmt.Errorf("%s: %w", path, err)
	}
	return k, nil
}

// Private reads a private key, or the file that says which command signs in its place.
func Private(path string) (*trust.Signer, error) {
	if filepath.Ext(path) == ".toml" {
		return readCommandSigner(path)
	}
	b, err := files.Read(path, trust.MaxPEM, "private key")
	if err != nil {
		return nil, err
	}
	s, err := trust.ParsePrivate(b)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return s, nil
}

// Short cuts a key id to what people compare.
func Short(id string) string { return fmt.Sprintf("%.16s", id) }

// Algorithm is the name of a COSE algorithm of this profile.
func Algorithm(alg int64) string {
	switch alg {
	case trust.ESP256:
		return "ESP256"
	case trust.Ed25519:
		return "Ed25519"
	case trust.ESP384:
		return "ESP384"
	case trust.MLDSA65:
		return "ML-DSA-65"
	}
	return fmt.Sprintf("algorithm %d", alg)
}

// Algorithms are the words of root.toml and of --alg.
func Algorithms() map[string]int64 {
	return map[string]int64{"esp256": trust.ESP256, "ed25519": trust.Ed25519, "esp384": trust.ESP384,
		"ml-dsa-65": trust.MLDSA65, "es256": -7, "eddsa": -8}
}

// NewPair makes NAME.pem and NAME.pub.pem, of an algorithm by its word. It overwrites nothing.
func NewPair(name, word string) (trust.Key, error) {
	alg, ok := Algorithms()[strings.ToLower(word)]
	if !ok || alg == -7 || alg == -8 {
		return trust.Key{}, cli.Usage("algorithm %q is unknown: use esp256, ed25519, esp384 or ml-dsa-65", word)
	}
	s, err := trust.Generate(alg)
	if err != nil {
		return trust.Key{}, err
	}
	private, err := s.MarshalPEM()
	if err != nil {
		return trust.Key{}, err
	}
	public, err := s.Key().MarshalPEM()
	if err != nil {
		return trust.Key{}, err
	}
	if err := files.Create(name+".pem", private, 0o600); err != nil {
		return trust.Key{}, fmt.Errorf("cannot make key: %w", err)
	}
	if err := files.Create(name+".pub.pem", public, 0o644); err != nil {
		return trust.Key{}, fmt.Errorf("cannot make key: %w", err)
	}
	return s.Key(), nil
}
