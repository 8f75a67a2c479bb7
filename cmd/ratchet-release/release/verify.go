package release

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"

	"github.com/ratchet-ota/ratchet/agent/manifest"
	"github.com/ratchet-ota/ratchet/agent/reason"
	"github.com/ratchet-ota/ratchet/agent/trust"
	"github.com/ratchet-ota/ratchet/cmd/internal/cli"
	"github.com/ratchet-ota/ratchet/slots"
)

// Verify checks the envelope path: digests, at least that many distinct signers of anchors, what it embeds, and
// with payloads, a folder, the payload files.
func Verify(ctx context.Context, c cli.Console, path string, anchors manifest.Authority,
	least int, payloads string) error {
	e, err := Read(c, path)
	if err != nil {
		return err
	}
	signers, err := manifest.Authenticate(e, anchors)
	if err != nil {
		return Refuse(path, err)
	}
	m, outside := manifest.Verify(e, anchors)
	var deviates *manifest.Error
	if errors.As(outside, &deviates) && deviates.Code == manifest.CodeParse {
		return Refuse(path, outside)
	}
	if n := len(signers); n < least {
		err := fmt.Errorf("signed by %d of the given keys, %d are needed: %w", n, least, trust.ErrThreshold)
		return Refuse(path, err)
	}
	if outside != nil {
		tellRefused(c, path, e, signers, outside)
		if payloads != "" {
			return fmt.Errorf("cannot check the payloads of a manifest that devices refuse")
		}
		return nil
	}
	installs, err := Installs(m)
	var bad *manifest.Error
	if errors.As(err, &bad) {
		return &cli.Refusal{What: path, Reason: reason.ConditionFailed, Err: err}
	}
	for _, in := range installs {
		if in.Content == nil || !in.Encryption.IsZero() {
			continue
		}
		if err := checkPayload(ctx, ContentSource(in.Content), in); err != nil {
			return &cli.Refusal{What: "the payload in " + path, Reason: reason.ImageCorrupt, Err: err}
		}
	}
	c.Say("%s is good.", path)
	Describe(c, m)
	for _, id := range m.Signers() {
		c.Say("  signed by   %s", id)
	}
	if payloads == "" {
		return nil
	}
	if err != nil {
		return err
	}
	for _, in := range installs {
		if err := verifyPayload(ctx, c, in, payloads); err != nil {
			return err
		}
	}
	return nil
}

// tellRefused describes an envelope that is genuine, and that devices refuse for what is outside of their profile.
func tellRefused(c cli.Console, path string, e manifest.Envelope, signers []string, outside error) {
	c.Say("%s: digests and signatures are good.", path)
	c.Say("  manifest    %s", e.ClaimedDigest())
	for _, id := range signers {
		c.Say("  signed by   %s", id)
	}
	c.Say("  note        devices refuse it: %s", manifest.Printable(outside.Error()))
}

// ReadVerified reads an envelope and verifies it.
func ReadVerified(c cli.Console, path string, anchors manifest.Authority) (manifest.Manifest, error) {
	e, err := Read(c, path)
	if err != nil {
		return manifest.Manifest{}, err
	}
	m, err := manifest.Verify(e, anchors)
	if err != nil {
		return manifest.Manifest{}, Refuse(path, err)
	}
	return m, nil
}

// verifyPayload checks one payload file.
func verifyPayload(ctx context.Context, c cli.Console, in manifest.Install, dir string) error {
	if in.Content != nil {
		c.Say("  payload     %s: in the envelope", in.Component)
		return nil
	}
	if !in.Encryption.IsZero() {
		c.Say("  payload     %s: encrypted; check --decrypt-key looks into it", in.Component)
		return nil
	}
	name := filepath.Base(in.URI)
	path := filepath.Join(dir, name)
	err := checkPayload(ctx, FileSource(path), in)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("cannot check the payload of %s: %s does not have %s", in.Component, dir, name)
	case PayloadFault(err):
		return &cli.Refusal{What: path, Reason: reason.ImageCorrupt, Err: err}
	case err != nil:
		return fmt.Errorf("cannot check the payload of %s: %w", in.Component, err)
	}
	c.Say("  payload     %s: %s is the image that the manifest names", in.Component, name)
	return nil
}

// PayloadFault reports whether the payload itself is wrong.
func PayloadFault(err error) bool {
	for _, e := range []error{slots.ErrDigest, slots.ErrTooLarge, slots.ErrShort, slots.ErrEncoding} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}
