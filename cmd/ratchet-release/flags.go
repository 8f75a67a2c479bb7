package main

import (
	"errors"
	"flag"
	"fmt"
	"path/filepath"

	"github.com/ratchet-ota/ratchet/cmd/internal/broker"
	"github.com/ratchet-ota/ratchet/cmd/internal/keys"
	"github.com/ratchet-ota/ratchet/cmd/ratchet-release/root"
	"github.com/ratchet-ota/ratchet/cmd/ratchet-release/workspace"
)

// brokerFlags defines the flags that replace the configuration's values.
func brokerFlags(fs *flag.FlagSet) func(broker.Options) broker.Options {
	var f broker.Options
	fs.StringVar(&f.URL, "broker", "", "broker `URL` (default: broker.url of ratchet-release.toml)")
	fs.BoolVar(&f.AllowPlain, "allow-plain", false, "allow a broker without TLS")
	fs.StringVar(&f.CA, "ca", "", "`PEM` file of the CAs that the broker's certificate may come from")
	fs.StringVar(&f.Cert, "cert", "", "client certificate `PEM`")
	fs.StringVar(&f.Key, "cert-key", "", "key of the client certificate, `PEM`")
	fs.StringVar(&f.Username, "username", "", "user `NAME` at the broker")
	fs.StringVar(&f.Password, "password-file", "", "`FILE` that holds the password")
	return func(o broker.Options) broker.Options {
		if f.URL != "" {
			o.Fallback = ""
		}
		for _, v := range []struct{ to, from *string }{
			{&o.URL, &f.URL}, {&o.CA, &f.CA}, {&o.Cert, &f.Cert}, {&o.Key, &f.Key}, {&o.Username, &f.Username},
			{&o.Password, &f.Password},
		} {
			if *v.from != "" {
				*v.to = *v.from
			}
		}
		o.AllowPlain = o.AllowPlain || f.AllowPlain
		return o
	}
}

// noFlag tells of a flag that is missing where there is no release directory to say it instead.
func noFlag(name string, err error) error {
	if errors.Is(err, workspace.ErrNone) {
		return fmt.Errorf("no %s given: %w", name, err)
	}
	return err
}

// rootFlags are those of whoever makes what the trust root stands behind.
type rootFlags struct {
	dir, bundle *string
	key         *keys.Source
}

// signedFlags defines --dir, --bundle and --key.
func signedFlags(fs *flag.FlagSet) rootFlags {
	return rootFlags{dir: dirFlag(fs),
		bundle: fs.String("bundle", "",
			"trust root bundle `FILE` (default: root-bundle.cbor of the release directory)"),
		key: keyFlag(fs)}
}

// bundleFile is what --bundle says, or the bundle of the release directory.
func (f rootFlags) bundleFile() string {
	if *f.bundle != "" {
		return *f.bundle
	}
	return filepath.Join(*f.dir, root.BundleName)
}

// keyFlag defines --key and --passphrase-file.
func keyFlag(fs *flag.FlagSet) *keys.Source {
	var from keys.Source
	fs.StringVar(&from.Path, "key", "", "private key `PEM`, or a TOML file that names a signing command")
	passphraseFlag(fs, &from)
	return &from
}

// passphraseFlag defines --passphrase-file for a key that is read.
func passphraseFlag(fs *flag.FlagSet, from *keys.Source) {
	fs.StringVar(&from.Passphrase, "passphrase-file", "",
		"`FILE` or directory with the passphrase (default: ask; see keys passphrase)")
}

// lockFlags defines --passphrase-file and --plain for keys that are made.
func lockFlags(fs *flag.FlagSet) *keys.Lock {
	var l keys.Lock
	fs.StringVar(&l.File, "passphrase-file", "",
		"encrypt with the passphrase from `FILE`, or directory (default: ask; see keys passphrase)")
	fs.BoolVar(&l.Plain, "plain", false, "do not encrypt private keys")
	return &l
}

// dirFlag defines --dir.
func dirFlag(fs *flag.FlagSet) *string {
	return fs.String("dir", ".", "the release directory `DIR` that init made")
}
