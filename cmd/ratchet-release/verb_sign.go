package main

import (
	"context"
	"flag"
	"os"

	"github.com/ratchet-ota/ratchet/cmd/internal/cli"
	"github.com/ratchet-ota/ratchet/cmd/internal/keys"
	"github.com/ratchet-ota/ratchet/cmd/ratchet-release/campaign"
	"github.com/ratchet-ota/ratchet/cmd/ratchet-release/release"
	"github.com/ratchet-ota/ratchet/cmd/ratchet-release/workspace"
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
		Exits: "3 the envelope is damaged, or asks for something that devices do not do",
		Setup: func(fs *flag.FlagSet) cli.Action {
			dir := dirFlag(fs)
			var key keys.Source
			fs.StringVar(&key.Path, "key", "", "private key `PEM` (default: keys.release of ratchet-release.toml)")
			passphraseFlag(fs, &key)
			out := fs.String("o", "", "write the signed envelope to `FILE` instead")
			return func(ctx context.Context, c cli.Console, args []string) error {
				if len(args) != 1 {
					return cli.Usage("name one envelope file")
				}
				if key.Path == "" {
					d, err := workspace.Load(*dir)
					if err != nil {
						return noFlag("--key", err)
					}
					if key.Path = d.Path(d.Keys.Release); key.Path == "" {
						return cli.Usage("no --key given, and %s names no keys.release", workspace.FileName)
					}
					if _, err := os.Stat(key.Path); err != nil {
						return d.Errorf("keys.release", "cannot read private key: %v", err)
					}
				}
				if *out == "" {
					*out = args[0]
				}
				if *out == "-" {
					return cli.Usage("an envelope from standard input needs -o FILE for the signed one")
				}
				if kind, ok := campaign.Kind(args[0]); ok {
					return campaign.Cosign(ctx, c, kind, args[0], *out, key)
				}
				return release.Sign(ctx, c, args[0], *out, key)
			}
		},
	}
}
