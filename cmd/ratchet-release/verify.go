package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"path/filepath"

	"github.com/ratchet-ota/ratchet/agent/manifest"
	"github.com/ratchet-ota/ratchet/agent/reason"
	"github.com/ratchet-ota/ratchet/agent/trust"
	"github.com/ratchet-ota/ratchet/slots"
)

func verifyVerb() verb {
	return verb{
		name: "verify", args: "[flags] FILE",
		short: "check an envelope's digests and signatures, and its payloads",
		long: `
Checks the envelope FILE ("-" is standard input) as a device would: the manifest's digest, the
signatures, then everything in it, embedded payloads too. With --payloads also the payload files,
decoded, against the digests in the manifest. Keys are the given ones, or the anchors of the
release directory. One known signer suffices unless --min says otherwise.`,
		examples: []string{
			"ratchet-release verify release.suit",
			"ratchet-release verify release.suit --key alice.pub.pem --key bob.pub.pem --min 2",
			"ratchet-release verify --payloads . release.suit",
		},
		exits: "2 refused, with \"reason: <word>\" and the SUIT code on standard output",
		setup: func(fs *flag.FlagSet) action {
			dir := dirFlag(fs)
			keys := repeated(fs, "key", "public key `PEM`; may be repeated")
			legacy := fs.Bool("legacy", false, "also accept the algorithms ES256 (-7) and EdDSA (-8)")
			least := fs.Int("min", 1, "`NUMBER` of distinct signers that are needed")
			payloads := fs.String("payloads", "", "check the payload files in `DIR` too")
			return func(ctx context.Context, c console, args []string) error {
				if len(args) != 1 {
					return usage("one envelope, please")
				}
				if *least < 1 {
					return usage("--min %d: at least one signer is needed", *least)
				}
				anchors, err := anchorsFor(*dir, *keys, *legacy)
				if err != nil {
					return err
				}
				return verify(ctx, c, args[0], anchors, *least, *payloads)
			}
		},
	}
}

// anchorsFor takes the keys of the command line, or else those of the release directory.
func anchorsFor(dir string, keys []string, legacy bool) (trust.Keys, error) {
	if len(keys) > 0 {
		return readAnchors(keys, legacy)
	}
	d, err := loadDesk(dir)
	if err != nil {
		return trust.Keys{}, fmt.Errorf("no --key given: %w", err)
	}
	d.Keys.Legacy = d.Keys.Legacy || legacy
	return d.anchors()
}

func verify(ctx context.Context, c console, path string, anchors trust.Keys, least int, payloads string) error {
	m, err := verified(c, path, anchors)
	if err != nil {
		return err
	}
	if n := len(m.Signers()); n < least {
		err := fmt.Errorf("signed by %d of the given keys, %d are needed", n, least)
		return &refusal{what: path, reason: reason.SignerUnknown, err: err}
	}
	installs, err := everyInstall(m)
	var bad *manifest.Error
	if errors.As(err, &bad) {
		return &refusal{what: path, reason: reason.ConditionFailed, err: err}
	}
	for _, in := range installs {
		if in.Content == nil {
			continue
		}
		if err := checkPayload(ctx, contentSource(in.Content), in); err != nil {
			return &refusal{what: "the payload in " + path, reason: reason.ImageCorrupt, err: err}
		}
	}
	c.say("%s is good.", path)
	describe(c, m)
	for _, id := range m.Signers() {
		c.say("  signed by   %s", id)
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

// verified reads an envelope and verifies it.
func verified(c console, path string, anchors trust.Keys) (manifest.Manifest, error) {
	e, err := readEnvelope(c, path)
	if err != nil {
		return manifest.Manifest{}, err
	}
	m, err := manifest.Verify(e, anchors)
	if err != nil {
		return manifest.Manifest{}, refused(path, err)
	}
	return m, nil
}

// verifyPayload checks one payload file.
func verifyPayload(ctx context.Context, c console, in manifest.Install, dir string) error {
	if in.Content != nil {
		c.say("  payload     %s: in the envelope", in.Component)
		return nil
	}
	name := filepath.Base(in.URI)
	path := filepath.Join(dir, name)
	err := checkPayload(ctx, fileSource(path), in)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("cannot check the payload of %s: %s does not have %s", in.Component, dir, name)
	case payloadFault(err):
		return &refusal{what: path, reason: reason.ImageCorrupt, err: err}
	case err != nil:
		return fmt.Errorf("cannot check the payload of %s: %w", in.Component, err)
	}
	c.say("  payload     %s: %s is the image that the manifest names", in.Component, name)
	return nil
}

// payloadFault reports whether the payload itself is wrong.
func payloadFault(err error) bool {
	for _, e := range []error{slots.ErrDigest, slots.ErrTooLarge, slots.ErrShort, slots.ErrEncoding} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}
