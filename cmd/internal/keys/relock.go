package keys

import (
	"context"
	"encoding/pem"
	"errors"
	"fmt"
	"path/filepath"

	"github.com/ratchet-ota/ratchet/agent/trust"
	"github.com/ratchet-ota/ratchet/cmd/internal/cli"
	"github.com/ratchet-ota/ratchet/cmd/internal/files"
	"github.com/ratchet-ota/ratchet/cmd/internal/pbes2"
	"github.com/ratchet-ota/ratchet/cmd/internal/screen"
)

// Relock encrypts the private key of a file anew, or writes it plain, and returns the key and whether it
// was encrypted before.
//
// Crash: before the rename -> the old file, whole, and perhaps a hidden one of mode 0600 beside it; after -> the new
// one. The new one is read back and opened with the new passphrase before it takes the old one's place.
func Relock(ctx context.Context, c cli.Console, from Source, lock Lock) (*trust.Signer, bool, error) {
	if filepath.Ext(from.Path) == ".toml" {
		return nil, false, cli.Usage("%s names a command; its key is not in this file", from.Path)
	}
	if from.Passphrase == "-" && lock.File == "-" {
		return nil, false, cli.Usage("standard input cannot give both passphrases: name a file for one of them")
	}
	path, err := filepath.EvalSymlinks(from.Path) // the rename must replace the file, not a link to it
	if err != nil {
		return nil, false, fmt.Errorf("cannot read private key: %w", err)
	}
	k, err := from.read(ctx, c)
	s, was := k.signer, k.encrypted
	if err != nil {
		return nil, was, err
	}
	if !lock.Plain && lock.File == "" && !screen.Terminal(c.In) {
		return nil, was,
			errors.New("there is no terminal to ask for the new passphrase: give --new-passphrase-file FILE, " +
				"or --plain to write the key without encryption")
	}
	begin, err := lock.Begin(ctx, c, from.Path)
	if err != nil {
		return nil, was, err
	}
	pass, err := begin(from.Path)
	if err != nil {
		return nil, was, err
	}
	b, err := EncodePrivate(s, pass)
	if err != nil {
		return nil, was, err
	}
	t, err := files.NewTemp(path, 0o600)
	if err != nil {
		return nil, was, err
	}
	defer t.Drop()
	if _, err := t.Write(b); err != nil {
		return nil, was, fmt.Errorf("cannot write %s: %w", path, err)
	}
	if err := proven(t.Name(), s.Key().ID(), pass); err != nil {
		return nil, was, fmt.Errorf("cannot write %s: what was written does not open, the old key stays: %w", path, err)
	}
	return s, was, t.Install(path)
}

// proven opens a key file that was just written.
func proven(path, id string, pass []byte) error {
	b, err := files.Read(path, trust.MaxPEM, "private key")
	if err != nil {
		return err
	}
	if block, err := sealed(b); err != nil {
		return err
	} else if block != nil {
		box, err := pbes2.Parse(block)
		if err != nil {
			return err
		}
		der, err := box.Open(pass)
		if err != nil {
			return err
		}
		b = pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
	} else if pass != nil {
		return errors.New("it is not encrypted")
	}
	s, err := trust.ParsePrivate(b)
	if err == nil && s.Key().ID() != id {
		err = errors.New("it holds another key")
	}
	return err
}
