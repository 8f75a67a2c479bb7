package root

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/ratchet-ota/ratchet/agent/trust"
	"github.com/ratchet-ota/ratchet/cmd/internal/cli"
	"github.com/ratchet-ota/ratchet/cmd/internal/conf"
	"github.com/ratchet-ota/ratchet/cmd/internal/keys"
)

// warnAlone warns of a root that one person can replace, or whoever takes one folder; dir is that of the
// root. A root for development says so to everybody, and root.toml may say that one person is meant.
func warnAlone(c cli.Console, dir string, s trust.RootSpec) {
	why := alone(dir, s)
	if len(why) == 0 || s.Development || meant(dir) {
		return
	}
	c.Warn("warning: this is a one-person root: %s.\n"+
		"  Whoever takes that, with one stolen laptop or one backup, replaces the root of every device, for good: no\n"+
		"  other signature can undo it. For a fleet let two of three people sign the root:\n"+
		"    each of them, on a machine of their own:  ratchet-release keys new NAME\n"+
		"    in %s:  a [signer.NAME] for each; for the role root  threshold = 2, signers = [...]\n"+
		"    ratchet-release root rotate; then two of them:  ratchet-release root sign --key NAME.pem root-N.cbor\n"+
		"  docs/integration/operator.md has the steps. If one person is meant, write  one-person = true  into %s.",
		strings.Join(why, ", and "), FileName, FileName)
}

// alone says what makes a root that of one person; nothing where it is not.
func alone(dir string, s trust.RootSpec) (why []string) {
	near := privateHalves(dir)
	if abs, err := filepath.Abs(dir); err == nil { // "in one folder, ." tells nobody which
		dir = abs
	}
	owned := func(m trust.Member) bool {
		for _, k := range m.Keys {
			if !near[k.ID()] {
				return false
			}
		}
		return true
	}
	root := false // a key of the root is in the folder
	for _, g := range s.Roles[trust.RoleRoot].Grants {
		if g.Threshold == 1 {
			why = append(why, fmt.Sprintf("one signature is enough for the next one (threshold 1 of %d)",
				len(g.Members)))
		}
		here := 0
		for _, m := range g.Members {
			if owned(m) {
				here++
			}
		}
		root = root || here > 0
		if here >= g.Threshold {
			why = append(why, fmt.Sprintf("the private keys of enough of its signers (%d) lie in one folder, %s",
				here, dir))
		}
	}
	var others []string
	for _, role := range trust.Roles() {
		for _, g := range s.Roles[role].Grants {
			for _, m := range g.Members {
				if role != trust.RoleRoot && owned(m) && (len(others) == 0 || others[len(others)-1] != string(role)) {
					others = append(others, string(role))
				}
			}
		}
	}
	if root && len(others) > 0 {
		why = append(why, fmt.Sprintf("a private key of the root lies together with those of other roles (%s)",
			strings.Join(others, ", ")))
	}
	return why
}

// privateHalves finds the ids of keys whose NAME.pub.pem has a NAME.pem beside it, in dir and its keys/.
// What cannot be read is left out: this is for a warning.
func privateHalves(dir string) map[string]bool {
	ids := map[string]bool{}
	for _, folder := range []string{dir, filepath.Join(dir, "keys")} {
		entries, _ := os.ReadDir(folder)
		for _, e := range entries {
			name, ok := strings.CutSuffix(e.Name(), ".pub.pem")
			if !ok {
				continue
			}
			if _, err := os.Stat(filepath.Join(folder, name+".pem")); err != nil {
				continue
			}
			if k, err := keys.Public(filepath.Join(folder, e.Name())); err == nil {
				ids[k.ID()] = true
			}
		}
	}
	return ids
}

// meant tells whether root.toml of dir says that one person is meant.
func meant(dir string) bool {
	var f rootFile
	_, err := conf.Read(filepath.Join(dir, FileName), &f)
	return err == nil && f.OnePerson
}
