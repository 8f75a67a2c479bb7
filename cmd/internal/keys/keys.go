package keys

import (
	"bytes"
	"context"
	"encoding/pem"
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/ratchet-ota/ratchet/agent/trust"
	"github.com/ratchet-ota/ratchet/cmd/internal/cli"
	"github.com/ratchet-ota/ratchet/cmd/internal/files"
	"github.com/ratchet-ota/ratchet/cmd/internal/pbes2"
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

// Source names a private key, and where its passphrase comes from if it is encrypted.
type Source struct {
	Path string // PEM, or a TOML file that names a signing command

	// Passphrase is a file that holds the passphrase, a directory with such a file for each key (NAME for
	// NAME.pem), or "-" for standard input; "": a person is asked.
	Passphrase string
}

// Private reads a private key, or the file that says which command signs in its place.
func Private(ctx context.Context, c cli.Console, from Source) (*trust.Signer, error) {
	if filepath.Ext(from.Path) == ".toml" {
		return readCommandSigner(from.Path)
	}
	k, err := from.read(ctx, c)
	switch {
	case err != nil:
		return nil, err
	case !k.encrypted:
		warnOpen(c, from.Path, "a private key, not encrypted,",
			"chmod 600 it, and encrypt it with: ratchet-release keys passphrase "+from.Path)
	case k.weak != "":
		c.Warn("%s is encrypted with %s, so that guessing its passphrase is cheap; encrypt it anew: "+
			"ratchet-release keys passphrase %s", from.Path, k.weak, from.Path)
	}
	return k.signer, nil
}

// kept is a private key as it was in a file.
type kept struct {
	signer    *trust.Signer
	encrypted bool
	weak      string // why guessing the passphrase is cheap
}

// read reads a private key, PEM.
func (from Source) read(ctx context.Context, c cli.Console) (kept, error) {
	var k kept
	b, err := files.Read(from.Path, trust.MaxPEM, "private key")
	if err != nil {
		return k, err
	}
	block, err := sealed(b)
	if err == nil && block != nil {
		var box pbes2.Sealed
		if box, err = pbes2.Parse(block); err == nil {
			k.encrypted, k.weak = true, box.Weak()
			block, err = from.open(ctx, c, box)
			b = pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: block})
		}
	}
	if errors.Is(err, pbes2.ErrScheme) {
		err = fmt.Errorf("%w; %s", err, convert)
	}
	if err != nil {
		return k, fmt.Errorf("cannot read private key %s: %w", from.Path, err)
	}
	if k.signer, err = trust.ParsePrivate(b); err != nil {
		return k, fmt.Errorf("%s: %w", from.Path, err)
	}
	return k, nil
}

// convert is what to do with a key in another form.
const convert = "convert it: openssl pkcs8 -topk8 -scrypt -in OLD.pem -out NEW.pem"

// sealed is what a PEM file holds in encrypted form: nil where it is not encrypted, or no PEM at all. A
// file in OpenSSL's older form is an error: one round of MD5 stands between a thief and the key.
func sealed(b []byte) ([]byte, error) {
	block, rest := pem.Decode(b)
	switch {
	case block == nil:
		return nil, nil
	case strings.Contains(block.Headers["Proc-Type"], "ENCRYPTED"):
		return nil, errors.New("it is encrypted in OpenSSL's older form (Proc-Type: 4,ENCRYPTED), which protects it " +
			"badly; " + convert)
	case block.Type != pbes2.PEM:
		return nil, nil
	case len(block.Headers) > 0:
		return nil, errors.New("PEM block has headers")
	case len(bytes.TrimSpace(rest)) > 0:
		return nil, errors.New("more than one key in the file")
	}
	return block.Bytes, nil
}

// EncodePrivate writes a private key as PEM, encrypted unless passphrase is nil.
func EncodePrivate(s *trust.Signer, passphrase []byte) ([]byte, error) {
	b, err := s.MarshalPEM()
	if err != nil || passphrase == nil {
		return b, err
	}
	block, _ := pem.Decode(b)
	der, err := pbes2.Encrypt(block.Bytes, passphrase)
	if err != nil {
		return nil, err
	}
	return pem.EncodeToMemory(&pem.Block{Type: pbes2.PEM, Bytes: der}), nil
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

// NewPair makes NAME.pem, encrypted unless passphrase is nil, and NAME.pub.pem, of an algorithm by its word.
// It overwrites nothing.
//
// Crash: between the two files -> a private key whose public half is missing; nothing trusts it yet, and
// "openssl pkey -pubout" makes the half, or the file is removed and the pair made again.
func NewPair(name, word string, passphrase []byte) (*trust.Signer, error) {
	alg, ok := Algorithms()[strings.ToLower(word)]
	if !ok || alg == -7 || alg == -8 {
		return nil, cli.Usage("algorithm %q is unknown: use esp256, ed25519, esp384 or ml-dsa-65", word)
	}
	s, err := trust.Generate(alg)
	if err != nil {
		return nil, err
	}
	private, err := EncodePrivate(s, passphrase)
	if err != nil {
		return nil, err
	}
	public, err := s.Key().MarshalPEM()
	if err != nil {
		return nil, err
	}
	if err := files.Create(name+".pem", private, 0o600); err != nil {
		return nil, fmt.Errorf("cannot make key: %w", err)
	}
	if err := files.Create(name+".pub.pem", public, 0o644); err != nil {
		return nil, fmt.Errorf("cannot make key: %w", err)
	}
	return s, nil
}
