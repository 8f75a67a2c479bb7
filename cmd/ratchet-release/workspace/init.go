package workspace

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/ratchet-ota/ratchet/agent/trust"
	"github.com/ratchet-ota/ratchet/cmd/internal/cli"
	"github.com/ratchet-ota/ratchet/cmd/internal/conf"
	"github.com/ratchet-ota/ratchet/cmd/internal/files"
	"github.com/ratchet-ota/ratchet/cmd/internal/keys"
)

// InitOptions are what a new release directory is made for.
type InitOptions struct {
	Alg, Vendor, Broker, Channel, BaseURL string
	Classes                               []string
	AllowPlain                            bool
	OnePerson                             bool // meant so: no warning
	Lock                                  keys.Lock
}

// Files that init makes besides ratchet-release.toml.
const (
	privateName = "keys/release.pem"
	publicName  = "keys/release.pub.pem"
	exampleName = "release.toml"
	ignoreName  = ".gitignore"
)

// Init makes a release directory. check reads the release file that it will hold, as build would: what
// cannot be built is refused before anything is written.
//
// Crash: at any point -> some of the files are missing; init refuses to run again over those that
// exist and names them, nothing depends on a directory that init has not finished.
func Init(ctx context.Context, c cli.Console, dir string, o InitOptions, check func(name string, b []byte,
	d Folder) error) error {
	algs := map[string]int64{"esp256": trust.ESP256, "ed25519": trust.Ed25519, "esp384": trust.ESP384}
	alg, ok := algs[strings.ToLower(o.Alg)]
	if !ok {
		return cli.Usage("algorithm %q is unknown: use esp256, ed25519 or esp384", o.Alg)
	}
	config := deskTOML(o)
	d := Folder{dir: dir}
	if doc, err := conf.Decode(FileName, config, &d.File); err != nil {
		return fmt.Errorf("internal error: %w", err)
	} else if err := d.check(doc); err != nil {
		return cli.Usage("%v", err)
	}
	if err := check(exampleName, []byte(Example), d); err != nil {
		return cli.Usage("%v", err)
	}
	if err := vacant(dir); err != nil {
		return err
	}
	lock, err := o.Lock.Begin(ctx, c, filepath.Join(dir, privateName))
	if err != nil {
		return err
	}
	pass, err := lock(privateName)
	if err != nil {
		return err
	}
	for _, sub := range []struct {
		name string
		mode fs.FileMode
	}{{"", 0o755}, {"keys", 0o700}, {devicesDir, 0o755}, {"images", 0o755}} {
		if err := os.MkdirAll(filepath.Join(dir, sub.name), sub.mode); err != nil {
			return fmt.Errorf("cannot init %s: %w", dir, err)
		}
	}
	signer, private, public, err := newKey(alg, pass)
	if err != nil {
		return err
	}
	for _, f := range []struct {
		name     string
		content  []byte
		mode     fs.FileMode
		optional bool // one that exists is left as it is
	}{
		{privateName, private, 0o600, false}, {publicName, public, 0o644, false},
		{ignoreName, []byte("# Never commit a private key.\n/keys/release.pem\n/images/\n"), 0o644, true},
		{exampleName, []byte(Example), 0o644, true},
		{FileName, config, 0o644, false},
	} {
		err := files.Create(filepath.Join(dir, f.name), f.content, f.mode)
		if err != nil && !(f.optional && errors.Is(err, fs.ErrExist)) {
			return fmt.Errorf("cannot init %s: %w", dir, err)
		}
	}
	welcome(c, dir, o, signer.Key(), pass != nil)
	return nil
}

// newKey makes a key and its files, the private one encrypted unless pass is nil.
func newKey(alg int64, pass []byte) (s *trust.Signer, private, public []byte, err error) {
	if s, err = trust.Generate(alg); err != nil {
		return nil, nil, nil, err
	}
	if private, err = keys.EncodePrivate(s, pass); err != nil {
		return nil, nil, nil, err
	}
	public, err = s.Key().MarshalPEM()
	return s, private, public, err
}

// vacant tells whether dir has none of the files that are not overwritten.
func vacant(dir string) error {
	var there []string
	for _, name := range []string{FileName, privateName, publicName} {
		if _, err := os.Lstat(filepath.Join(dir, name)); err == nil {
			there = append(there, filepath.Join(dir, name))
		}
	}
	if len(there) > 0 {
		return fmt.Errorf("cannot init %s: %s exists already and is not overwritten; choose another directory",
			dir, strings.Join(there, ", "))
	}
	return nil
}

