package main

import (
	"context"
	"flag"

	"github.com/ratchet-ota/ratchet/cmd/internal/cli"
	"github.com/ratchet-ota/ratchet/cmd/internal/keys"
)

func keysNewVerb() cli.Verb {
	return cli.Verb{
		Name: "keys new", Args: "[flags] NAME",
		Short: "make a key pair, for one person or one service",
		Long: `
Makes a key pair: NAME.pem, which its owner keeps, and NAME.pub.pem, which goes into root.toml.
Nothing that exists is overwritten. The private key is encrypted with a passphrase, which is asked
for on a terminal or read with --passphrase-file; --plain makes one that is not. OpenSSL reads it, too
(openssl pkey -in NAME.pem). Where it should never be in a file at all, keep it in a token and name a
signing command instead (see ratchet-release.toml(5)).`,
		Examples: []string{"ratchet-release keys new alice", "ratchet-release keys new --alg ml-dsa-65 alice-ml-dsa",
			"ratchet-release keys new --passphrase-file \"$CREDENTIALS_DIRECTORY/ci\" ci"},
		Setup: func(fs *flag.FlagSet) cli.Action {
			alg := fs.String("alg", "esp256", "`ALGORITHM` of the key: esp256, ed25519, esp384 or ml-dsa-65")
			lock := lockFlags(fs)
			return func(ctx context.Context, c cli.Console, args []string) error {
				if len(args) != 1 {
					return cli.Usage("give one name for the key pair")
				}
				begin, err := lock.Begin(ctx, c, args[0]+".pem")
				if err != nil {
					return err
				}
				pass, err := begin(args[0] + ".pem")
				if err != nil {
					return err
				}
				s, err := keys.NewPair(args[0], *alg, pass)
				if err != nil {
					return err
				}
				c.Say("%s.pem      private (%s), %s: guard it and back it up", args[0], keys.Algorithm(s.Key().Alg()),
					encryptedOr(pass != nil))
				c.Say("%s.pub.pem  public, id %s", args[0], s.Key().ID())
				return nil
			}
		},
	}
}

// encryptedOr says in a word or two whether a private key is encrypted.
func encryptedOr(yes bool) string {
	if yes {
		return "encrypted"
	}
	return "NOT encrypted"
}

func keysPassphraseVerb() cli.Verb {
	return cli.Verb{
		Name: "keys passphrase", Args: "[flags] KEY.pem",
		Short: "change the passphrase of a private key, encrypt a plain one, or decrypt it",
		Long: `
Encrypts the private key KEY.pem anew, with a new passphrase, or for the first time; with --plain it
is written without encryption. The key stays the same, and so does its public half. The file is
replaced as a whole, with mode 0600, after the new one was read back and opened. Copies of the old
file, in backups or in unused blocks of the disk, are not touched: they still open with the old
passphrase, or with none. If one of them may be in wrong hands, make a new key.

A passphrase is one line. It is asked for on the terminal, or comes from the file of
--passphrase-file: "-" is standard input, /dev/fd/N an open descriptor, and $CREDENTIALS_DIRECTORY
has the files of systemd. If it is a directory, the passphrase of NAME.pem is in its file NAME, so
that one setting does for several keys. It is never an argument, which others can read in ps.`,
		Examples: []string{"ratchet-release keys passphrase keys/release.pem",
			"ratchet-release keys passphrase --passphrase-file old --new-passphrase-file new ci.pem",
			"ratchet-release keys passphrase --plain lab.pem"},
		Setup: func(fs *flag.FlagSet) cli.Action {
			var (
				from keys.Source
				lock keys.Lock
			)
			passphraseFlag(fs, &from)
			fs.StringVar(&lock.File, "new-passphrase-file", "", "`FILE` or directory with the new passphrase "+
				"(default: ask)")
			fs.BoolVar(&lock.Plain, "plain", false, "write the key without encryption")
			return func(ctx context.Context, c cli.Console, args []string) error {
				if len(args) != 1 {
					return cli.Usage("name one private key, KEY.pem")
				}
				from.Path = args[0]
				s, was, err := keys.Relock(ctx, c, from, lock)
				if err != nil {
					return err
				}
				c.Say("%s: %s now (%s, id %s).", args[0], encryptedOr(!lock.Plain), keys.Algorithm(s.Key().Alg()),
					s.Key().ID())
				if !was && !lock.Plain {
					c.Say("It was plain before: copies in backups and in unused blocks of the disk still are.")
				}
				return nil
			}
		},
	}
}
