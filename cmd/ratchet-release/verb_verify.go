package main

import (
	"context"
	"flag"

	"github.com/ratchet-ota/ratchet/agent/manifest"
	"github.com/ratchet-ota/ratchet/cmd/internal/cli"
	"github.com/ratchet-ota/ratchet/cmd/internal/keys"
	"github.com/ratchet-ota/ratchet/cmd/ratchet-release/release"
	"github.com/ratchet-ota/ratchet/cmd/ratchet-release/workspace"
)

func verifyVerb() cli.Verb {
	return cli.Verb{
		Name: "verify", Args: "[flags] FILE",
		Short: "check an envelope's digests and signatures, and its payloads",
		Long: `
Checks digests and signatures of the envelope FILE ("-" is standard input): the manifest's, those of
its severable elements and embedded payloads, and with --payloads those of the payload files,
decoded. Whether a device could do what the manifest says is another question: it is said, and
"check" answers it in full. Keys are the given ones (PEM or COSE_Key), or the anchors of the release
directory. One known signer suffices unless --min says otherwise.`,
		Examples: []string{
			"ratchet-release verify release.suit",
			"ratchet-release verify release.suit --key alice.pub.pem --key bob.pub.pem --min 2",
			"ratchet-release verify --payloads . release.suit",
		},
		Exits: "3 refused, with \"reason: <word>\" and the SUIT code on standard output",
		Setup: func(fs *flag.FlagSet) cli.Action {
			dir := dirFlag(fs)
			names := cli.Repeated(fs, "key", "public key `FILE`, PEM or COSE_Key; may be repeated")
			allow := cli.Repeated(fs, "allow-alg",
				"also accept the older `ALGORITHM` ES256 (-7) or EdDSA (-8); may be repeated")
			legacy := fs.Bool("legacy", false, "also accept both ES256 and EdDSA")
			least := fs.Int("min", 1, "`NUMBER` of distinct signers that are needed")
			payloads := fs.String("payloads", "", "check the payload files in `DIR` too")
			return func(ctx context.Context, c cli.Console, args []string) error {
				if len(args) != 1 {
					return cli.Usage("name one envelope file")
				}
				if *least < 1 {
					return cli.Usage("--min %d: at least one signer is needed", *least)
				}
				es256, eddsa, err := keys.Allowed(*allow)
				if err != nil {
					return cli.Usage("--allow-alg: %v", err)
				}
				anchors, err := anchorsFor(c, *dir, *names, *legacy || es256, *legacy || eddsa)
				if err != nil {
					return err
				}
				return release.Verify(ctx, c, args[0], anchors, *least, *payloads)
			}
		},
	}
}

// anchorsFor takes the keys of the command line, or else those of the release directory.
func anchorsFor(c cli.Console, dir string, names []string, es256, eddsa bool) (manifest.Authority, error) {
	if len(names) > 0 {
		return keys.Verifiers(c, names, es256, eddsa)
	}
	d, err := workspace.Load(dir)
	if err != nil {
		return nil, noFlag("--key", err)
	}
	d.Keys.Legacy = d.Keys.Legacy || es256 || eddsa
	return d.Anchors()
}
