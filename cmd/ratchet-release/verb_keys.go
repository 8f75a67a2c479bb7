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
Nothing that exists is overwritten. The private key is not encrypted; where it should never be in a
file at all, keep it in a token and name a signing command instead (see ratchet-release.toml(5)).`,
		Examples: []string{"ratchet-release keys new alice", "ratchet-release keys new --alg ml-dsa-65 alice-ml-dsa"},
		Setup: func(fs *flag.FlagSet) cli.Action {
			alg := fs.String("alg", "esp256", "`ALGORITHM` of the key: esp256, ed25519, esp384 or ml-dsa-65")
			return func(_ context.Context, c cli.Console, args []string) error {
				if len(args) != 1 {
					return cli.Usage("give one name for the key pair")
				}
				k, err := keys.NewPair(args[0], *alg)
				if err != nil {
					return err
				}
				c.Say("%s.pem      private (%s): guard it and back it up", args[0], keys.Algorithm(k.Alg()))
				c.Say("%s.pub.pem  public, id %s", args[0], k.ID())
				return nil
			}
		},
	}
}
