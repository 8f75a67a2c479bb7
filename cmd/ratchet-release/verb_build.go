package main

import (
	"context"
	"flag"

	"github.com/ratchet-ota/ratchet/cmd/internal/cli"
	"github.com/ratchet-ota/ratchet/cmd/ratchet-release/release"
	"github.com/ratchet-ota/ratchet/cmd/ratchet-release/workspace"
)

func buildVerb() cli.Verb {
	return cli.Verb{
		Name: "build", Args: "[flags] RELEASE.toml",
		Short: "make a manifest and its payloads from a release file",
		Long:  buildHelp,
		Examples: []string{
			"ratchet-release build release.toml",
			"ratchet-release build -o out/1.4.0.suit release.toml",
			"SOURCE_DATE_EPOCH=1790000000 ratchet-release build nightly.toml",
		},
		Setup: func(fs *flag.FlagSet) cli.Action {
			var o release.BuildOptions
			dir := dirFlag(fs)
			fs.StringVar(&o.Out, "o", "", "write the envelope to `FILE` (default: RELEASE.suit)")
			fs.StringVar(&o.Payloads, "payloads", "", "write payloads to `DIR` (default: beside the envelope)")
			fs.Uint64Var(&o.Sequence, "sequence", 0, "sequence `NUMBER` instead of the one in the release file")
			fs.BoolVar(&o.Force, "force", false, "replace a signed envelope that says something else")
			return func(ctx context.Context, c cli.Console, args []string) error {
				if len(args) != 1 {
					return cli.Usage("name one release file")
				}
				o.Release = args[0]
				d, err := workspace.Find(*dir)
				if err != nil {
					return err
				}
				return release.Build(ctx, c, d, o)
			}
		},
	}
}

const buildHelp = `
Reads a release file, makes the payloads (compressed if the file says so) and writes the unsigned
envelope. The same release file, images and program version give the same bytes.

Keys of a release file (an unknown key is an error):
  version = "1.4.0"           what the release is called; also 1.4-rc.1, -beta.1, -alpha.1
  sequence = 14               higher than every release before; or "auto": the seconds since
                              1970 of SOURCE_DATE_EPOCH, or of now (then builds differ)
  vendor = "example.com"      domain or UUID (default: ratchet-release.toml)
  class = "gateway-v1"        device class, name or UUID; or classes = [...] (default likewise)
  device = "UUID"             only this device
  base-url = "https://..."    where the payloads will be (default: images.base-url of the desk)
  mirrors = ["https://..."]   further base URLs with the same files
  priority = 10               ask the device's owner, with this urgency (smaller: more urgent)
  reference-uri = "https://..."  where to download the full envelope
  sever-text = false          true: sign the texts, but do not carry them
  [[component]]
    name = "rootfs"           file = "rootfs.img"       compress = "none" or "zstd"
    level = 9                 of zstd, 1 to 22
    uri = "https://..."       complete, instead of base-url and the payload's name
    embed = false             true: carry a small payload in the envelope
    base-url, mirrors         for this component
    [[component.image]]       instead of file: slot = 0, file, uri; one for each slot
  [conditions]
    version = [">= 1.2"]      of the running system; all must hold
    use-before = 2030-01-31T12:00:00Z
    min-battery-mwh = 500
  [text.en]                   by language: description, update
  [text.en.component.rootfs]  vendor-name, model-name, vendor-domain, model-info, description, version

Payloads are named by their SHA-256, so that a published one is never replaced.`
