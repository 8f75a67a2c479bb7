package root

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/ratchet-ota/ratchet/agent/trust"
	"github.com/ratchet-ota/ratchet/cmd/internal/cli"
	"github.com/ratchet-ota/ratchet/cmd/internal/conf"
	"github.com/ratchet-ota/ratchet/cmd/internal/files"
	"github.com/ratchet-ota/ratchet/cmd/internal/keys"
)

// InitOptions are what a first root says, and how its private keys are protected.
type InitOptions struct {
	Name        string
	Development bool
	Hybrid      bool // the root key is paired with one of ML-DSA-65
	OnePerson   bool // meant so: no warning
	Years       int
	Lock        keys.Lock
}

// Init begins a root.
//
// Crash: at any point -> some of the files are missing; what exists is not overwritten, and nothing
// depends on a bundle that was not written.
func Init(ctx context.Context, c cli.Console, dir string, o InitOptions) error {
	for _, n := range []string{FileName, BundleName, "root-1.cbor"} {
		if _, err := os.Lstat(filepath.Join(dir, n)); err == nil {
			return fmt.Errorf("cannot begin a root in %s: %s exists already and is not overwritten", dir, n)
		}
	}
	lock, err := o.Lock.Begin(ctx, c, "the new keys in "+filepath.Join(dir, "keys"))
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Join(dir, "keys"), 0o700); err != nil {
		return fmt.Errorf("cannot begin a root in %s: %w", dir, err)
	}
	signers, err := makeKeys(dir, o, lock)
	if err != nil {
		return err
	}
	now := time.Now()
	if err := files.Create(filepath.Join(dir, FileName), rootTOML(o, now.AddDate(o.Years, 0, 0)), 0o644); err != nil {
		return fmt.Errorf("cannot begin a root in %s: %w", dir, err)
	}
	if _, err := next(cli.Console{Out: discard{}, Err: c.Err}, dir, false, now); err != nil {
		return err
	}
	var s trust.RootSpec
	for i, signer := range signers {
		out := c
		if i < len(signers)-1 {
			out.Out = discard{}
		}
		if s, err = sign(out, filepath.Join(dir, "root-1.cbor"), "", signer); err != nil {
			return err
		}
	}
	c.Say("Keep the private keys in keys/ apart: the root key and the recovery key offline, the " +
		"pulse key where it is used.")
	warnAlone(c, dir, s)
	return nil
}

// makeKeys makes a key for each role, and returns those that sign the root.
func makeKeys(dir string, o InitOptions, lock func(path string) ([]byte, error)) (signers []*trust.Signer, err error) {
	type pair struct{ name, alg string }
	pairs := []pair{{"root", "esp384"}, {"release", "esp256"}, {"campaign", "esp256"}, {"pulse", "ed25519"},
		{"recovery", "esp256"}}
	if o.Hybrid {
		pairs = append(pairs, pair{"root-ml-dsa", "ml-dsa-65"})
	}
	for _, p := range pairs {
		name := filepath.Join(dir, "keys", p.name)
		pass, err := lock(name + ".pem")
		if err != nil {
			return nil, err
		}
		s, err := keys.NewPair(name, p.alg, pass)
		if err != nil && !(p.name == "release" && errors.Is(err, fs.ErrExist)) {
			return nil, err
		}
		if strings.HasPrefix(p.name, "root") {
			signers = append(signers, s)
		}
	}
	return signers, nil
}

// discard is a console that says nothing.
type discard struct{}

func (discard) Write(p []byte) (int, error) { return len(p), nil }

// rootTOML is a new root.toml.
func rootTOML(o InitOptions, expires time.Time) []byte {
	lattice, algs := "", `["esp256", "ed25519", "esp384"]`
	if o.Hybrid {
		lattice, algs = "\nml-dsa = \"keys/root-ml-dsa.pub.pem\"", `["esp256", "ed25519", "esp384", "ml-dsa-65"]`
	}
	return fmt.Appendf(nil,
		`# The trust root: who may say what to the devices. After a change run: ratchet-release root rotate
# Paths are relative to this file. Order counts among roles of one name: the first that covers a
# device and a component decides for it.

name = %s            # of the chain; never changes
development = %t
one-person = %t                  # true: that one person can replace this root is meant; no warning then
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
`, conf.Quote(o.Name), o.Development, o.OnePerson, expires.UTC().Format("2006-01-02T00:00:00Z"), algs, lattice)
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
