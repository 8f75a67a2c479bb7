package main

import (
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"github.com/ratchet-ota/ratchet/agent/manifest"
	"github.com/ratchet-ota/ratchet/agent/trust"
	"github.com/ratchet-ota/ratchet/cmd/internal/cli"
	"github.com/ratchet-ota/ratchet/cmd/internal/files"
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

// dirFlag defines --dir.
func dirFlag(fs *flag.FlagSet) *string {
	return fs.String("dir", ".", "release `DIR`ectory that init made")
}

// loadDesk reads a release directory; one without a ratchet-release.toml is an error.
func loadDesk(dir string) (desk, error) {
	path := filepath.Join(dir, deskName)
	d := desk{dir: dir}
	doc, err := readTOML(path, &d.deskFile)
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
func (d desk) check(doc document) error {
	if d.Vendor.Domain != "" {
		if _, err := vendorUUID(d.Vendor.Domain); err != nil {
			return doc.errorf("vendor.domain", "%v", err)
		}
	}
	if c := d.Broker.Channel; c != "" {
		if err := wire.CheckID(c); err != nil {
			return doc.errorf("broker.channel", "%q %v", manifest.Printable(c), err)
		}
	}
	if d.Broker.URL != "" {
		if err := d.brokerOptions().check(); err != nil {
			return doc.errorf("broker", "%v", err)
		}
	}
	for key, list := range map[string][]string{"images.base-url": nonEmpty(d.Images.BaseURL), "images.mirrors": d.Images.Mirrors} {
		for _, u := range list {
			if err := checkURL(u); err != nil {
				return doc.errorf(key, "%v", err)
			}
		}
	}
	return nil
}

func nonEmpty(s string) []string {
	if s == "" {
		return nil
	}
	return []string{s}
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
	return readAnchors(paths, d.Keys.Legacy)
}

// readAnchors reads public keys.
func readAnchors(paths []string, legacy bool) (trust.Keys, error) {
	var keys []trust.Key
	for _, p := range paths {
		k, err := readPublic(p)
		if err != nil {
			return trust.Keys{}, err
		}
		keys = append(keys, k)
	}
	return trust.NewKeys(keys, legacy)
}

func readPublic(path string) (trust.Key, error) {
	b, err := files.Read(path, trust.MaxPEM, "public key")
	if err != nil {
		return trust.Key{}, err
	}
	k, err := trust.ParsePublic(b)
	if err != nil {
		return trust.Key{}, fmt.Errorf("%s: %w", path, err)
	}
	return k, nil
}

// readPrivate reads a private key, or the file that says which command signs in its place.
func readPrivate(path string) (*trust.Signer, error) {
	if filepath.Ext(path) == ".toml" {
		return readCommandSigner(path)
	}
	b, err := files.Read(path, trust.MaxPEM, "private key")
	if err != nil {
		return nil, err
	}
	s, err := trust.ParsePrivate(b)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return s, nil
}

// deviceKeys is the enrolled key of a device; ok is false when there is none. An unreadable one is
// an error.
func (d desk) deviceKeys(id string) (keys trust.Keys, ok bool, err error) {
	if d.dir == "" || wire.CheckID(id) != nil {
		return trust.Keys{}, false, nil
	}
	path := d.path(filepath.Join(devicesDir, id+".pem"))
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		return trust.Keys{}, false, nil
	}
	keys, err = readAnchors([]string{path}, false)
	return keys, err == nil, err
}

// vendorUUID is the identifier of a vendor given by domain or by UUID.
func vendorUUID(s string) (manifest.UUID, error) {
	if u, err := manifest.ParseUUID(s); err == nil {
		return u, nil
	}
	if err := checkDomain(s); err != nil {
		return manifest.UUID{}, fmt.Errorf("%q %w", manifest.Printable(s), err)
	}
	return manifest.VendorUUID(s), nil
}

// classUUID is the identifier of a device class given by name or by UUID.
func classUUID(vendor manifest.UUID, s string) (manifest.UUID, error) {
	if u, err := manifest.ParseUUID(s); err == nil {
		return u, nil
	}
	if s == "" || s != strings.TrimSpace(s) || s != manifest.Printable(s) {
		return manifest.UUID{}, fmt.Errorf("%q is not a class name: want visible characters without space around them, or a UUID", manifest.Printable(s))
	}
	return manifest.ClassUUID(vendor, s), nil
}

// checkDomain wants one spelling, because identifiers are made from it.
func checkDomain(s string) error {
	if len(s) > 253 || !strings.Contains(s, ".") {
		return errors.New("is neither a domain name such as example.com nor a UUID")
	}
	for _, label := range strings.Split(s, ".") {
		if label == "" || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' {
			return errors.New("is not a domain name such as example.com")
		}
		for _, c := range []byte(label) {
			if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' {
				return errors.New("is not a domain name in lower case, such as example.com")
			}
		}
	}
	return nil
}

// checkURL accepts what a device could fetch from.
func checkURL(s string) error {
	u, err := url.Parse(s)
	switch {
	case err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http":
		return fmt.Errorf("%q is not a URL such as https://updates.example.com/images", manifest.Printable(s))
	case u.User != nil:
		return errors.New("user information does not belong in a URL that every device gets")
	case u.Fragment != "":
		return errors.New("a URL of a payload has no fragment")
	case len(s) > manifest.MaxURI:
		return fmt.Errorf("the URL has more than %d bytes", manifest.MaxURI)
	}
	for _, c := range []byte(s) {
		if c <= ' ' || c >= 0x7f {
			return fmt.Errorf("%q: a URL is ASCII without spaces; escape other characters", manifest.Printable(s))
		}
	}
	return nil
}