// welcome says what is in a new release directory, and what comes next.
func welcome(c cli.Console, dir string, o InitOptions, key trust.Key, encrypted bool) {
	how := "NOT encrypted"
	if encrypted {
		how = "encrypted"
	}
	c.Say("Release directory %s is ready.", dir)
	c.Say("")
	c.Say("  %-22s the release key (%s), %s. Private: guard it and back it up.", privateName,
		keys.Algorithm(key.Alg()), how)
	c.Say("  %-22s its public half, id %s", publicName, key.ID())
	c.Say("  %-22s configuration of this desk", FileName)
	c.Say("  %-22s a release file to start from", exampleName)
	c.Say("  %-22s public keys of devices go here (`ratchet-release enroll`)", devicesDir+"/")
	c.Say("  %-22s published payloads; serve it at %s", "images/", o.BaseURL)
	c.Say("")
	c.Say("Next:")
	c.Say("  1. Check %s: vendor, classes, base-url, the broker and its certificates.", FileName)
	c.Say("  2. Copy %s to each device. The device's configuration must say:", publicName)
	c.Say("       [device]  vendor = [%s], class = [%s]", conf.Quote(o.Vendor), conf.Quote(o.Classes[0]))
	c.Say("       [mqtt]    url = %s, channel = %s", conf.Quote(o.Broker), conf.Quote(o.Channel))
	c.Say("       [trust]   keys = [\"/etc/ratchet/release.pub.pem\"]")
	c.Say("  3. Enroll each device's evidence key: ratchet-release enroll ID DEVICE.pem")
	c.Say("  4. Release: build %s, sign, publish, watch.", exampleName)
	if !o.OnePerson {
		c.Warn("%s", aloneText)
	}
}

// aloneText warns of what a folder with one key means.
const aloneText = `warning: one key of one person decides what every device runs.
  Whoever takes it, with one stolen laptop or one backup, takes the fleet, and devices leave that key only with an
  image that it has signed. For a fleet let two of three people sign a trust root, before the first device is built:
    each of them, on a machine of their own:  ratchet-release keys new NAME
    in root.toml:  a [signer.NAME] for each; for the role root  threshold = 2, signers = [...]
    ratchet-release root rotate; then two of them:  ratchet-release root sign --key NAME.pem root-1.cbor
  docs/integration/operator.md has the steps. If one person is meant, say so: init --one-person.`

// deskTOML is a new ratchet-release.toml.
func deskTOML(o InitOptions) []byte {
	var classes []string
	for _, c := range o.Classes {
		classes = append(classes, conf.Quote(c))
	}
	return fmt.Appendf(nil, `# Configuration of the release desk. Paths are relative to this file.

[vendor]
domain = %s          # every manifest is for devices of this vendor
classes = [%s]       # for releases that name no class

[keys]
release = "keys/release.pem"         # what the sign verb signs with
anchors = ["keys/release.pub.pem"]   # what devices trust; verify and publish check against these
legacy-algorithms = false            # also accept ES256 (-7) and EdDSA (-8)

[images]
directory = "images"                 # publish copies payloads here; serve it over HTTPS
base-url = %s
mirrors = []                         # further base URLs with the same files

[broker]
url = %s
allow-plain = %t                  # true admits mqtt:// without TLS
channel = %s                    # where publish offers releases
ca = ""                              # PEM; empty = the system's CAs
certificate = ""                     # client certificate, PEM
key = ""                             # its key, PEM
username = ""
password-file = ""
client-id = ""                       # empty = a new one for each connection
`, conf.Quote(o.Vendor), strings.Join(classes, ", "), conf.Quote(o.BaseURL), conf.Quote(o.Broker), o.AllowPlain,
		conf.Quote(o.Channel))
}

// Example is the release file that init lays down.
const Example = `# One release. Run: ratchet-release help build; it explains every key.

version = "1.0.0"
sequence = 1                 # higher than that of every release before
# class = "gateway-v1"       # empty: the classes of ratchet-release.toml

[[component]]
name = "rootfs"
file = "rootfs.img"          # relative to this file
compress = "zstd"            # or "none"

[conditions]
# version = [">= 0.9"]       # what the device must run now
# use-before = 2030-01-01T00:00:00Z
# min-battery-mwh = 500

[text.en]
description = "Gateway firmware"
update = "What is new, in a sentence."
`
