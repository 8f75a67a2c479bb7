package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/ratchet-ota/ratchet/agent/manifest"
	"github.com/ratchet-ota/ratchet/agent/trust"
	"github.com/ratchet-ota/ratchet/cmd/internal/cli"
	"github.com/ratchet-ota/ratchet/cmd/internal/conf"
	"github.com/ratchet-ota/ratchet/cmd/internal/keys"
	"github.com/ratchet-ota/ratchet/transport/wire"
)

// Files of a release directory.
const (
	deskName   = "ratchet-release.toml"
	devicesDir = "devices" // enrolled public keys, <id>.pem
)

// deskFile is ratchet-release.toml. Paths are relative to its directory.
type deskFile struct {
	Vendor struct {
		Domain  string   `toml:"domain"`
		Classes []string `toml:"classes"`
	} `toml:"vendor"`
	Keys struct {
		Release string   `toml:"release"`
		Anchors []string `toml:"anchors"`
		Legacy  bool     `toml:"legacy-algorithms"`
	} `toml:"keys"`
	Images struct {
		Directory string   `toml:"directory"`
		BaseURL   string   `toml:"base-url"`
		Mirrors   []string `toml:"mirrors"`
	} `toml:"images"`
	Broker struct {
		URL          string `toml:"url"`
		AllowPlain   bool   `toml:"allow-plain"`
		Channel      string `toml:"channel"`
		CA           string `toml:"ca"`
		Certificate  string `toml:"certificate"`
		Key          string `toml:"key"`
		Username     string `toml:"username"`
		PasswordFile string `toml:"password-file"`
		ClientID     string `toml:"client-id"`
	} `toml:"broker"`
}

// desk is a release directory. The zero value is none: everything must be said on the command line.
type desk struct {
	deskFile
	dir string // "" = none
}

// loadDesk reads a release directory; one without a ratchet-release.toml is an error.
func loadDesk(dir string) (desk, error) {
	path := filepath.Join(dir, deskName)
	d := desk{dir: dir}
	doc, err := conf.Read(path, &d.deskFile)
	if errors.Is(err, fs.ErrNotExist) {
		return desk{}, fmt.Errorf("%s is not a release directory: it has no %s; make one with `ratchet-release init`, or name it with --dir", dir, deskName)
	}
	if err != nil {
		return desk{}, err
	}
	return d, d.check(doc)
}

// findDesk is loadDesk for verbs that can do without a release directory.
func findDesk(dir string) (desk, error) {
	if _, err := os.Stat(filepath.Join(dir, deskName)); dir == "." && errors.Is(err, fs.ErrNotExist) {
		return desk{}, nil
	}
	return loadDesk(dir)
}

// check finds values that no verb could use.
func (d desk) check(doc conf.Document) error {
	if d.Vendor.Domain != "" {
		if _, err := conf.VendorUUID(d.Vendor.Domain); err != nil {
			return doc.Errorf("vendor.domain", "%v", err)
		}
	}
	if c := d.Broker.Channel; c != "" {
		if err := wire.CheckID(c); err != nil {
			return doc.Errorf("broker.channel", "%q %v", manifest.Printable(c), err)
		}
	}
	if d.Broker.URL != "" {
		if err := d.brokerOptions().Validate(); err != nil {
			return doc.Errorf("broker", "%v", err)
		}
	}
	for key, list := range map[string][]string{"images.base-url": conf.NonEmpty(d.Images.BaseURL), "images.mirrors": d.Images.Mirrors} {
		for _, u := range list {
			if err := conf.CheckURL(u); err != nil {
				return doc.Errorf(key, "%v", err)
			}
		}
	}
	return nil
}

// path resolves a path of the configuration; "" stays.
func (d desk) path(p string) string {
	if p == "" || filepath.IsAbs(p) {
		return p
	}
	return filepath.Join(d.dir, p)
}

// images is the directory of published payloads, "" when there is none.
func (d desk) images() string { return d.path(d.Images.Directory) }

// anchors are the keys that the fleet trusts.
func (d desk) anchors() (trust.Keys, error) {
	if len(d.Keys.Anchors) == 0 {
		return trust.Keys{}, cli.Usage("no public key: give --key FILE, or name keys.anchors in %s", deskName)
	}
	paths := make([]string, len(d.Keys.Anchors))
	for i, p := range d.Keys.Anchors {
		paths[i] = d.path(p)
	}
	return keys.Anchors(paths, d.Keys.Legacy)
}

// deviceKeys is the enrolled key of a device; ok is false when there is none. An unreadable one is
// an error.
func (d desk) deviceKeys(id string) (own trust.Keys, ok bool, err error) {
	if d.dir == "" || wire.CheckID(id) != nil {
		return trust.Keys{}, false, nil
	}
	path := d.path(filepath.Join(devicesDir, id+".pem"))
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		return trust.Keys{}, false, nil
	}
	own, err = keys.Anchors([]string{path}, false)
	return own, err == nil, err
}
