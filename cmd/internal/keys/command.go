package keys

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"encoding/asn1"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/big"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/ratchet-ota/ratchet/agent/trust"
	"github.com/ratchet-ota/ratchet/cmd/internal/conf"
)

// A key that lives elsewhere, in a token, a hardware module or a cloud, is named by a file *.toml
// where a private key is asked for:
//
//	public = "release.pub.pem"                  # its public half
//	command = ["./sign-with-token", "label"]    # what signs; no shell; runs in this file's directory
//
// The command gets one JSON object on standard input, signRequest, and writes the signature in base64
// to standard output; white space does not matter. Its standard error is shown. An ECDSA signature may
// be DER or r || s. The signature is verified before anything is done with it.
type keyFile struct {
	Public  string   `toml:"public"`
	Command []string `toml:"command"`
}

// signRequest is what the command is asked. Binary members are base64.
type signRequest struct {
	Format    int    `json:"format"`            // 1
	Key       string `json:"key"`               // RFC 9679 thumbprint, hex
	Algorithm string `json:"algorithm"`         // "ESP256", "ESP384", "Ed25519", "ML-DSA-65"
	Hash      string `json:"hash,omitempty"`    // with digest: "SHA-256", "SHA-384"
	Digest    []byte `json:"digest,omitempty"`  // ECDSA: what is signed, hashed
	Message   []byte `json:"message,omitempty"` // the others: what is signed
}

// ErrSigner: the command did not sign. What was to be signed may be good.
var ErrSigner = errors.New("signing command failed")

const (
	signerPatience = 5 * time.Minute // a person may have to type a PIN or touch a token
	maxSignature   = 16 << 10        // bytes of standard output
)

// readCommandSigner reads a key file.
func readCommandSigner(path string) (*trust.Signer, error) {
	var f keyFile
	doc, err := conf.Read(path, &f)
	switch {
	case err != nil:
		return nil, fmt.Errorf("cannot read key file: %w", err)
	case f.Public == "":
		return nil, doc.Errorf("public", "is missing: name the public half, PEM")
	case len(f.Command) == 0 || f.Command[0] == "":
		return nil, doc.Errorf("command", "is missing: name the program that signs, and its arguments")
	}
	dir := filepath.Dir(path)
	public := f.Public
	if !filepath.IsAbs(public) {
		public = filepath.Join(dir, public)
	}
	key, err := Public(public)
	if err != nil {
		return nil, doc.Errorf("public", "%v", err)
	}
	return trust.NewSigner(commandSigner{key: key, command: f.Command, dir: dir})
}

// commandSigner signs with a command. It implements crypto.Signer.
type commandSigner struct {
	key     trust.Key
	command []string
	dir     string
}

func (s commandSigner) Public() crypto.PublicKey { return s.key.Public() }

// Sign asks the command. For ECDSA content is the digest, and DER comes back.
func (s commandSigner) Sign(_ io.Reader, content []byte, opts crypto.SignerOpts) ([]byte, error) {
	q := signRequest{Format: 1, Key: s.key.ID(), Algorithm: Algorithm(s.key.Alg())}
	if h := opts.HashFunc(); h != 0 {
		q.Hash, q.Digest = h.String(), content
	} else {
		q.Message = content
	}
	in, err := json.Marshal(q)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), signerPatience)
	defer cancel()
	out := &limited{left: maxSignature}
	cmd := exec.CommandContext(ctx, s.command[0], s.command[1:]...)
	cmd.Dir, cmd.Stdin, cmd.Stdout, cmd.Stderr = s.dir, bytes.NewReader(append(in, '\n')), out, os.Stderr
	cmd.WaitDelay = time.Second
	err = cmd.Run()
	if out.over {
		err = errors.New("writes more output than a signature can have")
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %s: %w", ErrSigner, s.command[0], err)
	}
	sig, err := base64.StdEncoding.DecodeString(string(bytes.Join(bytes.Fields(out.b), nil)))
	if err != nil || len(sig) == 0 {
		return nil, fmt.Errorf("%w: %s wrote no signature in base64", ErrSigner, s.command[0])
	}
	if pub, ok := s.key.Public().(*ecdsa.PublicKey); ok {
		return asDER(sig, (pub.Curve.Params().BitSize+7)/8)
	}
	return sig, nil
}

// asDER gives an ECDSA signature the form that crypto.Signer has.
func asDER(sig []byte, width int) ([]byte, error) {
	type pair struct{ R, S *big.Int }
	var p pair
	if rest, err := asn1.Unmarshal(sig, &p); err == nil && len(rest) == 0 {
		return sig, nil
	}
	if len(sig) != 2*width {
		return nil, fmt.Errorf("%w: signature of %d bytes is neither DER nor r || s of %d",
			ErrSigner, len(sig), 2*width)
	}
	return asn1.Marshal(pair{new(big.Int).SetBytes(sig[:width]), new(big.Int).SetBytes(sig[width:])})
}

// limited keeps the first bytes and refuses more.
type limited struct {
	b    []byte
	left int
	over bool
}

func (l *limited) Write(p []byte) (int, error) {
	if len(p) > l.left {
		l.over = true
		return 0, errors.New("too much")
	}
	l.b, l.left = append(l.b, p...), l.left-len(p)
	return len(p), nil
}
