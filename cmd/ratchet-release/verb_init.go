package main

import (
	"context"
	"flag"

	"github.com/ratchet-ota/ratchet/cmd/internal/cli"
	"github.com/ratchet-ota/ratchet/cmd/ratchet-release/release"
	"github.com/ratchet-ota/ratchet/cmd/ratchet-release/workspace"
)

func initVerb() cli.Verb {
	return cli.Verb{
		Name: "init", Args: "[flags] [DIR]",
		Short: "make a release directory: keys and configuration",
		Long: `
Makes a release directory (the current one unless DIR is given): a release key, its public half
for the devices, ratchet-release.toml, and a release file to start from. Nothing that exists is
overwritten. The private key is encrypted with a passphrase, which is asked for on a terminal or read
with --passphrase-file; --plain makes one that is not. Keep the directory where only the people who
release can read it, and back it up; devices accept nothing that it has not signed.

One key decides then what every device runs, and one person holds it; a warning says so, unless
--one-person says that this is meant. For a fleet begin a trust root instead: see root init.`,
		Examples: []string{
			"ratchet-release init --vendor example.com --class gateway-v1 desk",
			"ratchet-release init --alg ed25519 --broker mqtts://broker.example.com:8883 desk",
		},
		Setup: func(fs *flag.FlagSet) cli.Action {
			var o workspace.InitOptions
			fs.StringVar(&o.Alg, "alg", "esp256", "`ALGORITHM` of the release key: esp256, ed25519 or esp384")
			fs.StringVar(&o.Vendor, "vendor", "example.com", "`DOMAIN` of the vendor; part of every manifest")
			classes := cli.Repeated(fs, "class", "device class `NAME` (default gateway-v1); may be repeated")
			fs.StringVar(&o.Broker, "broker", "mqtts://broker.example.com:8883", "MQTT broker `URL`")
			fs.BoolVar(&o.AllowPlain, "allow-plain", false, "allow a broker without TLS (mqtt://)")
			fs.StringVar(&o.Channel, "channel", "stable", "offer channel `NAME`")
			fs.StringVar(&o.BaseURL, "base-url", "https://updates.example.com/images",
				"public `URL` of the image directory")
			fs.BoolVar(&o.OnePerson, "one-person", false,
				"that one key of one person decides is meant: do not warn of it")
			lock := lockFlags(fs)
			return func(ctx context.Context, c cli.Console, args []string) error {
				if len(args) > 1 {
					return cli.Usage("name at most one directory")
				}
				dir := "."
				if len(args) == 1 {
					dir = args[0]
				}
				if o.Classes = *classes; len(o.Classes) == 0 {
					o.Classes = []string{"gateway-v1"}
				}
				o.Lock = *lock
				return workspace.Init(ctx, c, dir, o, func(name string, b []byte, d workspace.Folder) error {
					_, err := release.Parse(name, b, d)
					return err
				})
			}
		},
	}
}
