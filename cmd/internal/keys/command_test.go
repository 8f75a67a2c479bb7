package keys_test

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"encoding/asn1"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"

	pkix "filippo.io/mldsa/x509"

	"github.com/ratchet-ota/ratchet/agent/trust"
	"github.com/ratchet-ota/ratchet/cmd/internal/cli"
	"github.com/ratchet-ota/ratchet/cmd/internal/conf"
	"github.com/ratchet-ota/ratchet/cmd/internal/keys"
)

// TestMain lets the test's program stand in for a signing command: it is what an integrator would
// write, with nothing of this program in it but the contract.
func TestMain(m *testing.M) {
	if mode := os.Getenv("RATCHET_TEST_SIGNER"); mode != "" {
		if err := signingCommand(mode, os.Args[1]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func signingCommand(mode, path string) error {
	var q struct {
		Format          int
		Key, Algorithm  string
		Hash            string
		Digest, Message []byte
	}
	if err := json.NewDecoder(os.Stdin).Decode(&q); err != nil {
		return err
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	block, _ := pem.Decode(b)
	key, err := pkix.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return err
	}
	var sig []byte
	switch {
	case q.Format != 1 || len(q.Key) != 64:
		return fmt.Errorf("format %d, key %q", q.Format, q.Key)
	case q.Digest != nil:
		hash := map[string]crypto.Hash{"SHA-256": crypto.SHA256, "SHA-384": crypto.SHA384}[q.Hash]
		if len(q.Digest) != hash.Size() || q.Message != nil {
			return fmt.Errorf("digest of %d bytes for %s", len(q.Digest), q.Hash)
		}
		sig, err = key.(crypto.Signer).Sign(nil, q.Digest, hash)
	default:
		sig, err = key.(crypto.Signer).Sign(nil, q.Message, crypto.Hash(0))
	}
	if err != nil {
		return err
	}
	switch mode {
	case "raw":
		if k, ok := key.(*ecdsa.PrivateKey); ok {
			var p struct{ R, S *big.Int }
			if _, err := asn1.Unmarshal(sig, &p); err != nil {
				return err
			}
			n := (k.Curve.Params().BitSize + 7) / 8
			sig = append(p.R.FillBytes(make([]byte, n)), p.S.FillBytes(make([]byte, n))...)
		}
	case "wrong":
		sig[len(sig)-1] ^= 1
	case "garbage":
		sig = []byte("not a signature")
	case "silent":
		return nil
	case "flood":
		_, err := io.CopyN(os.Stdout, zeros{}, 1<<20)
		return err
	case "fails":
		return fmt.Errorf("the token is not there")
	}
	text := base64.StdEncoding.EncodeToString(sig)
	fmt.Println(text[:20])
	fmt.Println(text[20:])
	return nil
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { return copy(p, bytes.Repeat([]byte("A"), len(p))), nil }

// commandKey makes a key pair and a key file whose command is this test's program.
func commandKey(t *testing.T, mode, alg string) (keyFile, private string) {
	t.Helper()
	dir := t.TempDir()
	name := filepath.Join(dir, "k")
	if _, err := keys.NewPair(name, alg, nil); err != nil {
		t.Fatal(err)
	}
	t.Setenv("RATCHET_TEST_SIGNER", mode)
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	keyFile = filepath.Join(dir, "k.toml")
	if err := os.WriteFile(keyFile,
		[]byte("public = \"k.pub.pem\"\ncommand = ["+conf.Quote(self)+", \"k.pem\"]\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return keyFile, name + ".pem"
}

// A key behind a command signs envelopes and documents like one in a file.
func TestSigningCommand(t *testing.T) {
	for _, alg := range []string{"esp256", "esp384", "ed25519", "ml-dsa-65"} {
		for _, mode := range []string{"der", "raw"} {
			file, _ := commandKey(t, mode, alg)
			s, err := keys.Private(t.Context(), cli.Console{}, keys.Source{Path: file})
			if err != nil {
				t.Fatal(err)
			}
			doc, err := trust.BuildDocument("plan", []byte{0xa0})
			if err != nil {
				t.Fatal(err)
			}
			if doc, err = trust.SignDocument("plan", doc, s); err != nil {
				t.Errorf("%s, %s: %v", alg, mode, err)
			}
			if _, kids, _ := trust.Payload("plan", doc); len(kids) != 1 || kids[0] != s.Key().ID() {
				t.Errorf("%s, %s: signed by %v", alg, mode, kids)
			}
		}
	}
}

// Nothing that a command writes becomes a signature unless it is one.
func TestSigningCommandFails(t *testing.T) {
	doc, err := trust.BuildDocument("plan", []byte{0xa0})
	if err != nil {
		t.Fatal(err)
	}
	for mode, says := range map[string]string{
		"wrong": "", "garbage": "neither DER nor r || s", "silent": "wrote no signature",
		"flood": "writes more output than a signature can have", "fails": "exit status 1",
	} {
		file, _ := commandKey(t, mode, "esp256")
		s, err := keys.Private(t.Context(), cli.Console{}, keys.Source{Path: file})
		if err != nil {
			t.Fatal(err)
		}
		_, err = trust.SignDocument("plan", doc, s)
		if err == nil || !strings.Contains(err.Error(), says) || errors.Is(err, keys.ErrSigner) != (mode != "wrong") {
			t.Errorf("%s: %v", mode, err)
		}
	}
	for text, says := range map[string]string{
		"":                                    "public: is missing",
		"public = \"" + "k.pub.pem\"\n":       "command: is missing",
		"public = \"x\"\ncommand = [\"y\"]\n": "cannot read public key",
		"pubic = \"x\"\n":                     "unknown key",
	} {
		file := filepath.Join(t.TempDir(), "k.toml")
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := keys.Private(t.Context(), cli.Console{},
			keys.Source{Path: file}); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%q: %v, want %s", text, err, says)
		}
	}
}
