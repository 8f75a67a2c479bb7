// Package workspace is the folder that releases are made in: ratchet-release.toml, keys, published images
// and the evidence keys of enrolled devices.
//
// A file is made whole or not at all, and nothing that exists is overwritten without being asked for. A
// verb that can do without a folder takes the zero one: everything must then be said on its command line.
package workspace

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/ratchet-ota/ratchet/agent/manifest"
	"github.com/ratchet-ota/ratchet/agent/trust"
	"github.com/ratchet-ota/ratchet/cmd/internal/broker"
	"github.com/ratchet-ota/ratchet/cmd/internal/cli"
	"github.com/ratchet-ota/ratchet/cmd/internal/conf"
	"github.com/ratchet-ota/ratchet/cmd/internal/keys"
	"github.com/ratchet-ota/ratchet/transport/wire"
)

// FileName is what makes a folder a release directory.
const FileName = "ratchet-release.toml"

// devicesDir holds enrolled public keys, <id>.pem.
const devicesDir = "devices"

// File is ratchet-release.toml. Paths are relative to its directory.
type File struct {
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

// Folder is a release directory. The zero value is none: everything must be said on the command line.
type Folder struct {
	File
	dir string // "" = none
	doc conf.Document
}

// ErrNone: a directory is no release directory.
var ErrNone = errors.New("is not a release directory")

// None tells whether there is no release directory.
func (d Folder) None() bool { return d.dir == "" }

// Errorf is an error about the value of a key of ratchet-release.toml.
func (d Folder) Errorf(key, format string, args ...any) error {
	return d.doc.Errorf(key, format, args...)
}

// Load reads a release directory; one without a ratchet-release.toml is an error.
func Load(dir string) (Folder, error) {
	path := filepath.Join(dir, FileName)
	d := Folder{dir: dir}
	doc, err := conf.Read(path, &d.File)
	if errors.Is(err, fs.ErrNotExist) {
		return Folder{}, fmt.Errorf("%s %w: it has no %s; make one with `ratchet-release "+
			"init`, or name it with --dir", dir, ErrNone, FileName)
	}
	if err != nil {
		return Folder{}, err
	}
	d.doc = doc
	return d, d.check(doc)
}

// Find is Load for verbs that can do without a release directory: the current one may be none.
func Find(dir string) (Folder, error) {
	if _, err := os.Stat(filepath.Join(dir, FileName)); dir == "." && errors.Is(err, fs.ErrNotExist) {
		return Folder{}, nil
	}
	return Load(dir)
}

// check finds values that no verb could use.
func (d Folder) check(doc conf.Document) error {
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
		if err := d.BrokerOptions().Validate(); err != nil {
			return doc.Errorf("broker", "%v", err)
		}
	}
	for key, list := range map[string][]string{"images.base-url": conf.NonEmpty(d.Images.BaseURL),
		"images.mirrors": d.Images.Mirrors} {
		for _, u := range list {
			if err := conf.CheckURL(u); err != nil {
				return doc.Errorf(key, "%v", err)
			}
		}
	}
	return nil
}

// Path resolves a path of the configuration; "" stays.
func (d Folder) Path(p string) string {
	if p == "" || filepath.IsAbs(p) {
		return p
	}
	return filepath.Join(d.dir, p)
}

// ImageDir is the directory of published payloads, "" when there is none.
func (d Folder) ImageDir() string { return d.Path(d.Images.Directory) }

// Anchors are the keys that the fleet trusts.
func (d Folder) Anchors() (trust.Keys, error) {
	if len(d.Keys.Anchors) == 0 {
		return trust.Keys{}, cli.Usage("no public key: give --key FILE, or name keys.anchors in %s", FileName)
	}
	paths := make([]string, len(d.Keys.Anchors))
	for i, p := range d.Keys.Anchors {
		paths[i] = d.Path(p)
	}
	all, err := keys.Anchors(paths, d.Keys.Legacy)
	if err != nil {
		return all, d.Errorf("keys.anchors", "%v", err)
	}
	return all, nil
}

// DeviceKeys is the enrolled key of a device; ok is false when there is none. An unreadable one is
// an error.
func (d Folder) DeviceKeys(id string) (own trust.Keys, ok bool, err error) {
	if d.dir == "" || wire.CheckID(id) != nil {
		return trust.Keys{}, false, nil
	}
	path := d.Path(filepath.Join(devicesDir, id+".pem"))
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		return trust.Keys{}, false, nil
	}
	own, err = keys.Anchors([]string{path}, false)
	return own, err == nil, err
}

// BrokerOptions say how the configuration reaches the broker; paths are resolved.
func (d Folder) BrokerOptions() broker.Options {
	b := d.Broker
	return broker.Options{URL: b.URL, AllowPlain: b.AllowPlain, CA: d.Path(b.CA), Cert: d.Path(b.Certificate),
		Key: d.Path(b.Key), Username: b.Username, Password: d.Path(b.PasswordFile), ClientID: b.ClientID,
		Fallback: FileName}
}
