package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/ratchet-ota/ratchet/agent/trust"
	"github.com/ratchet-ota/ratchet/cmd/internal/cli"
	"github.com/ratchet-ota/ratchet/cmd/internal/conf"
	"github.com/ratchet-ota/ratchet/cmd/internal/files"
	"github.com/ratchet-ota/ratchet/cmd/internal/keys"
)

func keysNewVerb() cli.Verb {
	return cli.Verb{
		Name: "keys new", Args: "[flags] NAME",
		Short: "make a key pair, for one person or one service",
		Long: `
Makes a key pair: NAME.pem, which its owner keeps, and NAME.pub.pem, which goes into root.toml.
Nothing that exists is overwritten. The private key is not encrypted; where it should never be in a
file at all, keep it in a token and name a signing command instead (FORMATS.md, release desk).`,
		Examples: []string{"ratchet-release keys new alice", "ratchet-release keys new --alg ml-dsa-65 alice-ml-dsa"},
		Setup: func(fs *flag.FlagSet) cli.Action {
			alg := fs.String("alg", "esp256", "algorithm of the `KEY`: esp256, ed25519, esp384 or ml-dsa-65")
			return func(_ context.Context, c cli.Console, args []string) error {
				if len(args) != 1 {
					return cli.Usage("one name, please")
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

func rootInitVerb() cli.Verb {
	return cli.Verb{
		Name: "root init", Args: "[flags]",
		Short: "begin a trust root: root.toml, a key for each role, version 1",
		Long: `
Begins a trust root in the release directory: one key for each role in keys/ (an existing
keys/release.pem takes the role release), root.toml, and version 1, signed, in root-bundle.cbor.
That is enough for a try, and for development: use --development there, so that devices and
evidence say which root they are under. For production, let each person make a key where it will
live (keys new), name them in root.toml with a threshold, and begin with "root rotate" instead.`,
		Examples: []string{"ratchet-release root init --name example.com --development", "ratchet-release root init --dir desk --hybrid"},
		Setup: func(fs *flag.FlagSet) cli.Action {
			dir := dirFlag(fs)
			name := fs.String("name", "", "`NAME` of the chain of roots, which never changes (default: vendor.domain)")
			development := fs.Bool("development", false, "this root is for development")
			hybrid := fs.Bool("hybrid", false, "pair the root key with an ML-DSA-65 key")
			years := fs.Int("years", 2, "the root expires after this `NUMBER` of years")
			return func(_ context.Context, c cli.Console, args []string) error {
				if len(args) > 0 {
					return cli.Usage("it takes no arguments; name the directory with --dir")
				}
				if *years < 1 || *years > 20 {
					return cli.Usage("--years %d: want 1 to 20", *years)
				}
				if *name == "" {
					d, err := loadDesk(*dir)
					if err != nil {
						return fmt.Errorf("no --name given: %w", err)
					}
					*name = d.Vendor.Domain
				}
				return rootInit(c, *dir, *name, *development, *hybrid, *years)
			}
		},
	}
}

// rootInit begins a root.
//
// Crash: at any point -> some of the files are missing; what exists is not overwritten, and nothing
// depends on a bundle that was not written.
func rootInit(c cli.Console, dir, name string, development, hybrid bool, years int) error {
	for _, n := range []string{rootName, bundleName, "root-1.cbor"} {
		if _, err := os.Lstat(filepath.Join(dir, n)); err == nil {
			return fmt.Errorf("cannot begin a root in %s: %s exists already and is not overwritten", dir, n)
		}
	}
	if err := os.MkdirAll(filepath.Join(dir, "keys"), 0o700); err != nil {
		return fmt.Errorf("cannot begin a root in %s: %w", dir, err)
	}
	algs := map[trust.Role]string{trust.RoleRoot: "esp384", trust.RoleRelease: "esp256", trust.RoleCampaign: "esp256", trust.RolePulse: "ed25519", trust.RoleRecovery: "esp256"}
	for _, role := range trust.Roles() {
		_, err := keys.NewPair(filepath.Join(dir, "keys", string(role)), algs[role])
		if err != nil && !(role == trust.RoleRelease && errors.Is(err, fs.ErrExist)) {
			return err
		}
	}
	if hybrid {
		if _, err := keys.NewPair(filepath.Join(dir, "keys", "root-ml-dsa"), "ml-dsa-65"); err != nil {
			return err
		}
	}
	now := time.Now()
	if err := files.Create(filepath.Join(dir, rootName), rootTOML(name, development, hybrid, now.AddDate(years, 0, 0)), 0o644); err != nil {
		return fmt.Errorf("cannot begin a root in %s: %w", dir, err)
	}
	if err := rotate(cli.Console{Out: discard{}, Err: c.Err}, dir, false, now); err != nil {
		return err
	}
	keys := []string{"root.pem"}
	if hybrid {
		keys = append(keys, "root-ml-dsa.pem")
	}
	for i, k := range keys {
		out := c
		if i < len(keys)-1 {
			out.Out = discard{}
		}
		if err := signRoot(out, filepath.Join(dir, "root-1.cbor"), "", filepath.Join(dir, "keys", k)); err != nil {
			return err
		}
	}
	c.Say("Build devices with it: copy %s into the image and name it as trust.root in the configuration.", bundleName)
	c.Say("Keep the private keys in keys/ apart: the root key and the recovery key offline, the pulse key where it is used.")
	return nil
}

// discard is a console that says nothing.
type discard struct{}

func (discard) Write(p []byte) (int, error) { return len(p), nil }

// rootTOML is a new root.toml.
func rootTOML(name string, development, hybrid bool, expires time.Time) []byte {
	lattice, algs := "", `["esp256", "ed25519", "esp384"]`
	if hybrid {
		lattice, algs = "\nml-dsa = \"keys/root-ml-dsa.pub.pem\"", `["esp256", "ed25519", "esp384", "ml-dsa-65"]`
	}
	return fmt.Appendf(nil, `# The trust root: who may say what to the devices. After a change run: ratchet-release root rotate
# Paths are relative to this file. Order counts among roles of one name: the first that covers a
# device and a component decides for it.

name = %s            # of the chain; never changes
development = %t
expires = %s
algorithms = %s
renew = []                          # roles that begin a new generation although their signers stay
revoked = []                        # digests of manifests, "sha256:..."

[signer.root]                       # one person; key and ml-dsa are a pair of which both must sign
key = "keys/root.pub.pem"%s

[signer.release]
key = "keys/release.pub.pem"

[signer.campaign]
key = "keys/campaign.pub.pem"

[signer.pulse]
key = "keys/pulse.pub.pem"

[signer.recovery]
key = "keys/recovery.pub.pem"

[[role]]
name = "root"
threshold = 1                       # how many of the signers it takes
signers = ["root"]

[[role]]
name = "release"
threshold = 1
signers = ["release"]
# vendors = ["example.com"]         # only for devices of these
# classes = ["gateway-v1"]
# component = "boot"                # only for this component and those below it

[[role]]
name = "campaign"
threshold = 1
signers = ["campaign"]

[[role]]
name = "pulse"
threshold = 1
signers = ["pulse"]

[[role]]
name = "recovery"
threshold = 1
signers = ["recovery"]

# [component.rootfs]                # the sequences that manifests may have
# min = 1
# max = 100000
`, conf.Quote(name), development, expires.UTC().Format("2006-01-02T00:00:00Z"), algs, lattice)
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
