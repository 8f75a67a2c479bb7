package main

import (
	"context"
	"flag"
	"time"

	"github.com/ratchet-ota/ratchet/cmd/internal/cli"
	"github.com/ratchet-ota/ratchet/cmd/ratchet-release/root"
	"github.com/ratchet-ota/ratchet/cmd/ratchet-release/workspace"
)

// rootVerbs are those about the trust root, in the order of its life.
func rootVerbs() []cli.Verb {
	return []cli.Verb{keysNewVerb(), keysPassphraseVerb(), rootInitVerb(), rootRotateVerb(), rootSignVerb(),
		rootShowVerb()}
}

func rootRotateVerb() cli.Verb {
	return cli.Verb{
		Name: "root rotate", Args: "[flags]",
		Short: "make the next root from root.toml, and say who must sign it",
		Long: `
Makes the next version of the trust root from root.toml, as root-N.cbor, and says what changes and
who must sign: enough root signers of the version before, and enough of its own. Each of them runs
"root sign" on that same file, in any order; when the last one has, the version is added to
root-bundle.cbor, and the bundle is to be published. Nothing changes for devices before that.

To give a role to other keys: edit root.toml (keys new makes a key pair), rotate, sign. Every plan,
pulse and permit of a role whose signers changed is void with the new root, those named in renew
too; issue them again.`,
		Examples: []string{"ratchet-release root rotate", "ratchet-release root rotate --dir desk --replace"},
		Exits:    "3 a device would refuse such a root",
		Setup: func(fs *flag.FlagSet) cli.Action {
			dir := dirFlag(fs)
			replace := fs.Bool("replace", false, "replace a root-N.cbor that says something else, with its signatures")
			return func(_ context.Context, c cli.Console, args []string) error {
				if len(args) > 0 {
					return cli.Usage("root rotate takes no arguments: edit %s", root.FileName)
				}
				return root.Next(c, *dir, *replace, time.Now())
			}
		},
	}
}

func rootSignVerb() cli.Verb {
	return cli.Verb{
		Name: "root sign", Args: "[flags] FILE",
		Short: "add a signature to a root, and to the bundle when it is complete",
		Long: `
Shows the root FILE and adds a signature. Several people sign the same file, in any order; both keys
of a pair sign, one after the other. When enough have signed, the root is added to the bundle, which
is first walked as a device would walk it.`,
		Examples: []string{"ratchet-release root sign --key /media/alice/alice.pem root-2.cbor",
			"ratchet-release root sign --key hsm.toml root-2.cbor"},
		Exits: "3 a device would refuse the root",
		Setup: func(fs *flag.FlagSet) cli.Action {
			bundle := bundleFlag(fs)
			key := keyFlag(fs)
			return func(ctx context.Context, c cli.Console, args []string) error {
				if len(args) != 1 || key.Path == "" {
					return cli.Usage("name one root file, and give the key to sign with (--key)")
				}
				return root.Sign(ctx, c, args[0], *bundle, *key)
			}
		},
	}
}

func rootShowVerb() cli.Verb {
	return cli.Verb{
		Name: "root show", Args: "[flags] FILE",
		Short: "show a root or a bundle, also one that is not signed completely",
		Long: `
Shows what the root FILE says and who has signed it, or every version of a bundle. A root is judged by
the version before it, from the bundle given with --bundle.`,
		Examples: []string{"ratchet-release root show root-bundle.cbor", "ratchet-release root show root-2.cbor"},
		Exits:    "3 a device would refuse it",
		Setup: func(fs *flag.FlagSet) cli.Action {
			bundle := bundleFlag(fs)
			return func(_ context.Context, c cli.Console, args []string) error {
				if len(args) != 1 {
					return cli.Usage("name one root file or bundle")
				}
				return root.Show(c, args[0], *bundle)
			}
		},
	}
}

func bundleFlag(fs *flag.FlagSet) *string {
	return fs.String("bundle", "",
		"the bundle `FILE` with the versions before (default: root-bundle.cbor beside the file)")
}

func rootInitVerb() cli.Verb {
	return cli.Verb{
		Name: "root init", Args: "[flags]",
		Short: "begin a trust root: root.toml, a key for each role, version 1",
		Long: `
Begins a trust root in the release directory: one key for each role in keys/ (an existing
keys/release.pem takes the role release), root.toml, and version 1, signed, in root-bundle.cbor.
The keys that it makes are encrypted with one passphrase, which is asked for on a terminal.

Such a root is one person's: whoever takes the folder replaces the root of every device. That is
enough for a try, and for development: use --development there, so that devices and evidence say
which root they are under, or --one-person where it is meant. Otherwise a warning says so, each
time that the root is made, signed or shown. For production, let each person make a key where it will
live (keys new), name them in root.toml with a threshold, and begin with "root rotate" instead.`,
		Examples: []string{"ratchet-release root init --name example.com --development",
			"ratchet-release root init --dir desk --hybrid"},
		Setup: func(fs *flag.FlagSet) cli.Action {
			dir := dirFlag(fs)
			var o root.InitOptions
			fs.StringVar(&o.Name, "name", "",
				"`NAME` of the chain of roots, which never changes (default: vendor.domain)")
			fs.BoolVar(&o.Development, "development", false, "this root is for development")
			fs.BoolVar(&o.Hybrid, "hybrid", false, "pair the root key with an ML-DSA-65 key")
			fs.BoolVar(&o.OnePerson, "one-person", false,
				"that one person can replace this root is meant: do not warn of it")
			lock := lockFlags(fs)
			fs.IntVar(&o.Years, "years", 2, "the root expires after this `NUMBER` of years")
			return func(ctx context.Context, c cli.Console, args []string) error {
				if len(args) > 0 {
					return cli.Usage("root init takes no arguments; name the directory with --dir")
				}
				if o.Years < 1 || o.Years > 20 {
					return cli.Usage("--years %d: want 1 to 20", o.Years)
				}
				if o.Name == "" {
					d, err := workspace.Load(*dir)
					if err != nil {
						return noFlag("--name", err)
					}
					o.Name = d.Vendor.Domain
				}
				o.Lock = *lock
				return root.Init(ctx, c, *dir, o)
			}
		},
	}
}
