package main

import (
	"context"
	"flag"

	"github.com/ratchet-ota/ratchet/cmd/internal/cli"
	"github.com/ratchet-ota/ratchet/cmd/ratchet-release/check"
)

func checkVerb() cli.Verb {
	return cli.Verb{
		Name: "check", Args: "FILE (--root FILE | --key FILE) --facts FACTS.toml [--payloads DIR]",
		Short: "say what a device would do with an envelope, command by command",
		Long:  checkHelp,
		Examples: []string{
			"ratchet-release check release.suit --key release.pub.pem --facts gateway.toml",
			"ratchet-release check release.suit --root root-bundle.cbor --facts gateway.toml --payloads .",
		},
		Exits: "3 the device would not take it now, with \"reason: <word>\", the SUIT code, the section and the\n" +
			"offset of the command on standard output",
		Setup: func(fs *flag.FlagSet) cli.Action {
			var o check.Options
			fs.StringVar(&o.Root, "root", "", "trust root `FILE`: a signed root, or the bundle")
			keys := cli.Repeated(fs, "key", "public key `FILE` instead of a root, PEM or COSE_Key; may be repeated")
			fs.StringVar(&o.Facts, "facts", "", "`FILE` that says what the device is")
			fs.StringVar(&o.Payloads, "payloads", "", "answer fetches from `DIR`, by the last part of their addresses")
			decrypt := cli.Repeated(fs, "decrypt-key",
				"the device's decryption key `FILE`, PEM or COSE_Key; may be repeated")
			return func(ctx context.Context, c cli.Console, args []string) error {
				o.Keys, o.Decrypt = *keys, *decrypt
				switch {
				case len(args) != 1:
					return cli.Usage("name one envelope file")
				case (o.Root == "") == (len(o.Keys) == 0):
					return cli.Usage("give either --root or --key, which say what the device trusts")
				case o.Facts == "":
					return cli.Usage("give --facts FILE, which says what the device is")
				}
				return check.Run(ctx, c, args[0], o)
			}
		},
	}
}

const checkHelp = `
A dry run of the envelope FILE ("-" is standard input) by the code that devices run, on a device
that exists in memory only: signatures, every command in its order, the rules of the device, and
with --payloads the images too, written into slots in memory and read back. No plan and no pulse is
asked for, as with a technician's install.

FACTS.toml (an unknown key is an error; what is left out is unknown to the device):
  vendor = "UUID"             or a domain, or a list
  class = "UUID"              or a list; a name where there is one vendor
  device = "UUID"             or a list
  version = "1.4.2"           of the running system, or [1, 4, 2]
  floor = 12                  highest sequence that was confirmed
  time = 2026-03-01T12:00:00Z absent: the device does not know the time
  slot = 0                    index of the running slot, 0 or 1; the other one is written
  slot_size = 536870912       bytes, or [slot_size] with a line for each component
  battery_mwh = 5000
  allow_algs = ["ES256"]      older algorithm identifiers: ES256 (-7), EdDSA (-8)
  components = ["rootfs", "app/x"]   absent: all that the manifest has
  [running.rootfs]            what was confirmed in the running slot, for a part that the manifest
    digest = "sha256:..."     leaves out; with size = 536870912 and sequence = 12`
