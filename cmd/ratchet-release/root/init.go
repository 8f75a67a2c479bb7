package root

import (
	"errors"
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

// Init begins a root.
//
// Crash: at any point -> some of the files are missing; what exists is not overwritten, and nothing
// depends on a bundle that was not written.
func Init(c cli.Console, dir, name string, development, hybrid bool, years int) error {
	for _, n := range []string{FileName, BundleName, "root-1.cbor"} {
		if _, err := os.Lstat(filepath.Join(dir, n)); err == nil {
			return fmt.Errorf("cannot begin a root in %s: %s exists already and is not overwritten", dir, n)
		}
	}
	if err := os.MkdirAll(filepath.Join(dir, "keys"), 0o700); err != nil {
		return fmt.Errorf("cannot begin a root in %s: %w", dir, err)
	}
	algs := map[trust.Role]string{trust.RoleRoot: "esp384", trust.RoleRelease: "esp256", trust.RoleCampaign: "esp256",
		trust.RolePulse: "ed25519", trust.RoleRecovery: "esp256"}
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
	if err := files.Create(filepath.Join(dir, FileName),
		rootTOML(name, development, hybrid, now.AddDate(years, 0, 0)), 0o644); err != nil {
		return fmt.Errorf("cannot begin a root in %s: %w", dir, err)
	}
	if err := Next(cli.Console{Out: discard{}, Err: c.Err}, dir, false, now); err != nil {
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
		if err := Sign(out, filepath.Join(dir, "root-1.cbor"), "", filepath.Join(dir, "keys", k)); err != nil {
			return err
		}
	}
	c.Say("Keep the private keys in keys/ apart: the root key and the recovery key offline, the " +
		"pulse key where it is used.")
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
	return fmt.Appendf(nil,
		`# The trust root: who may say what to the devices. After a change run: ratchet-release root rotate
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
