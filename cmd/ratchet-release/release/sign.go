package release

import (
	"context"
	"errors"

	"github.com/ratchet-ota/ratchet/agent/manifest"
	"github.com/ratchet-ota/ratchet/agent/manifest/author"
	"github.com/ratchet-ota/ratchet/agent/trust"
	"github.com/ratchet-ota/ratchet/cmd/internal/cli"
	"github.com/ratchet-ota/ratchet/cmd/internal/files"
	"github.com/ratchet-ota/ratchet/cmd/internal/keys"
	"github.com/ratchet-ota/ratchet/cmd/internal/screen"
)

// Sign signs an envelope, path, into out.
func Sign(ctx context.Context, c cli.Console, path, out string, key keys.Source) error {
	signer, err := keys.Private(ctx, c, key)
	if err != nil {
		return err
	}
	own := trust.KeysOf(signer.Key())
	e, err := Read(c, path)
	if err != nil {
		return err
	}
	id := signer.Key().ID()
	if m, err := manifest.Verify(e, own); err == nil {
		c.Say("%s is signed by %s already.", path, keys.Short(id))
		Describe(c, m)
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
		return Refuse(path, err)
	}
	if err := files.Write(out, signed.Raw(), 0o644); err != nil {
		return err
	}
	c.Say("%s: signed by %s (%s), %s.",
		out, keys.Short(id), keys.Algorithm(signer.Key().Alg()), screen.Plural(signatures(signed), "signature"))
	Describe(c, m)
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
