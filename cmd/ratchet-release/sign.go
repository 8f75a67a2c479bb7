package main

import (
	"context"
	"errors"
	"flag"
	"fmt"

	"github.com/ratchet-ota/ratchet/agent/manifest"
	"github.com/ratchet-ota/ratchet/agent/manifest/author"
	"github.com/ratchet-ota/ratchet/agent/trust"
	"github.com/ratchet-ota/ratchet/cmd/internal/cli"
	"github.com/ratchet-ota/ratchet/cmd/internal/files"
	"github.com/ratchet-ota/ratchet/cmd/internal/keys"
	"github.com/ratchet-ota/ratchet/cmd/internal/screen"
)

func signVerb() cli.Verb {
	return cli.Verb{
		Name: "sign", Args: "[flags] FILE",
		Short: "add a signature to an envelope",
		Long: `
Adds a signature to the envelope FILE, which is replaced as a whole. Signatures that are there
stay, so that several people can sign the same file one after another, in any order; signing twice
with the same key changes nothing. What is signed is shown. An envelope that no device could
accept is not signed. A root, a plan, a pulse or a permit is signed in the same way. The key may be
a TOML file that names a signing command, for keys that live in a token or a service.`,
		Examples: []string{
			"ratchet-release sign release.suit",
			"ratchet-release sign --key /media/alice/release.pem release.suit",
		},
		Exits: "2 the envelope is damaged, or asks for something that devices do not do",
		Setup: func(fs *flag.FlagSet) cli.Action {
			dir := dirFlag(fs)
			key := fs.String("key", "", "private key `PEM` (default: keys.release of ratchet-release.toml)")
			out := fs.String("o", "", "write the signed envelope to `FILE` instead")
			return func(_ context.Context, c cli.Console, args []string) error {
				if len(args) != 1 {
					return cli.Usage("one envelope, please")
				}
				if *key == "" {
					d, err := loadDesk(*dir)
					if err != nil {
						return fmt.Errorf("no --key given: %w", err)
					}
					if *key = d.path(d.Keys.Release); *key == "" {
						return cli.Usage("no --key given, and %s names no keys.release", deskName)
					}
				}
				if *out == "" {
					*out = args[0]
				}
				if *out == "-" {
					return cli.Usage("an envelope is signed in its file; give one, or -o FILE")
				}
				return sign(c, args[0], *out, *key)
			}
		},
	}
}

// sign signs path into out.
func sign(c cli.Console, path, out, keyPath string) error {
	if kind, ok := documentKind(path); ok {
		return cosign(c, kind, path, out, keyPath)
	}
	signer, err := keys.Private(keyPath)
	if err != nil {
		return err
	}
	own, err := trust.NewKeys([]trust.Key{signer.Key()}, false)
	if err != nil {
		return err
	}
	e, err := readEnvelope(c, path)
	if err != nil {
		return err
	}
	id := signer.Key().ID()
	if m, err := manifest.Verify(e, own); err == nil {
		c.Say("%s is signed by %s already.", path, keys.Short(id))
		describe(c, m)
		if out == path {
			return nil
		}
		return files.Write(out, e.Raw(), 0o644)
	}
	signed, m, err := addSignature(e, signer, own)
	if errors.Is(err, keys.ErrSigner) {
		return err
	}
	if err != nil {
		return refused(path, err)
	}
	if err := files.Write(out, signed.Raw(), 0o644); err != nil {
		return err
	}
	c.Say("%s: signed by %s (%s), %s.", out, keys.Short(id), keys.Algorithm(signer.Key().Alg()), screen.Plural(signatures(signed), "signature"))
	describe(c, m)
	return nil
}

// addSignature signs, and proves that the result verifies: nothing leaves the desk that a device
// would refuse.
func addSignature(e manifest.Envelope, s *trust.Signer, own trust.Keys) (manifest.Envelope, manifest.Manifest, error) {
	b, err := author.Sign(e.Raw(), s)
	if err != nil {
		return manifest.Envelope{}, manifest.Manifest{}, err
	}
	signed, err := manifest.Parse(b)
	if err != nil {
		return manifest.Envelope{}, manifest.Manifest{}, err
	}
	m, err := manifest.Verify(signed, own)
	return signed, m, err
}
